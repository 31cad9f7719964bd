"""Copies and reads outside of a pipeline: no run, no lease, no position; a repeated one does it all again.

A copy with `since` is the exception: it goes on where the last one was, by a project's state, under a lease.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
from bson import json_util
from pydantic import ValidationError

from levada.batches import Batch
from levada.config.shapes import one_or_many
from levada.connectors.addresses import Addresses
from levada.connectors.base import Estimate, Fence, Mode, Query, Table
from levada.connectors.spool import Spool
from levada.errors import ConfigError, Fatal, LevadaError, Retriable, Skippable
from levada.observe import Timings, counted
from levada.state import Holder, Lease, OnLost, Store, new_run_id
from levada.steps.base import STOPPED, StepContext, StepResult, no_progress
from levada.steps.copy import Attended, CopySettings, CopyStep
from levada.steps.ends import known_key, refuse_missing
from levada.steps.increment import refuse_without_state
from levada.steps.preview import Preview, preview, unknown, unknown_names
from levada.types import cast
from levada.windows import Window

_ANEW = "from the beginning: an upsert keeps no checkpoints"
_STOPPED = {
    "steps": "the steps that were committed stay; run it again, and it goes on behind them",
    "part": "a part of it may be in the table; run it again, which gives what an undisturbed copy would have",
    "resume": "nothing of it is in the table; --resume goes on where it was",
    "nothing": "nothing of it is in the table; run it again",
}
_SAID = ("replaced", "quarantined")
_LEASE_SECONDS = 30.0
_LONG = 200  # characters of a record that are shown


@dataclass(frozen=True)
class Copied:
    """What a copy did.

    Args:
        rows: stored.
        rejected: records that could not be read or stored.
        seconds: it took.
        note: what is worth saying of it.
        reasons: why the first records were rejected.
        records: those records, as Extended JSON, each cut after 200 characters.
        timings: seconds by what was done; threads work at once, so their sum can exceed `seconds`.
        values: what else was counted, where there is something: window, steps, deleted, unchanged, children.
    """

    rows: int
    bytes: int
    rejected: int
    seconds: float
    note: str | None = None
    reasons: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


class Overlay:
    """The tables of a project with a time column named on the command line."""

    def __init__(self, tables: Addresses, time_column: str | None) -> None:
        self._tables, self._time = tables, time_column
        self.connection = tables.connection

    def table(self, address: str) -> Table:
        table = self._tables.table(address)
        return replace(table, time=self._time) if self._time else table


def copy(
    tables: Addresses,
    source: str,
    target: str,
    *,
    store: Store | None = None,
    window: Window | None = None,
    time_column: str | None = None,
    resume: bool = False,
    expected: Callable[[Estimate], None] = lambda _: None,
    profile: bool = False,
    stop: threading.Event | None = None,
    progress: Callable[[int, int], None] = no_progress,
    now: datetime | None = None,
    on_lost: OnLost | str = OnLost.FAIL,
    **options: Any,
) -> Copied:
    """Copy one table to another, once.

    Args:
        tables: finds both addresses.
        source, target: `connection.table`, or URLs.
        store: where a copy with `since` remembers how far it has come.
        window: only rows of this window, by the source's time column or `time_column`.
        resume: go on from what a killed copy of the same left (from MongoDB to a lake).
        expected, progress: told how much there is to read, and rows and bytes as they move.
        profile: ask the source's server, too, where the time went.
        stop: set it to stop; what has not been committed is given up.
        now: the time, UTC; default: of the clock.
        on_lost: with `since`, what to do when the target and the ledger can't both be right.
        options: mode, key, columns, where, filter, lanes, consistent, since and what else a `copy` step takes
            (see `levada.steps.copy.CopySettings`).

    Raises:
        ConfigError: an option is unknown or wrong.
        LeaseHeld: the same job with `since` is running.
        PositionLost: target and ledger can't both be right, and `on_lost` is `fail`.
    """
    if options.get("since") and store is None:
        raise refuse_without_state(options["since"])
    overlay = Overlay(tables, time_column)
    settings = settings_of(overlay, {**options, "from": source, "to": target, "window": window is not None})
    context = context_of(overlay, settings, window, now)
    context = replace(context, stop=stop or context.stop, progress=progress, on_lost=OnLost(on_lost))
    started = time.monotonic()
    try:
        with (
            _server_asked(tables, source, context.timings) if profile else nullcontext(),
            _remembering(context, settings, store) as remembering,
        ):
            step = CopyStep(settings, Attended(resume, expected))
            result = step.run(remembering)
            doubts = _doubts(step, remembering, result)
    except Retriable as error:
        if not context.stop.is_set():
            raise
        where = f"{tables.table(source)} -> {tables.table(target)}"
        raise Retriable(STOPPED, where=where, hint=_STOPPED[_left(overlay, settings)]) from error
    anew = (_ANEW,) if resume and settings.mode is Mode.UPSERT else ()
    return _copied(result, context, time.monotonic() - started, (*anew, *doubts))


def _doubts(step: CopyStep, context: StepContext, result: StepResult) -> list[str]:
    """Names that no document has, where they may be why there is less than was hoped for."""
    work, settings = step.work(context), step.settings
    kind = context.tables.connection(work.source.connection).kind
    lacking = f"{counted(result.rows, 'row')} without {settings.since}" in (result.note or "")
    named = settings.columns or settings.version or settings.operation or lacking
    if kind != "mongodb" or (result.rows and not named):
        return []
    with suppress(LevadaError):  # the copy is done, whatever becomes of this look
        return [unknown(name) for name in unknown_names(step, context, work)]
    return []


def _left(tables: Overlay, settings: CopySettings) -> str:
    """What a copy that was stopped has left."""
    source, target = (
        tables.connection(tables.table(one).connection) for one in (settings.source, settings.to)
    )
    if settings.since:
        return "steps"
    if target.kind in ("mongodb", "files") or settings.explode:
        return "part"
    able = source.kind == "mongodb" and target.kind == "lake" and settings.mode is not Mode.UPSERT
    narrowed = settings.where or settings.filter or settings.window or settings.shape
    return "resume" if able and not narrowed else "nothing"


def _copied(result: StepResult, context: StepContext, seconds: float, also: Sequence[str]) -> Copied:
    return Copied(
        rows=result.rows,
        bytes=result.bytes,
        rejected=int(result.values["quarantined"]),
        seconds=seconds,
        note="; ".join(filter(None, (result.note, *also))) or None,
        reasons=tuple(one.reason for one in context.set_aside),
        records=tuple(_shown(one.raw) for one in context.set_aside),
        timings=context.timings.seconds,
        values={name: value for name, value in result.values.items() if name not in _SAID},
    )


def _shown(raw: bytes) -> str:
    """A record for people: raw BSON, or a text that a file or an API had."""
    try:
        text = json_util.dumps(bson.decode(raw), ensure_ascii=False)
    except (bson.errors.BSONError, ValueError):
        text = raw[:_LONG].decode(errors="replace")
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def plan(
    tables: Addresses,
    source: str,
    target: str,
    *,
    store: Store | None = None,
    window: Window | None = None,
    time_column: str | None = None,
    now: datetime | None = None,
    **options: Any,
) -> Preview:
    """What `copy` with the same arguments would do; nothing is written.

    Raises:
        ConfigError: an option, a table or a column is wrong.
    """
    if options.get("since") and store is None:
        raise refuse_without_state(options["since"])
    overlay = Overlay(tables, time_column)
    settings = settings_of(overlay, {**options, "from": source, "to": target, "window": window is not None})
    context = context_of(overlay, settings, window, now)
    return preview(CopyStep(settings), replace(context, store=store))


@contextmanager
def _remembering(context: StepContext, settings: CopySettings, store: Store | None) -> Iterator[StepContext]:
    """The context with state and a lease, where the copy goes on from the last one."""
    if not settings.since:
        yield context
        return
    assert store is not None  # looked at before
    run = new_run_id(context.now)
    lease = Lease(store, f"copy:{settings.job}", Holder.here(run), _LEASE_SECONDS).acquire()

    def fence() -> Fence:
        return Fence(lease.epoch, lease.valid_until, lambda: lease.valid_until)

    try:
        yield replace(context, store=store, run=run, fence=fence)
    finally:
        lease.release()


def context_of(
    tables: Overlay, settings: CopySettings, window: Window | None, now: datetime | None
) -> StepContext:
    """The surroundings of a copy outside of a pipeline."""
    named = settings.job if settings.since and settings.job != _job(tables, settings) else None
    return StepContext(
        tables=tables,
        store=None,
        pipeline="copy",
        step=named or _owner(tables, settings),
        run="copy",
        root=Path.cwd(),
        window=window,
        now=now or datetime.now(UTC),
    )


@contextmanager
def _server_asked(tables: Addresses, source: str, timings: Timings) -> Iterator[None]:
    """Add what the source's server spent on reads meanwhile, where it says so."""
    connection: Any = tables.connection(tables.table(source).connection)
    before = connection.reading_seconds() if hasattr(connection, "reading_seconds") else None
    yield
    if before is not None:
        timings.add("server", connection.reading_seconds() - before)


