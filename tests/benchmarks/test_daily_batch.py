"""The benchmark's peer does the same work as the pipeline it is measured against."""

from __future__ import annotations

import sys
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient

pytest.importorskip("pandas", reason="the peer needs pandas: uv sync --group bench")

ROOT = Path(__file__).parents[2]
DAY = date(2026, 11, 23)
START = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`benchmarks/daily_batch/run.py`; benchmarks are scripts, not a package."""
    for folder in ("examples/shop", "benchmarks/daily_batch"):
        monkeypatch.syspath_prepend(ROOT / folder)
    for name in ("run", "peer", "generate"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("run")


def _expected(source: list[dict[str, Any]], tiers: dict[str, str]) -> dict[str, tuple[int, Decimal, int]]:
    """Count, revenue and number of customers per tier, by brute force."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for transaction in source:
        if (tier := tiers.get(transaction.get("customer_id", ""))) is not None:
            groups[tier].append(transaction)
    return {
        tier: (
            len(group),
            sum((t["total"].to_decimal() for t in group if t["total"] is not None), Decimal(0)),
            len({t["customer_id"] for t in group}),
        )
        for tier, group in groups.items()
    }


@pytest.mark.parametrize("staging", ["insert", "out"])
def test_the_peer_computes_the_daily_figures(
    staging: str, benchmark: ModuleType, mongo: MongoClient[dict[str, Any]], database: str
) -> None:
    shop = mongo[database]
    benchmark.generate.fill(
        shop,
        transactions_per_day=3_000,
        days=[DAY - timedelta(days=1), DAY],
        customers=400,
        products=20,
        seed=1,
    )
    report = benchmark.peer.run(shop, DAY, staging)
    assert tuple(report) == benchmark.TASKS
    within = {"transaction_date": {"$gte": START, "$lt": START + timedelta(days=1)}}
    tiers = {customer["customer_id"]: customer["tier"] for customer in shop["customers"].find()}
    expected = _expected(list(shop["transactions"].find(within)), tiers)
    found = {
        row["customer_tier"]: (
            row["transaction_count"],
            row["total_revenue"].to_decimal(),
            row["unique_customers_count"],
        )
        for row in shop["daily_analytics"].find({"date": START})
    }
    assert found == expected
    assert shop["transformed_transactions"].count_documents({"status": {"$type": "double"}}) == 0
    metrics = shop["etl_metrics"].find_one()
    assert metrics is not None
    assert metrics["dropped"] == 3_000 - sum(count for count, _, _ in expected.values())


def test_the_table_gives_medians_and_ratios(benchmark: ModuleType) -> None:
    theirs = [dict.fromkeys(benchmark.TASKS, seconds) for seconds in (1.0, 3.0, 2.0)]
    ours = [{**dict.fromkeys(benchmark.TASKS, 0.5), "extract_to_lake": 0.25}]
    rows = benchmark.table(ours, theirs, 1_000).splitlines()
    assert rows[2] == "| validate_source_data | 2.00 | 500 | 0.50 | 2,000 | 4.0x |"
    assert rows[-2] == "| extract_to_lake | - | - | 0.25 | 4,000 | - |"
    assert rows[-1] == "| **the six steps** | 12.00 | 83 | 3.00 | 333 | 4.0x |"
