"""A batch: rows on their way, and the position that is safe once they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from levada.positions import Position

#: Schema of a canonical batch: each row is one whole document as raw BSON, for exact copies.
CANONICAL = pa.schema(
    [pa.field("document", pa.binary(), nullable=False)], metadata={b"levada.mode": b"canonical"}
)


@dataclass(frozen=True)
class Rejected:
    """A record that could not be decoded or stored: its raw bytes (or JSON text as bytes) and the reason."""

    raw: bytes
    reason: str


@dataclass(frozen=True)
class Batch:
    """Rows, the position that is safe once they are stored, and the records that could not become rows.

    Schemas within one read only widen: a later batch may have more fields or wider types than an earlier one.
    """

    data: pa.RecordBatch
    position: Position | None = None
    rejected: tuple[Rejected, ...] = ()

    @property
    def canonical(self) -> bool:
        """Whether the rows are raw BSON documents (see `CANONICAL`)."""
        metadata = self.data.schema.metadata or {}
        return bool(metadata.get(b"levada.mode") == b"canonical")
