"""Removes rows by age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from levada.connectors.base import Fence
from levada.connectors.mongodb import times
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.target import Target
from levada.errors import ConfigError, Fenced


def delete_before(target: Target, column: str, cutoff: datetime, fence: Fence | None) -> int:
    """Remove the rows whose `column` is a date before `cutoff`; returns how many.

    Doing it twice does no harm, so the fence is only the end of the lease, by the server's clock: each chunk
    looks at it as it then is.

    Raises:
        ConfigError: the collection has rows, and none of them a date there.
        Fenced: the lease has ended.
    """
    condition = times.before(column, cutoff)
    removed = 0
    with translated(str(target)):
        _check_column(target, column)
        for ids in target.ids(condition):
            end = fence.end() if fence else None
            guard = [{"$expr": {"$lte": ["$$NOW", end]}}] if end else []
            chunk = {"$and": [{"_id": {"$in": ids}}, condition, *guard]}
            deleted = target.database[target.name].delete_many(chunk).deleted_count
            if not deleted and end and _now(target.client) > end:
                raise Fenced("the lease ended before all old rows were removed", where=str(target))
            removed += deleted
    return removed


def _check_column(target: Target, column: str) -> None:
    collection = target.database[target.name]
    dated = {column: {"$type": "objectId" if column == "_id" else "date"}}
    if collection.find_one({}, {"_id": 1}) and not collection.find_one(dated, {"_id": 1}):
        raise ConfigError(
            f"no row has a date in {column!r}", where=str(target), hint="name the time column: `column:`"
        )


def _now(client: MongoClient[Any]) -> datetime:
    now: datetime = client.admin.command("hello")["localTime"]
    return now.replace(tzinfo=now.tzinfo or UTC)
