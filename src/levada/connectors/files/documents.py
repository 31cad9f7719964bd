"""Whole documents of Extended JSON files, for exact copies."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.bson import Decoder, Documents, to_canonical
from levada.bson.elements import elements
from levada.connectors.base import Query
from levada.connectors.files.readers import EjsonReader, Reader
from levada.connectors.files.selection import Selection
from levada.connectors.reading import slices

_PLACE = "_levada_place"


def canonical_batches(
    readers: Sequence[Reader],
    query: Query,
    schema: pa.Schema | None = None,
    selection: Selection | None = None,
) -> Iterator[Batch]:
    """Canonical batches of the documents of all files.

    Args:
        readers: of Extended JSON files.
        query: its columns are top-level members; empty keeps documents as they are.
        schema, selection: which documents; None takes all.
    """
    for reader in readers:
        assert isinstance(reader, EjsonReader)
        for documents, rejected in reader.documents():
            if selection is not None and schema is not None:
                documents, refused = _selected(documents, schema, selection)  # noqa: PLW2901
                rejected = (*rejected, *refused)  # noqa: PLW2901
            if query.columns:
                documents = Documents.from_list(  # noqa: PLW2901
                    [_projected(raw, query.columns) for raw in documents.slices()]
                )
            rows = to_canonical(documents)
            for at, part in enumerate(list(slices(rows, query.batch_rows)) or [rows]):
                yield Batch(part, None, rejected if at == 0 else ())


def _selected(
    documents: Documents, schema: pa.Schema, selection: Selection
) -> tuple[Documents, tuple[Rejected, ...]]:
    rows, refused = Decoder(schema).decode(documents)
    bad = {rejected.raw for rejected in refused}
    raws = documents.slices()
    kept = np.array([at for at, raw in enumerate(raws) if raw not in bad], np.int64)
    chosen = selection.of(rows.append_column(_PLACE, pa.array(kept)))
    return documents.take(chosen.column(_PLACE).to_numpy()), refused


def _projected(raw: bytes, columns: Sequence[str]) -> bytes:
    """The document with these top-level members only, in its own order."""
    wanted = {name.encode() for name in columns}
    kept = [
        bytes([tag]) + name + b"\0" + raw[at:to]
        for tag, name, at, to in elements(raw, 0, len(raw))
        if name in wanted
    ]
    body = b"".join(kept)
    return struct.pack("<i", len(body) + 5) + body + b"\0"
