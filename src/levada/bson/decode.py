"""Documents -> typed columns.

Each field is walked (`levada.bson.walk`), its kind is joined from the BSON types seen in this batch and from
what the schema knows (`levada.types`), and its column is built in one go (`levada.bson.columns`).

A document is rejected, with its raw bytes, when a length, a terminator or a type is wrong, a string or a
name is not UTF-8, a name appears twice in one document, or it is nested deeper than 200 levels. The batch is
then decoded again without it, so that a bad document never widens the schema.

Documents and arrays more than 32 levels deep are variants, whatever they hold.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from levada.batches import Rejected
from levada.bson import decimals
from levada.bson.columns import BUILDERS, Place, bitmap, merged, presence, variants
from levada.bson.documents import LIMIT, Documents, Positions
from levada.bson.view import Rejects, View
from levada.bson.walk import Mask, Part, Shape, Spans, Walk
from levada.errors import Fatal
from levada.types import MAX_FIELDS, TAGS, field_of, join, kind_of, struct
from levada.types.kinds import decimal_field

#: Documents and arrays deeper than this have no columns of their own.
MAX_LEVELS = 32

Column = tuple[pa.Array, pa.Field]


class Decoder:
    """Decodes the documents of one read; its schema only widens.

    Args:
        schema: what is known of the table beforehand; None when nothing is.
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        known = pa.schema([]) if schema is None else schema
        self.schema: pa.Schema = pa.schema(
            [field.with_nullable(True) for field in known], metadata=known.metadata
        )
        self._shape = Shape()

    def decode(self, documents: Documents) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
        """Decode one batch.

        Returns:
            The rows of the sound documents by `schema`, which now holds them, and the rejected ones in order.

        Raises:
            Fatal: the documents are larger than 2 GiB together.
        """
        documents = in_order(documents)
        reasons = _bad_frames(documents)
        kept = np.arange(len(documents))
        while True:
            kept = kept[~np.isin(kept, list(reasons))] if reasons else kept
            rejects = Rejects()
            columns = self._columns(documents.take(kept), rejects)
            if not rejects.reasons:
                break
            reasons |= {int(kept[row]): reason for row, reason in rejects.reasons.items()}
            self._shape = Shape()  # the order of new fields is that of the sound documents alone
        self.schema = pa.schema([field for _, field in columns], metadata=self.schema.metadata)
        batch = _record_batch(columns, self.schema, len(kept))
        bad = sorted(reasons)
        raw = documents.take(np.array(bad, np.int64)).slices()
        return batch, tuple(Rejected(data, reasons[row]) for data, row in zip(raw, bad, strict=True))

    def _columns(self, documents: Documents, rejects: Rejects) -> list[Column]:
        rows = np.arange(len(documents))
        if not len(rows):
            return [(pa.nulls(0, field.type), field) for field in self.schema]
        view = View(documents)
        spans = Spans(rows, documents.starts - view.begin, documents.ends - view.begin)
        place = Place(view, len(rows), rows, 1, rejects)
        return _fields(spans, place, list(self.schema), self._shape)


def too_large() -> Fatal:
    """The error of a batch whose bytes 32 bits don't count."""
    return Fatal("a batch holds more than 2 GiB of documents", hint="read smaller batches")


def in_order(documents: Documents) -> Documents:
    """The same documents, none of which begins before the one before it ends.

    Raises:
        Fatal: the documents are larger than 2 GiB together.
    """
    if (documents.starts[1:] < documents.ends[:-1]).any() or (documents.ends < documents.starts).any():
        documents = Documents.from_list(documents.slices())
    if len(documents) and int(documents.ends[-1] - documents.starts[0]) > LIMIT:
        raise too_large()
    return documents


def _bad_frames(documents: Documents) -> dict[int, str]:
    """Documents whose length prefix or terminator is wrong."""
    data = np.frombuffer(memoryview(documents.buffer), np.uint8)
    starts, ends = documents.starts, documents.ends
    inside = (starts >= 0) & (ends <= len(data)) & (ends - starts >= 5)
    whole = np.flatnonzero(inside)
    at = starts[whole]
    lengths = sum(data[at + byte].astype(np.int64) << 8 * byte for byte in range(4))
    good = (lengths == ends[whole] - at) & (data[ends[whole] - 1] == 0)
    inside[whole[~good]] = False
    return dict.fromkeys(
        np.flatnonzero(~inside).tolist(), "the length or terminator of the document is wrong"
    )


