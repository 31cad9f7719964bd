"""Copies between two collections of one deployment that never leave the server.

One `aggregate` that ends in `$merge`. It can't be part of a transaction, so it is fenced otherwise: it writes
nothing when it starts after the lease has ended, its comment says whose it is, and the next owner kills it.
Where it can't be so (documents with the same `_id`, mode append), the rows travel through this process.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo.errors import OperationFailure

from levada.connectors.base import Mode, Query, Sink, Write, Written
from levada.connectors.mongodb.claim import Claim
from levada.connectors.mongodb.faults import DUPLICATE_KEY, translated
from levada.connectors.mongodb.scan import MongoSource, conjunction, reading_stages
from levada.connectors.mongodb.sink import MongoSink
from levada.connectors.mongodb.target import Stage
from levada.errors import Fenced
from levada.positions import Position
from levada.windows import Window

_INSERT = {"whenMatched": "fail", "whenNotMatched": "insert"}


def merge_inside(
    sink: MongoSink, write: Write, source: MongoSource, window: Window | None, position: Position | None
) -> Written:
    """Run the source's query inside the server into the target, and commit the position.

    Raises:
        Fenced: another writer has taken over, or the lease had ended before the server began.
    """
    if write.mode is not Mode.APPEND:
        claim = sink.claim(write)
        with translated(str(claim.target)):
            if position is not None:
                claim.fence.refuse_if_older(position)
            claim.make_room()
            written = _Copy(claim, source, window).run()
            if written is not None:
                claim.fence.commit(position, write.window)
                claim.fence.release()
                return written
    return _through_here(sink, write, source, window, position)


class _Copy:
    """One server-side copy into a claimed target."""

    def __init__(self, claim: Claim, source: MongoSource, window: Window | None) -> None:
        self._claim = claim
        self._database, self._collection = source.namespace
        condition = source.condition(window)
        guarded = [part for part in (condition, self._guard()) if part]
        self._guarded = _pipeline(conjunction(guarded), source.query)
        self._plain = _pipeline(condition, source.query)

    def run(self) -> Written | None:
        """What was written; None if documents share an `_id`, with nothing of it left behind."""
        mode = self._claim.write.mode
        if mode is Mode.UPSERT:
            return self._upsert()
        return self._replace() if mode is Mode.REPLACE else self._replace_window()

    def _replace(self) -> Written | None:
        stage = self._claim.target.stage(self._claim.fence, self._claim.write.owner)
        if not self._merge({"into": self._into(stage.name), **_INSERT}):
            stage.drop()
            return None
        return self._swap(stage)

    def _swap(self, stage: Stage) -> Written:
        rows = self._claim.target.database[stage.name].estimated_document_count()
        self._refuse_if_skipped(rows)
        return Written(rows, stage.swap())

    def _replace_window(self) -> Written | None:
        target = self._claim.target
        if not self._merge({"into": self._into(target.name), **_INSERT}):
            return None
        rows = target.count(self._claim.rows_of_window or {})
        self._refuse_if_skipped(rows)
        self._claim.fence.hold()
        return Written(rows, self._claim.removed)

    def _upsert(self) -> Written:
        key = self._claim.write.key
        update: Any = "replace"
        if key != ("_id",):
            update = [{"$replaceWith": {"$mergeObjects": ["$$new", {"_id": "$_id"}]}}]
        into = {"into": self._into(self._claim.target.name), "on": list(key)}
        self._merge({**into, "whenMatched": update, "whenNotMatched": "insert"})
        rows = self._count()
        self._refuse_if_skipped(rows)
        self._claim.fence.hold()
        return Written(rows)

    def _merge(self, stage: dict[str, Any]) -> bool:
        """Run it; False if two documents have the same `_id`."""
        try:
            self._aggregate([*self._guarded, {"$merge": stage}])
        except OperationFailure as error:
            if error.code != DUPLICATE_KEY:
                raise
            return False
        return True

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

    def _refuse_if_skipped(self, rows: int) -> None:
        end = self._lease_end()
        if rows or end is None:
            return
        now: datetime = self._claim.client.admin.command("hello")["localTime"]
        if now.replace(tzinfo=now.tzinfo or UTC) > end:
            raise Fenced(
                "the lease ended before the server began to copy",
                where=str(self._claim.target),
                hint="run it again",
            )


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
