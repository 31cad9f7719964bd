"""SQL conditions from DuckDB's dialect to what MySQL and MariaDB both read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.mysql import MySQL

Unreadable = (sqlglot.errors.SqlglotError, ValueError)

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
_MOMENTS = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATETIME)


#: Column, in lower case -> how it writes an instant.
Clocks = Mapping[str, Callable[[datetime], str]]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)")


def translate(condition: str, clocks: Clocks) -> str:
    """One condition.

    Args:
        condition: in DuckDB's dialect.
        clocks: of the columns that hold times; texts with an offset that they are compared with are
            instants.

    Raises:
        Unreadable: it is no SQL condition, or MySQL has no words for it.
    """
    tree = sqlglot.parse_one(condition, dialect="duckdb", into=exp.Condition)
    for text in list(tree.find_all(exp.Literal)):
        _set_clock(text, clocks)
    sql: str = tree.sql(Shared, identify=True, comments=False, unsupported_level=sqlglot.ErrorLevel.RAISE)
    return sql


def _set_clock(text: Any, clocks: Clocks) -> None:
    if not (text.is_string and _INSTANT.fullmatch(text.this)):
        return
    compared = text.parent.find_all(exp.Column) if isinstance(text.parent, _COMPARISONS) else ()
    for column in compared:
        if (clock := clocks.get(column.name.lower())) is not None:
            text.replace(exp.Literal.string(clock(datetime.fromisoformat(text.this))))
            return


def _matches(generator: Any, node: exp.Expression) -> str:
    return f"({generator.sql(node, 'this')} RLIKE {generator.sql(node, 'expression')})"


def _starts(generator: Any, node: exp.Expression) -> str:
    start = generator.sql(node, "expression")
    return f"(LEFT({generator.sql(node, 'this')}, CHAR_LENGTH({start})) = {start})"


def _contains(generator: Any, node: exp.Expression) -> str:
    return f"(LOCATE({generator.sql(node, 'expression')}, {generator.sql(node, 'this')}) > 0)"


def _cast(generator: Any, node: exp.Expression) -> str:
    """Casts to moments keep the fraction of a second, and an offset counts."""
    if node.to.this not in _MOMENTS:
        return str(generator.cast_sql(node))
    if not (isinstance(node.this, exp.Literal) and node.this.is_string):
        return f"CAST({generator.sql(node, 'this')} AS DATETIME(6))"
    moment = datetime.fromisoformat(node.this.this.strip())
    if moment.tzinfo:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return f"TIMESTAMP '{moment.isoformat(' ', 'microseconds')}'"


class Shared(MySQL):  # type: ignore[misc]
    """MySQL's dialect where MariaDB has the same."""

    class Generator(MySQL.Generator):  # type: ignore[misc]
        """Its text."""

        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            **MySQL.Generator.TRANSFORMS,
            exp.RegexpLike: _matches,
            exp.StartsWith: _starts,
            exp.Contains: _contains,
            exp.Cast: _cast,
            exp.TryCast: _cast,
        }
