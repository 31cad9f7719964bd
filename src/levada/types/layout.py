"""How Arrow types lie in a columnar store (Delta Lake, DuckDB), and how they come back.

The *logical* schema is what batches carry, BSON types in the fields' metadata included. The *stored* schema
is what the store holds: each type in a form that every reader of the store knows. The logical schema is
kept beside the data, so a value and its type come back as they were.

| Logical | Stored | Why |
|---|---|---|
| timestamp of any unit, with a zone | timestamp(us, UTC) | the stores count microseconds |
| null | no column until a value settles the type; inside a list: string | the stores have no such type |
| struct without fields | struct of `_levada_empty`, always null | Parquet can't hold one |
| unsigned integers | the next larger signed integer, decimal(20, 0) | Delta has none |
| decimal256 | decimal128 where it fits, else string | as above |
| time, duration | int64, of 32 bits int32 | as above |
| large, view, dictionary and fixed-size forms | the plain form | one form per type |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import pyarrow as pa

from levada.types.cast import struct
from levada.types.kinds import NAME, NAMED, kind_of, original_name

EMPTY = "_levada_empty"
#: Columns of this prefix are Levada's own; a source never shows them.
HIDDEN_PREFIX = "_levada_"

_US = pa.timestamp("us", "UTC")
_DECIMAL_DIGITS = 38
#: Days around 1970 that Python's calendar is sure to have; others are written as their number.
_PYTHONS_DAYS = 719_162

#: Type id -> the stored form, for types without children.
_PLAIN: dict[int, pa.DataType] = {
    pa.uint8().id: pa.int16(),
    pa.uint16().id: pa.int32(),
    pa.uint32().id: pa.int64(),
    pa.uint64().id: pa.decimal128(20, 0),
    pa.float16().id: pa.float32(),
    pa.date64().id: pa.date32(),
    pa.time32("s").id: pa.int32(),
    pa.time64("us").id: pa.int64(),
    pa.duration("us").id: pa.int64(),
    pa.large_string().id: pa.string(),
    pa.string_view().id: pa.string(),
    pa.large_binary().id: pa.binary(),
    pa.binary_view().id: pa.binary(),
    pa.binary(1).id: pa.binary(),
    pa.null().id: pa.string(),
}


def stored_type(logical: pa.DataType) -> pa.DataType:
    """The stored form of a type (see the table above); a stored form is its own."""
    for matches, convert in _NESTED:
        if matches(logical):
            return convert(logical)
    return _PLAIN.get(logical.id, logical)


def stored_schema(logical: pa.Schema) -> pa.Schema:
    """The stored form of a schema: settled columns only, all nullable, without metadata."""
    return pa.schema([pa.field(f.name, stored_type(f.type)) for f in logical if not pa.types.is_null(f.type)])


def grown_type(stored: pa.DataType, wanted: pa.DataType) -> pa.DataType:
    """The stored type with the fields it lacks; where it is no struct, the wanted type."""
    if pa.types.is_list(stored) and pa.types.is_list(wanted):
        return pa.list_(pa.field("element", grown_type(stored.value_type, wanted.value_type)))
    if not (pa.types.is_struct(stored) and pa.types.is_struct(wanted)):
        return wanted
    news = {field.name: field.type for field in wanted}
    kept = [pa.field(f.name, grown_type(f.type, news.pop(f.name, f.type))) for f in stored]
    return pa.struct([*kept, *(pa.field(name, kind) for name, kind in news.items())])


def readable_schema(logical: pa.Schema, stored: pa.Schema) -> pa.Schema:
    """What a reader gets: the store's columns in their logical types, Levada's own columns left out.

    Args:
        logical: as kept beside the data; others may have added columns since, or changed a type.
        stored: as the store has it now.
    """
    known = {field.name: field for field in logical}
    fields = [known_field(known.get(field.name), field) for field in stored]
    unsettled = [
        field for field in logical if pa.types.is_null(field.type) and field.name not in stored.names
    ]
    visible = [field for field in [*fields, *unsettled] if not field.name.startswith(HIDDEN_PREFIX)]
    order = {name: place for place, name in enumerate(logical.names)}
    visible.sort(key=lambda field: order.get(field.name, len(order)))
    return pa.schema(visible, metadata=logical.metadata)


def known_field(logical: pa.Field | None, stored: pa.Field) -> pa.Field:
    """The logical field where it still describes the stored one, else the stored one.

    Where others added fields to a document, those it had are described as before.
    """
    plain = stored_type(stored.type)
    if logical is None:
        return pa.field(stored.name, plain)
    if stored_type(logical.type) == plain:
        return logical.with_nullable(True)
    return pa.field(stored.name, _known_type(logical.type, plain), metadata=_label_of_names(logical))


def _known_type(logical: pa.DataType, plain: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(logical) and pa.types.is_struct(plain):
        known = {field.name: field for field in logical}
        return pa.struct([known_field(known.get(field.name), field) for field in plain])
    if pa.types.is_list(logical) and pa.types.is_list(plain):
        return pa.list_(known_field(logical.value_field.with_name("element"), plain.value_field))
    return plain


def _label_of_names(field: pa.Field) -> dict[bytes, bytes] | None:
    return {key: value for key, value in (field.metadata or {}).items() if key in (NAME, NAMED)} or None


class Change(IntEnum):
    """What a stored column needs before it can take the rows of a wider field."""

    NONE = 0
    GROW = 1  # new fields, null in the rows that are there
    SETTLE = 2  # a list that never held a value gets its type: no value changes, but the column does
    CONVERT = 3  # the values that are there get another type or form


def change(old: pa.Field, new: pa.Field) -> Change:
    """What it takes to store `new`, made by `widen` from `old` and others, where `old` is stored."""
    kinds = kind_of(old), kind_of(new)
    if kinds[0] == "null":
        return Change.NONE if kinds[1] == "null" else Change.GROW
    if kinds[0] != kinds[1]:
        return Change.CONVERT
    if pa.types.is_struct(old.type):
        known = {field.name: field for field in old.type}
        return max(
            (change(known[f.name], f) if f.name in known else Change.GROW for f in new.type),
            default=Change.NONE,
        )
    if pa.types.is_list(old.type) and pa.types.is_list(new.type):
        inner = change(old.type.value_field, new.type.value_field)
        settles = inner is Change.GROW and pa.types.is_null(old.type.value_type)
        return Change.SETTLE if settles else inner
    return Change.NONE if stored_type(old.type) == stored_type(new.type) else Change.CONVERT


def castable(old: pa.Field, new: pa.Field) -> bool:
    """Whether SQL's cast keeps every value of `old` in `new`; a document kept as JSON needs none."""
    kinds = {kind_of(old), kind_of(new)}
    if "null" in kinds or change(old, new) is Change.NONE:
        return True
    if kinds <= {"int32", "int64", "double", "decimal"}:
        return True
    if kinds == {"document"}:
        known = {field.name: field for field in new.type}
        return all(castable(field, known[field.name]) for field in old.type)
    if kinds == {"array"}:
        return castable(old.type.value_field, new.type.value_field)
    return kinds == {"date"}


