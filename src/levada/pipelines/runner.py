"""What every run of one process shares: connections, state, clock, listener, stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from levada.errors import Retriable
from levada.observe import Listener, silence
from levada.pipelines.pipeline import Pipeline
from levada.resilience import CircuitBreaker
from levada.state import Holder, Lease, Store, lease_name
from levada.steps.base import Tables


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Runner:
    """The surroundings of the runs of one project.

    Args:
        tables: finds tables and connections.
        store: the state database.
        root: the project's folder.
        listener: told what happens.
        clock: gives the time, UTC.
        lease_seconds: length of a pipeline's lease.
        stop: set it to stop cleanly.
        mask: hides secrets in what is stored of an error.
    """

    tables: Tables
    store: Store
    root: Path
    listener: Listener = silence
    clock: Callable[[], datetime] = utc_now
    lease_seconds: float = 30.0
    stop: threading.Event = field(default_factory=threading.Event)
    mask: Callable[[str], str] = str
    _breakers: dict[str, CircuitBreaker] = field(default_factory=dict)

    def lease(self, pipeline: Pipeline, run_id: str) -> Lease:
        """Take the pipeline's lease; the caller releases it."""
        holder = Holder.here(run_id)
        return Lease(self.store, lease_name(pipeline.name), holder, self.lease_seconds).acquire()

    def breaker(self, connection: str) -> CircuitBreaker:
        """The circuit breaker of a connection, shared by all runs of this runner."""
        if connection not in self._breakers:
            self._breakers[connection] = CircuitBreaker(f"connection {connection}", counts=Retriable)
        return self._breakers[connection]
