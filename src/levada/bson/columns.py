"""Values found by the walk -> Arrow columns of one kind; rows without a value are null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.bson import decimals
from levada.bson.documents import Positions, edges_of
from levada.bson.elements import Malformed
from levada.bson.variant import text_of
from levada.bson.view import Rejects, View
from levada.bson.walk import Mask, Part

_PAIRS = np.frombuffer("".join([f"{byte:02x}" for byte in range(256)]).encode(), "<u2").astype(np.uint32)

#: Two bytes, read as one little-endian number -> their four hexadecimal digits, likewise.
_HEX = (_PAIRS[None, :] | _PAIRS[:, None] << np.uint32(16)).ravel()


class Place(NamedTuple):
    """Where a column stands.

    Args:
        view: the bytes.
        rows: how many rows the column has.
        roots: int64 [rows], row -> index of its document in the batch.
        depth: how many documents and arrays are around it.
        rejects: where bad documents are reported.
    """

    view: View
    rows: int
    roots: Positions
    depth: int
    rejects: Rejects


def presence(parts: list[Part], place: Place) -> Mask:
    """bool [rows], which rows have a value. A second value for a row rejects its document."""
    valid = np.zeros(place.rows, np.bool_)
    for part in parts:
        valid[part.rows] = True
    if np.count_nonzero(valid) != sum(len(part.rows) for part in parts):
        rows, counts = np.unique(np.concatenate([part.rows for part in parts]), return_counts=True)
        place.rejects.add(place.roots[rows[counts > 1]], "a field name appears twice in one document")
    return valid


def merged(parts: list[Part]) -> tuple[Positions, Positions, Positions]:
    """Rows, starts and ends of all parts together in rising order of the rows, the first of each row."""
    if len(parts) == 1:
        rows, starts, ends = parts[0][1:]
        if (rows[1:] > rows[:-1]).all():
            return rows, starts, ends
    rows = np.concatenate([part.rows for part in parts])
    rows, order = np.unique(rows, return_index=True)
    starts = np.concatenate([part.starts for part in parts])[order]
    return rows, starts, np.concatenate([part.ends for part in parts])[order]


def bitmap(valid: Mask) -> pa.Buffer | None:
    """Arrow's validity bits; None where every row is valid."""
    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))


def _numbers(dtype: type[np.generic]) -> Callable[[list[Part], Mask, pa.Field, Place], pa.Array]:
    def build(parts: list[Part], valid: Mask, field: pa.Field, place: Place) -> pa.Array:
        values = np.zeros(place.rows, dtype)
        for part in parts:
            values[part.rows] = _read_number(part, place.view)
        return pa.Array.from_buffers(field.type, place.rows, [bitmap(valid), pa.py_buffer(values)])

    return build


def _dates(parts: list[Part], valid: Mask, field: pa.Field, place: Place) -> pa.Array:
    """Milliseconds, or a finer unit where the schema that was given has one; a date beyond it rejects."""
    values = np.zeros(place.rows, np.int64)
    for part in parts:
        values[part.rows] = _read_number(part, place.view)
    factor = _PER_MILLISECOND[field.type.unit]
    if factor > 1:
        limit = (2**63 - 1) // factor
        beyond = (values > limit) | (values < -limit)
        place.rejects.add(place.roots[beyond], f"a date is beyond the range of {field.type}")
        values *= factor
    return pa.Array.from_buffers(field.type, place.rows, [bitmap(valid), pa.py_buffer(values)])


_PER_MILLISECOND = {"ms": 1, "us": 1_000, "ns": 1_000_000}


def _read_number(part: Part, view: View) -> npt.NDArray[Any]:
    numbers = {1: view.f64, 9: view.i64, 16: view.i32, 17: view.i64, 18: view.i64}[part.tag]
    return numbers[part.starts]


def _bools(parts: list[Part], valid: Mask, _field: pa.Field, place: Place) -> pa.Array:
    values = np.zeros(place.rows, np.bool_)
    for part in parts:
        values[part.rows] = place.view.u8[part.starts] != 0
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), place.rows, [bitmap(valid), bits])


