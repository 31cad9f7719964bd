"""Casts of constants, done while compiling: by the rules of `casts`, in Python."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Any

from bson.objectid import ObjectId

from levada.sql.types import SqlType

_MOMENT = re.compile(
    r"\s*(\d{4,5})-(\d{1,2})-(\d{1,2})"
    r"(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?\s*"
)
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_WIDE = Context(prec=60)


class Unfit(ValueError):
    """A value does not become the wanted type."""


def fold(value: Any, given: SqlType, wanted: SqlType) -> Any:
    """Cast a constant's value.

    Raises:
        Unfit: it can't be; says what and why.
    """
    if value is None or given == wanted:
        return value
    if isinstance(value, datetime) and wanted.name == "VARCHAR":
        return moment_text(value, given)
    rule = _RULES.get(wanted.name)
    if rule is None:
        raise Unfit(f"a constant {given} does not become {wanted}")
    try:
        return rule(value, wanted)
    except (ValueError, OverflowError, DecimalException, TypeError) as error:
        shown = repr(value) if isinstance(value, str) else str(value)
        raise Unfit(f"{shown} is no {wanted}") from error


def rounded(value: Decimal, scale: int) -> Decimal:
    """Half away from zero, as DuckDB rounds a DECIMAL."""
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, context=_WIDE)


def whole(value: Any) -> int:
    """A number or text as an integer: a double rounds half to even, others half away from zero."""
    if isinstance(value, float):
        return int(Decimal(value).quantize(Decimal(1), ROUND_HALF_EVEN, context=_WIDE))
    return int(rounded(_number(value), 0))


def moment(text: str) -> datetime:
    """Text as a moment in UTC, cut to milliseconds."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    micros = int((match[7] or "").ljust(6, "0")[:6])
    local = datetime(year, month, day, hour, minute, second, micros // 1000 * 1000, tzinfo=UTC)
    return (local - _offset(match[8])).astimezone(UTC)


def moment_text(value: datetime, kind: SqlType) -> str:
    """A DATE or TIMESTAMP as VARCHAR."""
    if kind.name == "DATE":
        return value.strftime("%Y-%m-%d")
    fraction = f"{value.microsecond:06d}".rstrip("0")
    return value.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "")


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone in {"Z", "UTC"}:
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    timezone(distance)  # refuses more than a day
    return -distance if zone[0] == "-" else distance


def _number(value: Any) -> Decimal:
    number = Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
    if not number.is_finite():
        raise ValueError(value)
    return number


def _ranged(low: int, high: int) -> Callable[[Any, SqlType], int]:
    def rule(value: Any, _wanted: SqlType) -> int:
        number = whole(value)
        if not low <= number < high:
            raise ValueError(value)
        return number

    return rule


def _decimal(value: Any, wanted: SqlType) -> Decimal:
    exact = Decimal(repr(value)) if isinstance(value, float) else _number(value)
    number = rounded(exact, wanted.scale)
    if abs(number) >= Decimal(10) ** (wanted.precision - wanted.scale):
        raise ValueError(value)
    return number


def _double(value: Any, _wanted: SqlType) -> float:
    number = float(value)
    if isinstance(value, str) and math.isinf(number) and not re.search("inf", value, re.IGNORECASE):
        raise ValueError(value)
    return number


def _boolean(value: Any, _wanted: SqlType) -> bool:
    if not isinstance(value, str):
        return bool(value)
    lowered = value.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError(value)
    return lowered in _TRUE


def _timestamp(value: Any, _wanted: SqlType) -> datetime:
    if isinstance(value, str):
        return moment(value)
    if not isinstance(value, datetime):
        raise TypeError(value)
    return value


def _date(value: Any, wanted: SqlType) -> datetime:
    if isinstance(value, str) and (cut := re.fullmatch(r"(\s*\d+-\d+-\d+)[ T].*", value, re.DOTALL)):
        moment(value)
        value = cut[1]
    return _timestamp(value, wanted).replace(hour=0, minute=0, second=0, microsecond=0)


def text(value: Any) -> str:
    """A constant as VARCHAR."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return _double_text(value)
        case Decimal():
            return f"{value:f}"
    return str(value)


def _double_text(value: float) -> str:
    return repr(value) if math.isfinite(value) else str(value)


def _list(value: Any, wanted: SqlType) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or wanted.item is None:
        raise TypeError(value)
    item = wanted.item
    return tuple(None if one is None else _RULES[item.name](one, item) for one in value)


def _varchar(value: Any, _wanted: SqlType) -> str:
    return text(value)


def _object_id(value: Any, _wanted: SqlType) -> ObjectId:
    if not isinstance(value, str) or not ObjectId.is_valid(value):
        raise ValueError(value)
    return ObjectId(value)


def _uuid(value: Any, _wanted: SqlType) -> uuid.UUID:
    return uuid.UUID(value)


def _blob(value: Any, _wanted: SqlType) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


_RULES: dict[str, Callable[[Any, SqlType], Any]] = {
    "BOOLEAN": _boolean,
    "INTEGER": _ranged(-(2**31), 2**31),
    "BIGINT": _ranged(-(2**63), 2**63),
    "DOUBLE": _double,
    "DECIMAL": _decimal,
    "VARCHAR": _varchar,
    "TIMESTAMP": _timestamp,
    "DATE": _date,
    "OBJECTID": _object_id,
    "UUID": _uuid,
    "BLOB": _blob,
    "LIST": _list,
}
