"""`copy`: rows of one table into another, in any write mode.

Between two tables of one MongoDB an aggregation stays in the server; documents that only pass through keep
their exact BSON; everything else travels as typed Arrow batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from bson import json_util
from pydantic import Field, model_validator

from levada.batches import Batch
from levada.config import Duration
from levada.connectors.base import Estimate, Mode, Query, Source, Table
from levada.errors import ConfigError
from levada.positions import Position
from levada.state import DEFAULT_START, Watermarks
from levada.steps.base import StepContext, StepResult, StepSettings, Uses
from levada.steps.delivery import Delivered, Delivery, Target
from levada.windows import Window


class CopySettings(StepSettings):
    """Settings of `copy`.

    Args:
        source: address to read from (`from:`).
        to: address to write to.
        mode: append, replace, replace_window or upsert.
        key: columns that identify a row; default: the target table's key.
        columns, where, filter, pipeline: what to read (see `Query`).
        window: whether to read the run's window only; default: yes where the run has one and the source
            table has a time column.
        since: read what this column says is newer than the last run's watermark (pipelines without windows).
        lag: how far behind the clock an incremental read ends, so that late commits are not missed.
        job: name of the watermark; default `pipeline/step`.
        server_side: leave an aggregation between two collections of one MongoDB to the server.
        lanes: ranges of `_id` that are read at once (MongoDB sources); more than one costs the server more.
        consistent: read all rows as they were at one moment (MongoDB sources, up to 5 minutes long).
    """

    source: str = Field(alias="from")
    to: str
    mode: Mode = Mode.APPEND
    key: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    where: str | None = None
    filter: Mapping[str, Any] = Field(default_factory=dict)
    pipeline: tuple[Mapping[str, Any], ...] = ()
    window: bool | None = None
    since: str | None = None
    lag: Duration = timedelta(minutes=1)
    job: str | None = None
    server_side: bool = True
    lanes: int = Field(default=1, ge=1, le=64)
    consistent: bool = False

    @model_validator(mode="after")
    def _one_way_to_move_on(self) -> CopySettings:
        if self.since and self.window:
            raise ValueError("`since` and `window` exclude each other: a window is already an increment")
        if self.since and self.mode in (Mode.REPLACE, Mode.REPLACE_WINDOW):
            raise ValueError(f"`since` adds to a table, mode {self.mode} would remove the rest; use upsert")
        return self


@dataclass(frozen=True)
class Attended:
    """What a copy has that someone waits for.

    Args:
        resume: go on from what a killed copy of the same left in the target.
        expected: told what there is to read.
    """

    resume: bool = False
    expected: Callable[[Estimate], None] = lambda _: None


class CopyStep:
    """Copies rows from one table to another.

    Args:
        settings: of the step.
        attended: for a copy outside of a pipeline; where the sink can, it keeps checkpoints.
    """

    settings_model: ClassVar[type[StepSettings]] = CopySettings

    def __init__(self, settings: CopySettings, attended: Attended | None = None) -> None:
        self.settings = settings
        self._attended = attended

    def uses(self) -> Uses:
        return Uses((self.settings.source,), (self.settings.to,))

    def run(self, context: StepContext) -> StepResult:
        settings = self.settings
        source = context.tables.table(settings.source)
        if settings.since:
            source = replace(source, time=settings.since)
        delivery = Delivery(context, self._target(context, source))
        start = delivery.start()
        window = self._window(context, source, start)
        if settings.since and window is None:
            return StepResult(values={"replaced": 0, "quarantined": 0}, note="nothing is due yet")
        if window is not None and window.start >= context.now and not settings.since:
            raise ConfigError(f"window {window} lies in the future")
        delivered = self._move(context, delivery, source, window, start)
        if settings.since and window and context.store:
            Watermarks(context.store).set(self._job(context), window.end)
        return _result(delivered, window)

    def _target(self, context: StepContext, source: Table) -> Target:
        settings = self.settings
        table = context.tables.table(settings.to)
        window = None if settings.since else context.window  # an increment adds, whatever came before
        target = Target(table, settings.mode, settings.key or table.key, window)
        if self._attended is None:
            return target
        sink = context.tables.connection(table.connection).sink(table)
        able = _is_mongodb(context, source) and getattr(sink, "keeps_checkpoints", False)
        # a condition may have an index, which a scan that can be resumed would not use
        if able and (self._attended.resume or not (settings.where or settings.filter or context.window)):
            return replace(target, checkpoints=f"{source} {self._query!r}", resume=self._attended.resume)
        if self._attended.resume and not able:
            raise ConfigError(
                f"a copy from {source} to {table} can't be resumed",
                hint="only copies from MongoDB to a lake can; copy again, with mode replace or upsert",
            )
        return target

    @property
    def _query(self) -> Query:
        settings = self.settings
        return Query(
            settings.columns,
            settings.where,
            settings.filter,
            settings.pipeline,
            lanes=settings.lanes,
            consistent=settings.consistent,
        )

    def _window(self, context: StepContext, source: Table, start: Position) -> Window | None:
        if self.settings.since:
            return self._increment(context, start)
        wanted = self.settings.window
        if wanted is None:
            wanted = context.window is not None and source.time is not None
        if not wanted:
            return None
        if context.window is None:
            raise ConfigError(
                "the step says `window: true`, but this pipeline has no windows",
                hint="add `window: day` to the pipeline, or take it from the step",
            )
        if source.time is None:
            raise ConfigError(
                f"table {source} has no time column, so it has no windows",
                hint=f"add `{source}: {{time: COLUMN}}` under `tables:`, or `window: false` to the step",
            )
        return context.window

    def _increment(self, context: StepContext, start: Position) -> Window | None:
        """From the last run's watermark to the lag before now; None if that lies behind the watermark."""
        known = start.parts.get("")
        if not start.sequence and context.store:  # later ones count the position alone: it may have been lost
            known = Watermarks(context.store).get(self._job(context))
        first = known if isinstance(known, datetime) else _moment(known)
        last = context.now - self.settings.lag
        return Window(first, last) if first < last else None

    def _job(self, context: StepContext) -> str:
        return self.settings.job or context.owner

    def _move(
        self,
        context: StepContext,
        delivery: Delivery,
        source: Table,
        window: Window | None,
        start: Position,
    ) -> Delivered:
        settings = self.settings
        if settings.mode is Mode.REPLACE:
            _refuse_missing(context.tables.connection(source.connection), source)
        query, target = self._query, delivery.write.table
        merge = getattr(delivery.sink, "merge_pipeline", None)
        if merge and settings.pipeline and settings.server_side and source.connection == target.connection:
            reached = _reached(start, window) if settings.since else start
            return delivery.commit(
                reached, lambda position: merge(delivery.write, source, query, window, position)
            )
        exact = _keeps_documents(context, source) and _keeps_documents(context, target)
        query = replace(query, canonical=exact, resumable=delivery.write.checkpoints is not None)
        reader = context.tables.connection(source.connection).source(source, query)
        if settings.since:
            start = _reached(start, window)
        self._attend(context, reader, window)
        return delivery.deliver_from(
            lambda after: _batches(reader, window, after, resumable=query.resumable), start
        )

    def _attend(self, context: StepContext, reader: Any, window: Window | None) -> None:
        if self._attended and hasattr(reader, "estimated"):
            self._attended.expected(reader.estimated(window))
        if hasattr(reader, "timings"):
            reader.timings = context.timings


