"""Rows on their way into a driver that pulls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa


def reader(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    """Batches for DuckDB, which refuses structs inside of columns that are cut out of longer ones (2.0)."""
    return pa.RecordBatchReader.from_batches(schema, map(uncut, batches))


def uncut(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows; where a nested column is cut out of a longer one, as a copy that is not."""
    if not any(pa.types.is_nested(column.type) and _is_cut(column) for column in batch.columns):
        return batch
    return pa.ipc.read_record_batch(batch.serialize(), batch.schema)


def _is_cut(array: Any) -> bool:
    if array.offset:
        return True
    if pa.types.is_struct(array.type):
        return any(_is_cut(array.field(place)) for place in range(array.type.num_fields))
    if isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        return _is_cut(array.values)
    return bool(pa.types.is_nested(array.type))  # of other kinds it is not known


class Feed:
    """Hands rows to a driver and remembers the error that stopped them: the driver keeps its text only."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def reader(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
        """What the driver reads; `error` is set when it fails here."""
        return reader(schema, self._watched(batches))

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            self.error = error
            raise
