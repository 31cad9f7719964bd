"""Several readers at once, their batches in the order they come, few of them held."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Generic, TypeVar

from levada.connectors.postgres.session import Server, Session

T = TypeVar("T")
_HELD_PER_LANE = 2
_PATIENCE = 0.1
_MOST_PATIENCE = 2.0


class Lanes(Generic[T]):
    """Runs readers in threads of their own, each with a session.

    Args:
        server: where the sessions come from.
        where: what to name in an error.
        readers: each gives a generator when called, in its thread.
    """

    def __init__(
        self, server: Server, where: str, readers: Sequence[Callable[[Session], Generator[T, None, None]]]
    ) -> None:
        self._server = server
        self._where = where
        self._readers = readers
        self._queue: queue.Queue[T | BaseException | None] = queue.Queue(_HELD_PER_LANE * len(readers))
        self._stopped = threading.Event()
        self._reading: set[Session] = set()
        self._lock = threading.Lock()

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
            self._stop(threads)

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        """End what still runs at the server, again and again: a statement may begin just behind a cancel."""
        self._stopped.set()
        patience = _PATIENCE
        for thread in threads:
            while thread.is_alive():
                with self._lock:
                    for session in self._reading:
                        session.cancel()
                thread.join(patience)
                patience = min(2 * patience, _MOST_PATIENCE)

    def _run(self, reader: Callable[[Session], Generator[T, None, None]]) -> None:
        last: BaseException | None = None
        try:
            with (
                self._server.session(self._where) as session,
                self._cancellable(session),
                closing(reader(session)) as batches,
            ):
                for batch in batches:
                    self._put(batch)
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised where the batches are read
            last = error
        with suppress(_Stopped):
            self._put(last)

    @contextmanager
    def _cancellable(self, session: Session) -> Iterator[None]:
        with self._lock:
            self._reading.add(session)
        try:
            yield
        finally:
            with self._lock:
                self._reading.discard(session)

    def _put(self, found: T | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(found, timeout=_PATIENCE)
            except queue.Full:
                continue
            return
        raise _Stopped


class _Stopped(Exception):
    """Nobody reads any more."""
