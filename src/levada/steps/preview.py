"""What a copy would do, without doing it: nothing is written, neither to the target nor to the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from levada.connectors.base import Estimate, Query, Table, WritePlan
from levada.connectors.reading import chosen, named_in, paths_in
from levada.errors import ConfigError
from levada.observe import counted
from levada.positions import Position
from levada.state import Positions
from levada.steps.base import StepContext
from levada.steps.copy import CopyStep, Work
from levada.steps.ends import refuse_missing
from levada.steps.increment import notes
from levada.types.names import stored_name

_SAMPLE = 1_000


@dataclass(frozen=True)
class Preview:
    """What a copy would do.

    Args:
        source, target: addresses.
        mode: how it writes.
        key: of an upsert.
        rows, row_bytes: what there is to read, where that is known before.
        window: of times.
        job: name of the watermark, of a copy with `since`.
        watermark: where it stands; None for a job that has never run.
        reaches: where it would stand afterwards; None where nothing is due.
        steps: commits.
        children: path -> table, of arrays that become rows.
        how, readers: of the write, and what readers see meanwhile, where the sink says so.
        notes: what else there is to know.
        warnings: what is perhaps a mistake.
    """

    source: str
    target: str
    mode: str
    key: tuple[str, ...] = ()
    rows: int | None = None
    row_bytes: float | None = None
    window: str | None = None
    job: str | None = None
    watermark: Any = None
    reaches: Any = None
    steps: int = 1
    children: Mapping[str, str] = field(default_factory=dict)
    how: str | None = None
    readers: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def preview(step: CopyStep, context: StepContext) -> Preview:
    """Look at both ends of a copy.

    Raises:
        ConfigError: a table or column is not there, or settings don't go together.
    """
    settings, work = step.settings, step.work(context)
    connection: Any = context.tables.connection(work.source.connection)
    if settings.sql is None:
        refuse_missing(connection, work.source)
    write, sample = work.delivery.write, Sample(context, work.source, settings.sql)
    missing = _absent(step, work, sample)
    if missing and connection.kind != "mongodb":
        raise ConfigError(f"there is no column {missing[0]!r}", where=str(work.source))
    made = Preview(
        source=str(work.source),
        target=str(write.table),
        mode=write.mode.value,
        key=write.key if write.mode == "upsert" else (),
        children={path: str(table) for path, table in work.children.items()},
        warnings=tuple(map(unknown, missing)),
    )
    made = _with_increment(made, step, work) if settings.since else _with_window(made, step, work, sample)
    made = _with_shape(made, step, work, sample)
    made = replace(made, notes=(*made.notes, *_removals(step)))
    planned = getattr(work.delivery.sink, "plan", None)
    plan: WritePlan | None = planned(write) if planned else None
    if plan is None:
        return made
    return replace(made, how=plan.how, readers=plan.readers, notes=(*made.notes, *plan.notes))


def _with_window(made: Preview, step: CopyStep, work: Work, sample: Sample) -> Preview:
    window = step.window(work)
    connection: Any = work.context.tables.connection(work.source.connection)
    reader: Any = connection.source(work.source, step.query)
    if hasattr(reader, "condition"):
        reader.condition(window)
    elif getattr(connection, "metered", False):
        sample.check(step.settings.where)
    else:  # the first rows show whether names and conditions fit
        next(iter(reader.read(window, None)), None)
    estimate = reader.estimated(window) if hasattr(reader, "estimated") else Estimate()
    return replace(
        made,
        rows=estimate.rows,
        row_bytes=estimate.row_bytes,
        window=str(window) if window else None,
    )


def _with_shape(made: Preview, step: CopyStep, work: Work, sample: Sample) -> Preview:
    reshaping = step.reshaping(work)
    if reshaping is None:
        return made
    if sample.rows is not None:
        reshaping.shaper.learn(sample.rows.schema)
    fields = f"fields of the documents: {', '.join(reshaping.fields)}"
    return replace(made, notes=(*made.notes, fields, *reshaping.shaper.notes))


def _removals(step: CopyStep) -> list[str]:
    settings = step.settings
    notes = [f"rows for which {settings.delete_where} would be removed"] if settings.delete_where else []
    compares = settings.deletes == "compare"
    return notes + (["rows whose keys the source has no more would be removed"] if compares else [])


def _with_increment(made: Preview, step: CopyStep, work: Work) -> Preview:
    increment = step.increment(work)
    plan = increment.plan(_start(work))
    return replace(
        made,
        window=plan.values.get("window"),
        job=increment.job,
        watermark=None if plan.first else plan.last,
        reaches=plan.end if plan.pieces else None,
        steps=len(plan.pieces),
        notes=tuple(notes(plan, step.settings)),
    )


def _start(work: Work) -> Position:
    """Where the ledger says the copy was; the target is not asked, which might create it."""
    if work.context.store is None:
        return Position()
    entry = Positions(work.context.store).entry(work.context.owner, str(work.delivery.write.table))
    return entry.committed or Position()


def unknown(name: str) -> str:
    """What is said of a field that is perhaps mistyped: documents can't tell."""
    return f"none of the first documents has a field {name!r}"


