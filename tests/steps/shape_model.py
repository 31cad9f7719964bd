"""What a shape means, row by row, in plain Python: the measure for `levada.steps.shaping`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Decimal128, Int64, ObjectId

MISSING = object()

Row = dict[str, Any]


class Refused(Exception):
    """The row has a value that its field can't hold."""


def document_of(shape: Any, row: Row) -> dict[str, Any]:
    """The document of a row; of rows of one key, where they are given as `row[""]`."""
    value, _ = _document(shape, row, "keep")
    found: dict[str, Any] = value
    return found


def _build(raw: Any, row: Row) -> tuple[Any, list[bool]]:
    """The value of a field, and for each of its columns whether it has one."""
    if isinstance(raw, str):
        return native(row[raw]), [row[raw] is not None]
    if isinstance(raw, list):
        return _array(raw, row, "drop", "keep")
    if "column" in raw:
        value = row[raw["column"]]
        made = native(value) if "type" not in raw else typed(value, raw["type"])
        return _or(made, [value is not None], raw.get("if_null", "null")), [value is not None]
    if "value" in raw:
        return raw["value"], []
    if "document" in raw:
        return _document(raw["document"], row, raw.get("if_null", "null"))
    if "array" in raw:
        return _array(raw["array"], row, raw.get("nulls", "drop"), raw.get("if_null", "keep"))
    if "each" in raw:
        return _each(raw, row)
    return _document(raw, row, "null")


def _or(made: Any, there: list[bool], if_null: str) -> Any:
    if any(there) or not there or if_null == "keep":
        return made
    return MISSING if if_null == "missing" else None


def _document(raw: Any, row: Row, if_null: str) -> tuple[Any, list[bool]]:
    made, there = {}, []
    for name, inner in raw.items():
        value, more = _build(inner, row)
        there += more
        if value is not MISSING:
            made[name] = value
    return _or(made, there, if_null), there


def _array(raw: Any, row: Row, nulls: str, if_null: str) -> tuple[Any, list[bool]]:
    found = [_build(item, row) for item in raw]
    there = [one for _, more in found for one in more]
    values = [value for value, _ in found]
    kept = [value for value in values if value is not None] if nulls == "drop" else values
    return _or(kept, there, if_null), there


def _each(raw: Any, row: Row) -> tuple[Any, list[bool]]:
    found = [_build(raw["each"], one) for one in row[""]]
    keep = raw.get("nulls") == "keep"
    kept = [value for value, more in found if keep or any(more)]
    there = [any(more) for _, more in found]
    return _or(kept, there, raw.get("if_null", "keep")), there


def native(value: Any) -> Any:
    """As it lies in BSON if nothing is said of its type."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    return Int64(value) if isinstance(value, int) else Decimal128(value)


def typed(value: Any, wanted: str) -> Any:
    if value is None:
        return None
    try:
        return _TYPES[wanted](value)
    except (ArithmeticError, LookupError, ValueError, TypeError) as error:
        raise Refused from error


def _int(value: Any, bits: int) -> int:
    if isinstance(value, str) and (value != str(int(value)) or not value.isascii()):
        raise ValueError(value)
    number = int(value)
    if (isinstance(value, str) or number == value) and -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        return number if bits == 32 else Int64(number)
    raise ValueError(value)


def _double(value: Any) -> float:
    _refuse_leading_zeros(value)
    number = float(value)
    same = number == value if isinstance(value, int | float) else Decimal(repr(number)) == Decimal(value)
    if same or number != number:
        return number
    raise ValueError(value)


def _refuse_leading_zeros(value: Any) -> None:
    """A number has none, a code that is made of digits may."""
    if isinstance(value, str) and re.match(r"-?0[0-9]", value):
        raise ValueError(value)


def _decimal(value: Any) -> Decimal128:
    _refuse_leading_zeros(value)
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite() or len(number.as_tuple().digits) > 34:
        raise ValueError(value)
    return Decimal128(number)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False, 0: True, 1: True}[value] and value not in (0, "false")


def _date(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if moment.microsecond % 1000:
        raise ValueError(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _object_id(value: str) -> ObjectId:
    if len(value) != 24:
        raise ValueError(value)
    return ObjectId(bytes.fromhex(value))


_TYPES: dict[str, Any] = {
    "int": lambda value: _int(value, 32),
    "long": lambda value: _int(value, 64),
    "double": _double,
    "decimal": _decimal,
    "date": _date,
    "object_id": _object_id,
    "string": str,
    "bool": _bool,
}


def alike(one: Any, other: Any) -> bool:
    """Whether two BSON values are of one type and equal; NaN is NaN, and 1.50 is 1.5."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, Decimal128):
        return bool(one.to_decimal() == other.to_decimal())
    return bool(one == other) or (one != one and other != other)


def milliseconds(number: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
