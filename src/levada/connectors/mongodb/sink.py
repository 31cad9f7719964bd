"""Writes batches into a MongoDB collection, in every mode, under a fence.

| Mode | how | readers meanwhile |
|---|---|---|
| append | inserts; rows of a window carry `_levada_window`, by which a re-run removes them | see rows come |
| replace | a stage with the target's options and indexes, renamed over it | see old or new, whole |
| replace_window | removes the window's rows by the table's time column, then inserts | see it refill |
| upsert | replaces by key | see rows change |

Without a window, an append gives `_id`s to rows that have none, so that what a killed attempt has left is
found and removed; rows with an `_id` of their own that are there already, byte for byte, are left alone.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bson.binary import Binary
from bson.raw_bson import RawBSONDocument

from levada.batches import Batch, Rejected
from levada.connectors.base import Mode, Query, Table, Write, Writer, Written
from levada.connectors.mongodb import times
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.fence import Fence, has_transactions, stored_position
from levada.connectors.mongodb.insert import Inserter, Verdict
from levada.connectors.mongodb.lanes import Lanes, lane_of
from levada.connectors.mongodb.operations import stop_earlier
from levada.connectors.mongodb.rows import (
    WINDOW_TAG,
    Numbering,
    Rows,
    attempt_range,
    chunks,
    identity,
    prefix_of,
    value_at,
)
from levada.connectors.mongodb.scan import MongoSource
from levada.connectors.mongodb.target import Stage, Target
from levada.connectors.mongodb.upsert import Upserter, ensure_key_index
from levada.errors import ConfigError, LevadaError
from levada.positions import Position
from levada.windows import Window

if TYPE_CHECKING:
    from levada.connectors.mongodb.client import MongoConnection


class MongoSink:
    """Writes into one collection; implements `levada.connectors.base.Sink`."""

    def __init__(self, connection: MongoConnection, table: Table) -> None:
        self._connection = connection
        self._table = table

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        database, collection = self._connection.namespace(self._table)
        with translated(str(self._table)):
            return stored_position(self._connection.client, database, collection, owner)

    def open(self, write: Write) -> Writer:
        """Take the fence and get ready: from here on, earlier writers of this owner are refused.

        Raises:
            ConfigError: the mode does not go with the table.
            Fenced: a newer epoch has the fence.
        """
        return MongoWriter(self.claim(write), write)

    def merge_pipeline(
        self,
        write: Write,
        source: Table,
        query: Query,
        window: Window | None,
        position: Position | None,
    ) -> Written:
        """Copy between two collections of this connection inside the server, and commit.

        Args:
            write: as for `open`.
            source, query, window: what to read.
            position: to commit with it.
        """
        from levada.connectors.mongodb.merge import merge_inside

        reader = MongoSource(self._connection, source, replace(query, canonical=True))
        return merge_inside(self, write, reader, window, position)

    def claim(self, write: Write) -> Claim:
        """Take the fence and make room, without a writer."""
        database, collection = self._connection.namespace(self._table)
        with translated(str(self._table)):
            return Claim(self._connection, database, collection, write)


class Claim:
    """A target whose fence has been taken, with what earlier attempts left removed.

    Args:
        connection: of the sink.
        database, collection: where.
        write: by whom and how.
    """

    def __init__(self, connection: MongoConnection, database: str, collection: str, write: Write) -> None:
        self.client = connection.client
        self.write = write
        check(write)
        self.target = Target(self.client, database, collection)
        transactions = has_transactions(self.client) and self.target.plain
        self.target.prepare()
        if write.mode is Mode.UPSERT:
            ensure_key_index(self.target.database, collection, write.key)
        self.fence = Fence(self.client, database, collection, write, transactions=transactions)
        self.fence.take()
        stop_earlier(self.client, self.fence)
        self.removed = self._make_room()

    @property
    def tag(self) -> str | None:
        """The value of `_levada_window` in this write's rows."""
        if self.write.mode is Mode.APPEND and self.write.window:
            return f"{self.write.owner} {self.write.window}"
        return None

    @property
    def rows_of_window(self) -> dict[str, Any] | None:
        """The filter of the rows that this write replaces; None where it replaces none by window."""
        if self.tag is not None:
            return {WINDOW_TAG: self.tag}
        if self.write.mode is Mode.REPLACE_WINDOW and self.write.window and self.write.table.time:
            return times.in_window(self.write.table.time, self.write.window)
        return None

    def _make_room(self) -> int:
        if prefix := prefix_of(self.fence.stored.get("attempt")):
            self.target.delete(attempt_range(prefix), self.fence)
        if self.tag is not None:
            self.target.database[self.target.name].create_index(WINDOW_TAG, sparse=True)
        condition = self.rows_of_window
        return self.target.delete(condition, self.fence) if condition else 0


