"""A limit on how fast a server is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """A token bucket over documents and bytes that holds one second's worth; thread-safe.

    Args:
        documents, size: documents and bytes per second; None is no limit.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        documents: float | None = None,
        size: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rates = (documents, size)
        self._clock = clock
        self._lock = threading.Lock()
        self._full_at = [clock()] * 2  # when each bucket will be full again

    @property
    def rows(self) -> int | None:
        """The most documents that one reply should have."""
        rate = self._rates[0]
        return max(1, int(rate)) if rate else None

    @property
    def bytes(self) -> int | None:
        """The most bytes that one reply should have."""
        rate = self._rates[1]
        return max(1, int(rate)) if rate else None

    def took(self, documents: int, size: int) -> float:
        """Count what was read; returns the seconds to wait before reading more."""
        with self._lock:
            now = self._clock()
            wait = 0.0
            for at, (amount, rate) in enumerate(zip((documents, size), self._rates, strict=True)):
                if rate:
                    self._full_at[at] = max(self._full_at[at], now) + amount / rate
                    wait = max(wait, self._full_at[at] - now - 1.0)
            return wait
