"""Values one by one, where a reply holds BSON types that a column's type does not always have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
from bson import decode as decode_document
from bson import encode as encode_document
from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from levada.bson import Decoder, Documents
from levada.sql.faults import DataError
from levada.sql.plan import PlanColumn
from levada.sql.types import SqlType
from levada.types.kinds import field_of

_EXACT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, datetime_conversion=DatetimeConversion.DATETIME_MS
)


class _Unfit(ValueError):
    """The value is none of the type."""


def singly(documents: Documents, column: PlanColumn, target: pa.Field) -> pa.Array:
    """One column of a result, value by value.

    Raises:
        DataError: a value is none of the column's type.
    """
    values = []
    for raw in documents.slices():
        value = decode_document(raw, _EXACT).get(column.field)
        try:
            values.append(_value(value, column.type))
        except (_Unfit, ArithmeticError) as error:
            raise DataError(
                f"a value of column {column.name!r} is no {column.type}: {error}",
                hint=f"the type is told by the query; CAST or TRY_CAST the value to {column.type}",
            ) from error
    try:
        return pa.array(values, target.type)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise DataError(f"a value of column {column.name!r} is no {column.type}: {error}") from error


def _value(value: Any, kind: SqlType) -> Any:
    if value is None:
        return None
    if kind.name == "STRUCT":
        if not isinstance(value, Mapping):
            raise _unfit(value)
        return {name: _value(value.get(name), part) for name, part in kind.fields}
    if kind.name == "LIST":
        if not isinstance(value, list) or kind.item is None:
            raise _unfit(value)
        return [_value(item, kind.item) for item in value]
    return _READERS[kind.name](value)


def _unfit(value: Any) -> _Unfit:
    shown = repr(value)
    return _Unfit(f"{shown if len(shown) <= 60 else shown[:57] + '...'} is a {_named(value)}")


def _named(value: Any) -> str:
    return {bool: "bool", int: "long", float: "double", str: "string", dict: "document"}.get(
        type(value), type(value).__name__
    )


def _of(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in types and not (isinstance(value, types) and not isinstance(value, bool)):
            raise _unfit(value)
        return value

    return read


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal128):
        raise _unfit(value)
    number = value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)
    if not number.is_finite() or number != int(number) or not -(2**63) <= number < 2**63:
        raise _Unfit(f"{value} is beyond its range")
    return int(number)


def _double(value: Any) -> float:
    if isinstance(value, Decimal128):
        return float(value.to_decimal())
    return float(_of(int, float)(value))


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal128):
        number = value.to_decimal()
    else:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(_of(int)(value))
    if not number.is_finite():
        raise _Unfit(f"{number} is no number that a DECIMAL holds")
    return number


def _bytes(value: Any) -> bytes:
    return bytes(_of(bytes, Binary)(value))


def _moment(value: Any) -> int:
    if isinstance(value, DatetimeMS):
        return int(value)
    raise _unfit(value)


def _day(value: Any) -> date:
    return datetime.fromtimestamp(_moment(value) / 1000, UTC).date()


def _object_id(value: Any) -> str:
    return str(_of(ObjectId)(value))


def _uuid(value: Any) -> str:
    if isinstance(value, Binary) and len(value) == 16:
        return str(UUID(bytes=bytes(value)))
    raise _unfit(value)


def _text(value: Any) -> str:
    return str(_of(str, Code)(value))


def _variant(value: Any) -> str | None:
    """Only inside a value that is read singly; elsewhere the codec writes these texts itself."""
    decoder = Decoder(pa.schema([field_of("variant", "v")]))
    batch, _ = decoder.decode(Documents.from_list([encode_document({"v": value})]))
    found: str | None = batch.column(0)[0].as_py()
    return found


#: Type -> reads a value that is not null.
_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "BOOLEAN": _of(bool),
    "INTEGER": _whole,
    "BIGINT": _whole,
    "DOUBLE": _double,
    "DECIMAL": _decimal,
    "VARCHAR": _text,
    "BLOB": _bytes,
    "TIMESTAMP": _moment,
    "DATE": _day,
    "OBJECTID": _object_id,
    "UUID": _uuid,
    "VARIANT": _variant,
    "NULL": _whole,
}
