"""What `levada demo` runs: some days of shop data, yesterday's `daily` run, and a look at the results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import generate

PIPELINE = "daily"
SHOW = "shop.daily_analytics"
TRANSACTIONS_PER_DAY = 20_000
DAYS = 3


def fill(project: Any, now: datetime) -> dict[str, int]:
    """Make the days before `now`, unless they are there already.

    Returns:
        Collection -> documents made; empty where nothing was to do.
    """
    database = project.tables.connection("shop").database()
    today = now.astimezone(UTC).date()
    days = [today - timedelta(days=back) for back in range(DAYS, 0, -1)]
    midnight = datetime(days[-1].year, days[-1].month, days[-1].day, tzinfo=UTC)
    yesterday = {"transaction_date": {"$gte": midnight, "$lt": midnight + timedelta(days=1)}}
    if database.transactions.count_documents(yesterday, limit=TRANSACTIONS_PER_DAY) >= TRANSACTIONS_PER_DAY:
        return {}
    counts = generate.fill(
        database,
        transactions_per_day=TRANSACTIONS_PER_DAY,
        days=days,
        customers=5_000,
        products=500,
        seed=7,
    )
    return dict(counts)
