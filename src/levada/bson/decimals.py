"""Decimal128 <-> Arrow decimals.

Decimal128 is IEEE 754-2008 decimal128 in its binary integer form: of 128 bits (little-endian), bit 127 is
the sign, bits 113-126 the exponent plus 6176, bits 0-112 the coefficient
(https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md).
Bits 125-126 both set mean infinity, NaN, or a coefficient that is too large, which counts as 0.
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.bson.documents import Positions
from levada.bson.view import View

BIAS = 6176
LARGEST = 10**34 - 1

_SIGN = np.uint64(1 << 63)
_SPECIAL = np.uint64(3 << 61)
_HIGH = np.uint64((1 << 49) - 1)
_POWERS = np.array([10**power for power in range(19)], np.int64)
_PLENTY = Context(prec=60, Emax=999_999, Emin=-999_999)


class Decimals(NamedTuple):
    """Decimal128 values taken apart: sign, int64 exponent, coefficient as two uint64 (high, low)."""

    negative: npt.NDArray[np.bool_]
    exponent: Positions
    high: npt.NDArray[np.uint64]
    low: npt.NDArray[np.uint64]
    special: npt.NDArray[np.bool_]


def read(view: View, starts: Positions) -> Decimals:
    """Take apart the Decimal128 values that begin at `starts`."""
    low, high = view.u64[starts], view.u64[starts + 8]
    exponent = ((high >> np.uint64(49)) & np.uint64(0x3FFF)).astype(np.int64) - BIAS
    return Decimals(
        negative=(high & _SIGN) != 0,
        exponent=exponent,
        high=high & _HIGH,
        low=low,
        special=(high & _SPECIAL) == _SPECIAL,
    )


def facts(values: Decimals) -> tuple[int, int] | None:
    """Most digits before the point and most places after it.

    None where a value is no decimal column's: NaN, infinity, -0, a coefficient of more than 34 digits.
    """
    zero = (values.low == 0) & (values.high == 0)
    if (values.special | (zero & values.negative)).any():
        return None
    small = (values.high == 0) & (values.low < np.uint64(10**18))
    if not small.all():
        return _large_facts(values, zero)
    digits = np.searchsorted(_POWERS, values.low.astype(np.int64), side="right")
    whole = digits + values.exponent
    places = np.where(zero & (values.exponent < -34), 0, -values.exponent)
    return max(0, int(whole[~zero].max(initial=0))), max(0, int(places.max(initial=0)))


def _large_facts(values: Decimals, zero: npt.NDArray[np.bool_]) -> tuple[int, int] | None:
    whole = places = 0
    columns = (values.high.tolist(), values.low.tolist(), values.exponent.tolist(), zero.tolist())
    for high, low, exponent, is_zero in zip(*columns, strict=True):
        coefficient = high << 64 | low
        if coefficient > LARGEST:
            return None
        if is_zero:
            places = max(places, -exponent if exponent >= -34 else 0)
        else:
            whole = max(whole, len(str(coefficient)) + exponent)
            places = max(places, -exponent)
    return whole, places


def scaled(values: Decimals, scale: int) -> npt.NDArray[np.int64]:
    """The values times 10^scale, as int64 [n, 2] (low, high) in two's complement; they fit by `facts`."""
    out = np.empty((len(values.low), 2), np.int64)
    shift = values.exponent + scale
    shift[values.low == 0] = np.maximum(shift[values.low == 0], 0)
    limit = np.int64(2**63 - 1) // _POWERS[np.clip(shift, 0, 18)]
    small = (values.high == 0) & (values.low <= limit.astype(np.uint64)) & (shift <= 18)
    factor = _POWERS[np.clip(shift, 0, 18)] if shift.any() else np.int64(1)
    product = np.where(small, values.low, np.uint64(0)).astype(np.int64) * factor
    np.negative(product, out=product, where=values.negative)
    out[:, 0] = product
    out[:, 1] = product >> 63
    for row in np.flatnonzero(~small).tolist():
        coefficient = int(values.high[row]) << 64 | int(values.low[row])
        number = coefficient * 10 ** int(shift[row]) if coefficient else 0
        out[row] = words(-number if values.negative[row] else number)
    return out


def words(number: int) -> npt.NDArray[np.int64]:
    """A 128-bit two's complement integer as two int64, low first."""
    return np.frombuffer(number.to_bytes(16, "little", signed=True), np.int64)


def to_decimal(raw: bytes) -> Decimal:
    """One Decimal128 of 16 bytes; a coefficient that is too large counts as 0."""
    bits = int.from_bytes(raw, "little")
    sign = "-" if bits >> 127 else ""
    if bits >> 125 & 3 == 3:
        if bits >> 123 & 15 == 15:
            return Decimal("NaN" if bits >> 122 & 1 else f"{sign}Infinity")
        return Decimal(f"{sign}0E{(bits >> 111 & 0x3FFF) - BIAS}")
    coefficient = bits & (1 << 113) - 1
    return Decimal(f"{sign}{coefficient if coefficient <= LARGEST else 0}E{(bits >> 113 & 0x3FFF) - BIAS}")


def from_decimal(value: Decimal) -> bytes | None:
    """The 16 bytes of a Decimal128; None where 34 digits or the exponent's range don't hold it exactly."""
    sign, digits, power = value.as_tuple()
    top = sign << 127
    if not value.is_finite():
        return (top | (0b11111 if value.is_nan() else 0b11110) << 122).to_bytes(16, "little")
    coefficient, exponent = int("".join(map(str, digits))), int(power)
    if coefficient == 0:
        exponent = min(max(exponent, -BIAS), 6111)
    while coefficient > LARGEST or exponent < -BIAS:
        coefficient, rest = divmod(coefficient, 10)
        exponent += 1
        if rest:
            return None
    if exponent > 6111:
        coefficient *= 10 ** min(exponent - 6111, 40)
        exponent = max(6111, exponent - 40)
    if coefficient > LARGEST or exponent > 6111:
        return None
    return (top | exponent + BIAS << 113 | coefficient).to_bytes(16, "little")


def pack(column: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Decimal128 bytes of a decimal128 column without nulls: uint8 [n, 16], and which rows do not fit."""
    buffer = column.buffers()[1]
    numbers = np.frombuffer(buffer, np.int64).reshape(-1, 2)[column.offset : column.offset + len(column)]
    low, high = numbers[:, 0], numbers[:, 1]
    scale = column.type.scale
    out = np.empty((len(column), 2), np.uint64)
    out[:, 0] = np.abs(low).view(np.uint64)
    out[:, 1] = (low < 0).astype(np.uint64) << np.uint64(63) | np.uint64(BIAS - scale << 49)
    large = np.flatnonzero(high != low >> 63)
    bad = np.zeros(len(column), np.bool_)
    for row in large.tolist():
        number = int(high[row]) << 64 | int(low[row]) & (1 << 64) - 1
        packed = from_decimal(Decimal(number).scaleb(-scale, _PLENTY))
        bad[row] = packed is None
        out[row] = np.frombuffer(packed or bytes(16), np.uint64)
    return out.view(np.uint8).reshape(-1, 16), bad


def array_of(numbers: npt.NDArray[Any], arrow: pa.DataType, valid: pa.Buffer | None) -> pa.Array:
    """A decimal128 column of int64 [n, 2] words."""
    return pa.Array.from_buffers(arrow, len(numbers), [valid, pa.py_buffer(np.ascontiguousarray(numbers))])