def _batches(
    reader: Source, window: Window | None, after: Position | None, *, resumable: bool
) -> Iterator[Batch]:
    """What the source has; of its positions only those of a resumable scan count here."""
    for batch in reader.read(window, after):
        yield batch if resumable else replace(batch, position=None)


def _refuse_missing(connection: Any, source: Table) -> None:
    """A collection that is not there reads as empty: a mistyped name must not empty the table."""
    if hasattr(connection, "exists") and not connection.exists(source):
        raise ConfigError(
            "there is no such collection to replace the table with",
            where=str(source),
            hint="check the name (before its first dot stands the database); an empty collection would do",
        )


def _is_mongodb(context: StepContext, table: Table) -> bool:
    return context.tables.connection(table.connection).kind == "mongodb"


def _keeps_documents(context: StepContext, table: Table) -> bool:
    """Whether the table holds whole BSON documents: between two such tables nothing is decoded."""
    connection: Any = context.tables.connection(table.connection)
    asked = getattr(connection, "keeps_documents", None)
    return bool(asked(table)) if asked else bool(connection.kind == "mongodb")


_AWARE = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)


def _moment(stored: Any) -> datetime:
    if stored is None:
        return DEFAULT_START
    moment: datetime = json_util.loads(json_util.dumps(stored), json_options=_AWARE)
    return moment


def _reached(start: Position, window: Window | None) -> Position:
    if window is None:
        return start
    return start.merge(Position({"": {"$date": f"{window.end:%Y-%m-%dT%H:%M:%S.%f}Z"}}))


def _result(delivered: Delivered, window: Window | None) -> StepResult:
    written = delivered.written
    values: dict[str, Any] = {"replaced": written.replaced, "quarantined": delivered.quarantined}
    if window:
        values["window"] = str(window)
    note = f"{delivered.quarantined} to quarantine" if delivered.quarantined else delivered.note
    return StepResult(written.rows, written.bytes, values, note)
