"""JSON values -> the values of a column, by its field; what doesn't fit is refused with the reason."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import pyarrow as pa

from levada.connectors.files.cells import UNITS
from levada.connectors.files.variants import as_double, canonical_of
from levada.types import kind_of

Convert = Callable[[Any], Any]

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?"
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a naive one counts


def converter(field: pa.Field) -> Convert:
    """What turns a JSON value (not null) into the value of a column; it raises ValueError where it can't."""
    kind, _, _ = kind_of(field).partition(":")
    if kind in _BUILDERS:
        return _BUILDERS[kind](field)
    if kind not in _SCALARS:
        raise ValueError(f"type {field.type} has no text form")
    return _SCALARS[kind]


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


def double(text: str) -> float:
    """A number's text as a double; `NaN` and `Infinity` too."""
    return float(text)


def _offset(zone: str | None) -> int:
    if zone in (None, "Z", "z"):
        return 0
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _unwrapped(value: Any, *names: str) -> Any:
    """The inside of `{"$name": inside}` for one of these names, else the value itself."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inside),) = value.items()
        if name in names:
            return inside
    return value


def _refuse(value: Any, what: str) -> NoReturn:
    raise ValueError(f"{str(value)[:80]!r} is no {what}")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(value, "boolean")
    return value


def _integer(value: Any) -> int:
    inside = _unwrapped(value, "$numberInt", "$numberLong")
    if inside is not value:
        return int(inside)
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(value, "whole number")
    return value


def _timestamp(value: Any) -> int:
    inside = _unwrapped(value, "$timestamp")
    if inside is value:
        return _integer(value)
    bits = int(inside["t"]) << 32 | int(inside["i"])
    return bits - 2**64 if bits >= 2**63 else bits


def _double(value: Any) -> float:
    inside = _unwrapped(value, "$numberDouble", "$numberInt", "$numberLong")
    if inside is not value:
        return double(inside)
    if isinstance(value, float):
        return value
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return as_double(value)
    _refuse(value, "number")


def _decimal(value: Any) -> Decimal:
    inside = _unwrapped(value, "$numberDecimal", "$numberInt", "$numberLong")
    numbers = (int, Decimal) if inside is value else (str, int, Decimal)
    if not isinstance(inside, numbers) or isinstance(inside, bool):
        _refuse(value, "number")
    found = Decimal(inside)
    if not found.is_finite():
        _refuse(value, "finite number")
    return found


def _text(*names: str) -> Convert:
    def convert(value: Any) -> str:
        inside = _unwrapped(value, *names)
        if not isinstance(inside, str):
            _refuse(value, "text")
        return inside

    return convert


def _uuid(value: Any) -> str:
    inside = _unwrapped(value, "$binary")
    if inside is not value:
        return str(UUID(bytes=base64.b64decode(inside["base64"], validate=True)))
    return str(_text("$uuid")(value))


def _binary(value: Any) -> bytes:
    inside = _unwrapped(value, "$binary")
    if inside is value:
        _refuse(value, "binary data")
    return base64.b64decode(inside["base64"], validate=True)


def _variant(value: Any) -> str:
    inside = _unwrapped(value, "$variant")
    return str(inside) if inside is not value and isinstance(inside, str) else canonical_of(value)


def _date(field: pa.Field) -> Convert:
    unit = None if pa.types.is_date(field.type) else field.type.unit

    def convert(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        inside = _unwrapped(value, "$date")
        if isinstance(inside, dict):
            return int(inside["$numberLong"])
        if not isinstance(inside, str):
            _refuse(value, "time")
        return day(inside) if unit is None else moment(inside, unit)

    return convert


def _document(field: pa.Field) -> Convert:
    children: Mapping[str, Convert] = {child.name: converter(child) for child in field.type}

    def convert(value: Any) -> dict[str, Any]:
        if "$literal" not in children:
            value = _unwrapped(value, "$literal")
        if not isinstance(value, dict):
            _refuse(value, "object")
        return row(value, children)

    return convert


def row(value: Mapping[str, Any], children: Mapping[str, Convert]) -> dict[str, Any]:
    """The members of an object by their converters; null and missing are None."""
    if not value.keys() <= children.keys():
        unknown = next(name for name in value if name not in children)
        raise ValueError(f"the member {unknown!r} is not in the schema")
    found = {}
    for name, convert in children.items():
        member = value.get(name)
        try:
            found[name] = None if member is None else convert(member)
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _array(field: pa.Field) -> Convert:
    element = converter(field.type.value_field)

    def convert(value: Any) -> list[Any]:
        if not isinstance(value, list):
            _refuse(value, "array")
        return [None if each is None else element(each) for each in value]

    return convert


_SCALARS: dict[str, Convert] = {
    "null": lambda value: _refuse(value, "null"),
    "bool": _bool,
    "int32": _integer,
    "int64": _integer,
    "timestamp": _timestamp,
    "double": _double,
    "decimal": _decimal,
    "string": _text(),
    "objectId": _text("$oid"),
    "javascript": _text("$code"),
    "symbol": _text("$symbol"),
    "uuid": _uuid,
    "binary": _binary,
    "variant": _variant,
}
_BUILDERS: dict[str, Callable[[pa.Field], Convert]] = {"date": _date, "document": _document, "array": _array}
