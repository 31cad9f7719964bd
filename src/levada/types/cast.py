"""Rows of an earlier, narrower schema as rows of a wider one, value for value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from levada.errors import Fatal
from levada.types.extjson import texts
from levada.types.kinds import kind_of

_WIDER = {
    "int32": {"int32", "int64", "double", "decimal"},
    "int64": {"int64", "decimal"},
}


def cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows of `batch` by a schema that `widen` made of its schema and others.

    Columns that the batch does not have are null. What became a variant is written as the text that
    decoding it as a variant gives.

    Raises:
        Fatal: a value would change, or a column would be lost.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    places = {name: at for at, name in enumerate(batch.schema.names)}
    lost = [name for name in places if name not in set(schema.names)]
    if lost:
        raise Fatal(f"column {lost[0]!r} is not in the wider schema", hint="widen the schemas first")
    columns = [
        convert(batch.column(places[field.name]), batch.schema.field(places[field.name]), field)
        if field.name in places
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def convert(column: pa.Array, source: pa.Field, target: pa.Field) -> pa.Array:
    """One column by a wider field.

    Raises:
        Fatal: a value would change.
    """
    if source.type.equals(target.type, check_metadata=True) and kind_of(source) == kind_of(target):
        return column
    before, after = kind_of(source), kind_of(target)
    if before == "null":
        return pa.nulls(len(column), target.type)
    if after == "variant" and before != "variant":
        return pa.array(texts(column, source), target.type)
    if after not in _WIDER.get(before, {before}):
        raise Fatal(
            f"column {source.name!r} can't be widened from {before} to {after}",
            hint="cast to what `widen` returns",
        )
    if before in _NESTED:
        return _NESTED[before](column, target)
    try:
        return column.cast(target.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Fatal(
            f"column {source.name!r} can't be widened from {source.type} to {target.type}: {error}"
        ) from error


def _document(column: pa.Array, target: pa.Field) -> pa.Array:
    places = {field.name: at for at, field in enumerate(column.type)}
    lost = [name for name in places if target.type.get_field_index(name) < 0]
    if lost:
        raise Fatal(f"column {target.name!r} would lose its field {lost[0]!r}")
    children = [
        convert(column.field(places[field.name]), column.type.field(places[field.name]), field)
        if field.name in places
        else pa.nulls(len(column), field.type)
        for field in target.type
    ]
    return struct(children, target.type, len(column), column.is_null() if column.null_count else None)


def struct(children: list[pa.Array], arrow: pa.DataType, rows: int, nulls: pa.Array | None) -> pa.Array:
    """A struct column; `nulls` (bool) says which rows are null."""
    if children:
        return pa.StructArray.from_arrays(children, fields=list(arrow), mask=nulls)
    valid = None if nulls is None else pa.py_buffer(np.packbits(~np.asarray(nulls), bitorder="little"))
    return pa.Array.from_buffers(arrow, rows, [valid])


def _array(column: pa.Array, target: pa.Field) -> pa.Array:
    if not pa.types.is_list(column.type):
        column = column.cast(pa.list_(column.type.value_field))
    edges = np.asarray(column.offsets)
    values = column.values.slice(edges[0], edges[-1] - edges[0])
    converted = convert(values, column.type.value_field, target.type.value_field)
    offsets = pa.array(edges - edges[0], pa.int32())
    nulls = column.is_null() if column.null_count else None
    return pa.ListArray.from_arrays(offsets, converted, type=target.type, mask=nulls)


_NESTED: dict[str, Callable[[pa.Array, pa.Field], pa.Array]] = {"document": _document, "array": _array}
