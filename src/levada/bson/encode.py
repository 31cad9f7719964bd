"""Typed columns -> documents."""

from __future__ import annotations

import pyarrow as pa

from levada.batches import Rejected


def encode(batch: pa.RecordBatch, *, omit_nulls: bool = False) -> tuple[pa.Array, tuple[Rejected, ...]]:
    """One BSON document per row as a binary array, and the rows that BSON can't hold (left out)."""
    raise NotImplementedError