def settings_of(tables: Overlay, options: Mapping[str, Any]) -> CopySettings:
    """The settings of a copy; one with `since` gets a job, and an upsert goes by the key that is known.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if given.get("since") and "mode" not in given:
        given["mode"] = Mode.UPSERT
    if given.get("mode") == Mode.UPSERT:
        given["key"] = _key(tables, given)
    settings = _settings(given)
    if settings.since and settings.job is None:
        settings = settings.model_copy(update={"job": _job(tables, settings)})
    return settings


def _settings(given: Mapping[str, Any]) -> CopySettings:
    try:
        return CopySettings.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        context = wrong.get("ctx", {})
        option = ".".join(map(str, (*wrong["loc"], *context.get("path", ()))))
        problem = wrong["msg"].replace("Value error, ", "")
        raise ConfigError(
            f"{option}: {problem}" if option else problem,
            where=f"{given['from']} -> {given['to']}",
            hint=context.get("hint") or _HINTS.get(wrong["type"]),
        ) from None


_HINTS = {"extra_forbidden": f"options: {', '.join(CopySettings.model_fields)}"}


def _key(tables: Overlay, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The key of an upsert: as given, of the target, of the source, or what the source's server knows."""
    source, target = tables.table(given["from"]), tables.table(given["to"])
    made = any(given.get(name) for name in ("pipeline", "shape", "sql"))
    connection = tables.connection(source.connection)
    found = tuple(one_or_many(given.get("key") or ()))
    found = found or known_key(connection, source, target, as_stored=not made)
    if not found:
        raise ConfigError(
            f"a row of {source} that has changed must find its earlier self, and no key is known",
            where=f"{source} -> {target}",
            hint="name it with --key; or say --mode append, where rows are added and never change",
        )
    return found