def _decimals(parts: list[Part], valid: Mask, field: pa.Field, place: Place) -> pa.Array:
    numbers = np.zeros((place.rows, 2), np.int64)
    scale = field.type.scale
    for part in parts:
        if part.tag == 19:
            numbers[part.rows] = decimals.scaled(decimals.read(place.view, part.starts), scale)
        else:
            numbers[part.rows] = decimals.scaled(_whole(_read_number(part, place.view)), scale)
    return decimals.array_of(numbers, field.type, bitmap(valid))


def _whole(numbers: npt.NDArray[Any]) -> decimals.Decimals:
    low = np.abs(numbers.astype(np.int64)).view(np.uint64)
    nothing = np.zeros(len(low), np.bool_)
    exponent = np.zeros(len(low), np.int64)
    return decimals.Decimals(numbers < 0, exponent, np.zeros_like(low), low, nothing)


def _pieces(front: int, back: int) -> Callable[[list[Part], Mask, pa.Field, Place], pa.Array]:
    """Bytes of the values without their first `front` and last `back` ones."""

    def build(parts: list[Part], valid: Mask, _field: pa.Field, place: Place) -> pa.Array:
        rows, starts, ends = merged(parts)
        edges = edges_of(starts + front, ends - back)
        data = pa.py_buffer(place.view.raw)
        whole = pa.Array.from_buffers(pa.binary(), len(edges) - 1, [None, pa.py_buffer(edges), data])
        if len(rows) == place.rows:
            return whole.take(pa.array(np.arange(0, len(edges), 2)))
        indices = np.zeros(place.rows, np.int64)
        indices[rows] = np.arange(0, len(edges), 2)
        return whole.take(pa.array(indices, mask=~valid))

    return build


def _texts(parts: list[Part], valid: Mask, field: pa.Field, place: Place) -> pa.Array:
    column = _pieces(4, 1)(parts, valid, field, place)
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        place.rejects.add(place.roots[_not_utf8(column)], "a string is not UTF-8")
        return pa.nulls(place.rows, pa.string())


def _not_utf8(column: pa.Array) -> list[int]:
    bad = []
    for row, value in enumerate(column.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            bad.append(row)
    return bad


def _object_ids(parts: list[Part], valid: Mask, _field: pa.Field, place: Place) -> pa.Array:
    rows, starts, _ = merged(parts)
    digits = _HEX[place.view.rows(starts, 12).view(np.uint16)]
    return _fixed_texts(digits, 24, rows, valid)


def _uuids(parts: list[Part], valid: Mask, _field: pa.Field, place: Place) -> pa.Array:
    rows, starts, _ = merged(parts)
    digits = _HEX[place.view.rows(starts + 5, 16).view(np.uint16)].view(np.uint8).reshape(-1, 32)
    dashed = np.insert(digits, (8, 12, 16, 20), ord("-"), axis=1)
    return _fixed_texts(dashed, 36, rows, valid)


def _fixed_texts(digits: npt.NDArray[Any], width: int, rows: Positions, valid: Mask) -> pa.Array:
    lengths = np.zeros(len(valid) + 1, np.int32)
    lengths[rows + 1] = width
    offsets = pa.py_buffer(np.cumsum(lengths, dtype=np.int32))
    data = pa.py_buffer(np.ascontiguousarray(digits))
    return pa.Array.from_buffers(pa.string(), len(valid), [bitmap(valid), offsets, data])


def variants(parts: list[Part], place: Place) -> pa.Array:
    """The canonical Extended JSON text of every value; null for null and missing."""
    texts: list[str | None] = [None] * place.rows
    for part in parts:
        if part.tag == 10:
            continue
        for row, start, end in zip(*(column.tolist() for column in part[1:]), strict=True):
            try:
                texts[row] = text_of(place.view.raw, part.tag, start, end, place.depth)
            except Malformed as error:
                place.rejects.add([int(place.roots[row])], str(error))
    return pa.array(texts, pa.string())


#: Kind -> builder of its column from parts, validity, field and place.
BUILDERS: dict[str, Callable[[list[Part], Mask, pa.Field, Place], pa.Array]] = {
    "bool": _bools,
    "int32": _numbers(np.int32),
    "int64": _numbers(np.int64),
    "double": _numbers(np.float64),
    "date": _dates,
    "timestamp": _numbers(np.int64),
    "decimal": _decimals,
    "string": _texts,
    "javascript": _texts,
    "symbol": _texts,
    "binary": _pieces(5, 0),
    "objectId": _object_ids,
    "uuid": _uuids,
}
