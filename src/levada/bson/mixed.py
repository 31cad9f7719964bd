"""Columns taken apart by what their values are: the arrays and the rest, the documents and the rest.

In a column of values of one sort Arrow's type says it. In a variant column each text does: the values of the
wanted sort are decoded anew, so that they get the types that they would have had without the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from levada.bson.documents import Documents
from levada.bson.native import Decoder, encode
from levada.types import field_of, kind_of
from levada.types.cast import convert
from levada.types.extjson import RESERVED

Column = tuple[pa.Field, pa.Array]
Places = npt.NDArray[np.int64]

_VALUE = field_of("variant", "v")
_PREFIX = 4 + 1 + 2  # length, type and name of the only member: where its own bytes begin
_SCALARS = "|".join(name.replace("$", r"\$") for name in sorted(RESERVED - {"$literal"}))
#: Texts of documents begin so, and those of other values that are written as objects do not.
_DOCUMENT, _SCALAR = r"^\{", rf'^\{{"({_SCALARS})":'


def arrays(column: pa.Array, field: pa.Field) -> tuple[Column | None, pa.Array | None]:
    """The arrays of a column, and the text of every other value.

    Returns:
        A list column with null in the other rows, None if no value is an array; and the canonical Extended
        JSON of the other values with null in the rows of arrays, None if there are none.
    """
    kind = kind_of(field)
    if kind == "array":
        plain = column if pa.types.is_list(column.type) else column.cast(pa.list_(column.type.value_field))
        return (field.with_type(plain.type), plain), None
    if kind == "null":
        return None, None
    texts = convert(column, field, field_of("variant", field.name))
    places, documents = _documents(texts, pc.starts_with(texts, "[")) if kind == "variant" else _NOTHING
    if not documents:
        return None, texts if texts.null_count < len(texts) else None
    decoder = Decoder()
    batch, rejected = decoder.decode(Documents.from_list(documents))
    if rejected:  # nested too deep, counting the document around them
        return None, texts
    lists = (decoder.schema.field(0).with_name(field.name), _spread(batch.column(0), places, len(column)))
    return lists, _others(texts, places)


def documents(column: pa.Array, field: pa.Field) -> tuple[list[Column] | None, pa.Array, Column | None]:
    """The members of a column's documents, and every other value.

    Returns:
        Columns of the members, with null in the rows of other values, None if no value is a document;
        which rows are documents; and the other values with null in the rows of documents, None if there
        are none.
    """
    kind = kind_of(field)
    nothing = pa.array(np.zeros(len(column), np.bool_))
    if kind == "document":
        return list(zip(column.type, column.flatten(), strict=True)), column.is_valid(), None
    if kind == "null" or column.null_count == len(column):
        return None, nothing, None
    if kind != "variant":
        return None, nothing, (field, column)
    wanted = pc.and_not(
        pc.match_substring_regex(column, _DOCUMENT), pc.match_substring_regex(column, _SCALAR)
    )
    places, found = _documents(column, wanted)
    others = _retyped(_others(column, places), field.name) if found else _retyped(column, field.name)
    if not found:
        return None, nothing, others
    decoder = Decoder()  # as documents of their own, which may have as many members as they like
    batch, rejected = decoder.decode(Documents.from_list([document[_PREFIX:-1] for document in found]))
    if rejected:
        return None, nothing, (field, column)
    members = [
        (member, _spread(values, places, len(column)))
        for member, values in zip(decoder.schema, batch.columns, strict=True)
    ]
    there = np.zeros(len(column), np.bool_)
    there[places] = True
    return members, pa.array(there), others


_NOTHING: tuple[Places, list[bytes]] = np.zeros(0, np.int64), []


def _documents(texts: pa.Array, wanted: pa.Array) -> tuple[Places, list[bytes]]:
    """The wanted values, each as the only member of a document, and their places; what is none is left out.

    Args:
        texts: a variant column.
        wanted: bool, may be null.
    """
    places = np.flatnonzero(np.asarray(wanted.fill_null(False)))
    chosen = texts.take(pa.array(places))
    encoded, rejected = encode(pa.record_batch([chosen], schema=pa.schema([_VALUE])))
    if not rejected:
        return places, encoded.to_pylist()
    kept, sound = [], []
    for at in range(len(chosen)):  # a text that is no Extended JSON stays one
        one, rejected = encode(pa.record_batch([chosen.slice(at, 1)], schema=pa.schema([_VALUE])))
        if not rejected:
            kept.append(places[at])
            sound.append(one[0].as_py())
    return np.array(kept, np.int64), sound


def _others(texts: pa.Array, places: Places) -> pa.Array | None:
    mask = np.zeros(len(texts), np.bool_)
    mask[places] = True
    others = pc.if_else(pa.array(mask), pa.scalar(None, texts.type), texts)
    return others if others.null_count < len(others) else None


def _retyped(texts: pa.Array | None, name: str) -> Column | None:
    """A variant column by the type that its values alone have."""
    if texts is None:
        return None
    places, found = _documents(texts, texts.is_valid())
    if len(found) < len(texts) - texts.null_count:
        return field_of("variant", name), texts
    decoder = Decoder()
    batch, rejected = decoder.decode(Documents.from_list(found))
    if rejected or not len(decoder.schema):
        return field_of("variant", name), texts
    return decoder.schema.field(0).with_name(name), _spread(batch.column(0), places, len(texts))


def _spread(values: pa.Array, places: Places, rows: int) -> pa.Array:
    """Values at their places among so many rows, null elsewhere."""
    indices = np.zeros(rows, np.int64)
    absent = np.ones(rows, np.bool_)
    indices[places] = np.arange(len(places))
    absent[places] = False
    return values.take(pa.array(indices, mask=absent))


def flattened(lists: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The elements of a list column one below the other.

    Returns:
        The row of each element (int64), its place in its array from 0 (int32), and the elements.
    """
    offsets = np.asarray(lists.offsets).astype(np.int64)
    lengths = np.diff(offsets)
    if lists.null_count:
        lengths[np.asarray(lists.is_null())] = 0
    rows = np.repeat(np.arange(len(lists)), lengths)
    first = np.cumsum(lengths) - lengths
    within = np.arange(len(rows)) - first[rows]
    if len(rows) == offsets[-1] - offsets[0]:
        elements = lists.values.slice(offsets[0], len(rows))
    else:  # null arrays that have elements all the same
        elements = lists.values.take(pa.array(offsets[rows] + within))
    return pa.array(rows), pa.array(within, pa.int32()), elements


__all__: Sequence[str] = ["Column", "arrays", "documents", "flattened"]