def _job(tables: Overlay, settings: CopySettings) -> str:
    return f"copy {_owner(tables, settings)}"


def _owner(tables: Overlay, settings: CopySettings) -> str:
    """Who appended what of a window: a repeated copy replaces its own rows, and those of no other copy."""
    what = f"{tables.table(settings.source)} -> {tables.table(settings.to)}"
    if not (settings.where or settings.filter or settings.sql or settings.pipeline):
        return what
    conditions = f"{settings.where} {sorted(settings.filter.items(), key=str)}"
    conditions += f" {settings.sql}" if settings.sql else ""
    conditions += f" {list(settings.pipeline)}" if settings.pipeline else ""
    return f"{what} where {hashlib.sha256(conditions.encode()).hexdigest()[:8]}"


def read(
    tables: Addresses,
    address: str,
    *,
    columns: tuple[str, ...] = (),
    where: str | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's name everywhere
    lanes: int = 1,
    consistent: bool = False,
    schema: pa.Schema | None = None,
    memory: int = 512 * 1024**2,
) -> pa.RecordBatchReader:
    """Read a table as an Arrow stream; its schema holds every field and type of every row.

    The rows wait until the last has been read, since only then the schema is known; with a `schema` they are
    handed on as they come.

    Args:
        tables: finds the address.
        address: `connection.table`, or a URL.
        columns, where, filter: what to read.
        lanes, consistent: see `CopySettings`.
        schema: holds all rows, as `levada schema --arrow` or an earlier read gives it.
        memory: bytes of rows that wait in memory; more wait on disk.

    Raises:
        Skippable: a document could not be decoded; the message says which and why.
        Fatal: a row does not fit the `schema` that was given.
    """
    table = tables.table(address)
    connection: Any = tables.connection(table.connection)
    refuse_missing(connection, table)
    query = Query(columns, where, dict(filter or {}), lanes=lanes, consistent=consistent)
    batches = connection.source(table, query).read(None, None)
    if schema is not None:
        return pa.RecordBatchReader.from_batches(schema, _as(batches, schema, address))
    spool = Spool(memory=memory)
    try:
        for batch in batches:
            _refuse_rejected(batch, address)
            spool.add(batch.data)
    except BaseException:
        spool.close()
        raise
    schema = spool.schema or pa.schema([])
    return pa.RecordBatchReader.from_batches(schema, _drain(spool, schema))


def _as(batches: Iterator[Batch], schema: pa.Schema, address: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        _refuse_rejected(batch, address)
        try:
            yield cast(batch.data, schema)
        except Fatal as error:
            error.where = address
            error.hint = "leave out `schema`, or give one that holds all rows"
            raise


def _drain(spool: Spool, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with closing(spool):
        yield from spool.batches(schema)


def _refuse_rejected(batch: Batch, address: str) -> None:
    if batch.rejected:
        first = batch.rejected[0]
        raise Skippable(
            f"{counted(len(batch.rejected), 'document')} can't be decoded; the first: {first.reason}",
            where=f"{address}, bytes {first.raw[:40].hex()}…",
            hint="`levada copy` goes on and reports them",
        )
