"""Half-open UTC intervals, and the calendar they are cut from.

A pipeline owns calendar periods (`window: day`), not the time between two triggers: triggered at 02:00 on
the 24th, a daily pipeline owns [23rd 00:00, 24th 00:00) in its time zone. On the day the clocks change,
the window is 23 or 25 hours long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from levada.errors import ConfigError


class Grain(StrEnum):
    """The length of a calendar period."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, order=True)
class Window:
    """Half-open interval `[start, end)`; both are aware and in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ConfigError("a window's ends need a time zone", hint="use UTC datetimes")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.start >= self.end:
            raise ConfigError(f"window {self.start:%FT%TZ} to {self.end:%FT%TZ} is empty or reversed")

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"{_iso(self.start)}/{_iso(self.end)}"

    @property
    def short(self) -> str:
        """For people: `2026-11-23` where it is one whole day of UTC, otherwise both ends."""
        whole = self.start == _midnight(self.start.date(), ZoneInfo("UTC"))
        return f"{self.start:%F}" if whole and self.end - self.start == timedelta(days=1) else str(self)

    @classmethod
    def parse(cls, text: str, grain: Grain = Grain.DAY, zone: str = "UTC") -> Window:
        """Read `2026-11-23` (or `2026-11-23T05`, `2026-W47`, `2026-11`) or `START/END`.

        A single moment means the period of `grain` that holds it; a week or a month means itself.

        Raises:
            ConfigError: the text is none of these.
        """
        text = text.strip()
        try:
            if "/" in text:
                start, end = text.split("/", 1)
                return cls(_moment(start, zone), _moment(end, zone))
            if _WEEK.fullmatch(text):
                grain = Grain.WEEK
            elif _MONTH.fullmatch(text):
                grain = Grain.MONTH
            return period(_moment(text, zone), grain, zone)
        except OverflowError as error:
            raise ConfigError(f"{text!r} lies at the end of the calendar") from error


def period(moment: datetime, grain: Grain, zone: str = "UTC") -> Window:
    """The calendar period of `grain` that holds `moment`, in the calendar of `zone`."""
    tz = timezone(zone)
    if grain is Grain.HOUR:  # hours are absolute: a local hour can happen twice
        start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return Window(start, start + timedelta(hours=1))
    first = _first_day(moment.astimezone(tz).date(), grain)
    return Window(_midnight(first, tz), _midnight(_next_first_day(first, grain), tz))


def last_whole(trigger: datetime, grain: Grain, zone: str = "UTC") -> Window:
    """The last whole period before `trigger`: what a pipeline triggered then owns."""
    current = period(trigger, grain, zone)
    return period(current.start - timedelta(microseconds=1), grain, zone)


def periods(span: Window, grain: Grain, zone: str = "UTC") -> Iterator[Window]:
    """Every period of `grain` that overlaps `span`, oldest first."""
    current = period(span.start, grain, zone)
    while current.start < span.end:
        yield current
        current = period(current.end, grain, zone)


def timezone(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        ConfigError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"unknown time zone {name!r}", hint="use an IANA name such as Europe/Lisbon or UTC"
        ) from error


def _first_day(day: date, grain: Grain) -> date:
    if grain is Grain.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain is Grain.MONTH else day


def _next_first_day(first: date, grain: Grain) -> date:
    if grain is Grain.MONTH:
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if grain is Grain.WEEK else 1)


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC)


def _iso(moment: datetime) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{text}{fraction}Z"


_WEEK = re.compile(r"(\d{4})-W(\d{2})")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_HOUR = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2})")


def _moment(text: str, zone: str) -> datetime:
    text = text.strip()
    try:
        if match := _WEEK.fullmatch(text):
            day = date.fromisocalendar(int(match[1]), int(match[2]), 1)
            return _midnight(day, timezone(zone))
        if match := _MONTH.fullmatch(text):
            return _midnight(date(int(match[1]), int(match[2]), 1), timezone(zone))
        if match := _HOUR.fullmatch(text):
            text = f"{match[1]}T{match[2]}:00"
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"can't read {text!r} as a time",
            hint="write 2026-11-23, 2026-11-23T05, 2026-W47, 2026-11, or START/END",
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone(zone))).astimezone(UTC)
