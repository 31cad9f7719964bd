"""Texts and JSON objects -> typed columns, and the rows that don't fit them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from levada.connectors.files import values
from levada.connectors.files.kinds import from_text, textual
from levada.connectors.jsontext import loads
from levada.types import kind_of

_FOREIGN = (ValueError, TypeError, KeyError, ArithmeticError, pa.ArrowException)

Bad = dict[int, str]


def parsed(texts: pa.Array, field: pa.Field) -> tuple[pa.Array, Bad]:
    """Cells of CSV as a column; a cell that doesn't fit is null and named."""
    plain = textual(field)
    kind = kind_of(plain).partition(":")[0]
    try:
        if kind in _FAST:
            return from_text(_FAST[kind](texts, plain), field), {}
    except pa.ArrowException:
        pass
    return _one_by_one(texts.to_pylist(), field, _cell(kind, plain))


def build(rows: Sequence[Mapping[str, Any]], fields: Sequence[pa.Field]) -> tuple[list[pa.Array], Bad]:
    """Columns of converted values (see `values.row`); a value that doesn't fit is null and named."""
    columns: list[pa.Array] = []
    bad: Bad = {}
    for field in fields:
        column, refused = _one_by_one([row[field.name] for row in rows], field, _same)
        columns.append(column)
        for row, why in refused.items():
            bad.setdefault(row, f"{field.name}: {why}")
    return columns, bad


def array_of(found: Sequence[Any], field: pa.Field) -> pa.Array:
    """Values in the column's textual form (counts for times) as the column.

    Raises:
        pa.ArrowException, ValueError, OverflowError: a value does not fit.
    """
    plain = textual(field).type
    if pa.types.is_date(plain) or pa.types.is_timestamp(plain):
        counts = pa.int32() if pa.types.is_date32(plain) else pa.int64()
        return from_text(pa.array(found, counts).cast(plain), field)
    return from_text(pa.array(found, plain), field)


def _same(value: Any) -> Any:
    return value


def _one_by_one(found: list[Any], field: pa.Field, convert: Callable[[Any], Any]) -> tuple[pa.Array, Bad]:
    bad: Bad = {}
    converted: list[Any] = []
    for at, value in enumerate(found):
        try:
            converted.append(None if value is None else convert(value))
        except _FOREIGN as error:
            converted.append(None)
            bad[at] = str(error)
    try:
        return array_of(converted, field), bad
    except _FOREIGN:
        for at, value in enumerate(converted):
            try:
                array_of([value], field)
            except _FOREIGN as error:
                converted[at] = None
                bad[at] = str(error)
    return array_of(converted, field), bad


def _cast(texts: pa.Array, field: pa.Field) -> pa.Array:
    return texts.cast(field.type)


def _unsigned(texts: pa.Array, field: pa.Field) -> pa.Array:
    return (
        texts.cast(pa.decimal128(20, 0)).cast(field.type)
        if field.type == pa.uint64()
        else _cast(texts, field)
    )


def _double(texts: pa.Array, field: pa.Field) -> pa.Array:
    return texts.cast(pa.float64()).cast(field.type, safe=False)


_FAST: dict[str, Callable[[pa.Array, pa.Field], pa.Array]] = {
    **dict.fromkeys(("bool", "int32", "int64", "timestamp", "date"), _cast),
    **dict.fromkeys(("string", "objectId", "uuid", "javascript", "symbol", "variant"), _cast),
    "decimal": _unsigned,
    "double": _double,
}


def _cell(kind: str, field: pa.Field) -> Callable[[str], Any]:
    """What turns the text of a cell into a value."""
    if kind == "binary":
        return lambda text: base64.b64decode(text, validate=True)
    if kind in _TEXTS:
        return _TEXTS[kind]
    convert = values.converter(field)
    if kind == "date":
        return lambda text: convert(json.loads(text) if text[:1] == "{" or _whole(text) else text)
    return lambda text: convert(loads(text))


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text == "true"


_TEXTS: dict[str, Callable[[str], Any]] = {
    "bool": _bool,
    "int32": int,
    "int64": int,
    "timestamp": int,
    "double": values.double,
    "decimal": Decimal,
}

__all__ = ["Bad", "array_of", "build", "parsed"]
