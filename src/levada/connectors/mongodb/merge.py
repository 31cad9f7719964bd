"""Copies between two collections of one deployment that never leave the server.

An `aggregate` that ends in `$merge`; two side by side, each over half of the window, where each document goes
its own way. They can't be part of a transaction, so they are fenced otherwise: one writes nothing when it
starts after the lease has ended, its comment says whose it is, and the next owner kills it.
Where it can't be so (documents with the same `_id` or another unique value, mode append), the rows travel
through this process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import OperationFailure

from levada.connectors.base import Changes, Mode, Query, Sink, Write, Written
from levada.connectors.mongodb.claim import Claim
from levada.connectors.mongodb.faults import DUPLICATE_KEY, translated
from levada.connectors.mongodb.scan import MongoSource, conjunction, reading_stages
from levada.connectors.mongodb.sink import MongoSink
from levada.connectors.mongodb.target import Stage
from levada.connectors.mongodb.times import in_window
from levada.errors import Fenced
from levada.positions import Position
from levada.windows import Window

_INSERT = {"whenMatched": "fail", "whenNotMatched": "insert"}
#: Stages that look at one document at a time, so that halves of a window can pass them separately.
_ROW_WISE = frozenset(
    {
        *("$match", "$project", "$set", "$addFields", "$unset", "$lookup", "$unwind"),
        *("$replaceRoot", "$replaceWith", "$redact"),
    }
)


def merge_inside(
    sink: MongoSink, write: Write, source: MongoSource, window: Window | None, position: Position | None
) -> Written:
    """Run the source's query inside the server into the target, and commit the position.

    Raises:
        Fenced: another writer has taken over, or the lease had ended before the server began.
    """
    if write.mode is not Mode.APPEND and write.changes == Changes():
        claim = sink.claim(write)
        with translated(str(claim.target)):
            if position is not None:
                claim.fence.refuse_if_older(position)
            claim.make_room()
            written = _Copy(claim, source, window).run()
            if written is not None:
                claim.refuse_if_replaced()
                claim.fence.commit(position, write.window)
                claim.fence.release()
                return written
    return _through_here(sink, write, source, window, position)


class _Copy:
    """One server-side copy into a claimed target."""

    def __init__(self, claim: Claim, source: MongoSource, window: Window | None) -> None:
        self._claim = claim
        self._database, self._collection = source.namespace
        self._plain = _pipeline(source.condition(window), source.query)
        self._halves = self._split(source, window)
        parts = self._halves or (window,)
        self._guarded = [self._guarded_pipeline(source, part) for part in parts]
        self._late: list[bool] = []

    def _split(self, source: MongoSource, window: Window | None) -> tuple[Window, ...]:
        """Two halves of the window, if their rows can be told apart in the target too; else nothing."""
        write = self._claim.write
        same = window is not None and write.window == window and write.table.time == source.time
        if window is None or not same or write.mode is not Mode.REPLACE_WINDOW:
            return ()
        if not _row_wise(source.query.pipeline):
            return ()
        middle = window.start + (window.end - window.start) / 2
        middle = middle.replace(microsecond=middle.microsecond // 1000 * 1000)
        return Window(window.start, middle), Window(middle, window.end)

    def _guarded_pipeline(self, source: MongoSource, window: Window | None) -> list[dict[str, Any]]:
        parts = [part for part in (source.condition(window), self._guard()) if part]
        return _pipeline(conjunction(parts), source.query)

    def run(self) -> Written | None:
        """What was written; None if rows have to be told apart, since two have what only one may have."""
        mode = self._claim.write.mode
        if mode is Mode.UPSERT:
            return self._upsert()
        return self._replace() if mode is Mode.REPLACE else self._replace_window()

    def _replace(self) -> Written | None:
        if not self._claim.swaps:
            return self._refill()
        stage = self._claim.target.stage(self._claim.fence, self._claim.write.owner)
        if not self._merge({"into": self._into(stage.name), **_INSERT}):
            stage.drop()
            return None
        return self._swap(stage)

    def _refill(self) -> Written | None:
        target = self._claim.target
        if not self._merge({"into": self._into(target.name), **_INSERT}):
            return None
        rows = target.count({})
        self._refuse_if_skipped(rows)
        self._claim.fence.hold()
        return Written(rows, self._claim.removed)

    def _swap(self, stage: Stage) -> Written:
        rows = self._claim.target.database[stage.name].estimated_document_count()
        self._refuse_if_skipped(rows)
        return Written(rows, stage.swap())

    def _replace_window(self) -> Written | None:
        target = self._claim.target
        if not self._merge({"into": self._into(target.name), **_INSERT}):
            return None
        time = self._claim.write.table.time or ""
        parts = [in_window(time, half) for half in self._halves] or [self._claim.rows_of_window or {}]
        counts = [target.count(part) for part in parts]
        self._refuse_if_skipped(*counts)
        self._claim.fence.hold()
        return Written(sum(counts), self._claim.removed)

    def _upsert(self) -> Written | None:
        key = self._claim.write.key
        update: Any = "replace"
        if key != ("_id",):
            update = [{"$replaceWith": {"$mergeObjects": ["$$new", {"_id": "$_id"}]}}]
        into = {"into": self._into(self._claim.target.name), "on": list(key)}
        if not self._merge({**into, "whenMatched": update, "whenNotMatched": "insert"}):
            return None
        rows = self._count()
        self._refuse_if_skipped(rows)
        self._claim.fence.hold()
        return Written(rows)

    def _merge(self, stage: dict[str, Any]) -> bool:
        """Run it, all parts to their end; False if two documents have the same `_id`, or unique value."""

        def run(pipeline: list[dict[str, Any]]) -> bool:
            try:
                self._aggregate([*pipeline, {"$merge": stage}])
            except OperationFailure as error:
                if error.code != DUPLICATE_KEY:
                    raise
                return False
            return True

        def timed(pipeline: list[dict[str, Any]]) -> tuple[bool, bool]:
            return run(pipeline), self._lease_has_ended()

        with ThreadPoolExecutor(len(self._guarded), thread_name_prefix="merge") as pool:
            ended = list(pool.map(timed, self._guarded))
        self._late = [late for _, late in ended]
        return all(distinct for distinct, _ in ended)

    def _count(self) -> int:
        found = self._aggregate([*self._plain, {"$count": "rows"}])
        return int(found[0]["rows"]) if found else 0

    def _aggregate(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        source = self._claim.client[self._database].get_collection(
            self._collection, write_concern=self._claim.target.database.write_concern
        )
        with source.aggregate(pipeline, allowDiskUse=True, comment=self._claim.fence.comment) as cursor:
            return list(cursor)

    def _into(self, collection: str) -> dict[str, str]:
        return {"db": self._claim.target.database.name, "coll": collection}

    def _guard(self) -> dict[str, Any]:
        """Matches nothing once the lease has ended, by the server's clock."""
        end = self._lease_end()
        return {"$expr": {"$lte": ["$$NOW", end]}} if end else {}

    def _lease_end(self) -> datetime | None:
        fence = self._claim.write.fence
        return fence.valid_until if fence else None

    def _lease_has_ended(self) -> bool:
        end = self._lease_end()
        if end is None:
            return False
        now: datetime = self._claim.client.admin.command("hello")["localTime"]
        return now.replace(tzinfo=now.tzinfo or UTC) > end

    def _refuse_if_skipped(self, *counts: int) -> None:
        """A part that ended in time had begun in time; one that ended late and left no row may never have."""
        if any(late and not count for late, count in zip(self._late, counts, strict=True)):
            raise Fenced(
                "the lease ended before the server began to copy",
                where=str(self._claim.target),
                hint="run it again",
            )


def _row_wise(pipeline: Sequence[Mapping[str, Any]]) -> bool:
    return all(name in _ROW_WISE for stage in pipeline for name in stage)


def _pipeline(condition: dict[str, Any], query: Query) -> list[dict[str, Any]]:
    return ([{"$match": condition}] if condition else []) + reading_stages(query)


def _through_here(
    sink: Sink, write: Write, source: MongoSource, window: Window | None, position: Position | None
) -> Written:
    writer = sink.open(write)
    try:
        for batch in source.read(window):
            writer.write(batch)
        return writer.commit(position)
    except BaseException:
        writer.abort()
        raise