def _record_batch(columns: list[Column], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    if columns:
        return pa.RecordBatch.from_arrays([array for array, _ in columns], schema=schema)
    empty = pa.RecordBatch.from_struct_array(struct([], pa.struct([]), rows, None))
    return empty.replace_schema_metadata(schema.metadata)


def _fields(spans: Spans, place: Place, known: list[pa.Field], shape: Shape) -> list[Column]:
    """The columns of documents: those known, in their order, then the new ones."""
    found = Walk(place.view, spans, place.roots, place.rejects).documents(shape.order)
    columns = []
    for field in known:
        parts = found.pop(field.name.encode(), None)
        if parts is None:
            columns.append((pa.nulls(place.rows, field.type), field))
        else:
            columns.append(_column(parts, place, field, shape.children[field.name.encode()]))
    for name, parts in found.items():
        try:
            field = field_of("null", name.decode())
        except UnicodeDecodeError:
            for part in parts:
                place.rejects.add(place.roots[part.rows], "a field name is not UTF-8")
            continue
        columns.append(_column(parts, place, field, shape.children[name]))
    return columns


def _column(parts: list[Part], place: Place, known: pa.Field, shape: Shape) -> Column:
    """One column, by the least field that holds what is known and what was found."""
    presence(parts, place)
    values = [part for part in parts if part.tag != 10]
    if not values:
        return pa.nulls(place.rows, known.type), known
    field = known
    for seen in _seen(values, place, known.name):
        field = join(field, seen)
    kind = kind_of(field)
    nested = _NESTED.get(kind)
    if nested is not None:
        return nested(values, place, field, shape)
    if kind == "variant":
        return variants(values, place), field
    build = BUILDERS[kind.partition(":")[0]]
    return build(values, _valid(values, place), field, place), field


def _seen(parts: list[Part], place: Place, name: str) -> list[pa.Field]:
    """The fields of the BSON types in these parts; nested ones and decimals as far as needed to join."""
    return [field for part in parts for field in _SEEN.get(part.tag, _seen_scalar)(part, place, name)]


def _seen_scalar(part: Part, _place: Place, name: str) -> list[pa.Field]:
    return [field_of(TAGS.get(part.tag, "variant"), name)]


def _seen_document(_part: Part, place: Place, name: str) -> list[pa.Field]:
    return [pa.field(name, pa.struct([])) if place.depth < MAX_LEVELS else field_of("variant", name)]


def _seen_array(_part: Part, place: Place, name: str) -> list[pa.Field]:
    return [pa.field(name, pa.list_(pa.null())) if place.depth < MAX_LEVELS else field_of("variant", name)]


def _seen_decimal(part: Part, place: Place, name: str) -> list[pa.Field]:
    facts = decimals.facts(decimals.read(place.view, part.starts))
    return [field_of("variant", name) if facts is None else decimal_field(name, *facts)]


def _seen_binary(part: Part, place: Place, name: str) -> list[pa.Field]:
    subtypes = place.view.u8[part.starts + 4]
    return [
        field_of(_binary_kind(subtype, (part.ends - part.starts)[subtypes == subtype]), name)
        for subtype in np.unique(subtypes).tolist()
    ]


def _binary_kind(subtype: int, sizes: Positions) -> str:
    if subtype == 4:
        return "uuid" if (sizes == 21).all() else "variant"
    return {0: "binary", 2: "variant"}.get(subtype, f"binary:{subtype:02x}")


_SEEN = {3: _seen_document, 4: _seen_array, 5: _seen_binary, 19: _seen_decimal}


def _valid(parts: list[Part], place: Place) -> Mask:
    valid = np.zeros(place.rows, np.bool_)
    for part in parts:
        valid[part.rows] = True
    return valid


def _document(parts: list[Part], place: Place, field: pa.Field, shape: Shape) -> Column:
    spans = Spans(*merged(parts))
    inner = place._replace(depth=place.depth + 1)
    columns = _fields(spans, inner, list(field.type), shape)
    if len(columns) > MAX_FIELDS:
        return variants(parts, place), field_of("variant", field.name)
    arrow = pa.struct([child for _, child in columns])
    valid = _valid(parts, place)
    nulls = None if valid.all() else pa.array(~valid)
    column = struct([array for array, _ in columns], arrow, place.rows, nulls)
    return column, pa.field(field.name, arrow, metadata=field.metadata)


def _array(parts: list[Part], place: Place, field: pa.Field, shape: Shape) -> Column:
    spans = Spans(*merged(parts))
    counts, elements = Walk(place.view, spans, place.roots, place.rejects).arrays(place.rows)
    inner = place._replace(
        rows=int(counts.sum()), roots=np.repeat(place.roots, counts), depth=place.depth + 1
    )
    known = field.type.value_field
    values, item = (
        _column(elements, inner, known, shape.children[b""])
        if elements
        else (
            pa.nulls(0, known.type),
            known,
        )
    )
    offsets = np.zeros(place.rows + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    arrow = pa.list_(item)
    column = pa.Array.from_buffers(
        arrow, place.rows, [bitmap(_valid(parts, place)), pa.py_buffer(offsets)], children=[values]
    )
    return column, pa.field(field.name, arrow, metadata=field.metadata)


_NESTED = {"document": _document, "array": _array}
