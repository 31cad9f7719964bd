"""The form of Arrow's types in text."""

from __future__ import annotations

import pyarrow as pa

from levada.types import kind_of


def textual(field: pa.Field, nested: bool = False) -> pa.Field:
    """The field whose values have a text form, to which the values can be cast and back.

    Times, durations and, below the top, dates of a unit other than ms are counts; maps are lists of
    `key` and `value`; dictionaries are their values.
    """
    kind = field.type
    if pa.types.is_dictionary(kind):
        return textual(pa.field(field.name, kind.value_type, metadata=field.metadata), nested)
    if pa.types.is_struct(kind):
        return pa.field(field.name, pa.struct([textual(child, True) for child in kind]))
    if pa.types.is_map(kind):
        pair = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
        return textual(pa.field(field.name, pa.list_(pair)), nested)
    if kind_of(field) == "array":
        return pa.field(field.name, pa.list_(textual(kind.value_field, True)))
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pa.field(field.name, pa.int32() if pa.types.is_time32(kind) else pa.int64())
    if nested and kind_of(field) == "date" and kind != pa.timestamp("ms", "UTC"):
        return pa.field(field.name, pa.int32() if pa.types.is_date32(kind) else pa.int64())
    return field.with_nullable(True)


def as_text(column: pa.Array, field: pa.Field) -> pa.Array:
    """A column in its textual form."""
    target = textual(field).type
    if column.type == target:
        return column
    if pa.types.is_map(column.type):
        nulls = column.is_null() if column.null_count else None
        pairs = pa.StructArray.from_arrays([column.keys, column.items], names=["key", "value"])
        column = pa.ListArray.from_arrays(column.offsets, pairs, mask=nulls)
    return column.cast(target)


def from_text(column: pa.Array, field: pa.Field) -> pa.Array:
    """A column in its textual form as it was.

    Raises:
        pa.ArrowInvalid: a value does not fit.
    """
    kind = field.type
    if column.type == kind:
        return column
    if pa.types.is_map(kind):
        nulls = column.is_null() if column.null_count else None
        pairs = column.values
        columns = pairs.field(0).cast(kind.key_type), pairs.field(1).cast(kind.item_type)
        return pa.MapArray.from_arrays(column.offsets, *columns, type=kind, mask=nulls)
    return column.cast(kind)
