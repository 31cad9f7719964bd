"""Replies fetched ahead on threads of their own, bounded in number and in bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from levada.bson import Reply
from levada.observe import Timings

DEPTH = 4  # replies that wait
BYTES = 16 * 1024 * 1024  # of replies that wait; a larger one waits alone


@dataclass(frozen=True)
class Read:
    """One reply of a lane, and where the lane is once it is stored (None where it can't be resumed)."""

    lane: str
    reply: Reply
    mark: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        return len(self.reply.documents.buffer)


class Lane(Protocol):
    """What is fetched on one thread."""

    def reads(self, stop: threading.Event) -> Generator[Read]: ...

    def keep_alive(self) -> None: ...


class _Shelf:
    """What was fetched and not yet taken; `put` waits until there is room."""

    def __init__(self, depth: int, limit: int) -> None:
        self._depth, self._limit = depth, limit
        self._items: deque[Read | BaseException | None] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self.stop = threading.Event()

    def put(self, read: Read, waiting: Callable[[], None]) -> None:
        """Wait for room, calling `waiting` now and then; gives up once the reader has stopped."""
        while not self.stop.is_set():
            with self._changed:
                if self._has_room(read) or self._changed.wait_for(lambda: self._has_room(read), 0.2):
                    self._items.append(read)
                    self._bytes += read.size
                    self._changed.notify_all()
                    return
            waiting()

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._items.append(error)
            self._changed.notify_all()

    def take(self) -> Read | BaseException | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items))
            item = self._items.popleft()
            if isinstance(item, Read):
                self._bytes -= item.size
            self._changed.notify_all()
            return item

    def _has_room(self, read: Read) -> bool:
        waiting = len(self._items)
        return not waiting or (waiting < self._depth and self._bytes + read.size <= self._limit)


def read_ahead(
    lanes: Sequence[Lane], timings: Timings | None = None, *, depth: int = DEPTH, limit: int = BYTES
) -> Generator[Read]:
    """What the lanes read, in the order it arrives, fetched while the caller works on earlier replies.

    Args:
        lanes: each gets a thread; the first error of any of them is raised here and ends all.
        timings: told how long the caller had to wait, as `wait`.
        depth, limit: replies that wait at most, and their bytes.
    """
    shelf = _Shelf(depth, limit)
    threads = [
        threading.Thread(target=_fetch, args=(lane, shelf), name="levada-mongodb-read", daemon=True)
        for lane in lanes
    ]
    for thread in threads:
        thread.start()
    try:
        yield from _drain(shelf, len(lanes), timings or Timings())
    finally:
        shelf.stop.set()
        for thread in threads:
            thread.join()


def _drain(shelf: _Shelf, lanes: int, timings: Timings) -> Iterator[Read]:
    while lanes:
        with timings.spent("wait"):
            item = shelf.take()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            lanes -= 1
        else:
            yield item


def _fetch(lane: Lane, shelf: _Shelf) -> None:
    end: BaseException | None = None
    try:
        with closing(lane.reads(shelf.stop)) as reads:
            for read in reads:
                shelf.put(read, lane.keep_alive)
                if shelf.stop.is_set():
                    break
    except BaseException as error:  # noqa: BLE001 - it is raised where the replies are read
        end = error
    shelf.end(end)
