"""Units of time, and INTERVAL literals."""

from __future__ import annotations

import re
from decimal import Decimal

from levada.sql.errors import SqlError
from levada.sql.expression import Expr, Interval
from levada.sql.expressions.pieces import known

_SHORT = {
    "y": "year", "yr": "year", "yrs": "year", "mon": "month", "mons": "month", "w": "week", "d": "day",
    "h": "hour", "hr": "hour", "hrs": "hour", "m": "minute", "min": "minute", "mins": "minute", "s": "second",
    "sec": "second", "secs": "second", "ms": "millisecond", "msec": "millisecond", "us": "microsecond",
    "usec": "microsecond", "dayofmonth": "day", "dayofweek": "dow", "weekday": "dow", "dayofyear": "doy",
    "weekofyear": "week", "centuries": "century", "millennia": "millennium", "epoch_seconds": "epoch",
    "c": "century", "dec": "decade", "mil": "millennium", "q": "quarter", "qtr": "quarter",
}  # fmt: skip

_TRUNCATED = frozenset({
    "year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "decade", "century",
    "millennium",
})  # fmt: skip

#: Unit that has no fixed length -> months.
MONTHS_OF = {"month": 1, "quarter": 3, "year": 12, "decade": 120, "century": 1200, "millennium": 12000}
_DAYS = {"day": 1, "week": 7}
_MILLISECONDS = {"hour": 3_600_000, "minute": 60_000, "second": 1000, "millisecond": 1}

#: Unit of a fixed length in UTC -> milliseconds.
MILLISECONDS_OF = {**_MILLISECONDS, **{unit: days * 86_400_000 for unit, days in _DAYS.items()}}

_TERM = re.compile(r"\s*([+-]?\s*\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*,?")


def unit_name(text: str) -> str:
    """A unit's own name: `months` and `mon` are `month`."""
    text = text.lower()
    return _SHORT.get(text) or _SHORT.get(text.removesuffix("s")) or text.removesuffix("s")


def unit_of(arg: Expr, what: str) -> str:
    """The unit that a constant argument names.

    Raises:
        SqlError: it is no constant, or no unit that can be counted.
    """
    text = known(arg)
    if not isinstance(text, str):
        raise SqlError(f"{what} takes its unit as a literal")
    unit = unit_name(text)
    if unit not in _TRUNCATED:
        raise SqlError(f"{what} has no unit {text}", hint=", ".join(sorted(_TRUNCATED)))
    return unit


def interval(text: str, unit: str | None) -> Interval:
    """An INTERVAL literal: `3` with a unit, or `1 month 2 days` alone.

    Raises:
        ValueError: it can't be read, or has parts of a month.
    """
    if unit is not None:
        return _span(Decimal(text.strip()), unit_name(unit))
    months = days = milliseconds = place = 0
    while place < len(text.rstrip()):
        match = _TERM.match(text, place)
        if match is None:
            raise ValueError(text)
        span = _span(Decimal(match[1].replace(" ", "")), unit_name(match[2]))
        months, days = months + span.months, days + span.days
        milliseconds += span.milliseconds
        place = match.end()
    return Interval(months, days, milliseconds)


def _span(amount: Decimal, unit: str) -> Interval:
    whole = amount == amount.to_integral_value()
    if unit in MONTHS_OF and whole:
        return Interval(months=int(amount) * MONTHS_OF[unit])
    if unit in _DAYS and whole:
        return Interval(days=int(amount) * _DAYS[unit])
    factor = MILLISECONDS_OF.get(unit, 0)
    if not factor or amount * factor != int(amount * factor):
        raise ValueError(unit)
    return Interval(milliseconds=int(amount * factor))
