"""Where the time of a job went, by the name of what was done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Timings:
    """Seconds by name; threads may add to it at once, so the sum can exceed the time on the wall.

    Args:
        clock: seconds, monotonic.
    """

    clock: Callable[[], float] = time.monotonic
    seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, name: str, seconds: float) -> None:
        with self._lock:
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def spent(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        started = self.clock()
        try:
            yield
        finally:
            self.add(name, self.clock() - started)
