"""SQL conditions from DuckDB's dialect to what MySQL and MariaDB both read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.mysql import MySQL

from levada.connectors.patterns import plain_backslashes

Unreadable = (sqlglot.errors.SqlglotError, ValueError)

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
_MOMENTS = (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ, exp.DType.DATETIME)


#: Functions of DuckDB that sqlglot does not know as such.
_NOW = ("now", "get_current_timestamp", "transaction_timestamp")

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
    tree = plain_backslashes(sqlglot.parse_one(condition, dialect="duckdb", into=exp.Condition))
    for moment in list(tree.find_all(exp.Literal, exp.CurrentTimestamp, exp.Anonymous)):
        _set_clock(moment, clocks)
    sql: str = tree.sql(Shared, identify=True, comments=False, unsupported_level=sqlglot.ErrorLevel.RAISE)
    return sql


def _set_clock(moment: Any, clocks: Clocks) -> None:
    """Write an instant as the column does that it is compared with."""
    instant, compared = _instant(moment), moment.find_ancestor(*_COMPARISONS)
    if instant is None or compared is None:
        return
    for column in compared.find_all(exp.Column):
        if (clock := clocks.get(column.name.lower())) is not None:
            text = exp.Literal.string(clock(instant))
            whole = isinstance(moment, exp.Literal) and isinstance(moment.parent, _COMPARISONS)
            moment.replace(text if whole or _typed(moment) else exp.cast(text, "timestamp"))
            return


def _instant(moment: Any) -> datetime | None:
    """The instant that is meant; None where it is no instant, but what a clock shows."""
    now = isinstance(moment, exp.Anonymous) and moment.name.lower() in _NOW
    if now or isinstance(moment, exp.CurrentTimestamp):
        return datetime.now(UTC)
    if not moment.is_string:
        return None
    if _INSTANT.fullmatch(moment.this):
        return datetime.fromisoformat(moment.this)
    if not _typed(moment) or moment.parent.to.this != exp.DType.TIMESTAMPTZ:
        return None
    found = datetime.fromisoformat(moment.this.strip())
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _typed(moment: Any) -> bool:
    """Whether it is the text of `TIMESTAMP '...'`."""
    cast = moment.parent
    return isinstance(cast, exp.Cast | exp.TryCast) and cast.this is moment and cast.to.this in _MOMENTS


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
