"""One write into one collection.

A write that fits one transaction is one: rows, removals and position together, at the commit. A larger one is
streamed over two lanes, each chunk a transaction under the fence, the position last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bson.binary import Binary
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from levada.batches import Batch, Rejected
from levada.connectors.base import Mode, Write, Written
from levada.connectors.mongodb import times
from levada.connectors.mongodb.apply.decide import Refused
from levada.connectors.mongodb.apply.fold import Change
from levada.connectors.mongodb.apply.lookup import TooMuch
from levada.connectors.mongodb.apply.upsert import Applying
from levada.connectors.mongodb.claim import Claim
from levada.connectors.mongodb.faults import INVALID_BSON, TOO_LARGE, translated
from levada.connectors.mongodb.insert import Failed, Inserter, Judge, Verdict
from levada.connectors.mongodb.lanes import Lanes, Tally, lane_of
from levada.connectors.mongodb.raw import value_at
from levada.connectors.mongodb.restoring import Restoring
from levada.connectors.mongodb.rows import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    Numbering,
    Rows,
    chunks,
    identity,
)
from levada.connectors.mongodb.target import Stage
from levada.connectors.screening import outside_window, set_aside
from levada.errors import LevadaError
from levada.positions import Position
from levada.types.names import Renaming, originals

#: A document to insert, or a change of a row.
Item = Any


class _Incomplete(Exception):
    """Rows were set aside, which is told before a position says that they were read."""


def _untold(_rejected: Sequence[Rejected]) -> None:
    return None


class MongoWriter:
    """Implements `levada.connectors.base.Writer`."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._write = claim.write
        self._where = str(claim.target)
        self._numbering = Numbering() if self._write.mode is Mode.APPEND else None
        self._rows = Rows(self._numbering, claim.tag)
        self._renaming = Renaming(originals)
        self._restoring = Restoring(claim.target.options.get("validator"))
        self.rejected: list[Rejected] = []  # so far
        #: Told all that was rejected before the position is stored, maybe several times.
        self.keep: Callable[[Sequence[Rejected]], None] = _untold
        self._held: list[Item] | None = []  # None once rows are streamed
        self._held_bytes = 0
        self._waiting: dict[int | None, list[Item]] = {}
        self._stage: Stage | None = None
        self._applying = Applying(claim) if self._write.mode is Mode.UPSERT else None
        self._lanes: Lanes[Item] | None = None

    def write(self, batch: Batch) -> None:
        """Take a batch; it is stored later, by the original names of its fields.

        Raises:
            Fenced: another writer has taken over.
        """
        batch = batch if batch.canonical else replace(batch, data=self._renaming.of(batch.data))
        items: list[Item] = []
        for part in self._restoring.of(self._inside_window(batch)):
            found, rejected = self._taken(part)
            self.rejected += rejected
            items += found
        if self._held is not None:
            self._held += items
            self._held_bytes += sum(map(_size, items))
            whole = not self._claim.swaps
            if whole and len(self._held) <= CHUNK_ROWS and self._held_bytes <= CHUNK_BYTES:
                return
            items, self._held = self._held, None
        with translated(self._where):
            lanes = self._stream(items)
            if self._applying and self._applying.known_is_due:
                self._stream([], last=True)
                lanes.settle()
                self._applying.read_known()

    def commit(self, position: Position | None) -> Written:
        """Store what is not stored yet, and the position.

        Raises:
            Fenced: another writer has taken over, or this commit is stored already.
        """
        with translated(self._where):
            tally = self._commit_at_once(position) or self._commit_stream(position)
            self._claim.fence.release()
        return Written(
            tally.rows,
            tally.replaced,
            tally.bytes,
            (*self.rejected, *tally.rejected),
            unchanged=tally.unchanged,
            deleted=tally.deleted,
            older=tally.older,
        )

    def abort(self) -> None:
        """Stop writing; what is stored already is removed or replaced by the next attempt."""
        if self._lanes:
            self._lanes.stop()
        with suppress(LevadaError), translated(self._where):
            if self._stage:
                self._stage.drop()
            self._claim.fence.release()

    def _inside_window(self, batch: Batch) -> Batch:
        """The rows a re-run would find again; whole documents have an `_id`, which replaces them instead."""
        time = self._write.table.time or "_id"
        if batch.canonical or time == "_id" or "." in time:
            return batch
        kept, rejected = set_aside(batch.data, outside_window(batch.data, self._write))
        self.rejected += rejected
        return Batch(kept)

    def _taken(self, batch: Batch) -> tuple[Sequence[Item], list[Rejected]]:
        return self._applying.of(batch) if self._applying else self._rows.of(batch)

    def _commit_at_once(self, position: Position | None) -> Tally | None:
        """Everything in one transaction; None if it is too much, or a document is not taken."""
        claim, held = self._claim, self._held
        if held is None or claim.swaps or not claim.room_is_small:
            return None

        def work(session: ClientSession | None) -> Tally:
            claim.refuse_if_replaced()  # from here on the server refuses a newer one: it has its snapshot
            claim.fence.store(position, self._write.window, session)
            replaced = claim.remove(session)
            if self._applying:
                tally = self._applying.store_in(held, session)
            else:
                tally = self._inserter(claim.target.name).store_in(held, session)
            if tally.rejected:
                raise _Incomplete
            tally.replaced += replaced
            return tally

        self.keep(self.rejected)
        try:
            return claim.fence.run(0, work) if claim.fence.transactions else None
        except (Failed, Refused, TooMuch, _Incomplete):
            return None
        except OperationFailure as error:
            if self._applying and error.code in (INVALID_BSON, *TOO_LARGE):
                return None
            raise

    def _commit_stream(self, position: Position | None) -> Tally:
        held, self._held = self._held or [], None
        tally = self._stream(held, last=True).drain()
        if self._applying:
            self._applying.settle(tally)
        tally.replaced += self._claim.removed
        if position is not None:
            self._claim.fence.refuse_if_older(position)
        self._claim.refuse_if_replaced()
        self.keep((*self.rejected, *tally.rejected))
        lost = bool(tally.rejected) and not (
            tally.rows or tally.deleted or tally.older
        )  # the step fails then
        if self._stage and lost:
            self._stage.drop()
        elif self._stage:
            tally.replaced = self._stage.swap()
        self._claim.fence.commit(None if lost else position, self._write.window)
        return tally

    def _stream(self, items: list[Item], *, last: bool = False) -> Lanes[Item]:
        lanes = self._lanes or self._start()
        for lane, part in self._distribute(items):
            waiting = list(chunks(self._waiting.pop(lane, []) + part, bytes_of=_size))
            if waiting and not last:
                self._waiting[lane] = waiting.pop()  # full chunks only: each is a transaction
            for chunk in waiting:
                lanes.put(chunk, lane)
        return lanes

    def _start(self) -> Lanes[Item]:
        claim = self._claim
        claim.make_room()
        if self._numbering and claim.tag is None:
            claim.fence.begin_attempt(Binary(self._numbering.prefix))
        if claim.swaps:
            self._stage = claim.target.stage(claim.fence, self._write.owner)
        target = self._stage.name if self._stage else claim.target.name
        self._lanes = Lanes(self._applying.store if self._applying else self._inserter(target).store)
        return self._lanes

    def _inserter(self, collection: str) -> Inserter:
        judges: dict[Mode, Judge] = {Mode.REPLACE_WINDOW: _outside(self._write), Mode.APPEND: _identical}
        judge = judges.get(self._write.mode, _first_wins)
        return Inserter(self._claim.target.database, collection, self._claim.fence, judge)

    def _distribute(self, items: list[Item]) -> list[tuple[int | None, list[Item]]]:
        """Rows of one key go to one lane, so that they stay in order; appended ones to any."""
        if self._write.mode is Mode.APPEND:
            return [(None, items)]
        key_of: Callable[[Any], bytes] = self._applying.key_of if self._applying else _identity
        lanes: tuple[list[Item], list[Item]] = ([], [])
        for item in items:
            lanes[lane_of(key_of(item))].append(item)
        return list(enumerate(lanes))


def _size(item: Item) -> int:
    return len(item.document if isinstance(item, Change) else item)


def _identity(document: bytes) -> bytes:
    return identity(document) or document[:64]


def _first_wins(_stored: RawBSONDocument, _document: bytes) -> Verdict:
    return Verdict.REJECTED


def _identical(stored: RawBSONDocument, document: bytes) -> Verdict:
    return Verdict.THERE if bytes(stored.raw) == document else Verdict.REJECTED


def _outside(write: Write) -> Judge:
    """Judge by the window: it was emptied, so a row that is in it now came with this write."""

    def judge(stored: RawBSONDocument, _document: bytes) -> Verdict:
        window, time = write.window, write.table.time
        inside = bool(window and time and times.contains(window, value_at(stored, time)))
        return Verdict.REJECTED if inside else Verdict.REPLACES

    return judge
