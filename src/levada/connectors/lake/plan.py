"""What a write makes of a table: its columns afterwards, the rows that give way, and the rows to store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.base import Mode, Write
from levada.connectors.feeding import reader
from levada.connectors.lake.settings import OnTypeChange
from levada.connectors.lake.side import dividing, side_field
from levada.connectors.lake.table import (
    Snapshot,
    day_columns,
    day_predicate,
    partition_columns,
    with_days,
)
from levada.connectors.scratch import scratch
from levada.connectors.sqltext import bounds, quoted
from levada.connectors.staging import Staging, encoded, widened
from levada.connectors.writes import key_of, named, replaced, tag_schema, tags
from levada.errors import ConfigError, Fatal
from levada.types import cast, kind_of
from levada.types.layout import (
    EMPTY,
    Change,
    change,
    from_stored,
    grown_type,
    stored_schema,
    stored_type,
)
from levada.types.names import TARGETS

#: Bytes of a partition column's name: its value stands in the folder's name too.
_LONGEST_FOLDER = 100

_FIRST_DAY, _LAST_DAY = (pa.scalar((day - date(1970, 1, 1)).days, pa.int32()) for day in (date.min, date.max))


@dataclass(frozen=True)
class Plan:
    """One write, planned against one snapshot.

    Args:
        write: of the caller, by the table's names.
        logical: the visible columns afterwards.
        stored: all columns afterwards, as stored.
        days: generated partition column -> its time column.
        partitions: the partition columns.
        change: the most that any stored column needs.
        replaced: condition of the rows that give way; None if none do.
        sides: columns whose new values may need a side column -> their stored field.
    """

    write: Write
    logical: pa.Schema
    stored: pa.Schema
    days: Mapping[str, str]
    partitions: list[str]
    change: Change
    replaced: str | None
    sides: Mapping[str, pa.Field] = field(default_factory=dict)

    @property
    def noted(self) -> pa.Schema:
        """The logical schema to keep beside the data."""
        return with_days(self.logical, self.days)

    def encoded(self, batch: pa.RecordBatch, hidden: Mapping[str, pa.Array] | None = None) -> pa.RecordBatch:
        """Rows in the logical schema as they are stored, hidden columns filled."""
        filled = dict(hidden or {})
        for day, source in self.days.items():
            filled[day] = _day(batch, source)
        for name, value in tags(self.write).items() if hidden is None else ():
            filled[name] = pa.repeat(value, len(batch))
        return encoded(batch, self.stored, filled)

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """New rows in the logical schema."""
        return dividing(self.sides)(batch, self.logical)

    def day_of(self, batch: pa.RecordBatch) -> pa.Array:
        """The value of the generated partition column for each row."""
        return _day(batch, next(iter(self.days.values())))

    def new_rows(self, staging: Staging) -> Iterator[pa.RecordBatch]:
        for batch in staging.batches(self.logical, dividing(self.sides)):
            yield self.encoded(batch)

    def changes(self, staging: Staging) -> Iterator[tuple[pa.RecordBatch, dict[str, pa.Array]]]:
        """New rows as they would be stored, and what each does."""
        for batch, taken in staging.changes(self.logical, dividing(self.sides)):
            yield self.encoded(batch), taken

    def kept_rows(self, snapshot: Snapshot) -> Iterator[pa.RecordBatch]:
        """The table's rows that stay in their new form, those that an upsert replaces among them."""
        predicate = f"({self.replaced}) IS NOT TRUE" if self.replaced else None
        hidden = snapshot.hidden().names
        for batch in snapshot.scan(predicate=predicate):
            rows = cast(from_stored(batch, snapshot.logical), self.logical)
            columns = {name: batch.column(name).cast(self.stored.field(name).type) for name in hidden}
            yield self.encoded(rows, columns)

    def without_keys(self, rows: Iterator[pa.RecordBatch], staging: Staging) -> Iterator[pa.RecordBatch]:
        """Rows whose key is not among the new ones."""
        names = [quoted(column) for column in key_of(self.write)]
        match = " AND ".join(f"keys.{name} = kept.{name}" for name in names)
        news = reader(self.stored, self.new_rows(staging))
        with scratch(staging.folder) as connection:
            connection.register("news", news)
            connection.execute(f"CREATE TABLE keys AS SELECT {', '.join(names)} FROM news").fetchall()  # noqa: S608
            connection.register("kept", reader(self.stored, rows))
            kept = connection.sql(f"SELECT * FROM kept ANTI JOIN keys ON {match}").to_arrow_reader()  # noqa: S608
            for batch in kept:
                yield batch.cast(self.stored)


