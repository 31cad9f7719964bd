"""What a step is, and what it is given to work with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from levada.batches import Rejected
from levada.connectors.base import Connection, Fence, Table
from levada.errors import ConfigError, Retriable
from levada.observe import Timings
from levada.state import OnLost, Store
from levada.windows import Window


class StepSettings(BaseModel):
    """Base of every step's settings in the project file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Tables(Protocol):
    """Finds what an address of the project file names."""

    def table(self, address: str) -> Table:
        """`connection.table` -> Table.

        Raises:
            ConfigError: there is no such connection.
        """
        ...

    def connection(self, name: str) -> Connection: ...


#: What a step says that was told to stop.
STOPPED = "stopped before the end"


def _no_fence() -> None:
    return None


def no_progress(_rows: int, _size: int) -> None:
    return None


@dataclass(frozen=True)
class StepContext:
    """What a step is given.

    Args:
        tables: finds tables and connections of the project.
        store: the state database; None for an ad-hoc copy, which keeps no state.
        pipeline, step, run: who is running.
        root: the project's folder.
        window: what this run owns; None for pipelines without windows.
        now: when the run began, UTC.
        values: step -> values handed on by earlier steps of this run.
        fence: the lease as it stands, for sinks.
        stop: set when the step should end early.
        progress: told the rows and bytes moved since it was last told.
        on_lost: what to do when sink and ledger can't both be right.
        timings: told where the time goes.
        set_aside: the first records that could not be read or stored, where there is no state database.
    """

    tables: Tables
    store: Store | None
    pipeline: str
    step: str
    run: str
    root: Path
    window: Window | None
    now: datetime
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fence: Callable[[], Fence | None] = _no_fence
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[int, int], None] = no_progress
    on_lost: OnLost = OnLost.FAIL
    timings: Timings = field(default_factory=Timings)
    set_aside: list[Rejected] = field(default_factory=list)

    @property
    def owner(self) -> str:
        """The name under which sinks keep this step's position."""
        return f"{self.pipeline}/{self.step}"

    def check_stop(self) -> None:
        """Raise if the step should end early."""
        if self.stop.is_set():
            raise Retriable(STOPPED, hint="run it again; it resumes at this step")

    def value(self, reference: str) -> Any:
        """A value of an earlier step: `extract_to_staging.rows`.

        Raises:
            ConfigError: no earlier step handed on such a value.
        """
        step, _, name = reference.partition(".")
        try:
            return self.values[step][name or "rows"]
        except KeyError:
            known = sorted(f"{s}.{v}" for s, values in self.values.items() for v in values)
            raise ConfigError(
                f"no value {reference!r} from an earlier step",
                hint=f"known here: {', '.join(known) or 'none'}; does this step need that one?",
            ) from None


@dataclass(frozen=True)
class StepResult:
    """What a step did.

    Args:
        rows, bytes: stored, or looked at by a check.
        values: JSON-able values for later steps and the ledger; `rows` is added by the runner.
        note: one line for people.
    """

    rows: int = 0
    bytes: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None


@dataclass(frozen=True)
class Uses:
    """The tables a step reads and writes, by address; for lineage and plans."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class Step(Protocol):
    """One verb with its settings. Constructing it does no I/O."""

    settings_model: ClassVar[type[StepSettings]]

    def __init__(self, settings: Any) -> None: ...

    def uses(self) -> Uses: ...

    def run(self, context: StepContext) -> StepResult:
        """Do it. Doing it again for the same window leaves the same end state."""
        ...
