"""JSON values -> the values of a column, by its field; what doesn't fit is refused with the reason."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import pyarrow as pa

from levada.connectors.isotimes import day, moment
from levada.connectors.jsontext import as_double, canonical_of
from levada.types import kind_of

Convert = Callable[[Any], Any]


def converter(field: pa.Field) -> Convert:
    """What turns a JSON value (not null) into the value of a column; it raises ValueError where it can't."""
    kind, _, _ = kind_of(field).partition(":")
    if kind in _BUILDERS:
        return _BUILDERS[kind](field)
    if kind not in _SCALARS:
        raise ValueError(f"type {field.type} has no text form")
    return _SCALARS[kind]


def double(text: str) -> float:
    """A number's text as a double; `NaN` and `Infinity` too."""
    return float(text)


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
