"""A project: everything a `levada.yml` names, and what can be done with it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
from cronsim import CronSim

from levada import config, pipelines
from levada.connectors.addresses import Addresses
from levada.connectors.base import Finding
from levada.errors import ConfigError, LevadaError
from levada.observe import Listener, silence
from levada.pipelines import Backfilled, Pipeline, PlannedWindow, Runner
from levada.pipelines.runner import utc_now
from levada.state import OnLost, Run, Runs, Store
from levada.steps import adhoc
from levada.steps.base import Step
from levada.windows import Window, timezone

FILE_NAME = "levada.yml"


@dataclass(frozen=True)
class PipelineStatus:
    """What `levada status` shows of a pipeline.

    Args:
        last: its newest run.
        next_trigger: when the schedule triggers it next, UTC.
        next_window: the window that run would own.
    """

    pipeline: Pipeline
    last: Run | None
    next_trigger: datetime | None
    next_window: Window | None


class Project:
    """A project, open until `close`; also a context manager.

    Args:
        file: the project file, loaded.
        listener: told what happens during runs.
        clock: gives the time, UTC.
        stop: set it to stop runs cleanly.
    """

    def __init__(
        self,
        file: config.ProjectFile,
        *,
        listener: Listener = silence,
        clock: Callable[[], datetime] = utc_now,
        stop: threading.Event | None = None,
        lease_seconds: float = 30.0,
    ) -> None:
        self.file = file
        self.root = file.root
        self.tables = Addresses(file)
        self._listener = listener
        self._clock = clock
        self._stop = stop or threading.Event()
        self._lease_seconds = lease_seconds

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        return self.file.name

    @cached_property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """All pipelines, with the settings of their steps checked.

        Raises:
            ConfigError: a step's settings are wrong, or name an unknown connection; file and line are given.
        """
        return {name: self._pipeline(name) for name in self.file.pipelines}

    @cached_property
    def store(self) -> Store:
        """The state database."""
        name = self.file.state.connection
        if name is None:
            raise ConfigError(
                "this project keeps no state", hint="add a connection of `type: mongodb`, or `state:`"
            )
        connection: Any = self.tables.connection(name)
        return Store(connection.client, self.file.state.database)

    @cached_property
    def runner(self) -> Runner:
        return Runner(
            tables=self.tables,
            store=self.store,
            root=self.root,
            listener=self._listener,
            clock=self._clock,
            lease_seconds=self._lease_seconds,
            stop=self._stop,
            mask=self.file.secrets.mask,
        )

    def pipeline(self, name: str) -> Pipeline:
        """A pipeline by name.

        Raises:
            ConfigError: there is none, or its settings are wrong.
        """
        self.file.pipeline(name)
        return self.pipelines[name]

    def run(
        self,
        pipeline: str,
        *,
        window: str | Window | None = None,
        fresh: bool = False,
        on_lost: OnLost | str = OnLost.FAIL,
    ) -> Run:
        """Run a pipeline once.

        Args:
            pipeline: its name.
            window: `2026-11-23` or `START/END`; default: the last whole period before now.
            fresh: run all steps, even those that a failed run over this window has done.
            on_lost: what to do when a table and the ledger can't both be right.

        Returns:
            The run; look at `status` and `error`.

        Raises:
            ConfigError: unknown pipeline, wrong window.
            LeaseHeld: another run of it is active.
        """
        chosen = self.pipeline(pipeline)
        if window is None:
            window = chosen.window_at(self._clock())
        elif isinstance(window, str):
            window = chosen.window_named(window)
        return pipelines.run(self.runner, chosen, window, fresh=fresh, on_lost=OnLost(on_lost))

    def plan(self, pipeline: str, span: Window, *, again: bool = False) -> list[PlannedWindow]:
        """Which windows of a span are missing, failed or done, and what a backfill would do."""
        chosen = self.pipeline(pipeline)
        return pipelines.plan(chosen, Runs(self.store), chosen.windows(span), self._clock(), again=again)

    def backfill(
        self,
        pipeline: str,
        span: Window,
        *,
        parallel: int = 1,
        again: bool = False,
        keep_going: bool = False,
        on_lost: OnLost | str = OnLost.FAIL,
    ) -> Backfilled:
        """Run the windows of a span that are missing or failed (with `again`: all of them).

        Args:
            parallel: how many windows are under way at once.
            keep_going: go on with further windows after one failed.
        """
        due = [planned.window for planned in self.plan(pipeline, span, again=again) if planned.due]
        return pipelines.backfill(
            self.runner,
            self.pipeline(pipeline),
            due,
            parallel=parallel,
            keep_going=keep_going,
            on_lost=OnLost(on_lost),
        )

    def span(self, pipeline: str, start: str, end: str | None) -> Window:
        """Read the ends of a span; `end` is a period that belongs to it (default: the last whole one)."""
        chosen = self.pipeline(pipeline)
        grain, zone = chosen.spec.window, chosen.spec.timezone
        if grain is None:
            raise ConfigError(f"pipeline {pipeline} has no windows", hint="use `levada run`")
        first = Window.parse(start, grain, zone)
        last = Window.parse(end, grain, zone) if end else chosen.window_at(self._clock())
        if last is None or last.end <= first.start:
            raise ConfigError(f"the span from {start} to {end or 'now'} is empty")
        return Window(first.start, last.end)

    def runs(self, pipeline: str | None = None, limit: int = 20) -> list[Run]:
        """Recorded runs, newest first."""
        if pipeline is not None:
            self.file.pipeline(pipeline)
        return Runs(self.store).recent(pipeline, limit)

    def find_run(self, run: str) -> Run:
        """A run by its id, or by the beginning or the end of one.

        Raises:
            ConfigError: none or several match.
        """
        return Runs(self.store).get(run)

    def copy(self, source: str, target: str, **options: Any) -> adhoc.Copied:
        """Copy one table to another, once (see `levada.steps.adhoc.copy`)."""
        if options.get("since"):
            options = {"store": self.store, "now": self._clock(), **options}
        return adhoc.copy(self.tables, source, target, **options)

    def read(self, address: str, **options: Any) -> pa.RecordBatchReader:
        """Read a table as an Arrow stream (see `levada.steps.adhoc.read`)."""
        return adhoc.read(self.tables, address, **options)

    def status(self) -> list[PipelineStatus]:
        """Every pipeline with its newest run and its next trigger."""
        ledger = Runs(self.store)
        return [self._status(pipeline, ledger) for pipeline in self.pipelines.values()]

    def doctor(self) -> dict[str, list[Finding]]:
        """Look at every connection; never raises because of one."""
        found = {}
        for name in self.file.connections:
            try:
                found[name] = self.tables.connection(name).diagnose()
            except LevadaError as error:
                found[name] = [Finding(False, error.what, error.hint)]
        return found

    def close(self) -> None:
        """Close all connections; the last user of an embedded server stops it."""
        self.tables.close()

    def _pipeline(self, name: str) -> Pipeline:
        spec = self.file.pipelines[name]
        return Pipeline(name, spec, {step: self._step(name, step) for step in spec.steps})

    def _step(self, pipeline: str, name: str) -> Step:
        spec = self.file.pipelines[pipeline].steps[name]
        kind = config.step_class(spec.verb)
        place = self.file.place("pipelines", pipeline, "steps", name, spec.verb)
        step: Step = kind(config.validate_settings(kind.settings_model, spec.settings, place))
        for address in (*step.uses().reads, *step.uses().writes):
            self.tables.check(address, place)
        return step

    def _status(self, pipeline: Pipeline, ledger: Runs) -> PipelineStatus:
        recent = ledger.recent(pipeline.name, 1)
        trigger = next_trigger(pipeline, self._clock())
        window = pipeline.window_at(trigger) if trigger else None
        return PipelineStatus(pipeline, recent[0] if recent else None, trigger, window)


def next_trigger(pipeline: Pipeline, now: datetime) -> datetime | None:
    """When the schedule triggers next after `now`, UTC; None without a schedule."""
    if pipeline.spec.schedule is None:
        return None
    zone = timezone(pipeline.spec.timezone)
    found: datetime = next(CronSim(pipeline.spec.schedule, now.astimezone(zone)))
    return found.astimezone(now.tzinfo)


def find_file(start: Path) -> Path:
    """`levada.yml` in a folder or above it.

    Raises:
        ConfigError: there is none.
    """
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise ConfigError(
        f"no {FILE_NAME} in {start} or above it", hint="`levada init` writes one, or name it: --project PATH"
    )


def load(path: str | Path | None = None, *, env: Mapping[str, str] | None = None, **options: Any) -> Project:
    """Open a project.

    Args:
        path: a `levada.yml`, or the folder that holds it; default: the working folder or one above it.
        env: where `${NAME}` is looked up; default: the environment.
        options: passed on to `Project`.

    Raises:
        ConfigError: the file is missing or wrong; file, line and field are given.
    """
    if path is None:
        path = find_file(Path.cwd())
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    return Project(config.load(path, os.environ if env is None else env), **options)


def copy(source: str, target: str, **options: Any) -> adhoc.Copied:
    """Copy one table to another by their URLs, once (see `levada.steps.adhoc.copy`)."""
    with closing(Addresses(None)) as tables:
        return adhoc.copy(tables, source, target, **options)


def read(url: str, **options: Any) -> pa.RecordBatchReader:
    """Read a table by its URL as an Arrow stream (see `levada.steps.adhoc.read`)."""
    with ExitStack() as opened:
        tables = opened.enter_context(closing(Addresses(None)))
        reader = adhoc.read(tables, url, **options)
        if options.get("schema") is None:
            return reader
        return pa.RecordBatchReader.from_batches(reader.schema, _until_read(reader, opened.pop_all()))


def _until_read(reader: pa.RecordBatchReader, opened: ExitStack) -> Iterator[pa.RecordBatch]:
    with opened:
        try:
            yield from reader
        finally:
            del reader  # it ends what it reads, which needs the connection once more


def schema() -> dict[str, Any]:
    """The JSON Schema of a project file, for editors."""
    return config.json_schema(
        {name: config.connector_class(name).settings_model for name in config.connector_names()},
        {name: config.step_class(name).settings_model for name in config.step_names()},
    )
