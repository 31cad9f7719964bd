"""Formats of strftime and strptime."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from levada.sql.errors import SqlError
from levada.sql.expressions.table import Emitted

_CODE = re.compile(r"%(-?[A-Za-z%])")

#: Codes that `$dateToString` and `$dateFromString` have, too.
_NATIVE = {
    "Y": "%Y", "m": "%m", "d": "%d", "H": "%H", "M": "%M", "S": "%S", "j": "%j", "g": "%L", "G": "%G",
    "V": "%V", "u": "%u", "%": "%%",
}  # fmt: skip
_PARSED = {**_NATIVE, "z": "%z", "-d": "%d", "-m": "%m", "-H": "%H", "-M": "%M", "-S": "%S"}

#: Codes that stand for several.
_LONG = {"x": "%Y-%m-%d", "X": "%H:%M:%S", "c": "%Y-%m-%d %H:%M:%S", "F": "%Y-%m-%d", "T": "%H:%M:%S"}


def _names(names: str, operator: str) -> Callable[[Emitted], Emitted]:
    listed = names.split()
    return lambda date: {"$arrayElemAt": [listed, {"$subtract": [{operator: date}, 1]}]}


def _bare(operator: str) -> Callable[[Emitted], Emitted]:
    return lambda date: {"$toString": {operator: date}}


def _hour12(date: Emitted) -> Emitted:
    return {"$add": [{"$mod": [{"$add": [{"$hour": date}, 11]}, 12]}, 1]}


def _padded(number: Emitted) -> Emitted:
    return {"$substrCP": [{"$toString": {"$add": [number, 100]}}, 1, 2]}


_DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday"
_MONTHS = "January February March April May June July August September October November December"

_COMPUTED: Mapping[str, Callable[[Emitted], Emitted]] = {
    "A": _names(_DAYS, "$dayOfWeek"),
    "a": _names(" ".join(name[:3] for name in _DAYS.split()), "$dayOfWeek"),
    "B": _names(_MONTHS, "$month"),
    "b": _names(" ".join(name[:3] for name in _MONTHS.split()), "$month"),
    "y": lambda date: {"$substrCP": [{"$dateToString": {"date": date, "format": "%Y"}}, 2, 2]},
    "f": lambda date: {"$dateToString": {"date": date, "format": "%L000"}},
    "p": lambda date: {"$cond": [{"$lt": [{"$hour": date}, 12]}, "AM", "PM"]},
    "I": lambda date: _padded(_hour12(date)),
    "w": lambda date: {"$toString": {"$subtract": [{"$dayOfWeek": date}, 1]}},
    "-d": _bare("$dayOfMonth"),
    "-m": _bare("$month"),
    "-H": _bare("$hour"),
    "-M": _bare("$minute"),
    "-S": _bare("$second"),
    "-j": _bare("$dayOfYear"),
    "-I": lambda date: {"$toString": _hour12(date)},
}


def format_time(text: Any, date: Emitted) -> Emitted:
    """strftime.

    Raises:
        SqlError: the format is no constant, or has a code that is not known.
    """
    parts: list[Emitted] = []
    native = ""
    for code, plain in _codes(text, "strftime"):
        if code is None or code in _NATIVE:
            native += plain.replace("%", "%%") if code is None else _NATIVE[code]
        elif code in _COMPUTED:
            if native:
                parts.append(_shown(native, date))
            native = ""
            parts.append(_COMPUTED[code](date))
        else:
            raise SqlError(f"strftime has no %{code} on MongoDB")
    if native or not parts:
        parts.append(_shown(native, date))
    return parts[0] if len(parts) == 1 else {"$concat": parts}


def parse_format(text: Any) -> str:
    """The format of `$dateFromString` for one of strptime.

    Raises:
        SqlError: the format is no constant, or has a code that is not known.
    """
    out = ""
    for code, plain in _codes(text, "strptime"):
        if code is not None and code not in _PARSED:
            raise SqlError(f"strptime has no %{code} on MongoDB")
        out += plain if code is None else _PARSED[code]
    return out


def _shown(native: str, date: Emitted) -> Emitted:
    return {"$dateToString": {"date": date, "format": {"$literal": native}}}


def _codes(text: Any, what: str) -> list[tuple[str | None, str]]:
    """(code, its text) and (None, plain text), in order."""
    if not isinstance(text, str):
        raise SqlError(f"{what} takes its format as a literal")
    for code, long in _LONG.items():
        text = re.sub(f"(?<!%)%{code}", long, text)
    found: list[tuple[str | None, str]] = []
    place = 0
    for match in _CODE.finditer(text):
        if match.start() > place:
            found.append((None, text[place : match.start()]))
        found.append((match[1], match[0]))
        place = match.end()
    if place < len(text):
        found.append((None, text[place:]))
    return found
