"""Several readers at once, their batches in the order they come, few of them held."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
_HELD_PER_LANE = 2
_PATIENCE = 0.1


class Lanes(Generic[T]):
    """Runs readers in threads of their own.

    Args:
        readers: each gives an iterator when called, in its thread.
    """

    def __init__(self, readers: Sequence[Callable[[], Iterator[T]]]) -> None:
        self._readers = readers
        self._queue: queue.Queue[T | BaseException | None] = queue.Queue(_HELD_PER_LANE * len(readers))
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[T]:
        """All batches; the first error of a reader ends them all."""
        threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in self._readers]
        for thread in threads:
            thread.start()
        running = len(threads)
        try:
            while running:
                found = self._queue.get()
                if found is None:
                    running -= 1
                elif isinstance(found, BaseException):
                    raise found
                else:
                    yield found
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _run(self, reader: Callable[[], Iterator[T]]) -> None:
        last: BaseException | None = None
        try:
            for batch in reader():
                if not self._put(batch):
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the batches are read
            last = error
        self._put(last)

    def _put(self, found: T | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(found, timeout=_PATIENCE)
            except queue.Full:
                continue
            return True
        return False
