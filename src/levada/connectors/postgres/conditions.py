"""Conditions in DuckDB's dialect, windows and watermarks as PostgreSQL reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from levada.connectors.patterns import plain_backslashes
from levada.connectors.postgres.catalog import Column
from levada.connectors.postgres.settings import PostgresSettings
from levada.connectors.reading import bad_condition
from levada.connectors.sqltext import bounds, literal, mark_of, quoted
from levada.errors import ConfigError
from levada.positions import Position
from levada.types.postgres import sql_type
from levada.windows import Window

if TYPE_CHECKING:
    from sqlglot import exp

_DUCKDB, _POSTGRES = "duckdb", "postgres"


def translated(
    condition: str, columns: Sequence[Column], logical: pa.Schema, settings: PostgresSettings, where: str
) -> str:
    """A condition in PostgreSQL's dialect.

    Args:
        condition: in DuckDB's dialect; names are matched without case, where that leaves one.
        columns: of the table.
        logical: their types; members of documents are written `document.member`.
        settings: what zone times without one are in.
        where: what is read, for errors.

    Raises:
        ConfigError: it is no SQL condition.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = plain_backslashes(sqlglot.parse_one(condition, dialect=_DUCKDB, into=exp.Condition))
        if tree.find(exp.SimilarTo):
            raise sqlglot.errors.ParseError("SIMILAR TO takes other patterns there; use regexp_matches")
        names = [column.name for column in columns]
        zoned = {column.name for column in columns if _in_zone(column, logical, settings)}
        changed = tree.transform(lambda node: _named(node, names, logical))
        changed = changed.transform(lambda node: _as_instant(node, zoned, settings.timezone))
        return str(changed.sql(dialect=_POSTGRES, comments=False))
    except sqlglot.errors.SqlglotError as error:
        raise bad_condition(condition, str(error), where) from error


def _in_zone(column: Column, logical: pa.Schema, settings: PostgresSettings) -> bool:
    """Whether a column without a zone is read as instants of the zone in the settings."""
    if column.type != "timestamp" or not settings.timezone or column.name not in logical.names:
        return False
    arrow = logical.field(column.name).type
    return bool(pa.types.is_timestamp(arrow) and arrow.tz)


def _as_instant(node: exp.Expression, zoned: set[str], zone: str | None) -> exp.Expression:
    """A column of local times as what is read of it."""
    from sqlglot import exp

    if not isinstance(node, exp.Column) or node.name not in zoned or isinstance(node.parent, exp.AtTimeZone):
        return node
    return exp.paren(exp.AtTimeZone(this=node.copy(), zone=exp.Literal.string(zone)))


def _named(node: exp.Expression, names: list[str], logical: pa.Schema) -> exp.Expression:
    from sqlglot import exp

    if not isinstance(node, exp.Column) or isinstance(node.this, exp.Star):
        return node
    parts = [part.name for part in node.parts]
    name = _found(parts[0], names)
    if len(parts) == 1:
        return exp.column(exp.to_identifier(name, quoted=True)) if name else node
    if name is None or name not in logical.names or not pa.types.is_struct(logical.field(name).type):
        return node
    return _member(name, parts[1:], logical.field(name))


def _found(name: str, names: list[str]) -> str | None:
    """The column a name means: itself, else the only one that differs by case."""
    if name in names:
        return name
    alike = [each for each in names if each.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _member(column: str, path: list[str], field: pa.Field) -> exp.Expression:
    """A member of a document as its own type."""
    import sqlglot

    for part in path:
        if not pa.types.is_struct(field.type):
            raise sqlglot.errors.ParseError(f"{field.name!r} has no members")
        found = _found(part, [child.name for child in field.type])
        if found is None:
            raise sqlglot.errors.ParseError(f"{field.name!r} has no member {part!r}")
        path[path.index(part)] = found
        field = field.type.field(found)
    steps = ", ".join(literal(part) for part in path)
    nested = pa.types.is_nested(field.type)
    function = "jsonb_extract_path" if nested else "jsonb_extract_path_text"
    text = f"{function}({quoted(column)}, {steps})"
    kind = None if nested else sql_type(field)
    plain = kind is None or kind in ("text", "bytea") or kind.startswith("time w")
    return sqlglot.parse_one(text if plain else f"CAST({text} AS {kind})", dialect=_POSTGRES)


def within(column: Column, arrow: pa.DataType, window: Window, settings: PostgresSettings) -> str:
    """The condition that a row's time lies in the half-open window.

    Raises:
        ConfigError: the column holds no times.
    """
    low, high = bounds(window, arrow, column.name)
    name = moment(column, arrow, settings)
    return f"{name} >= {literal(low)} AND {name} < {literal(high)}"


def moment(column: Column, arrow: pa.DataType, settings: PostgresSettings) -> str:
    """The expression of a time column's value."""
    name = quoted(column.name)
    if _in_zone(column, pa.schema([(column.name, arrow)]), settings):
        return f"({name} AT TIME ZONE {literal(settings.timezone)})"
    return name


def beyond(
    column: Column | None, arrow: pa.DataType | None, after: Position, settings: PostgresSettings
) -> str | None:
    """The condition that a row is newer than a watermark; None where the position has none.

    Raises:
        ConfigError: there is a watermark but no column to compare it with.
    """
    if "" not in after.parts:
        return None
    if column is None or arrow is None:
        raise ConfigError("a watermark needs the table's time column", hint="set `time:` of the table")
    value = literal(mark_of(after.parts[""]))
    if pa.types.is_string(arrow):  # the watermark is the highest by bytes, not by the database's collation
        return f'({column.reading.select.format(quoted(column.name))})::text COLLATE "C" > {value}'
    return f"{moment(column, arrow, settings)} > {value}"