def plan(write: Write, incoming: pa.Schema | None, snapshot: Snapshot | None, policy: OnTypeChange) -> Plan:
    """Plan a write.

    Args:
        write: checked.
        incoming: logical schema of the rows; None if there are none.
        snapshot: the table; None if there is none yet.
        policy: what to do about columns that need conversion.

    Raises:
        ConfigError: the table's layout and the write don't fit.
        Retriable: another writer has named columns differently.
        Fatal: a stored column needs another type, and the policy is to refuse.
    """
    where = str(write.table)
    replaces = write.mode is Mode.REPLACE and incoming is not None
    old = pa.schema([]) if snapshot is None or replaces else snapshot.logical
    logical = old if incoming is None else widened(old, incoming, "lake", where)
    write = named(write, logical)
    sides = _sides(write, old, logical, snapshot) if policy is OnTypeChange.VARIANT else {}
    logical = _beside(with_days(logical, {}), sides)
    days, partitions = _layout(write, snapshot)
    taken = [name for name in logical.names if TARGETS["lake"].folded(name) in days]
    if taken:
        raise ConfigError(
            f"the rows have a column {taken[0]!r} of their own",
            where=where,
            hint="partition by that column, or rename it on the way",
        )
    needed = _needed(old, logical, snapshot, policy, where)
    stored = _stored(logical, old, snapshot if not replaces else None, days, write)
    _check_partitions(partitions, stored, where)
    return Plan(write, logical, stored, days, partitions, needed, _replaced(write, snapshot), sides)


def _sides(write: Write, old: pa.Schema, new: pa.Schema, snapshot: Snapshot | None) -> dict[str, pa.Field]:
    """The columns that get a side column: not those that say where a row belongs."""
    fixed = {*key_of(write), write.table.time, *(snapshot.days.values() if snapshot else ())}
    return {
        known.name: known
        for known in old
        if known.name not in fixed and change(known, new.field(known.name)) is Change.CONVERT
    }


def _beside(logical: pa.Schema, sides: Mapping[str, pa.Field]) -> pa.Schema:
    """The schema with these columns as they are stored, and their side columns behind all others."""
    fields = [sides.get(field.name, field) for field in logical]
    known = set(logical.names)
    fields += [side for side in map(side_field, sides) if side.name not in known]
    return pa.schema(fields, metadata=logical.metadata)


def _layout(write: Write, snapshot: Snapshot | None) -> tuple[Mapping[str, str], list[str]]:
    """Partitions: those of the stored table, unless it is replaced as a whole."""
    days, declared = day_columns(write.table), partition_columns(write.table)
    if snapshot is None or (write.mode is Mode.REPLACE and declared):
        return days, declared
    if declared and declared != snapshot.partitions:
        raise _laid_out_otherwise(write, snapshot)
    return snapshot.days, snapshot.partitions


def refuse_other_days(write: Write, snapshot: Snapshot) -> None:
    """Refuse to begin a write whose table is partitioned by the days of another column than is declared.

    Raises:
        ConfigError: it is.
    """
    days = day_columns(named(write, snapshot.logical).table)
    if write.mode is not Mode.REPLACE and days and snapshot.days and days != snapshot.days:
        raise _laid_out_otherwise(write, snapshot)


def _laid_out_otherwise(write: Write, snapshot: Snapshot) -> ConfigError:
    stored = _described(snapshot.partitions, snapshot.days)
    declared = _described(partition_columns(write.table), day_columns(write.table))
    return ConfigError(
        f"the table is partitioned by {stored}, not by {declared}",
        where=str(write.table),
        hint="mend `partition_by`, or write the table once with mode replace",
    )


def _described(partitions: list[str], days: Mapping[str, str]) -> str:
    return ", ".join(f"{name}({days[name]})" if name in days else name for name in partitions) or "nothing"


