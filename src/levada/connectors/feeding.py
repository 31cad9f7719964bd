"""Rows on their way into a driver that pulls them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa


class Feed:
    """Hands rows to a driver and remembers the error that stopped them: the driver keeps its text only."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def reader(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
        """What the driver reads; `error` is set when it fails here."""
        return pa.RecordBatchReader.from_batches(schema, self._watched(batches))

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            self.error = error
            raise
