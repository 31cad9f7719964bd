"""Typed columns -> documents.

All rows at once: each column becomes pieces of bytes for every row (`levada.bson.rope`), which are joined in
one go. The field's kind says the BSON type (`levada.types.kinds`). Types that BSON does not have:

| Arrow | BSON |
|---|---|
| int8, int16, uint8, uint16 | int32 |
| uint32 | int64 |
| uint64, decimals of any width | Decimal128 |
| float16, float32 | double |
| dates, time stamps of any unit | date; a time finer than 1 ms rejects the row, a naive one is taken as UTC |
| dictionaries | their values |
| maps | documents |
| others | what PyMongo makes of the Python value; the row is rejected where it makes none |

A row is also rejected when a decimal needs more than 34 digits, or the text of an ObjectId, UUID or variant
is not one. The rejected record holds the row as Extended JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Rejected
from levada.bson import values
from levada.bson.rope import Matrix, Rope, numbers, offsets_of, spread
from levada.bson.values import NULL, Encoded, Rows, rope_of
from levada.errors import Fatal
from levada.types import KINDS, extjson, kind_of
from levada.types.kinds import OMITTED


def encode(batch: pa.RecordBatch, *, omit_nulls: bool = False) -> tuple[pa.Array, tuple[Rejected, ...]]:
    """One BSON document per row.

    Args:
        batch: rows by a schema whose labels say which BSON types to restore.
        omit_nulls: leave null members out instead of writing null (array elements always stay).

    Returns:
        A binary array without nulls, in the order of the rows, without the rejected ones; and those.

    Raises:
        Fatal: a name appears twice or holds NUL, or the documents are larger than 2 GiB together.
    """
    documents, bad = encode_rows(batch, omit_nulls=omit_nulls)
    return documents, tuple(Rejected(row_text(batch, row), bad[row]) for row in sorted(bad))


def encode_rows(batch: pa.RecordBatch, *, omit_nulls: bool) -> tuple[pa.Array, dict[int, str]]:
    """The same, with the places of the rejected rows and why they are.

    Raises:
        Fatal: a name appears twice or holds NUL, or the documents are larger than 2 GiB together.
    """
    rows = Rows(np.arange(batch.num_rows), {}, omit_nulls)
    if batch.num_rows == 0:
        return pa.array([], pa.binary()), {}
    try:
        documents = _members(batch.columns, list(batch.schema), rows).joined()
    except pa.ArrowCapacityError as error:
        raise too_large() from error
    if not rows.bad:
        return documents, {}
    good = np.ones(batch.num_rows, np.bool_)
    good[list(rows.bad)] = False
    return documents.filter(pa.array(good)), rows.bad


def too_large() -> Fatal:
    return Fatal("a batch encodes to more than 2 GiB of documents", hint="write smaller batches")


def row_text(batch: pa.RecordBatch, row: int) -> bytes:
    """A rejected row as Extended JSON; a value that has no such text as the text Arrow gives it."""
    members: list[tuple[str, str | None]] = []
    for column, field in zip(batch.slice(row, 1).columns, batch.schema, strict=True):
        try:
            members.append((field.name, extjson.texts(column, field)[0]))
        except (Fatal, ValueError):
            members.append((field.name, extjson.quote(_shown(column))))
    return extjson.document(members).encode()


def _shown(column: pa.Array) -> str:
    try:
        return str(column[0])
    except ValueError:  # a time that Python's types can't hold
        return str(column.to_string(skip_new_lines=True))


def _members(columns: list[pa.Array], fields: list[pa.Field], rows: Rows) -> Rope:
    """Whole documents of these columns, without nulls among the rows."""
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        raise Fatal(f"the name {max(names, key=names.count)!r} appears twice in one document")
    body = Rope(len(rows.origin))
    for column, field in zip(columns, fields, strict=True):
        name = field.name.encode() + b"\0"
        if b"\0" in name[:-1]:
            raise Fatal(f"the name {field.name!r} holds NUL, which BSON can't store")
        _member(body, name, column, field, rows)
    whole = Rope(len(rows.origin))
    whole.add(body.sizes(5))
    whole.extend(body)
    whole.add(b"\0")
    return whole


def _member(body: Rope, name: bytes, column: pa.Array, field: pa.Field, rows: Rows) -> None:
    column = _spelled_out(column)
    omitted = rows.omit_nulls or OMITTED in (field.metadata or {})
    if not (omitted and column.null_count):
        tag, value = _element(column, field, rows)
        body.add(tag)
        body.add(name)
        body.extend(value)
        return
    valid = np.asarray(column.is_valid())
    if not valid.any():
        return
    there = rows.of(np.flatnonzero(valid))
    element = Rope(len(there.origin))
    _member(element, name, column.drop_null(), field, there)
    body.add(spread(element.joined(), _edges(valid)))


def _edges(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _element(column: pa.Array, field: pa.Field, rows: Rows) -> Encoded:
    """Values of a column; a null is BSON's null."""
    column = _spelled_out(column)
    if column.null_count == len(column):
        return NULL, Rope(len(column))
    if not column.null_count:
        return _value(column, field, rows)
    valid = np.asarray(column.is_valid())
    tag, value = _value(column.drop_null(), field, rows.of(np.flatnonzero(valid)))
    tags = np.full((len(column), 1), NULL[0], np.uint8)
    tags[valid] = np.frombuffer(tag, np.uint8) if isinstance(tag, bytes) else tag
    full = Rope(len(column))
    full.add(spread(value.joined(), _edges(valid)))
    return tags, full


