"""Structs without fields, which Parquet can't hold: they get one that is always null, and lose it again."""

from __future__ import annotations

import pyarrow as pa

from levada.types import cast
from levada.types.layout import EMPTY, from_stored


def filled_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with a field in every struct that has none."""
    return pa.schema([_filled(field) for field in schema], metadata=schema.metadata)


def filled(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows by such a schema."""
    if batch.schema.equals(schema):
        return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
    return cast(batch, schema)


def restored(column: pa.Array, field: pa.Field) -> pa.Array:
    """A column as it was before it was filled, in the type of its logical field."""
    if column.type.equals(field.type, check_metadata=True):
        return column
    whole = pa.RecordBatch.from_arrays([column], names=[field.name])
    return from_stored(whole, pa.schema([field])).column(0)  # Arrow's own cast cuts lists of nulls short


def hollow(field: pa.Field) -> pa.Field:
    """The field without what `filled_schema` added."""
    kind = field.type
    if pa.types.is_struct(kind):
        kept = [hollow(child) for child in kind if child.name != EMPTY]
        return pa.field(field.name, pa.struct(kept), metadata=field.metadata)
    if pa.types.is_list(kind):
        return pa.field(field.name, pa.list_(hollow(kind.value_field)), metadata=field.metadata)
    return field


def _filled(field: pa.Field) -> pa.Field:
    kind = field.type
    if pa.types.is_struct(kind):
        children = [_filled(child) for child in kind] or [pa.field(EMPTY, pa.bool_())]
        return field.with_type(pa.struct(children))
    if pa.types.is_list(kind):
        return field.with_type(pa.list_(_filled(kind.value_field)))
    return field
