"""What a read asks for: a window or a watermark as parameters of a request, and the rows that lie within.

Servers disagree on whether an end belongs to what they give, and round times. So a request asks from one
unit earlier, rounded outward, and the rows outside are dropped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pyarrow as pa

from levada.connectors.base import Table
from levada.connectors.isotimes import day, moment
from levada.connectors.rest.columns import Column
from levada.connectors.rest.settings import Resource, TimeFormat
from levada.connectors.sqltext import iso, mark_of
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_DIGITS = 100
_LONGEST = 18  # digits of microseconds behind the first that a calendar has


@dataclass(frozen=True)
class Span:
    """The times that a read wants.

    Args:
        field: of a row; None where the read wants everything and nothing says what a row's time is.
        format: how the field is written.
        first: the earliest time wanted; None for no end there.
        above: whether `first` itself is left out.
        end: one past the latest.
    """

    field: str | None
    format: TimeFormat
    first: datetime | None = None
    above: bool = False
    end: datetime | None = None

    @property
    def bounded(self) -> bool:
        return self.first is not None or self.end is not None

    def wants(self, when: datetime) -> bool:
        if self.first is not None and (when < self.first or (self.above and when == self.first)):
            return False
        return self.end is None or when < self.end

    def time_of(self, row: Mapping[str, Any]) -> datetime | None:
        """The row's time; None where there is no field to look at, or no need of a time that it lacks.

        Raises:
            ValueError: the row has none where one is needed, or it can't be read.
        """
        value = row.get(self.field) if self.field is not None else None
        if value is None:
            if self.bounded:
                raise ValueError(f"{self.field}: the row has no time")
            return None
        try:
            return read_time(value, self.format)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"{self.field}: {error}") from None


def span_of(table: Table, resource: Resource, window: Window | None, after: Position | None) -> Span:
    """The span of a read; the table's time column is the field where the resource names none.

    Raises:
        ConfigError: a window is wanted but nothing says what a row's time is.
    """
    field, style = _field(table, resource, bool(window or (after and after.parts)))
    if window:
        return Span(field, style, window.start, end=window.end)
    if after and "" in after.parts:
        return Span(field, style, _mark(after.parts[""], style, str(table)), above=True)
    return Span(field, style)


def time_column(name: str, style: TimeFormat) -> Column:
    """The column of rows' times, where the settings declare none."""

    def convert(value: Any) -> int:
        count = _microseconds(value, style)
        if count != count.to_integral_value():
            raise ValueError(f"{value} is finer than a microsecond; declare the column as string to keep it")
        return int(count)

    return Column(pa.field(name, pa.timestamp("us", "UTC")), convert)


def parameters(span: Span, resource: Resource) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of the query and of the body (by path) that name the ends of a span."""
    query: dict[str, Any] = {}
    body: dict[str, Any] = {}
    ends = ((resource.since, span.first, _lower), (resource.until, span.end, _upper))
    for bound, when, written in ends:
        if bound and when is not None:
            place, name = (query, bound.param) if bound.param else (body, bound.body)
            place[str(name)] = written(when, bound.format)
    return query, body


def _field(table: Table, resource: Resource, needed: bool) -> tuple[str | None, TimeFormat]:
    since = resource.since
    field = (since.field if since else None) or table.time
    style: TimeFormat = since.format if since else "iso"
    if since and since.field and table.time and since.field != table.time:
        raise ConfigError(
            f"the time column is {table.time!r}, but the API is asked by {since.field!r}",
            where=str(table),
            hint=f"use {since.field!r} as `time:` of the table and `since:` of the copy",
        )
    if needed and field is None:
        raise ConfigError(
            "a window needs to know a row's time",
            where=str(table),
            hint="set `time:` of the table, or `field` under `since:` of the resource",
        )
    declared = resource.columns.get(field or "")
    return field, _DECLARED.get(declared or "", style)


def _mark(stored: Any, style: TimeFormat, where: str) -> datetime:
    value = mark_of(stored)
    if isinstance(value, datetime):
        return value
    try:
        return read_time(value, style)
    except (ValueError, ArithmeticError) as error:
        raise ConfigError(f"the watermark {stored!r} is no time", where=where) from error


def _back(when: datetime, by: timedelta) -> datetime:
    return when - by if when - _FIRST > by else _FIRST


def _lower(when: datetime, style: TimeFormat) -> str | int:
    return _written(_back(when, _DAY if style == "date" else _SECOND), style, up=False)


def _upper(when: datetime, style: TimeFormat) -> str | int:
    return _written(when, style, up=True)


def _written(when: datetime, style: TimeFormat, *, up: bool) -> str | int:
    """A moment as a parameter, rounded down or up to the format's unit."""
    micros = (when.astimezone(UTC) - _EPOCH) // _MICROSECOND
    unit = {"epoch": 10**6, "epoch_ms": 10**3, "iso": 10**6, "date": 86_400 * 10**6}[style]
    count = -(-micros // unit) if up else micros // unit
    if style in ("epoch", "epoch_ms"):
        return count
    rounded = _EPOCH + timedelta(microseconds=count * unit)
    return f"{rounded:%Y-%m-%d}" if style == "date" else f"{iso(rounded)[:19]}Z"


def read_time(value: Any, style: TimeFormat) -> datetime:
    """A row's time: text is ISO 8601, a number counts seconds or milliseconds as the format says.

    Raises:
        ValueError, ArithmeticError: it is none.
    """
    return _EPOCH + timedelta(microseconds=math.floor(_microseconds(value, style)))


def _microseconds(value: Any, style: TimeFormat) -> Decimal:
    """A row's time since 1970, all its digits."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) == 10 and not text.isdigit():
            return Decimal(timedelta(days=day(text)) // _MICROSECOND)
        if not text.isdigit():
            return Decimal(moment(text, "ns")) / 1000
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{str(value)[:80]!r} is no time")  # noqa: TRY004 - told like other bad values
    if style not in _PER_SECOND:
        raise ValueError(f"{value} counts something; declare the column as epoch or epoch_ms")
    with localcontext(prec=_DIGITS):
        count = Decimal(value) * (10**6 // _PER_SECOND[style])
    if count.adjusted() > _LONGEST:
        raise ValueError(f"{value} is behind the end of the calendar")
    return count


_PER_SECOND = {"epoch": 1, "epoch_ms": 1000}
#: Declared type of the field -> how it is written, whatever the parameter's format.
_DECLARED: Mapping[str, TimeFormat] = {
    "timestamp": "iso",
    "date": "iso",
    "day": "date",
    "epoch": "epoch",
    "epoch_ms": "epoch_ms",
}
