"""Variants: the canonical Extended JSON text of a value.

Format: https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md, written
without spaces, with the normal form of `levada.types.lattice` for numbers and documents. One addition: a
document with a member that Extended JSON gives a meaning (`{"$oid": ...}` as data, not as an ObjectId) is
wrapped as `{"$literal": {...}}`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.errors import Fatal
from levada.types.kinds import kind_of, original_name

#: Names that turn a document into something else when its Extended JSON is read.
RESERVED = frozenset(
    {
        *("$oid", "$symbol", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$binary"),
        *("$uuid", "$code", "$timestamp", "$regularExpression", "$dbPointer", "$date", "$minKey"),
        *("$maxKey", "$undefined", "$literal"),
    }
)

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)

quote: Callable[[str], str] = encode_basestring


def integer(value: int) -> str:
    """Text of a whole number, by its value."""
    if value in _INT32:
        return f'{{"$numberInt":"{value}"}}'
    if value in _INT64:
        return f'{{"$numberLong":"{value}"}}'
    return decimal(Decimal(value))


def double(value: float) -> str:
    """Text of a double; one that is an int32 reads as that."""
    if value.is_integer() and int(value) in _INT32 and (value or str(value)[0] != "-"):
        return integer(int(value))
    if value - value == 0:
        return f'{{"$numberDouble":"{value!r}"}}'
    text = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124
    return f'{{"$numberDouble":"{text}"}}'


def decimal(value: Decimal) -> str:
    """Text of a decimal; one that is an int64 reads as a whole number, others lose their trailing zeros."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        text = "NaN" if value.is_nan() else "-Infinity" if sign else "Infinity"
        return f'{{"$numberDecimal":"{text}"}}'
    coefficient = int("".join(map(str, digits)))
    if coefficient == 0:
        return f'{{"$numberDecimal":"{value}"}}' if sign else integer(0)
    shorter = str(coefficient).rstrip("0")
    exponent += len(str(coefficient)) - len(shorter)
    if 0 <= exponent < 19:
        whole = int(shorter) * 10**exponent * (-1 if sign else 1)
        if whole in _INT64:
            return integer(whole)
    short = Decimal((sign, tuple(map(int, shorter)), exponent))
    return f'{{"$numberDecimal":"{short}"}}'


def object_id(text: str) -> str:
    """Text of an ObjectId given as 24 hexadecimal digits."""
    return f'{{"$oid":"{text}"}}'


def date(milliseconds: int) -> str:
    """Text of a date given in ms since 1970."""
    return f'{{"$date":{{"$numberLong":"{milliseconds}"}}}}'


def timestamp(bits: int) -> str:
    """Text of a BSON timestamp given as its 64 bits."""
    return f'{{"$timestamp":{{"t":{bits >> 32 & 0xFFFFFFFF},"i":{bits & 0xFFFFFFFF}}}}}'


def binary(data: bytes, subtype: int = 0) -> str:
    """Text of binary data."""
    return f'{{"$binary":{{"base64":"{base64.b64encode(data).decode()}","subType":"{subtype:02x}"}}}}'


def code(text: str) -> str:
    """Text of JavaScript code."""
    return f'{{"$code":{quote(text)}}}'


def symbol(text: str) -> str:
    """Text of a symbol."""
    return f'{{"$symbol":{quote(text)}}}'


def document(members: Iterable[tuple[str, str | None]]) -> str:
    """Text of a document, given the texts of its members; None and "null" are left out."""
    kept = sorted((name, text) for name, text in members if text is not None and text != "null")
    body = ",".join([f"{quote(name)}:{text}" for name, text in kept])
    if any(name in RESERVED for name, _ in kept):
        return f'{{"$literal":{{{body}}}}}'
    return f"{{{body}}}"


def array(elements: Iterable[str | None]) -> str:
    """Text of an array, given the texts of its elements."""
    return f"[{','.join([text or 'null' for text in elements])}]"


def _uuid(text: str) -> str:
    return binary(UUID(text).bytes, 4)


def _bool(value: bool) -> str:
    return "true" if value else "false"


#: Kind -> (the Arrow type its values are read as, None: as they are; value -> text).
_SCALARS: dict[str, tuple[pa.DataType | None, Callable[[Any], str]]] = {
    "bool": (None, _bool),
    "int32": (None, integer),
    "int64": (None, integer),
    "double": (pa.float64(), double),
    "string": (pa.string(), quote),
    "binary": (None, binary),
    "objectId": (None, object_id),
    "uuid": (None, _uuid),
    "javascript": (None, code),
    "symbol": (None, symbol),
    "timestamp": (None, timestamp),
    "variant": (None, str),
}


def texts(column: pa.Array, field: pa.Field) -> list[str | None]:
    """The text of every value of a column; None for null.

    Raises:
        Fatal: the column's type has no place in the lattice.
    """
    kind, _, subtype = kind_of(field).partition(":")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind in _NESTED:
        return _NESTED[kind](column, field)
    if kind not in _SCALARS:
        raise Fatal(f"column {field.name!r} of type {column.type} has no text form")
    arrow, write = _SCALARS[kind]
    values = (column if arrow is None or column.type == arrow else column.cast(arrow)).to_pylist()
    if subtype:
        number = int(subtype, 16)
        return [None if value is None else binary(value, number) for value in values]
    return [None if value is None else write(value) for value in values]


def _nulls(column: pa.Array, _field: pa.Field) -> list[str | None]:
    return [None] * len(column)


def _decimals(column: pa.Array, _field: pa.Field) -> list[str | None]:
    if not pa.types.is_decimal(column.type):
        return [None if value is None else integer(value) for value in column.to_pylist()]
    return [None if value is None else decimal(value) for value in column.to_pylist()]


def _dates(column: pa.Array, field: pa.Field) -> list[str | None]:
    milliseconds = to_milliseconds(column)
    if milliseconds is None:
        raise Fatal(f"column {field.name!r} has times finer than a millisecond, which a date can't hold")
    return [None if value is None else date(value) for value in milliseconds.to_pylist()]


def _documents(column: pa.Array, _field: pa.Field) -> list[str | None]:
    names = [original_name(child) for child in column.type]
    children = [texts(column.field(at), child) for at, child in enumerate(column.type)]
    valid = column.is_valid().to_pylist()
    rows = zip(*children, strict=True) if children else iter([()] * len(column))
    return [
        document(zip(names, row, strict=True)) if there else None
        for there, row in zip(valid, rows, strict=True)
    ]


def _arrays(column: pa.Array, field: pa.Field) -> list[str | None]:
    if not pa.types.is_list(column.type):
        column = column.cast(pa.list_(column.type.value_field))
    element = field.type.value_field
    edges = np.asarray(column.offsets).tolist()
    parts = texts(column.values.slice(edges[0], edges[-1] - edges[0]), element)
    first = edges[0]
    return [
        array(parts[start - first : end - first]) if there else None
        for there, start, end in zip(column.is_valid().to_pylist(), edges[:-1], edges[1:], strict=True)
    ]


_NESTED: dict[str, Callable[[pa.Array, pa.Field], list[str | None]]] = {
    "null": _nulls,
    "decimal": _decimals,
    "date": _dates,
    "document": _documents,
    "array": _arrays,
}


def to_milliseconds(column: pa.Array) -> pa.Array | None:
    """Dates and time stamps of any unit as int64 ms since 1970; None if one is finer than that."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    unit = column.type.unit
    if unit != "ms":
        try:
            column = column.cast(pa.timestamp("ms", column.type.tz))
        except pa.ArrowInvalid:
            return None
    return pc.cast(column, pa.int64())
