"""Side columns: values that a stored column's type can't hold, kept as text in `<column>__variant`.

A value goes where it fits: into the column if its type holds it as it is, else into the side column as
canonical Extended JSON, with null in the column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from levada.bson import Decoder, Documents, encode
from levada.connectors.spool import Convert
from levada.types import kind_of
from levada.types.cast import cast, convert
from levada.types.extjson import texts
from levada.types.kinds import field_of
from levada.types.layout import Change, change
from levada.types.names import SIDE_SUFFIX, Renaming, originals

#: Kinds whose values may be of another kind after all: what they hold has to be looked at.
_MIXED = ("variant", "int32", "int64", "double", "decimal", "document", "array")


def side_field(name: str) -> pa.Field:
    """The side column of a column."""
    return field_of("variant", name + SIDE_SUFFIX)


def divided(batch: pa.RecordBatch, sides: Mapping[str, pa.Field]) -> pa.RecordBatch:
    """The rows with columns that don't fit divided in two.

    Args:
        batch: by any schema.
        sides: column -> its stored field.
    """
    for name, stored in sides.items():
        at = batch.schema.get_field_index(name)
        if at < 0 or change(stored, batch.schema.field(at)) <= Change.GROW:
            continue
        fitting, others = _divide(batch.column(at), batch.schema.field(at), stored)
        batch = batch.set_column(at, stored, fitting).append_column(side_field(name), others)
    return batch


def dividing(sides: Mapping[str, pa.Field]) -> Convert:
    """What brings rows into a schema with side columns."""
    return lambda batch, schema: cast(divided(batch, sides), schema)


def _divide(column: pa.Array, field: pa.Field, stored: pa.Field) -> tuple[pa.Array, pa.Array]:
    written = pa.array(texts(column, field), pa.string())
    if kind_of(field) not in _MIXED:
        return pa.nulls(len(column), stored.type), written
    places = np.flatnonzero(np.asarray(column.is_valid()))
    # By the original names: what is text in the stored column holds them.
    there = Renaming(originals).of(pa.record_batch([column.take(pa.array(places))], pa.schema([field])))
    documents, rejected = encode(there)
    if rejected:  # such as a time finer than a date: it stays text
        return pa.nulls(len(column), stored.type), written
    values: list[pa.Array] = []
    fits = np.zeros(len(column), np.bool_)
    for first, last, part in _fitting(documents.to_pylist(), stored, 0):
        fits[places[first:last]] = part is not None
        if part is not None:
            values.append(part)
    held = pa.concat_arrays(values) if values else pa.nulls(0, stored.type)
    indices = np.cumsum(fits) - 1
    fitting = held.take(pa.array(indices, pa.int64(), mask=~fits))
    others = pa.array([None if fit else text for fit, text in zip(fits, written.to_pylist(), strict=True)])
    return fitting, others.cast(pa.string())


def _fitting(
    documents: list[bytes], stored: pa.Field, first: int
) -> Iterator[tuple[int, int, pa.Array | None]]:
    """Runs of documents, by their places, and their values; None for one whose value does not fit."""
    if not documents:
        return
    original = originals(pa.schema([stored])).field(0)
    decoder = Decoder(pa.schema([original]))
    batch, _ = decoder.decode(Documents.from_list(documents))
    found = decoder.schema.field(original.name)
    if len(decoder.schema) == 1 and found.type == original.type and kind_of(found) == kind_of(original):
        fitting = pa.record_batch([convert(batch.column(0), found, original)], pa.schema([original]))
        yield first, first + len(documents), Renaming(lambda _: pa.schema([stored])).of(fitting).column(0)
    elif len(documents) == 1:
        yield first, first + 1, None
    else:
        half = len(documents) // 2
        yield from _fitting(documents[:half], stored, first)
        yield from _fitting(documents[half:], stored, first + half)
