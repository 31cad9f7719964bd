"""BSON types that a collection's `$jsonSchema` asks for, given to columns whose values say less.

What SQL returns has lost its BSON types; the validator of the target knows them. A column that is of an
allowed type already stays as it is, and so does one whose type a `shape:` has settled, or one of values of
several types. Any other column is converted where no value changes. A row with a value that can't be
converted is written as it is: the server's validator decides about it, row by row.

Format: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Batch
from levada.types import kind_of
from levada.types.cast import struct
from levada.types.fit import Unfit, fit
from levada.types.kinds import SETTLED, original_name

#: `bsonType` -> the kinds that are of it; the first one is what values are converted to.
_KINDS: dict[str, tuple[str, ...]] = {
    "double": ("double",),
    "string": ("string",),
    "object": ("document",),
    "array": ("array",),
    "binData": ("uuid", "binary"),
    "objectId": ("objectId",),
    "bool": ("bool",),
    "date": ("date",),
    "null": ("null",),
    "int": ("int32",),
    "timestamp": ("timestamp",),
    "long": ("int64",),
    "decimal": ("decimal",),
    "number": ("int32", "int64", "double", "decimal"),
    "javascript": ("javascript",),
    "symbol": ("symbol",),
}

#: JSON Schema's own names (`type:`) where they differ.
_ALIASES = {"boolean": "bool"}

#: Kinds that are made of another kind's values only where a person asks for it.
_UNASKED = {"string": {"objectId", "uuid", "javascript", "symbol"}}

Mask = npt.NDArray[np.bool_]


class Restoring:
    """Gives batches the types of a validator.

    Args:
        validator: of the collection's options; None where it has none.
    """

    def __init__(self, validator: Mapping[str, Any] | None) -> None:
        self._schemas = [schema for schema in _schemas(validator or {}) if _says_something(schema)]

    def of(self, batch: Batch) -> list[Batch]:
        """The batch in parts, in order: rows with the types restored, and rows as they are.

        Args:
            batch: by the original names of its fields; whole documents stay as they are.
        """
        if batch.canonical or not self._schemas or not batch.data.num_rows:
            return [batch]
        changed, bad = batch.data, np.zeros(batch.data.num_rows, np.bool_)
        for schema in self._schemas:
            changed, worse = _record(changed, schema)
            bad |= worse
        if changed is batch.data:
            return [batch]
        if not bad.any():
            return [replace(batch, data=changed)]
        return [replace(batch, data=part) for part in _runs(batch.data, changed, bad)]


def _schemas(validator: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that hold for every document."""
    if isinstance(schema := validator.get("$jsonSchema"), Mapping):
        yield schema
        for one in schema.get("allOf") or ():
            yield from _schemas({"$jsonSchema": one})
    for condition in validator.get("$and") or ():
        yield from _schemas(condition)


def _says_something(schema: Mapping[str, Any]) -> bool:
    return isinstance(schema.get("properties"), Mapping)


def _runs(before: pa.RecordBatch, after: pa.RecordBatch, bad: Mask) -> Iterator[pa.RecordBatch]:
    first = 0
    for as_it_is, run in groupby(bad.tolist()):
        rows = len(list(run))
        yield (before if as_it_is else after).slice(first, rows)
        first += rows


def _record(data: pa.RecordBatch, schema: Mapping[str, Any]) -> tuple[pa.RecordBatch, Mask]:
    bad = np.zeros(data.num_rows, np.bool_)
    fields, columns, same = [], [], True
    for field, column in zip(data.schema, data.columns, strict=True):
        made, changed = _value(field, column, _property(schema, field), bad)
        same = same and made is field
        fields.append(made)
        columns.append(changed)
    if same:
        return data, bad
    found = pa.schema(fields, metadata=data.schema.metadata)
    return pa.RecordBatch.from_arrays(columns, schema=found), bad


def _property(schema: Mapping[str, Any], field: pa.Field) -> Mapping[str, Any]:
    properties = schema.get("properties")
    found = properties.get(original_name(field)) if isinstance(properties, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _value(
    field: pa.Field, column: pa.Array, wanted: Mapping[str, Any], bad: Mask
) -> tuple[pa.Field, pa.Array]:
    """A column by what the schema says of it; `bad` learns the rows that don't fit."""
    kind = kind_of(field)
    if not wanted or kind in ("null", "variant") or SETTLED in (field.metadata or {}):
        return field, column
    if kind == "document":
        return _document(field, column, wanted, bad)
    if kind == "array":
        return _array(field, column, wanted, bad)
    return _scalar(field, column, _allowed(wanted), bad)


def _allowed(wanted: Mapping[str, Any]) -> list[str]:
    names = wanted.get("bsonType", wanted.get("type", []))
    return [_ALIASES.get(name, name) for name in ([names] if isinstance(names, str) else names)]


def _scalar(field: pa.Field, column: pa.Array, allowed: list[str], bad: Mask) -> tuple[pa.Field, pa.Array]:
    kind = kind_of(field)
    if any(kind.partition(":")[0] in _KINDS.get(name, ()) for name in allowed):
        return field, column
    best = None
    for target in (_KINDS[name][0] for name in allowed if name in _KINDS and name != "number"):
        if target in ("document", "array", "null") or kind not in _UNASKED.get(target, {kind}):
            continue
        try:
            found = fit(column, field, target)
        except Unfit:
            continue
        if best is None or len(found.bad) < len(best.bad):
            best = found
    if best is None or len(best.bad) == len(column) - column.null_count:
        return field, column  # nothing fits: the server says so of every row
    bad[list(best.bad)] = True
    return best.field, best.column


def _document(
    field: pa.Field, column: pa.Array, wanted: Mapping[str, Any], bad: Mask
) -> tuple[pa.Field, pa.Array]:
    children = list(column.type)
    found = [
        _value(child, part, _property(wanted, child), bad)
        for child, part in zip(children, column.flatten(), strict=True)
    ]
    if all(made is child for (made, _), child in zip(found, children, strict=True)):
        return field, column
    kind = pa.struct([child for child, _ in found])
    nulls = column.is_null() if column.null_count else None
    return field.with_type(kind), struct([part for _, part in found], kind, len(column), nulls)


def _array(
    field: pa.Field, column: pa.Array, wanted: Mapping[str, Any], bad: Mask
) -> tuple[pa.Field, pa.Array]:
    items = wanted.get("items")
    if not isinstance(items, Mapping):
        return field, column
    plain = column if pa.types.is_list(column.type) else column.cast(pa.list_(column.type.value_field))
    elements = plain.flatten()
    lengths = plain.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    worse = np.zeros(len(elements), np.bool_)
    element = plain.type.value_field
    made, changed = _value(element, elements, items, worse)
    if made is element:
        return field, column
    bad[np.repeat(np.arange(len(plain)), lengths)[worse]] = True
    kind = pa.list_(made)
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    mask = plain.is_null() if plain.null_count else None
    return field.with_type(kind), pa.ListArray.from_arrays(offsets, changed, type=kind, mask=mask)
