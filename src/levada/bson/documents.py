"""BSON documents as slices of one buffer, and their exact form as rows of raw bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import CANONICAL
from levada.errors import Fatal

Positions = npt.NDArray[np.int64]
Bytes = bytes | bytearray | memoryview

#: Arrow's binary and string columns count bytes in 32 bits.
LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Documents:
    """Documents in one buffer; nothing is copied.

    Args:
        buffer: the bytes that hold all of them, and maybe more.
        starts: int64 [n], where each document begins (its length prefix).
        ends: int64 [n], one past each document's last byte.
    """

    buffer: Bytes
    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.starts)

    def slices(self) -> list[bytes]:
        """Every document as bytes of its own."""
        view = memoryview(self.buffer)
        pairs = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [bytes(view[start:end]) for start, end in pairs]

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Documents:
        """The documents at these indices, or where this mask is true."""
        return Documents(self.buffer, self.starts[rows], self.ends[rows])

    @classmethod
    def from_list(cls, docs: Sequence[bytes]) -> Documents:
        """Join separate documents into one buffer."""
        edges = np.zeros(len(docs) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, docs), np.int64, len(docs)), out=edges[1:])
        return cls(b"".join(docs), edges[:-1], edges[1:])


def to_canonical(documents: Documents) -> pa.RecordBatch:
    """Rows of raw BSON, one document each, by the schema `levada.batches.CANONICAL`.

    Nothing is copied where the documents follow each other without a gap.

    Raises:
        Fatal: the documents are larger than 2 GiB together.
    """
    if len(documents) == 0:
        return pa.record_batch([pa.array([], pa.binary())], schema=CANONICAL)
    starts, ends = documents.starts, documents.ends
    if int((ends - starts).sum()) > LIMIT or int(ends.max()) > LIMIT:
        raise Fatal("a batch holds more than 2 GiB of documents", hint="read smaller batches")
    if not np.array_equal(starts[1:], ends[:-1]):
        if (starts[1:] < ends[:-1]).any():
            documents = Documents.from_list(documents.slices())
        else:
            return pa.record_batch([slices(documents.buffer, starts, ends)], schema=CANONICAL)
    edges = np.append(documents.starts, documents.ends[-1:]).astype(np.int32)
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(documents.buffer)]
    column = pa.Array.from_buffers(pa.binary(), len(documents), buffers)
    return pa.record_batch([column], schema=CANONICAL)


def from_canonical(batch: pa.RecordBatch) -> Documents:
    """The documents of a canonical batch; their bytes are the batch's own."""
    column = batch.column(0)
    if column.type != pa.binary():
        column = column.cast(pa.binary())
    if len(column) == 0:
        return Documents.from_list([])
    _, offsets, data = column.buffers()
    edges = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4).astype(np.int64)
    return Documents(memoryview(data) if data is not None else b"", edges[:-1], edges[1:])


def slices(buffer: Bytes, starts: Positions, ends: Positions) -> pa.Array:
    """A binary array of `buffer[start:end]`; starts and ends must interleave in rising order.

    One array over the whole buffer has the wanted values at its even places and the gaps between; taking
    the even ones copies each value once, in C++.
    """
    edges = edges_of(starts, ends)
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(buffer)]
    whole = pa.Array.from_buffers(pa.binary(), len(edges) - 1, buffers)
    return whole.take(pa.array(np.arange(0, len(edges), 2)))


def edges_of(starts: Positions, ends: Positions) -> npt.NDArray[np.int32]:
    """start, end, start, end, ...: the offsets of a binary array with the gaps as values."""
    edges = np.empty(2 * len(starts), np.int32)
    edges[0::2] = starts
    edges[1::2] = ends
    return edges
