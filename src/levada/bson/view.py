"""The bytes of a batch as numbers at any position, and the documents that turned out to be bad."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from levada.bson.documents import LIMIT, Documents, Positions

#: Bytes behind the documents, whatever they are: reads of a name's words and of a length prefix may pass
#: the end by this much.
PADDING = 64

#: Names up to this long may be compared without asking first whether they fit.
SHORT = 32


class View:
    """Bytes that can be read as little-endian numbers at any (unaligned) position by fancy indexing.

    Args:
        documents: in rising order, at least one. Their buffer is used as it is where it has enough bytes
            behind the last one (a server's reply has), else the part that holds them is copied.
    """

    def __init__(self, documents: Documents) -> None:
        self.begin, self.raw = _padded(documents)
        self.u8: npt.NDArray[np.uint8] = np.frombuffer(self.raw, np.uint8)
        self.i32 = self._numbers("<i4")
        self.i64 = self._numbers("<i8")
        self.u64 = self._numbers("<u8")
        self.f64 = self._numbers("<f8")

    def _numbers(self, dtype: str) -> npt.NDArray[Any]:
        size = np.dtype(dtype).itemsize
        return np.ndarray((len(self.raw) - size + 1,), dtype, self.raw, strides=(1,))

    def rows(self, starts: Positions, width: int) -> npt.NDArray[np.uint8]:
        """The `width` bytes at each start, as uint8 [n, width]."""
        out = np.empty((len(starts), width), np.uint8)
        for at in range(0, width - 7, 8):
            out[:, at : at + 8] = self.u64[starts + at].view(np.uint8).reshape(-1, 8)
        for at in range(width & ~7, width, 4):
            out[:, at : at + 4] = self.i32[starts + at].view(np.uint8).reshape(-1, 4)
        return out


def _padded(documents: Documents) -> tuple[int, bytes]:
    """Bytes with padding behind the documents, and where in the documents' buffer they begin."""
    buffer, begin, end = documents.buffer, int(documents.starts[0]), int(documents.ends[-1])
    if isinstance(buffer, bytes) and end + PADDING <= len(buffer) <= LIMIT:
        return 0, buffer
    return begin, b"".join((memoryview(buffer)[begin:end], bytes(PADDING)))


class Rejects:
    """Why documents of a batch were rejected: the first reason of each."""

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def add(self, documents: npt.NDArray[Any] | list[int], reason: str) -> None:
        """Reject the documents at these indices of the batch (repetitions allowed)."""
        for document in np.unique(np.asarray(documents, np.int64)).tolist():
            self.reasons.setdefault(document, reason)
