"""Scalar columns without nulls -> BSON values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from bson import encode as encode_one
from bson.errors import InvalidDocument

from levada.bson import decimals
from levada.bson.elements import Malformed
from levada.bson.restore import value_of
from levada.bson.rope import Matrix, Rope, numbers, offsets_of
from levada.types.extjson import to_milliseconds

NULL = b"\x0a"


class Rows(NamedTuple):
    """Where rows come from and what happens to them.

    Args:
        origin: int64 [n], row of the batch.
        bad: row of the batch -> why it is rejected.
        omit_nulls: whether null members of documents are left out.
    """

    origin: npt.NDArray[np.int64]
    bad: dict[int, str]
    omit_nulls: bool

    def of(self, places: npt.NDArray[Any]) -> Rows:
        return self._replace(origin=self.origin[places])

    def reject(self, places: npt.NDArray[Any] | list[int], reason: str) -> None:
        for row in self.origin[places].tolist():
            self.bad.setdefault(row, reason)


#: BSON type (for all rows, or one for each) and the bytes of each row's value.
Encoded = tuple[bytes | Matrix, Rope]


def _fixed(tag: int, dtype: str) -> Callable[[pa.Array, Rows], Encoded]:
    def write(column: pa.Array, _rows: Rows) -> Encoded:
        width = np.dtype(dtype).itemsize
        values = np.frombuffer(column.buffers()[1], dtype, len(column), column.offset * width)
        return rope_of(bytes([tag]), numbers(values))

    return write


def rope_of(tag: bytes | Matrix, *pieces: bytes | Matrix | pa.Array) -> Encoded:
    rows = next(len(piece) for piece in pieces if not isinstance(piece, bytes))
    rope = Rope(rows)
    for piece in pieces:
        rope.add(piece)
    return tag, rope


def _bool(column: pa.Array, _rows: Rows) -> Encoded:
    return rope_of(b"\x08", numbers(np.asarray(column.cast(pa.uint8()))))


def _text(tag: int) -> Callable[[pa.Array, Rows], Encoded]:
    def write(column: pa.Array, _rows: Rows) -> Encoded:
        lengths = np.diff(offsets_of(column)) + np.int32(1)
        return rope_of(bytes([tag]), numbers(lengths.astype("<i4")), column.cast(pa.binary()), b"\0")

    return write


def binary(column: pa.Array, subtype: int) -> Encoded:
    lengths = np.diff(offsets_of(column)).astype("<i4")
    return rope_of(b"\x05", numbers(lengths), bytes([subtype]), column)


def _date(column: pa.Array, rows: Rows) -> Encoded:
    exact = to_milliseconds(column)
    if exact is None:
        coarse = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
        finer = pc.not_equal(coarse.cast(column.type), column)
        rows.reject(np.flatnonzero(np.asarray(finer)), "a time finer than 1 ms is no BSON date")
        exact = coarse.cast(pa.int64())
    return _fixed(9, "<i8")(exact, rows)


def _decimal(column: pa.Array, rows: Rows) -> Encoded:
    if column.type == pa.uint64():
        column = column.cast(pa.decimal128(20, 0))
    if not pa.types.is_decimal128(column.type):
        return _foreign_decimal(column, rows)
    packed, bad = decimals.pack(column)
    rows.reject(np.flatnonzero(bad), "a decimal needs more than 34 digits")
    return rope_of(b"\x13", packed)


def _foreign_decimal(column: pa.Array, rows: Rows) -> Encoded:
    packed = [decimals.from_decimal(value) for value in column.to_pylist()]
    bad = [at for at, value in enumerate(packed) if value is None]
    rows.reject(np.array(bad, np.int64), "a decimal needs more than 34 digits")
    return rope_of(b"\x13", pa.array([value or bytes(16) for value in packed], pa.binary()))


_NIBBLES = np.full(256, 255, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_NIBBLES[np.frombuffer(b"ABCDEF", np.uint8)] = np.arange(10, 16)


def _hexadecimal(column: pa.Array, width: int, dashes: list[int], rows: Rows, what: str) -> Matrix:
    """The bytes of texts of `width` characters: hexadecimal digits, and dashes at these places."""
    offsets = offsets_of(column)
    bad = np.diff(offsets) != width
    if bad.any():
        column = pc.if_else(pa.array(bad), "0" * width, column)
        offsets = offsets_of(column)
    data = np.frombuffer(column.buffers()[2], np.uint8)[offsets[0] : offsets[0] + len(column) * width]
    text = data.reshape(-1, width)
    if dashes:
        bad |= (text[:, dashes] != ord("-")).any(axis=1)
        text = np.delete(text, dashes, axis=1)
    digits = _NIBBLES[text]
    bad |= (digits > 15).any(axis=1)
    rows.reject(np.flatnonzero(bad), f"a text is not that of {what}")
    return digits[:, 0::2] << np.uint8(4) | digits[:, 1::2]


def _object_id(column: pa.Array, rows: Rows) -> Encoded:
    return rope_of(b"\x07", _hexadecimal(column, 24, [], rows, "an ObjectId"))


def _uuid(column: pa.Array, rows: Rows) -> Encoded:
    data = _hexadecimal(column, 36, [8, 13, 18, 23], rows, "a UUID")
    return rope_of(b"\x05", b"\x10\0\0\0\x04", data)


def _variant(column: pa.Array, rows: Rows) -> Encoded:
    values = []
    for at, text in enumerate(column.to_pylist()):
        try:
            values.append(value_of(text))
        except Malformed as error:
            rows.reject([at], str(error))
            values.append((NULL[0], b""))
    return _tagged(values)


def _tagged(values: list[tuple[int, bytes]]) -> Encoded:
    tags = np.array([tag for tag, _ in values], np.uint8).reshape(-1, 1)
    return rope_of(tags, pa.array([data for _, data in values], pa.binary()))


def foreign(column: pa.Array, rows: Rows) -> Encoded:
    values = []
    for at in range(len(column)):
        try:
            raw = encode_one({"": column[at].as_py(maps_as_pydicts="strict")})
            values.append((raw[4], raw[6:-1]))
        except (InvalidDocument, OverflowError, ValueError, KeyError):
            rows.reject([at], f"BSON can't hold this value of {column.type}")
            values.append((NULL[0], b""))
    return _tagged(values)


#: Kind -> writer of its values.
WRITERS: dict[str, Callable[[pa.Array, Rows], Encoded]] = {
    "bool": _bool,
    "int32": _fixed(16, "<i4"),
    "int64": _fixed(18, "<i8"),
    "double": _fixed(1, "<f8"),
    "timestamp": _fixed(17, "<i8"),
    "date": _date,
    "decimal": _decimal,
    "string": _text(2),
    "javascript": _text(13),
    "symbol": _text(14),
    "objectId": _object_id,
    "uuid": _uuid,
    "variant": _variant,
}
