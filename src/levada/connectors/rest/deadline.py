"""An end to one whole answer: the timeout of `requests` is one between two pieces of it."""

from __future__ import annotations

import socket
import threading
from typing import Any


class Deadline:
    """Breaks the connection of the request that this thread makes within `with`, once its time is over.

    Args:
        seconds: from the request until the last piece of its answer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        _here.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _here.deadline = None
        with self._lock:
            self._socket = None

    def watch(self, connected: socket.socket) -> None:
        """Break this one, when the time comes."""
        with self._lock:
            self._socket = connected
            if self.passed:
                _break(connected)

    def _end(self) -> None:
        with self._lock:
            self.passed = True
            if self._socket is not None:
                _break(self._socket)


_here = threading.local()


def _break(connected: socket.socket) -> None:
    """End reads that wait; of TLS, too, whose own way to end would wait for the other side."""
    try:
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:  # it is closed already
        return


def watched_adapter() -> Any:
    """An adapter of `requests` whose connections a `Deadline` can break."""
    from requests.adapters import HTTPAdapter

    class Watched(HTTPAdapter):
        def get_connection_with_tls_context(self, *given: Any, **named: Any) -> Any:
            pool = super().get_connection_with_tls_context(*given, **named)
            if not issubclass(pool.ConnectionCls, _Told):
                kind = pool.ConnectionCls
                pool.ConnectionCls = type(kind.__name__, (_Told, kind), {})
            return pool

    return Watched()


class _Told:
    """A connection that tells the deadline its socket before it waits for an answer."""

    sock: Any

    def getresponse(self) -> Any:
        deadline: Deadline | None = getattr(_here, "deadline", None)
        if deadline is not None and self.sock is not None:
            deadline.watch(self.sock)
        return super().getresponse()  # type: ignore[misc]
