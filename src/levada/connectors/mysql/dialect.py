"""SQL conditions from DuckDB's dialect to what MySQL and MariaDB both read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.mysql import MySQL

Unreadable = (sqlglot.errors.SqlglotError, ValueError)

_MOMENTS = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATETIME)


def translate(condition: str) -> str:
    """One condition.

    Raises:
        Unreadable: it is no SQL condition, or MySQL has no words for it.
    """
    tree = sqlglot.parse_one(condition, dialect="duckdb", into=exp.Condition)
    sql: str = tree.sql(Shared, identify=True, comments=False, unsupported_level=sqlglot.ErrorLevel.RAISE)
    return sql


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
