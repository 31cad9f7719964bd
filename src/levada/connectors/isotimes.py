"""Times and dates as ISO 8601 writes them -> counts since 1970."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

#: Arrow's units of time -> how many make a second.
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a naive one counts


def moment(text: str, unit: str) -> int:
    """An ISO 8601 time as its count of units since 1970; without a zone it is UTC.

    Raises:
        ValueError: it is none, or finer than the unit.
    """
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time in ISO 8601")
    day, clock, fraction, zone = found.groups()
    seconds = (datetime.fromisoformat(f"{day}T{clock}") - _EPOCH) // timedelta(seconds=1) - _offset(zone)
    parts = int((fraction or "0").ljust(9, "0"))
    per_second = UNITS[unit]
    if parts % (10**9 // per_second):
        raise ValueError(f"{text!r} is finer than the column's unit, {unit}")
    return seconds * per_second + parts * per_second // 10**9


def day(text: str) -> int:
    """A date as its count of days since 1970."""
    return (date.fromisoformat(text.strip()) - date(1970, 1, 1)).days


def _offset(zone: str | None) -> int:
    if zone in (None, "Z", "z"):
        return 0
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds
