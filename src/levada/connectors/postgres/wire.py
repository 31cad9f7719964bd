"""Rows as PostgreSQL takes them in a binary COPY, and the rows that it would not take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.postgres.catalog import Column
from levada.connectors.postgres.documents import texts
from levada.errors import Fatal
from levada.types import kind_of
from levada.types.layout import unstorable_rows
from levada.types.postgres import DAYS, FIRST_MOMENT, WIRES

_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_JSONB_VERSION = b"\x01"


@dataclass(frozen=True)
class Wire:
    """How the values of one column travel.

    Args:
        column: where they go.
        arrow: the Arrow type sent.
        encode: makes that of the rows' values.
        cast: whether they go as text (or an array of it) that PostgreSQL casts to the column's type.
    """

    column: Column
    arrow: pa.DataType
    encode: Callable[[pa.Array], pa.Array]
    cast: bool = False

    @property
    def sent(self) -> str:
        """The type of a column that takes what is sent."""
        if not self.cast:
            return self.column.shown
        return "text[]" if pa.types.is_list(self.arrow) else "text"


def wire_of(column: Column, field: pa.Field, where: str) -> Wire:
    """How values of a logical field travel into a column.

    Raises:
        Fatal: they can't.
    """
    arrow = field.type
    if column.element is not None and pa.types.is_list(arrow):
        return _array(column)
    if column.type == "jsonb":
        return Wire(column, pa.binary(), _jsonb)
    if column.type == "json":
        return Wire(column, pa.string(), _json)
    if column.type == "uuid" and kind_of(field) == "uuid":
        return Wire(column, pa.binary(), _uuids)
    if column.type == "numeric" and not _is_text(arrow):
        sent = (
            arrow
            if pa.types.is_decimal128(arrow)
            else pa.decimal128(38 if pa.types.is_decimal(arrow) else 20, _scale(arrow))
        )
        return Wire(column, sent, lambda values: values.cast(sent))
    if (
        column.element is None
        and column.type in WIRES
        and (column.type == "text" or not _is_text(arrow) or pa.types.is_string(WIRES[column.type]))
    ):
        return Wire(column, WIRES[column.type], lambda values: _sent(values, WIRES[column.type]))
    if _is_text(arrow):
        return Wire(column, pa.string(), lambda values: values.cast(pa.string()), cast=True)
    raise Fatal(
        f"column {column.name!r} has type {column.shown}, which can't take {arrow}",
        where=where,
        hint="cast the column on the way, or write into a table without it",
    )


def refused(batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    """The rows that PostgreSQL can't hold, and why."""
    yield from unstorable_rows(batch)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        for row in _with_nul(column):
            yield row, f"{name}: PostgreSQL's text has no NUL character"
        for mask, reason in _outside(column):
            for row in pc.indices_nonzero(mask).to_pylist():
                yield row, f"{name}: {reason}"


def _outside(column: pa.Array) -> Iterator[tuple[pa.Array, str]]:
    kind = column.type
    if pa.types.is_date32(kind):
        days = column.cast(pa.int32())
        yield pc.or_(pc.less(days, DAYS[0]), pc.greater(days, DAYS[1])), "PostgreSQL's calendar lacks the day"
    elif pa.types.is_timestamp(kind):
        floor = FIRST_MOMENT // {"s": 10**6, "ms": 10**3, "us": 1}.get(kind.unit, 1)
        if kind.unit != "ns":
            yield pc.less(column.cast(pa.int64()), floor), "PostgreSQL's calendar lacks the moment"
    elif pa.types.is_time64(kind) and kind.unit == "ns":
        count = column.cast(pa.int64())
        whole = pc.multiply(pc.divide(count, 1000), 1000)
        yield pc.not_equal(count, whole), "PostgreSQL's time has no nanoseconds"


def _with_nul(column: pa.Array) -> list[int]:
    if not _nul_inside(column):
        return []
    if _is_text(column.type):
        found: list[int] = pc.indices_nonzero(pc.match_substring(column, "\0")).to_pylist()
        return found
    if pa.types.is_dictionary(column.type):
        return _with_nul(column.dictionary_decode())
    return [row for row, text in enumerate(texts(column)) if text and _NUL_ESCAPE.search(text)]


def _nul_inside(column: pa.Array) -> bool:
    """Whether a text of the column, at any depth, has a NUL."""
    kind = column.type
    if _is_text(kind):
        return bool(pc.any(pc.match_substring(column, "\0")).as_py())
    if pa.types.is_struct(kind):
        return any(_nul_inside(column.field(at)) for at in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _nul_inside(column.keys) or _nul_inside(column.items)
    if pa.types.is_dictionary(kind):
        return _nul_inside(column.dictionary)
    return _nul_inside(column.flatten()) if kind.num_fields else False


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _scale(arrow: pa.DataType) -> int:
    return int(arrow.scale) if pa.types.is_decimal(arrow) else 0


def _sent(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """A safe cast; no value is cut or wrapped."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
    if pa.types.is_duration(kind):
        return values.cast(pa.int64())
    if pa.types.is_decimal256(kind):
        return (
            values.cast(pa.decimal128(38, kind.scale)) if pa.types.is_decimal(wanted) else values.cast(wanted)
        )
    return values.cast(wanted)


def _json(values: pa.Array) -> pa.Array:
    return values.cast(pa.string()) if _is_text(values.type) else pa.array(texts(values), pa.string())


def _jsonb(values: pa.Array) -> pa.Array:
    found = _json(values).to_pylist()
    return pa.array([None if text is None else _JSONB_VERSION + text.encode() for text in found], pa.binary())


def _uuids(values: pa.Array) -> pa.Array:
    found = values.cast(pa.string()).to_pylist()
    return pa.array(
        [None if text is None else bytes.fromhex(text.replace("-", "")) for text in found], pa.binary()
    )


def _array(column: Column) -> Wire:
    element = WIRES.get(column.element or "")
    direct = element is not None and column.element not in ("numeric", "json", "time")
    sent = pa.list_(pa.field("item", element if direct else pa.string()))
    return Wire(column, sent, lambda values: values.cast(sent), cast=not direct)
