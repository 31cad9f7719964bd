"""Conditions in MySQL's SQL: the user's, the window's, the watermark's and the lanes'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import pyarrow as pa

from levada.connectors.mysql.columns import Column, quoted
from levada.connectors.reading import bad_condition
from levada.connectors.sqltext import bounds, mark_of
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window, timezone

_MINUTE = timedelta(minutes=1)


def text(value: str) -> str:
    """A string literal, for a session that takes backslashes as escapes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def translated(condition: str, columns: Sequence[Column], zone: str, where: str) -> str:
    """A condition of DuckDB's dialect in MySQL's.

    Args:
        condition: the user's.
        columns: of the table.
        zone: what times of `datetime` columns mean.
        where: what an error is about.

    Raises:
        ConfigError: it is no SQL condition, or MySQL has no words for it.
    """
    from levada.connectors.mysql.dialect import Unreadable, translate

    try:
        return translate(condition, {c.name.lower(): _clock(c, zone) for c in columns if c.timed})
    except Unreadable as error:
        raise bad_condition(condition, str(error), where) from error


def _clock(column: Column, zone: str) -> Callable[[datetime], str]:
    return partial(local, zone=zone) if column.naive else _plain


def within(column: Column, window: Window, zone: str) -> str:
    """The condition that a row's time lies in the half-open window.

    Raises:
        ConfigError: the column holds no times.
    """
    kind = column.held.field.type
    low, high = bounds(window, kind, column.name)
    if column.naive:
        low, high = local(window.start, zone), local(window.end, zone)
    elif pa.types.is_timestamp(kind):
        low, high = _plain(window.start), _plain(window.end)
    name = quoted(column.name)
    return f"{name} >= {text(low)} AND {name} < {text(high)}"


def local(moment: datetime, zone: str) -> str:
    """The first time on a zone's clock that means this instant or a later one.

    Times that a clock shows twice mean the first of both.
    """
    there = moment.astimezone(timezone(zone))
    if there.fold:
        there = there.replace(second=0, microsecond=0) + _MINUTE
        while there.replace(fold=1).utcoffset() != there.replace(fold=0).utcoffset():
            there += _MINUTE
    return there.replace(tzinfo=None).isoformat(" ", "microseconds")


def beyond(column: Column | None, after: Position, zone: str) -> str | None:
    """The condition that a row is newer than a watermark; None where the position has none.

    Raises:
        ConfigError: there is a watermark but no column, or the column can't be compared with it.
    """
    if "" not in after.parts:
        return None
    if column is None:
        raise ConfigError("a watermark needs the table's time column", hint="set `time:` of the table")
    value = mark_of(after.parts[""])
    name, literal = quoted(column.name), _literal(column, value, zone)
    if pa.types.is_string(column.held.field.type) and column.declared.base != "time":
        # the order that the watermark was found by; the collations take spaces at the end for nothing
        return f"CAST(CONVERT({name} USING utf8mb4) AS BINARY) > CAST({literal} AS BINARY)"
    return f"{name} > {literal}"


def _literal(column: Column, value: Any, zone: str) -> str:
    kind = column.held.field.type
    try:
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return text(local(moment, zone) if column.naive else _plain(moment))
        if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
            return f"{Decimal(str(int(value) if isinstance(value, bool) else value)):f}"
        if pa.types.is_floating(kind):
            return repr(float(value))
    except (ValueError, InvalidOperation) as error:
        raise ConfigError(
            f"column {column.name!r} of type {column.declared.base} can't be compared with {value!r}",
            hint="the stored watermark is of another column: start anew",
        ) from error
    return text(str(value))


def _plain(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def ranges(column: Column, low: int, high: int, count: int) -> list[str]:
    """Conditions that part the whole numbers into ranges; together they hold for every row."""
    width = max(-(-(high - low + 1) // count), 1)
    edges = [low + width * place for place in range(1, count) if low + width * place <= high]
    name = quoted(column.name)
    starts = ["", *(f"{name} >= {edge}" for edge in edges)]
    ends = [*(f"{name} < {edge}" for edge in edges), ""]
    return [" AND ".join(filter(None, pair)) or "1 = 1" for pair in zip(starts, ends, strict=True)]