def to_stored(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in the stored form.

    Args:
        batch: has the columns of `schema`, those of type null aside.
        schema: as from `stored_schema`.

    Raises:
        pa.ArrowInvalid: a value has no place in the stored type; nothing is ever cut or wrapped.
    """
    columns = [_cast(batch.column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def from_stored(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch in its logical types.

    Args:
        batch: as read from the store.
        schema: (a projection of) what `readable_schema` gives.

    Raises:
        pa.ArrowInvalid: someone else stored a value that the logical type can't hold.
    """
    here = set(batch.schema.names)
    columns = [
        _restored(batch.column(field.name), field.type)
        if field.name in here
        else pa.nulls(len(batch), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def unstorable_rows(batch: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    """The rows that `to_stored` would refuse, and why."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not pa.types.is_null(column.type):
            yield from _refused(column, stored_type(column.type), 0, name)


def row_text(batch: pa.RecordBatch, row: int) -> bytes:
    """One row as JSON text by original names, for a quarantine; times are integers in their column's unit."""
    one = batch.slice(row, 1)
    names = map(original_name, batch.schema)
    values = {name: _plain(column) for name, column in zip(names, one.columns, strict=True)}
    return json.dumps(values, default=_text, ensure_ascii=False).encode()


def _refused(column: pa.Array, stored: pa.DataType, first: int, name: str) -> Iterator[tuple[int, str]]:
    """Halve until the cast either works or fails for a single row."""
    try:
        _cast(column, stored)
    except pa.ArrowInvalid as error:
        if len(column) == 1:
            yield first, f"{name}: {error}"
            return
        half = len(column) // 2
        yield from _refused(_own(column.slice(0, half)), stored, first, name)
        yield from _refused(_own(column.slice(half)), stored, first + half, name)


def _cast(column: pa.Array, stored: pa.DataType) -> pa.Array:
    """A safe cast; of a slice of lists Arrow casts the neighbours too, whose values are no concern here."""
    try:
        return column.cast(stored)
    except pa.ArrowInvalid:
        return _own(column).cast(stored)


def _own(column: pa.Array) -> pa.Array:
    """The same rows without the rest of the memory they are a slice of."""
    return column.take(pa.array(np.arange(len(column))))


def _plain(column: pa.Array) -> Any:
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_date(kind) and kind != pa.month_day_nano_interval():
        integers = pa.int32() if pa.types.is_time32(kind) else pa.int64()
        return column.cast(integers)[0].as_py()
    if pa.types.is_struct(kind) and column[0].is_valid:
        return {original_name(field): _plain(column.field(place)) for place, field in enumerate(kind)}
    if pa.types.is_list(kind) and column[0].is_valid:
        items = column[0].values
        return [_plain(items.slice(i, 1)) for i in range(len(items))]
    if pa.types.is_date32(kind) and column[0].is_valid and abs(column[0].value) > _PYTHONS_DAYS:
        return column[0].value
    return column[0].as_py()


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _struct(logical: pa.DataType) -> pa.DataType:
    settled = [
        pa.field(field.name, stored_type(field.type))
        for field in logical
        if not pa.types.is_null(field.type) and field.name != EMPTY
    ]
    return pa.struct(settled or [pa.field(EMPTY, pa.bool_())])


def _list(logical: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", stored_type(logical.value_type)))


def _map(logical: pa.DataType) -> pa.DataType:
    return pa.map_(stored_type(logical.key_type), stored_type(logical.item_type))


def _timestamp(logical: pa.DataType) -> pa.DataType:
    return _US if logical.tz else pa.timestamp("us")


def _decimal256(logical: pa.DataType) -> pa.DataType:
    fits = logical.precision <= _DECIMAL_DIGITS
    return pa.decimal128(logical.precision, logical.scale) if fits else pa.string()


def _restored(column: pa.Array, logical: pa.DataType) -> pa.Array:
    """Arrow casts everything back but nulls, which were stored as strings."""
    if not _holds_null(logical):
        return column.cast(logical)
    if pa.types.is_null(logical):
        return pa.nulls(len(column))
    nulls = column.is_null() if column.null_count else None
    if pa.types.is_struct(logical):
        names = {field.name: place for place, field in enumerate(column.type)}
        children = [
            _restored(column.field(names[field.name]), field.type)
            if field.name in names
            else pa.nulls(len(column), field.type)
            for field in logical
        ]
        return struct(children, logical, len(column), nulls)
    edges = np.asarray(column.offsets)
    values = _restored(column.values.slice(edges[0], edges[-1] - edges[0]), logical.value_type)
    return pa.ListArray.from_arrays(pa.array(edges - edges[0], pa.int32()), values, type=logical, mask=nulls)


def _holds_null(logical: pa.DataType) -> bool:
    if pa.types.is_struct(logical):
        return any(_holds_null(field.type) for field in logical)
    return bool(pa.types.is_null(logical) or (pa.types.is_list(logical) and _holds_null(logical.value_type)))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


_NESTED: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType], pa.DataType]], ...] = (
    (pa.types.is_struct, _struct),
    (_is_list, _list),
    (pa.types.is_map, _map),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_decimal256, _decimal256),
    (pa.types.is_dictionary, lambda logical: stored_type(logical.value_type)),
)
