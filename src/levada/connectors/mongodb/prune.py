"""Removes rows by age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from levada.connectors.base import Fence
from levada.connectors.mongodb import times
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.target import Target
from levada.errors import Fenced


def delete_before(target: Target, column: str, cutoff: datetime, fence: Fence | None) -> int:
    """Remove the rows whose `column` is a date before `cutoff`; returns how many.

    Doing it twice does no harm, so the fence is only the end of the lease, by the server's clock: each chunk
    looks at it.

    Raises:
        Fenced: the lease has ended.
    """
    end = fence.valid_until if fence else None
    guard = [{"$expr": {"$lte": ["$$NOW", end]}}] if end else []
    condition = times.before(column, cutoff)
    removed = 0
    with translated(str(target)):
        for ids in target.ids(condition):
            chunk = {"$and": [{"_id": {"$in": ids}}, condition, *guard]}
            deleted = target.database[target.name].delete_many(chunk).deleted_count
            if not deleted and end and _now(target.client) > end:
                raise Fenced("the lease ended before all old rows were removed", where=str(target))
            removed += deleted
    return removed


def _now(client: MongoClient[Any]) -> datetime:
    now: datetime = client.admin.command("hello")["localTime"]
    return now.replace(tzinfo=now.tzinfo or UTC)
