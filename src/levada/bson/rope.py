"""Rows of bytes under construction: pieces side by side, joined once at the end."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Matrix = npt.NDArray[np.uint8]
Piece: TypeAlias = bytes | Matrix | pa.Array


class Rope:
    """The bytes of `rows` rows; each piece adds to every row.

    A piece is the same bytes for every row, a uint8 matrix [rows, width], or a binary array without nulls.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._pieces: list[Piece] = []
        self._fixed = 0
        self._lengths: npt.NDArray[np.int32] | None = None

    def add(self, piece: Piece) -> None:
        """Append a piece to every row."""
        if isinstance(piece, bytes):
            self._fixed += len(piece)
        elif isinstance(piece, np.ndarray):
            self._fixed += piece.shape[1]
        else:
            lengths = np.diff(offsets_of(piece))
            self._lengths = lengths if self._lengths is None else self._lengths + lengths
        self._pieces.append(piece)

    def extend(self, other: Rope) -> None:
        """Append the pieces of another rope of as many rows."""
        self._pieces += other._pieces
        self._fixed += other._fixed
        if other._lengths is not None:
            self._lengths = other._lengths if self._lengths is None else self._lengths + other._lengths

    def sizes(self, extra: int) -> Matrix:
        """Bytes of each row and `extra` more, as little-endian int32 in a piece."""
        if self._lengths is None:
            return numbers(np.full(self.rows, self._fixed + extra, "<i4"))
        return numbers((self._lengths + (self._fixed + extra)).astype("<i4"))

    def joined(self) -> pa.Array:
        """Every row as one value of a binary array."""
        pieces = self._fused()
        if len(pieces) == 1:
            return pieces[0]
        return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))

    def _fused(self) -> list[pa.Array]:
        """The pieces as binary arrays, neighbours of fixed width as one."""
        fused: list[pa.Array] = []
        run: list[bytes | Matrix] = []
        for piece in self._pieces:
            if isinstance(piece, bytes | np.ndarray):
                run.append(piece)
                continue
            if run:
                fused.append(self._matrix(run))
                run = []
            fused.append(piece)
        if run or not fused:
            fused.append(self._matrix(run))
        return fused

    def _matrix(self, run: list[bytes | Matrix]) -> pa.Array:
        widths = [len(piece) if isinstance(piece, bytes) else piece.shape[1] for piece in run]
        out = np.empty((self.rows, sum(widths)), np.uint8)
        at = 0
        for piece, width in zip(run, widths, strict=True):
            out[:, at : at + width] = np.frombuffer(piece, np.uint8) if isinstance(piece, bytes) else piece
            at += width
        offsets = np.arange(self.rows + 1, dtype=np.int32) * np.int32(sum(widths))
        return binary_array(offsets, pa.py_buffer(out))


def numbers(values: npt.NDArray[Any]) -> Matrix:
    """Numbers as a piece of their bytes."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def offsets_of(column: pa.Array) -> npt.NDArray[np.int32]:
    """The n + 1 offsets of a binary or string array."""
    buffer = column.buffers()[1]
    if buffer is None or buffer.size == 0:
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32, len(column) + 1, column.offset * 4)


def binary_array(offsets: npt.NDArray[np.int32], data: pa.Buffer) -> pa.Array:
    """A binary array without nulls."""
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), data])


def spread(column: pa.Array, edges: npt.NDArray[np.int64]) -> pa.Array:
    """A binary array whose row i is the values `edges[i]` to `edges[i + 1]` of `column` together; no copy."""
    offsets = np.ascontiguousarray(offsets_of(column)[edges])
    return binary_array(offsets, column.buffers()[2] or pa.py_buffer(b""))
