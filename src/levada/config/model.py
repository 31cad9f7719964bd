"""What a project file says, checked in shape; settings of connections and steps stay raw.

The settings of a connection belong to its connector, those of a step to its verb; both are validated there
by `validate_settings`, which points at the same file and line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    field_validator,
)

from levada.config.durations import Duration
from levada.config.places import Place, nearest
from levada.config.secrets import Secrets
from levada.config.shapes import (
    default_needs,
    no_streams,
    one_or_many,
    or_empty,
    split_connection,
    split_step,
)
from levada.errors import ConfigError
from levada.windows import Grain, timezone

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
Partition = Annotated[str, StringConstraints(pattern=r"^([\w.]+|day\([\w.]+\))$")]
Columns = Annotated[tuple[str, ...], BeforeValidator(one_or_many, json_schema_input_type=str | list[str])]


class Spec(BaseModel):
    """Base of the models: frozen, unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConnectionSpec(Spec):
    """A named endpoint: its type and, raw, everything else that was written."""

    type: str
    settings: Mapping[str, Any] = Field(default_factory=dict, repr=False)


class TableSpec(Spec):
    """What is known of a table beyond its address.

    Args:
        key: columns that identify a row.
        time: the column that says which window a row belongs to.
        partition_by: columns, or `day(column)`; the lake's layout.
    """

    description: str | None = None
    key: Columns = ()
    time: str | None = None
    partition_by: tuple[Partition, ...] = ()


class RetrySpec(Spec):
    """How often a failed step is tried again after the first time, `delay` + 0..`jitter` apart."""

    attempts: int = Field(default=3, ge=0, le=1_000)
    delay: Duration = timedelta(minutes=1)
    jitter: Duration = timedelta(0)


class NotifySpec(Spec):
    """Whom to tell about a run's end. Recorded with the pipeline; nothing is sent yet."""

    email: tuple[str, ...] = ()
    on: tuple[Literal["failure", "success"], ...] = ("failure",)


class StepSpec(Spec):
    """One step: a verb with its raw settings, the steps it waits for, and its own retries and timeout."""

    verb: str
    settings: Mapping[str, Any] = Field(default_factory=dict)
    description: str | None = None
    needs: tuple[str, ...] = ()
    retries: RetrySpec | None = None
    timeout: Duration | None = None


Steps = Annotated[
    dict[Name, Annotated[StepSpec, BeforeValidator(split_step)]], BeforeValidator(default_needs)
]


class PipelineSpec(Spec):
    """A DAG of steps, when it is triggered, and which window it then owns.

    Args:
        schedule: cron expression, in `timezone`; None: run by hand.
        window: the calendar period a run owns; None: no window (incremental jobs).
        timezone: IANA name; the calendar of `schedule` and `window`.
        retries: for steps that don't say otherwise.
        timeout: per step, for steps that don't say otherwise.
        parallel: how many steps run at once.
    """

    description: str | None = None
    schedule: str | None = None
    window: Grain | None = None
    timezone: str = "UTC"
    owner: str | None = None
    tags: tuple[str, ...] = ()
    notify: NotifySpec | None = None
    retries: RetrySpec = RetrySpec(attempts=0)
    timeout: Duration | None = None
    parallel: int = Field(default=1, ge=1, le=64)
    steps: Steps

    @field_validator("schedule")
    @classmethod
    def _cron(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            try:
                CronSim(schedule, datetime(2026, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                hint = "write minute hour day month weekday, for example '0 2 * * *'"
                raise ValueError(f"{schedule!r} is not a cron expression ({error}): {hint}") from error
        return schedule

    @field_validator("timezone")
    @classmethod
    def _zone(cls, zone: str) -> str:
        try:
            timezone(zone)
        except ConfigError as error:
            raise ValueError(f"{error.what}: {error.hint}") from error
        return zone

    def retries_of(self, step: str) -> RetrySpec:
        return self.steps[step].retries or self.retries

    def timeout_of(self, step: str) -> Duration | None:
        own = self.steps[step].timeout
        return own if own is not None else self.timeout


class StateSpec(Spec):
    """Where runs, positions and leases are kept: a MongoDB connection and a database there.

    Without `connection` it is the only MongoDB connection of the project.
    """

    connection: str | None = None
    database: str = "etl_metadata"


class ProjectFile(Spec):
    """Everything a `levada.yml` says (format 1)."""

    format: Literal[1] = 1
    name: Name
    description: str | None = None
    connections: Annotated[
        dict[Name, Annotated[ConnectionSpec, BeforeValidator(split_connection)]], BeforeValidator(or_empty)
    ] = Field(default_factory=dict)
    state: StateSpec = StateSpec()
    tables: Annotated[dict[str, TableSpec], BeforeValidator(or_empty)] = Field(default_factory=dict)
    pipelines: Annotated[dict[Name, PipelineSpec], BeforeValidator(or_empty)] = Field(default_factory=dict)
    streams: Annotated[dict[str, Any], BeforeValidator(no_streams)] = Field(default_factory=dict)

    _top: Place = PrivateAttr(default_factory=lambda: Place(Path("levada.yml")))
    _written: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Remember where the values came from: `context` is the top of the file and what was written."""
        if context is not None:
            self._top, self._written = context

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._top.file

    @property
    def root(self) -> Path:
        """The project's folder; relative paths in the file start here."""
        return self._top.file.absolute().parent

    @property
    def secrets(self) -> Secrets:
        """Values that came from the environment; mask what is printed with them."""
        return self._top.secrets

    @property
    def written(self) -> dict[str, Any]:
        """The file's values as written (`${NAME}` not replaced) with passwords hidden: safe to print."""
        shown: dict[str, Any] = self.secrets.redact(self._written)
        return shown

    def place(self, *path: str | int) -> Place:
        """The place of a field, for errors: `place("pipelines", "daily", "steps", "extract", "copy")`."""
        return self._top.below(path)

    def table(self, address: str, place: Place | None = None) -> TableSpec:
        """What the file says of the table `connection.name`.

        Raises:
            ConfigError: it isn't declared under `tables:`; at `place`, the field that names it.
        """
        if address in self.tables:
            return self.tables[address]
        hint = f"{nearest(address, self.tables)}; or declare it: `tables: {{{address}: {{}}}}`"
        raise (place or self._top).error(f"unknown table {address!r}", hint)

    def pipeline(self, name: str) -> PipelineSpec:
        """The pipeline of that name.

        Raises:
            ConfigError: there is none.
        """
        if name in self.pipelines:
            return self.pipelines[name]
        raise self.place("pipelines").error(f"unknown pipeline {name!r}", nearest(name, self.pipelines))
