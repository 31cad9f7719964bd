"""Python values as typed constants."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from levada.sql.errors import SqlError
from levada.sql.expression import Constant
from levada.sql.types import (
    BIGINT,
    BLOB,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    NULL,
    OBJECTID,
    TIMESTAMP,
    UUID,
    VARCHAR,
    SqlType,
    decimal,
    list_of,
)

_INT32 = 2**31
_INT64 = 2**63


def constants(parameters: Mapping[str, Any] | Sequence[Any]) -> dict[str, Constant]:
    """Bound values as constants: by name, or by position from 1.

    Raises:
        SqlError: a value has no type in SQL.
    """
    if isinstance(parameters, str | bytes) or not isinstance(parameters, Mapping | Sequence):
        raise SqlError("parameters are a sequence or a mapping, not one value", hint="write (value,)")
    if isinstance(parameters, Mapping):
        return {str(name): constant(value) for name, value in parameters.items()}
    return {str(place): constant(value) for place, value in enumerate(parameters, 1)}


def constant(value: Any) -> Constant:
    """A Python value as a constant of its type; a time without a zone is UTC, cut to milliseconds."""
    if value is None:
        return Constant(NULL, True, None)
    if isinstance(value, list | tuple):
        return _list(value)
    for python, (kind, convert) in _TYPES.items():
        if isinstance(value, python):
            held = convert(value)
            if isinstance(held, str):
                _must_be_text(held)
            return Constant(kind(held) if callable(kind) else kind, False, held)
    raise SqlError(f"a parameter can't be of the type {type(value).__name__}")


def _list(values: Sequence[Any]) -> Constant:
    from levada.sql.expressions.unify import unify

    items = [constant(value) for value in values]
    kind = unify([item.type for item in items], None) if items else NULL
    return Constant(list_of(kind), False, tuple(item.value for item in items))


def _must_be_text(value: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise SqlError("a text has half of a surrogate pair, which is no character")


def _integer(value: int) -> SqlType:
    if -_INT32 <= value < _INT32:
        return INTEGER
    if -_INT64 <= value < _INT64:
        return BIGINT
    raise SqlError(f"{value} is beyond BIGINT", hint="pass a Decimal")


def _decimal(value: Decimal) -> SqlType:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise SqlError(f"{value} is no DECIMAL", hint="pass a float")
    scale = max(0, -exponent)
    whole = max(len(digits) + exponent, 0)
    if whole + scale > 34:
        raise SqlError(f"{value} has more than 34 digits")
    return decimal(max(whole + scale, 1), scale)


def _instant(value: datetime) -> datetime:
    value = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _midnight(value: date) -> datetime:
    return datetime.combine(value, time(), UTC)


#: Python type -> SQL type (or what chooses it), and how the value is held. The first that fits counts.
_TYPES: dict[type, tuple[Any, Any]] = {
    bool: (BOOLEAN, bool),
    Int64: (BIGINT, int),
    int: (_integer, int),
    float: (DOUBLE, float),
    Decimal: (_decimal, Decimal),
    Decimal128: (_decimal, lambda value: value.to_decimal()),
    str: (VARCHAR, str),
    bytes: (BLOB, bytes),
    datetime: (TIMESTAMP, _instant),
    date: (DATE, _midnight),
    ObjectId: (OBJECTID, ObjectId),
    uuid.UUID: (UUID, lambda value: value),
}