def check(write: Write) -> None:
    """Raise ConfigError if a write lacks what its mode needs."""
    if write.mode is Mode.UPSERT and not write.key:
        raise ConfigError(
            f"mode upsert into {write.table} needs a key", where=str(write.table), hint="add `key: COLUMN`"
        )
    if write.mode is Mode.REPLACE_WINDOW and (write.window is None or write.table.time is None):
        lacks = "a window" if write.window is None else "the table's time column"
        raise ConfigError(
            f"mode replace_window into {write.table} needs {lacks}",
            where=str(write.table),
            hint="give the pipeline a `window:` and the table a `time:`",
        )


class MongoWriter:
    """One write into one collection; implements `levada.connectors.base.Writer`."""

    def __init__(self, claim: Claim, write: Write) -> None:
        self._claim = claim
        self._write = write
        self._where = str(claim.target)
        self._stage: Stage | None = None
        self._rejected: list[Rejected] = []
        numbering = Numbering() if write.mode is Mode.APPEND else None
        self._rows = Rows(numbering, claim.tag)
        with translated(self._where):
            if numbering:
                claim.fence.begin_attempt(Binary(numbering.prefix))
            if write.mode is Mode.REPLACE:
                self._stage = claim.target.stage(claim.fence, write.owner)
        self._upserter = self._new_upserter()
        self._lanes = Lanes((self._upserter or self._new_inserter()).store)

    def _new_upserter(self) -> Upserter | None:
        if self._write.mode is not Mode.UPSERT:
            return None
        target = self._claim.target
        return Upserter(target.database, target.name, self._claim.fence, self._write.key)

    def _new_inserter(self) -> Inserter:
        target, write = self._claim.target, self._write
        name = self._stage.name if self._stage else target.name
        judges = {Mode.REPLACE_WINDOW: _outside(write), Mode.APPEND: _identical}
        return Inserter(target.database, name, self._claim.fence, judges.get(write.mode, _first_wins))

    def write(self, batch: Batch) -> None:
        """Hand a batch to the lanes; returns before it is stored.

        Raises:
            Fenced: another writer has taken over.
        """
        documents, rejected = self._rows.of(batch)
        self._rejected += rejected
        with translated(self._where):
            for lane, part in self._distribute(documents):
                for chunk in chunks(part):
                    self._lanes.put(chunk, lane)

    def _distribute(self, documents: list[bytes]) -> list[tuple[int | None, list[bytes]]]:
        """Rows of one key go to one lane, so that they stay in order; others to any."""
        if self._upserter is None and self._write.mode is Mode.APPEND:
            return [(None, documents)]
        lanes: tuple[list[bytes], list[bytes]] = ([], [])
        for document in documents:
            if self._upserter is None:
                lanes[lane_of(identity(document) or document[:64])].append(document)
            elif reason := self._upserter.refusal(document):
                self._rejected.append(Rejected(document, reason))
            else:
                lanes[lane_of(self._upserter.key_of(document))].append(document)
        return list(enumerate(lanes))

    def commit(self, position: Position | None) -> Written:
        """Wait until everything is stored, then store the position.

        Raises:
            Fenced: another writer has taken over, or this commit is stored already.
        """
        with translated(self._where):
            tally = self._lanes.drain()
            replaced = self._claim.removed + tally.replaced
            if self._stage:
                replaced = self._stage.swap()
            self._claim.fence.commit(position, str(self._write.window) if self._write.window else None)
        return Written(tally.rows, replaced, tally.bytes, (*self._rejected, *tally.rejected))

    def abort(self) -> None:
        """Stop writing; what is stored already is removed or replaced by the next attempt."""
        self._lanes.stop()
        with suppress(LevadaError), translated(self._where):
            if self._stage:
                self._stage.drop()


def _first_wins(_stored: RawBSONDocument, _document: bytes) -> Verdict:
    return Verdict.REJECTED


def _identical(stored: RawBSONDocument, document: bytes) -> Verdict:
    return Verdict.THERE if bytes(stored.raw) == document else Verdict.REJECTED


def _outside(write: Write) -> Any:
    """Judge by the window: it was emptied, so a row that is in it now came with this write."""

    def judge(stored: RawBSONDocument, _document: bytes) -> Verdict:
        window, time = write.window, write.table.time
        value = value_at(stored, time) if time else None
        inside = window is not None and times.contains(window, value)
        return Verdict.REJECTED if inside else Verdict.REPLACES

    return judge
