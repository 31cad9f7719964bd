"""Two threads that store chunks of rows, each in its own order, behind a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from zlib import crc32

from levada.batches import Rejected
from levada.connectors.mongodb.fence import LANES

QUEUE = 4  # chunks per lane
_BLOCK_BITS = 11  # a block of consecutive keys is as large as a chunk
_OBJECT_ID = 0x07
_INTEGERS = {0x10: 5, 0x12: 9}  # int32, int64: type and value bytes


@dataclass
class Tally:
    """What has been stored so far.

    Args:
        rows: stored.
        replaced: rows that were there before and are not any more.
        bytes: of the stored documents.
        rejected: not stored.
        unchanged: rows that were stored like that already.
        deleted: removed by an operation.
        older: changed nothing, because a newer version is stored.
    """

    rows: int = 0
    replaced: int = 0
    bytes: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    unchanged: int = 0
    deleted: int = 0
    older: int = 0

    def add(self, other: Tally) -> None:
        self.rows += other.rows
        self.replaced += other.replaced
        self.bytes += other.bytes
        self.rejected += other.rejected
        self.unchanged += other.unchanged
        self.deleted += other.deleted
        self.older += other.older


Item = TypeVar("Item")


class Lanes(Generic[Item]):
    """Hands chunks to `store(lane, items)`; the first error stops all lanes and reaches the caller."""

    def __init__(self, store: Callable[[int, list[Item]], Tally]) -> None:
        self._store = store
        self._queues: list[queue.Queue[list[Item] | None]] = [queue.Queue(QUEUE) for _ in range(LANES)]
        self._tallies = [Tally() for _ in range(LANES)]
        self._error: BaseException | None = None
        self._failed = threading.Event()
        self._turn = 0
        self._threads: list[threading.Thread] = []

    def put(self, items: list[Item], lane: int | None = None) -> None:
        """Store a chunk on a lane, or on the next one.

        Raises:
            BaseException: what stopped a lane earlier.
        """
        if not self._threads:
            self._start()
        if lane is None:
            lane, self._turn = self._turn, (self._turn + 1) % LANES
        self._offer(lane, items)

    def drain(self) -> Tally:
        """Wait until everything is stored; returns what was."""
        for lane in range(len(self._threads)):
            self._offer(lane, None)
        self._join()
        self._raise()
        total = Tally()
        for tally in self._tallies:
            total.add(tally)
        return total

    def settle(self) -> None:
        """Wait until everything that was put is stored.

        Raises:
            BaseException: what stopped a lane.
        """
        for waiting in self._queues:
            with waiting.all_tasks_done:
                while waiting.unfinished_tasks:
                    self._raise()
                    waiting.all_tasks_done.wait(0.2)
        self._raise()

    def stop(self) -> None:
        """Drop what is not stored yet."""
        self._failed.set()
        self._join()

    def _start(self) -> None:
        for lane in range(LANES):
            name = f"levada-mongodb-write-{lane}"
            thread = threading.Thread(target=self._work, args=(lane,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self, lane: int) -> None:
        while not self._failed.is_set():
            try:
                items = self._queues[lane].get(timeout=0.2)
            except queue.Empty:
                continue
            if items is None:
                return
            try:
                self._tallies[lane].add(self._store(lane, items))
            except BaseException as error:  # noqa: BLE001 - it is raised to the caller
                self._error = self._error or error
                self._failed.set()
            self._queues[lane].task_done()

    def _offer(self, lane: int, items: list[Item] | None) -> None:
        while True:
            self._raise()
            with suppress(queue.Full):
                self._queues[lane].put(items, timeout=0.2)
                return

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def lane_of(key: bytes) -> int:
    """The lane of a key, given as type and value bytes: rows of one key must stay in order.

    Blocks of consecutive ObjectIds and integers stay together: lanes that write between each other's keys
    get in each other's way.
    """
    kind = key[0] if key else 0
    if kind == _OBJECT_ID:
        return (key[11] >> _BLOCK_BITS - 8) % LANES
    if kind in _INTEGERS and len(key) == _INTEGERS[kind]:
        return (int.from_bytes(key[1:5], "little") >> _BLOCK_BITS) % LANES
    return crc32(key) % LANES
