"""One ordered read of a collection that goes on after it has lost its cursor or its server."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError

from levada.connectors.mongodb.faults import retriable
from levada.connectors.mongodb.namespace import Facts, look
from levada.connectors.mongodb.orders import RECORD_GONE, Natural, Order, refuse_another
from levada.connectors.mongodb.pace import Pace
from levada.connectors.mongodb.shelf import Read
from levada.connectors.mongodb.wire import REPLY_BYTES, RawCursor, Sizes
from levada.observe import Timings

ATTEMPTS = 8
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

#: Limits that the caller has set, or that only a new start can meet: going on would cheat them.
_FINAL = frozenset({50, 239})  # MaxTimeMSExpired, SnapshotTooOld
#: The cursor is gone, the data is not: CappedPositionLost, QueryPlanKilled.
_LOST = frozenset({136, 175})

T = TypeVar("T")
Client = MongoClient[dict[str, object]]


def pause(failures: int) -> float:
    """Seconds to wait before the next try."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failures - 1))


def patiently(call: Callable[[], T]) -> T:
    """Call until it succeeds, as often as a lane would try; finding a server has a limit of its own."""
    for failures in itertools.count(1):
        try:
            return call()
        except PyMongoError as error:
            lost = isinstance(error, ServerSelectionTimeoutError)
            if lost or failures > ATTEMPTS or not retriable(error):
                raise
            time.sleep(pause(failures))
    raise AssertionError


@dataclass(frozen=True)
class Manner:
    """How to read: what all lanes of a scan share.

    Args:
        database, collection: what.
        connect: gives a client of one server.
        rows: the most documents of one reply.
        pace: limits the rate.
        timings: told where the time went.
        marked: whether each reply shall carry where the lane is.
    """

    database: str
    collection: str
    connect: Callable[[], Client]
    rows: int
    pace: Pace
    timings: Timings
    marked: bool


class ScanLane:
    """Reads one order to its end; implements `levada.connectors.mongodb.shelf.Lane`.

    Args:
        name: of the lane, its key in positions.
        order: what is read, and how it goes on.
        manner: how.
        client, facts: of the server to begin at.
    """

    def __init__(self, name: str, order: Order, manner: Manner, client: Client, facts: Facts) -> None:
        self._name = name
        self._order = order
        self._manner = manner
        self._client, self._facts = client, facts
        self._sizes = Sizes(self._rows(), facts.mean, min(REPLY_BYTES, manner.pace.bytes or REPLY_BYTES))
        self._cursor: RawCursor | None = None
        self._failures = 0
        self._started = False
        self._fresh = True  # whether client and facts are those of now
        self._behind = False  # whether the record is gone that the order goes on behind

    def reads(self, stop: threading.Event) -> Generator[Read]:
        """Every reply, each once.

        Raises:
            PyMongoError: what ended it, once it can't go on, or was tried often enough.
            Retriable: the collection was replaced meanwhile.
        """
        while True:
            try:
                yield from self._read(stop)
            except PyMongoError as error:
                if not self._goes_on(error) or stop.wait(pause(self._failures)):
                    raise
            else:
                return

    def keep_alive(self) -> None:
        if self._cursor:
            self._cursor.keep_alive()

    def _read(self, stop: threading.Event) -> Generator[Read]:
        manner = self._manner
        self._reach()
        if self._behind and isinstance(self._order, Natural):
            self._order.step_back(self._client, manner.database)
        self._behind = False
        command = self._order.command(self._facts)
        trusted = not (isinstance(self._order, Natural) and self._order.behind)
        self._cursor = RawCursor(self._client, manner.database, command, self._sizes, manner.timings)
        with closing(self._cursor.replies()) as replies:
            for reply in replies:
                if not trusted:  # the server may have been restarted between the look and this find
                    refuse_another(self._facts, look(self._client, manner.database, manner.collection))
                    trusted = True
                self._failures = 0
                self._fresh = False
                self._started = True
                self._order.advance(reply)
                yield Read(self._name, reply, self._order.mark() if manner.marked else None)
                if stop.wait(manner.pace.took(len(reply.documents), len(reply.documents.buffer))):
                    return

    def _reach(self) -> None:
        """Find the server to go on at: the same one for natural order, else whichever is fit now."""
        if self._fresh:
            return
        manner = self._manner
        if not isinstance(self._order, Natural):
            self._client = manner.connect()
        self._facts = look(self._client, manner.database, manner.collection)
        self._fresh = True

    def _goes_on(self, error: PyMongoError) -> bool:
        self._failures += 1
        self._fresh = False
        code = error.code if isinstance(error, OperationFailure) else None
        if self._failures > ATTEMPTS or code in _FINAL or (self._started and not self._order.resumes):
            return False
        self._behind = self._behind or code == RECORD_GONE
        return self._behind or code in _LOST or retriable(error)

    def _rows(self) -> int:
        limit = self._manner.pace.rows
        return self._manner.rows if limit is None else min(self._manner.rows, limit)
