"""Documents -> typed columns."""

from __future__ import annotations

import pyarrow as pa

from levada.batches import Rejected
from levada.bson.documents import Documents


class Decoder:
    """Decodes the documents of one read; its schema only widens.

    Args:
        schema: what is known of the table beforehand; None when nothing is.
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        self.schema: pa.Schema = pa.schema([]) if schema is None else schema

    def decode(self, documents: Documents) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
        """One batch by the widened schema, and the documents that are not well-formed."""
        raise NotImplementedError
