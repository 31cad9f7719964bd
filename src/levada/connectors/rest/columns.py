"""Declared columns: JSON values -> values of the column, exactly; what doesn't fit is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, NoReturn

import pyarrow as pa

from levada.bson.restore import value_of
from levada.bson.variant import text_of
from levada.connectors.columntypes import column_field
from levada.connectors.isotimes import UNITS, day, moment
from levada.connectors.jsontext import as_double
from levada.connectors.rest.documents import embedded
from levada.types import kind_of
from levada.types.kinds import decimal_facts

_TIMES = {"timestamp": None, "epoch": "s", "epoch_ms": "ms"}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_RANGES = {"int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}


@dataclass(frozen=True)
class Column:
    """A declared column.

    Args:
        field: its field.
        convert: JSON value (not null) -> its value; raises ValueError.
    """

    field: pa.Field
    convert: Callable[[Any], Any]


def column(name: str, kind: str) -> Column:
    """The column of a type in settings: `timestamp`, `epoch`, `epoch_ms`, or one that `column_field` knows.

    Raises:
        ValueError: there is no such type.
    """
    if kind in _TIMES:
        field = pa.field(name, pa.timestamp("us", "UTC"))
        return Column(field, _text_time("us") if kind == "timestamp" else _count(_TIMES[kind] or "s"))
    try:
        field = column_field(name, kind)
    except ValueError as error:
        raise ValueError(f"{error}, timestamp, epoch, epoch_ms") from None
    convert = _converter(field)
    if convert is None:
        raise ValueError(f"column {name!r} can't be {kind!r} here: JSON has no such values")
    return Column(field, convert)


def array_of(values: list[Any], field: pa.Field) -> pa.Array:
    """Converted values (None is null) as a column."""
    if pa.types.is_timestamp(field.type):
        return pa.array(values, pa.int64()).cast(field.type)
    if pa.types.is_date32(field.type):
        return pa.array(values, pa.int32()).cast(field.type)
    return pa.array(values, field.type)


def _converter(field: pa.Field) -> Callable[[Any], Any] | None:
    if pa.types.is_date32(field.type):
        return _day
    if pa.types.is_timestamp(field.type):
        return _text_time(field.type.unit)
    if pa.types.is_decimal(field.type):
        whole, scale = decimal_facts(field)
        return _decimal(whole + scale, scale)
    kind = kind_of(field)
    return _integer(_RANGES[kind]) if kind in _RANGES else _SCALARS.get(kind)


def _refuse(value: Any, what: str) -> NoReturn:
    raise ValueError(f"{str(value)[:80]!r} is no {what}")


def _number(value: Any) -> Decimal:
    """A JSON number, or a text that is one: amounts often travel as text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        _refuse(value, "number")
    return Decimal(value)


def _integer(within: range) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = _number(value)
        if number != number.to_integral_value() or number.adjusted() > 20 or int(number) not in within:
            _refuse(value, f"whole number from {within.start} to {within.stop - 1}")
        return int(number)

    return convert


def _decimal(precision: int, scale: int) -> Callable[[Any], Decimal]:
    step = Decimal(1).scaleb(-scale)

    def convert(value: Any) -> Decimal:
        number = _number(value)
        with localcontext(prec=precision or 1) as context:
            context.clear_flags()
            try:
                found = number.quantize(step)
            except InvalidOperation:
                _refuse(value, f"decimal({precision}, {scale})")
        if found != number:
            _refuse(value, f"decimal({precision}, {scale})")
        return found

    return convert


def _double(value: Any) -> float:
    return as_double(_number(value))


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse(value, "boolean")
    return value


def _text(value: Any) -> str:
    """A text as it is; of other scalars their JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    if not isinstance(value, str):
        _refuse(value, "text")
    value.encode()  # a lone half of a surrogate pair has no UTF-8
    return value


def _object_id(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{24}", value):
        _refuse(value, "ObjectId")
    return value.lower()


def _uuid(value: Any) -> str:
    from uuid import UUID

    if not isinstance(value, str):
        _refuse(value, "UUID")
    return str(UUID(value))


def _variant(value: Any) -> str:
    tag, data = value_of(embedded(value))
    return text_of(data, tag, 0, len(data), 1)


def _text_time(unit: str) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if not isinstance(value, str):
            _refuse(value, "time in ISO 8601; `epoch` and `epoch_ms` are numbers")
        return moment(value, unit)

    return convert


def _count(unit: str) -> Callable[[Any], int]:
    """Seconds or milliseconds since 1970 as microseconds."""

    def convert(value: Any) -> int:
        with localcontext(prec=100):
            count = _number(value) * (10**6 // UNITS[unit])
        if count.adjusted() > 18 or count != count.to_integral_value():
            _refuse(value, f"time in {unit} since 1970")
        return int(count)

    return convert


def _day(value: Any) -> int:
    if not isinstance(value, str):
        _refuse(value, "date in ISO 8601")
    return day(value)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "double": _double,
    "string": _text,
    "objectId": _object_id,
    "uuid": _uuid,
    "variant": _variant,
}
