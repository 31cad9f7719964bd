"""SQL text that DuckDB and DataFusion read alike: names, literals, windows and watermarks."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from bson import json_util
from bson.decimal128 import Decimal128

from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

_AWARE = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    """A value as a SQL literal; times become text that is cast to the column's type."""
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "NULL"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, datetime):
        value = iso(value)
    if isinstance(value, Decimal128):
        value = f"{value.to_decimal():f}"  # not everybody reads an exponent
    return "'" + str(value).replace("'", "''") + "'"


def iso(moment: datetime) -> str:
    """`2026-11-23T05:00:00.000000Z`; a naive datetime is taken as UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def bounds(window: Window, kind: pa.DataType, column: str) -> tuple[str, str]:
    """Both ends of a window as text for a column of this type; a date counts as its midnight.

    Raises:
        ConfigError: the column holds no times.
    """
    if pa.types.is_date(kind):
        return str(_first_midnight(window.start)), str(_first_midnight(window.end))
    if not pa.types.is_timestamp(kind):
        raise ConfigError(
            f"column {column!r} has type {kind}, which has no windows",
            hint="name a timestamp or date column as the table's `time`",
        )
    low, high = iso(window.start), iso(window.end)
    return (low, high) if kind.tz else (low[:-1], high[:-1])


def within(column: str, kind: pa.DataType, window: Window) -> str:
    """The condition that a row's time lies in the half-open window."""
    low, high = bounds(window, kind, column)
    name = quoted(column)
    return f"{name} >= {literal(low)} AND {name} < {literal(high)}"


def before(column: str, kind: pa.DataType, cutoff: datetime) -> str:
    """The condition that a row's time lies before the cutoff."""
    edge, _ = bounds(Window(cutoff, cutoff + timedelta(days=1)), kind, column)
    return f"{quoted(column)} < {literal(edge)}"


def beyond(column: str | None, after: Position) -> str | None:
    """The condition that a row is newer than a watermark; None where the position has none.

    Raises:
        ConfigError: there is a watermark but no column to compare it with.
    """
    if "" not in after.parts:
        return None
    if column is None:
        raise ConfigError("a watermark needs the table's time column", hint="set `time:` of the table")
    value = mark_of(after.parts[""])
    return f"{quoted(column)} > {literal(value)}"


def watermark(value: Any) -> Any:
    """A column's value as it stands in a position."""
    if isinstance(value, datetime):
        return {"$date": iso(value)}
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def mark_of(stored: Any) -> Any:
    """A value that stands in a position; times are in UTC, exact to the microsecond."""
    if isinstance(stored, dict) and isinstance(stored.get("$date"), str):
        return datetime.fromisoformat(stored["$date"])  # json_util loses a microsecond now and then
    return json_util.loads(json.dumps(stored), json_options=_AWARE)


def _first_midnight(moment: datetime) -> date:
    day = moment.astimezone(UTC)
    return (
        day.date() if day == datetime(day.year, day.month, day.day, tzinfo=UTC) else day.date() + timedelta(1)
    )
