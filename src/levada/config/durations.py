"""Durations as people write them: `90s`, `5m`, `2h`, `1h30m`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PATTERN = r"^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
_LONGEST = timedelta(days=36_500)


def parse_duration(text: str) -> timedelta:
    """Read a duration: whole numbers of weeks, days, hours, minutes and seconds, longest unit first.

    Raises:
        ValueError: the text is not such a duration, or is longer than a century.
    """
    compact = text.strip().replace(" ", "")
    if not compact or not re.match(_PATTERN, compact, re.ASCII):
        raise ValueError(f"can't read {text!r} as a duration: write 90s, 5m, 2h, 1h30m or 7d")
    seconds = sum(int(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"\d+[wdhms]", compact))
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"duration {text!r} is longer than {_LONGEST.days} days")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads as the same whole seconds."""
    rest = int(duration.total_seconds())
    parts = []
    for unit, seconds in _UNITS.items():
        count, rest = divmod(rest, seconds)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _from_yaml(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration needs a unit: write 90s, 5m, 2h, 1h30m or 7d")


#: A pydantic type: text in YAML, `timedelta` in Python.
Duration = Annotated[
    timedelta,
    BeforeValidator(_from_yaml),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "examples": ["90s", "5m", "1h30m", "7d"]}),
]