def _needed(
    old: pa.Schema, new: pa.Schema, snapshot: Snapshot | None, policy: OnTypeChange, where: str
) -> Change:
    changes = {field.name: change(field, new.field(field.name)) for field in old}
    needed = max(changes.values(), default=Change.NONE)
    if needed is not Change.CONVERT or policy is OnTypeChange.REWRITE:
        return needed
    if snapshot is None or not snapshot.count():
        return needed  # no value to convert
    name = next(name for name, needs in changes.items() if needs is Change.CONVERT)
    raise Fatal(
        f"column {name!r} is stored as {old.field(name).type}; the new rows need {new.field(name).type} "
        f"({_label(old.field(name))} -> {_label(new.field(name))})",
        where=where,
        hint="`on_type_change` of the connection can be `rewrite` (the table) or `variant` (a side column)",
    )


def _label(field: pa.Field) -> str:
    return kind_of(field)


def _stored(
    logical: pa.Schema, old: pa.Schema, snapshot: Snapshot | None, days: Mapping[str, str], write: Write
) -> pa.Schema:
    wanted = {field.name: field.type for field in stored_schema(logical)}
    wanted.update(dict.fromkeys(days, pa.date32()))
    wanted.update({field.name: field.type for field in tag_schema(tags(write))})
    if snapshot is None:
        return pa.schema(
            list(wanted.items()) or [(EMPTY, pa.bool_())]
        )  # Delta knows no table without columns
    kept = []
    for column in snapshot.stored:
        target = wanted.pop(column.name, column.type)
        converts = (
            column.name in old.names
            and change(old.field(column.name), logical.field(column.name)) >= Change.SETTLE
        )
        kept.append((column.name, target if converts else grown_type(stored_type(column.type), target)))
    return pa.schema([*kept, *wanted.items()])


def _check_partitions(partitions: list[str], stored: pa.Schema, where: str) -> None:
    absent = [name for name in partitions if name not in stored.names]
    if absent:
        raise ConfigError(
            f"the rows have no column {absent[0]!r} to partition by", where=where, hint="mend `partition_by`"
        )
    long = [name for name in partitions if ":" in name or len(name.encode()) > _LONGEST_FOLDER]
    if long:
        raise ConfigError(
            f"no folder can be named after column {long[0]!r}, so the table can't be partitioned by it",
            where=where,
            hint="partition by another column, or rename it on the way",
        )


def _replaced(write: Write, snapshot: Snapshot | None) -> str | None:
    """The condition of the rows that this write replaces, partitions first so that files are skipped."""
    condition = replaced(write, snapshot.stored) if snapshot else None
    column, window = write.table.time, write.window
    if not condition or not snapshot or not column or not window or write.mode is not Mode.REPLACE_WINDOW:
        return condition
    days = day_predicate(snapshot.days, column, *bounds(window, snapshot.stored.field(column).type, column))
    return " AND ".join(filter(None, (days, condition)))


def _day(batch: pa.RecordBatch, source: str) -> pa.Array:
    """The UTC day of each row's time, or of its ObjectId's; null where it has none.

    Times beyond the years 1 to 9999 count to the first or last day of these: most readers know no others, and
    a condition on the day stays true for every row that a condition on the time selects.
    """
    if source not in batch.schema.names or pa.types.is_null(batch.schema.field(source).type):
        return pa.nulls(len(batch), pa.date32())
    field, column = batch.schema.field(source), batch.column(source)
    if kind_of(field) == "objectId":
        column = _born(column)
    elif not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        mixed = kind_of(field) == "variant"
        raise ConfigError(
            f"column {source!r} has "
            + ("values of several types" if mixed else f"type {column.type}, which has no days"),
            hint="partition by a column of timestamps, dates or ObjectIds alone",
        )
    days = column.cast(stored_type(column.type)).cast(pa.date32(), safe=False)
    return _bounded(days)


def _bounded(days: pa.Array) -> pa.Array:
    numbers = days.cast(pa.int32())
    numbers = pc.max_element_wise(numbers, _FIRST_DAY, skip_nulls=False)
    return pc.min_element_wise(numbers, _LAST_DAY, skip_nulls=False).cast(pa.date32())


def _born(ids: pa.Array) -> pa.Array:
    """When ObjectIds were made: their first 4 bytes are seconds since 1970."""
    seconds = [None if text is None else int(text[:8], 16) for text in ids.to_pylist()]
    return pa.array(seconds, pa.int64()).cast(pa.timestamp("s", "UTC"))
