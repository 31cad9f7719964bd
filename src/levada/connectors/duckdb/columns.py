"""The columns of a DuckDB table after a write, and the statements that bring them about.

A stored column changes its type only where SQL's cast keeps every value: wider integers and decimals,
integers as doubles, new fields of structs.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from levada.connectors.base import Mode, Write
from levada.connectors.duckdb.catalog import Stored
from levada.connectors.duckdb.database import run
from levada.connectors.sqltext import quoted
from levada.connectors.staging import widened
from levada.connectors.writes import named, tag_schema, tags
from levada.errors import Fatal
from levada.types import kind_of
from levada.types.layout import Change, castable, change, grown_type, stored_schema, stored_type

_SHAPE = "_levada_shape"


@dataclass(frozen=True)
class Columns:
    """A table's columns after a write.

    Args:
        write: of the caller, by the table's names.
        logical: visible columns.
        stored: all columns, as stored.
        anew: whether the table is made again.
        changed: columns whose type changes.
    """

    write: Write
    logical: pa.Schema
    stored: pa.Schema
    anew: bool
    changed: tuple[str, ...]

    def apply(self, cursor: duckdb.DuckDBPyConnection, name: str, before: Stored | None) -> None:
        """Create or alter the table."""
        if not len(self.stored):
            return  # there is no table without columns
        cursor.register(_SHAPE, self.stored.empty_table())
        kinds = {column: kind for column, kind, *_ in run(cursor, f"DESCRIBE SELECT * FROM {_SHAPE}")}  # noqa: S608
        cursor.unregister(_SHAPE)
        if before is None or self.anew:
            # Never CREATE TABLE AS from no rows: rows that the same transaction then inserts in bulk are
            # invisible to conditions until the database is opened again (DuckDB 2.0.0).
            listed = ", ".join(f"{quoted(column)} {kind}" for column, kind in kinds.items())
            run(cursor, f"CREATE OR REPLACE TABLE {name} ({listed})")
            return
        for column, kind in kinds.items():
            if column not in before.stored.names:
                run(cursor, f"ALTER TABLE {name} ADD COLUMN {quoted(column)} {kind}")
            elif column in self.changed:
                run(cursor, f"ALTER TABLE {name} ALTER COLUMN {quoted(column)} TYPE {kind}")


def plan(write: Write, incoming: pa.Schema | None, before: Stored | None) -> Columns:
    """The columns that hold the rows that are there and the new ones.

    Raises:
        ConfigError: the write names a column that can be two.
        Retriable: another writer has named columns differently.
        Fatal: a stored column would have to change its values.
    """
    where = str(write.table)
    replaces = write.mode is Mode.REPLACE and incoming is not None
    old = pa.schema([]) if before is None or replaces else before.logical
    logical = old if incoming is None else widened(old, incoming, "duckdb", where)
    write = named(write, logical)
    wanted = {field.name: field.type for field in stored_schema(logical)}
    wanted.update({field.name: field.type for field in tag_schema(tags(write))})
    if before is None or replaces:
        stored = pa.schema(list(wanted.items()))
        anew = before is None or stored != _plain(before.stored)
        return Columns(write, logical, stored, anew, ())
    changed = tuple(f.name for f in old if _changes(f, logical.field(f.name), where))
    kept = []
    for field in before.stored:
        target = wanted.pop(field.name, field.type)
        plain = stored_type(field.type)
        grown = (
            target if field.name in changed and not pa.types.is_nested(plain) else grown_type(plain, target)
        )
        kept.append((field.name, grown))
    return Columns(write, logical, pa.schema([*kept, *wanted.items()]), False, changed)


def _plain(stored: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, stored_type(field.type)) for field in stored])


def _changes(old: pa.Field, new: pa.Field, where: str) -> bool:
    """Whether the stored type changes.

    Raises:
        Fatal: values would have to change with it.
    """
    needed = change(old, new)
    if needed is Change.CONVERT and not castable(old, new):
        raise Fatal(
            f"column {old.name!r} is stored as {old.type}; the new rows need {new.type} "
            f"({kind_of(old)} -> {kind_of(new)})",
            where=where,
            hint="write the table once with mode replace, or cast the column on the way",
        )
    return needed is not Change.NONE and kind_of(old) != "null"
