"""The columns of a PostgreSQL table after a write, and the statements that bring them about.

A stored column changes its type only where the server's cast keeps every value: wider integers and
decimals, integers as doubles. Documents grow without a statement: they are jsonb. Columns that another
program made, or gave another type, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from levada.connectors.base import Mode, Write
from levada.connectors.postgres.catalog import Column, Place, Stored
from levada.connectors.postgres.session import Session
from levada.connectors.sqltext import quoted
from levada.connectors.staging import widened
from levada.connectors.writes import named, tag_schema, tags
from levada.errors import ConfigError, Fatal
from levada.types import kind_of
from levada.types.kinds import NAME, NAMED
from levada.types.layout import Change, castable, change
from levada.types.postgres import ACCEPTS, WIRES, decimal_of, sql_type


@dataclass(frozen=True)
class Columns:
    """A table's columns after a write.

    Args:
        write: of the caller, by the table's names.
        logical: the schema to keep beside the table.
        rows: what the new rows are brought into.
        added: new columns and their types.
        changed: columns whose type changes, and to what.
        anew: whether the table is made.
        made: all columns that Levada has made.
    """

    write: Write
    logical: pa.Schema
    rows: pa.Schema
    added: tuple[tuple[str, str], ...]
    changed: tuple[tuple[str, str], ...]
    anew: bool
    made: frozenset[str]

    def apply(self, session: Session, place: Place) -> None:
        """Create or alter the table; one without columns is not made."""
        if self.anew:
            listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in self.added)
            if listed:
                session.execute(f"CREATE TABLE {place.sql} ({listed})")
        else:
            steps = [f"ADD COLUMN {quoted(name)} {kind}" for name, kind in self.added]
            empty = self.write.mode is Mode.REPLACE
            for name, kind in self.changed:
                using = f"NULL::{kind}" if empty else f"{quoted(name)}::{kind}"
                if empty:
                    steps.append(f"ALTER COLUMN {quoted(name)} DROP DEFAULT")
                steps.append(f"ALTER COLUMN {quoted(name)} TYPE {kind} USING {using}")
            if steps:
                session.execute(f"ALTER TABLE {place.sql} {', '.join(steps)}")
        marks = [quoted(name) for name, _ in self.added if name in tags(self.write)]
        if marks:  # a re-run looks its rows up by them
            session.execute(f"CREATE INDEX ON {place.sql} ({', '.join(reversed(marks))})")


def plan(write: Write, incoming: pa.Schema | None, before: Stored | None, place: Place) -> Columns:
    """The columns that hold the rows that are there and the new ones.

    Raises:
        ConfigError: the write names a column that can be two, or needs another type of a column that another
            program made.
        Retriable: another writer has named columns differently.
        Fatal: a stored column would have to change its values, or has a type that can't take the new ones.
    """
    where = str(write.table)
    replaces = write.mode is Mode.REPLACE and incoming is not None
    old = before.logical if before else pa.schema([])
    joined = old if incoming is None else incoming if replaces else widened(old, incoming, "postgres", where)
    write = named(write, joined)
    hidden = {changes for changes in (write.changes.operation,) if changes}
    planned = _Planned(before, replaces, place, where)
    for one in incoming or ():
        if one.name not in hidden:
            planned.take(one, joined.field(one.name))
    for mark in tag_schema(tags(write)):
        if before is None or before.column(mark.name) is None:
            planned.added.append((mark.name, "text"))
    noted = [] if before is None or replaces else [f for f in before.noted if f.name not in planned.noted]
    logical = pa.schema([*noted, *planned.noted.values()], metadata=joined.metadata)
    order = {name: place for place, name in enumerate(before.noted.names if before and not replaces else ())}
    fields = sorted(logical, key=lambda one: order.get(one.name, len(order)))
    return Columns(
        write,
        pa.schema(fields, metadata=joined.metadata),
        pa.schema(planned.rows, metadata=joined.metadata),
        tuple(planned.added),
        tuple(planned.changed),
        before is None,
        (before.made if before else frozenset()) | {name for name, _ in planned.added},
    )


class _Planned:
    """What becomes of the columns, one by one."""

    def __init__(self, before: Stored | None, replaces: bool, place: Place, where: str) -> None:
        self._before = before
        self._replaces = replaces
        self._place = place
        self._where = where
        self.noted: dict[str, pa.Field] = {}
        self.rows: list[pa.Field] = []
        self.added: list[tuple[str, str]] = []
        self.changed: list[tuple[str, str]] = []

    def take(self, one: pa.Field, joined: pa.Field) -> None:
        """A column of the new rows; `joined` holds the stored values too."""
        self.noted[one.name] = joined
        if pa.types.is_null(joined.type):
            return
        column = self._before.column(one.name) if self._before else None
        if column is None or self._before is None:
            self.added.append((one.name, self._type(joined)))
            self.rows.append(joined)
            return
        if column.computed:
            raise Fatal(
                f"the server computes column {one.name!r} itself",
                where=self._where,
                hint="leave it out of the rows",
            )
        if self._replaces:
            self._replace(self._before, column, one)
        else:
            self._widen(self._before, column, one, joined)

    def _replace(self, before: Stored, column: Column, one: pa.Field) -> None:
        wanted = self._type(one)
        if wanted != column.shown and not _takes(column, one):
            self._change(before, column, wanted)
        self.rows.append(one)

    def _widen(self, before: Stored, column: Column, one: pa.Field, joined: pa.Field) -> None:
        if not (before.owned(column) and column.name in before.made) and _takes(column, one):
            self.noted[column.name] = _by_names_of(one, column.field)
            self.rows.append(one)
            return
        old = before.field(column)
        if change(old, joined) is Change.CONVERT and not castable(old, joined):
            raise Fatal(
                f"column {old.name!r} is stored as {column.shown} of {old.type}; the new rows need "
                f"{joined.type} ({kind_of(old)} -> {kind_of(joined)})",
                where=self._where,
                hint="write the table once with mode replace, or cast the column on the way"
                if before.alterable(column)
                else "cast the column on the way",
            )
        wanted = self._type(joined)
        foreign = change(old, joined) is Change.NONE
        if wanted != column.shown and not (foreign and not before.owned(column)):
            self._change(before, column, wanted)
        self.rows.append(joined)

    def _change(self, before: Stored, column: Column, wanted: str) -> None:
        if not before.alterable(column):
            name = quoted(column.name)
            raise ConfigError(
                f"column {column.name!r} is {column.shown}, as another program made it; rows need {wanted}",
                where=self._where,
                hint=f"cast the column on the way, or have its owner run: ALTER TABLE {self._place.sql} "
                f"ALTER COLUMN {name} TYPE {wanted} USING {name}::{wanted}",
            )
        self.changed.append((column.name, wanted))

    def _type(self, one: pa.Field) -> str:
        kind = sql_type(one)
        if kind is None:
            raise Fatal(
                f"column {one.name!r} has type {one.type}, which PostgreSQL has no place for",
                where=self._where,
                hint="cast it on the way, or leave it out",
            )
        return kind


def _takes(column: Column, one: pa.Field) -> bool:
    """Whether a column of another program takes the values of a field as they are."""
    kind = kind_of(one).partition(":")[0]
    if column.type == "numeric":
        exact = decimal_of(column.modifier)
        if exact is not None and pa.types.is_decimal(one.type):
            return bool(
                one.type.scale <= exact.scale
                and one.type.precision - one.type.scale <= exact.precision - exact.scale
            )
        return column.modifier < 0 and kind in ACCEPTS["numeric"]
    if kind == "string":
        return column.type not in WIRES or pa.types.is_string(WIRES[column.type])
    if column.type in WIRES and change(column.field, one) is Change.NONE:
        return True
    if kind == "array" and column.element is not None:
        return kind_of(column.field) == "array" and not pa.types.is_nested(one.type.value_type)
    return kind in ACCEPTS.get(column.type, ())


def _by_names_of(one: pa.Field, known: pa.Field) -> pa.Field:
    names = {key: value for key, value in (one.metadata or {}).items() if key in (NAME, NAMED)}
    return known.with_metadata({**(known.metadata or {}), **names}) if names else known