def _spelled_out(column: pa.Array) -> pa.Array:
    """The same values without dictionaries and views, which few kernels take."""
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.cast(_without_views(column.type)) if _has_views(column.type) else column


def _has_views(arrow: pa.DataType) -> bool:
    inner = [arrow.field(at).type for at in range(arrow.num_fields)]
    return arrow in _VIEWS or any(map(_has_views, inner))


def _without_views(arrow: pa.DataType) -> pa.DataType:
    """The same type with plain texts and bytes for views, in structs and lists too."""
    if pa.types.is_struct(arrow):
        return pa.struct([field.with_type(_without_views(field.type)) for field in arrow])
    for matches, make in _LISTS:
        if matches(arrow):
            return make(arrow.value_field.with_type(_without_views(arrow.value_type)))
    return _VIEWS.get(arrow, arrow)


_LISTS = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_fixed_size_list, pa.list_),
)
_VIEWS = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}


def _value(column: pa.Array, field: pa.Field, rows: Rows) -> Encoded:
    kind, _, subtype = kind_of(field).partition(":")
    if kind == "arrow":
        return values.foreign(column, rows)
    if kind == "binary":
        return values.binary(column.cast(pa.binary()), int(subtype or "0", 16))
    arrow = KINDS[kind].arrow
    if arrow is not None and kind != "date" and column.type != arrow:
        column = column.cast(arrow)
    write = _NESTED.get(kind) or values.WRITERS[kind]
    return write(column, rows)


def _document(column: pa.Array, rows: Rows) -> Encoded:
    fields = list(column.type)
    return b"\x03", _members([column.field(at) for at in range(len(fields))], fields, rows)


def _array(column: pa.Array, rows: Rows) -> Encoded:
    if not pa.types.is_list(column.type):
        column = column.cast(pa.list_(column.type.value_field))
    edges = np.asarray(column.offsets).astype(np.int64)
    counts, edges = np.diff(edges), edges - edges[0]
    items = column.flatten()
    origin = np.repeat(np.arange(len(column)), counts)
    tag, value = _element(items, column.type.value_field, rows.of(origin))
    elements = Rope(len(items))
    elements.add(tag)
    elements.add(_keys(np.arange(len(items)) - np.repeat(edges[:-1], counts)))
    elements.extend(value)
    joined = spread(elements.joined(), edges)
    return rope_of(b"\x04", numbers((np.diff(offsets_of(joined)) + 5).astype("<i4")), joined, b"\0")


def _keys(indices: npt.NDArray[np.int64]) -> Matrix | pa.Array:
    """Names of array elements: their index in decimal, and NUL."""
    most = int(indices.max(initial=0))
    if most < 10:
        keys = np.zeros((len(indices), 2), np.uint8)
        keys[:, 0] = indices + ord("0")
        return keys
    names = pa.array([b"%d\0" % index for index in range(most + 1)], pa.binary())
    return names.take(pa.array(indices))


_NESTED: dict[str, Callable[[pa.Array, Rows], Encoded]] = {"document": _document, "array": _array}