def unknown_names(step: CopyStep, context: StepContext, work: Work) -> list[str]:
    """Columns that the copy names and the first rows of the source have not."""
    return _absent(step, work, Sample(context, work.source, step.settings.sql))


def _absent(step: CopyStep, work: Work, sample: Sample) -> list[str]:
    settings = step.settings
    if settings.pipeline or settings.sql or sample.rows is None:
        return []
    schema = sample.rows.schema
    named = [*settings.columns, settings.since, settings.version, settings.operation]
    named += work.delivery.write.key if settings.mode == "upsert" and settings.shape is None else ()
    for condition in (settings.where, settings.delete_where):
        named += sorted(path[0] for path in paths_in(condition, str(work.source))) if condition else []
    known = {name.lower() for name in schema.names}
    absent = dict.fromkeys(name for name in named if name and not _known(schema, known, name))
    return list(absent)


def _known(schema: pa.Schema, known: set[str], name: str) -> bool:
    return name.partition(".")[0].lower() in known or stored_name(schema, name) in schema.names


class Sample:
    """The first rows of a source, which are read once, when they are asked for.

    Args:
        context: of the step.
        source: the table.
        sql: the query in place of it.
    """

    def __init__(self, context: StepContext, source: Table, sql: str | None = None) -> None:
        self._context, self._source, self._sql = context, source, sql

    @cached_property
    def rows(self) -> pa.RecordBatch | None:
        """None where the source has none."""
        connection: Any = self._context.tables.connection(self._source.connection)
        # of an API one page is enough; its first row would wait for the second page if it filled a batch
        size = 1 if getattr(connection, "metered", False) else _SAMPLE
        batches = connection.source(self._source, Query(sql=self._sql, batch_rows=size)).read(None, None)
        with closing(batches):
            first = next(batches, None)
        return None if first is None else first.data

    def check(self, condition: str | None) -> None:
        """Try a SQL condition on the rows.

        Raises:
            ConfigError: it does not fit them.
        """
        if condition and self.rows is not None:
            where = str(self._source)
            chosen(self.rows, condition, sorted(named_in(condition, self.rows.schema.names, where)), where)


def lines(made: Preview) -> Sequence[str]:
    """For people."""
    size = f", about {counted(made.rows, 'row')}" if made.rows is not None else ""
    if made.rows and made.row_bytes:
        size += f" of {made.row_bytes:,.0f} bytes"
    key = f" by {', '.join(made.key)}" if made.key else ""
    found = [f"would copy {made.source} to {made.target}, mode {made.mode}{key}{size}"]
    found += [f"rows of {path} to {table}" for path, table in made.children.items()]
    if made.job:
        found.append(
            f"watermark {made.job!r}: {made.watermark if made.watermark is not None else 'none yet'}"
        )
        if made.reaches is not None:
            found.append(f"would reach {made.reaches} in {counted(made.steps, 'step')}")
    elif made.window:
        found.append(f"window {made.window}")
    found += [f"write: {made.how}"] if made.how else []
    found += [f"readers: {made.readers}"] if made.readers else []
    return [*found, *made.notes, *(f"warning: {text}" for text in made.warnings)]
