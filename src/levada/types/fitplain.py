"""Values of one type as values of another kind, column by column: `CHANGES` says which can become which."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from levada.types.extjson import to_milliseconds
from levada.types.kinds import PRECISION, UTC_MS

_MOST_DIGITS = 34
_EXPONENTS = range(-6176, 6112)
_SURE_DIGITS = 15  # any decimal of so many digits comes back from the nearest double

Mask = npt.NDArray[np.bool_]
Change = Callable[[pa.Array], tuple[pa.Array, Mask]]


def _good(column: pa.Array) -> tuple[pa.Array, Mask]:
    return column, np.zeros(len(column), np.bool_)


def _only(column: pa.Array, fits: pa.Array) -> tuple[pa.Array, Mask]:
    """The values that fit, the others null and named."""
    bad = np.asarray(pc.and_(column.is_valid(), pc.invert(fits.fill_null(False))))
    return (pc.if_else(pa.array(bad), None, column) if bad.any() else column), bad


def _then(first: Change, second: Change) -> Change:
    def change(column: pa.Array) -> tuple[pa.Array, Mask]:
        middle, bad = first(column)
        last, worse = second(middle)
        return last, bad | worse

    return change


def _matching(pattern: str) -> Change:
    return lambda column: _only(column, pc.match_substring_regex(column, pattern))


def _cast(arrow: pa.DataType) -> Change:
    """A safe cast; Arrow refuses a value that would change."""

    def change(column: pa.Array) -> tuple[pa.Array, Mask]:
        try:
            return _good(column.cast(arrow))
        except pa.ArrowInvalid:
            bad = np.zeros(len(column), np.bool_)
            _search(column, arrow, 0, bad)
            return pc.if_else(pa.array(bad), None, column).cast(arrow), bad

    return change


def _search(column: pa.Array, arrow: pa.DataType, first: int, bad: Mask) -> None:
    """Halve until the cast either works or fails for a single row."""
    try:
        column.cast(arrow)
    except pa.ArrowInvalid:
        if len(column) == 1:
            bad[first] = True
            return
        half = len(column) // 2
        _search(column.slice(0, half), arrow, first, bad)
        _search(column.slice(half), arrow, first + half, bad)


def _whole(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Doubles that are whole numbers of 64 bits."""
    values = column.fill_null(0.0).to_numpy(zero_copy_only=False)
    whole = np.isfinite(values) & (np.floor(values) == values) & (values >= -(2.0**63)) & (values < 2.0**63)
    kept, bad = _only(column, pa.array(whole))
    return kept.cast(pa.int64()), bad


def _exact_double(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Integers that are doubles."""
    if column.type == pa.uint64():
        column, bad = _cast(pa.int64())(column)
    else:
        column, bad = _good(column.cast(pa.int64()))
    integers = column.fill_null(0).to_numpy(zero_copy_only=False)
    doubles = integers.astype(np.float64)
    there = doubles < 2.0**63
    same = there & (np.where(there, doubles, 0.0).astype(np.int64) == integers)
    kept, worse = _only(pa.array(doubles, mask=~np.asarray(column.is_valid())), pa.array(same))
    return kept, bad | worse


def _decimal_text(column: pa.Array) -> tuple[pa.Array, Mask]:
    return _good(column.cast(pa.string()))


def _double_of_text(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Texts of numbers as doubles whose shortest text is the same number."""
    column, bad = _matching(_NUMBER)(column)
    doubles = column.cast(pa.float64())
    digits = pc.utf8_length(pc.replace_substring_regex(column, r"[eE].*|[^0-9]", ""))
    finite = pc.is_finite(doubles)
    unsure = pc.or_(pc.greater(digits, _SURE_DIGITS), pc.match_substring_regex(column, "[eE]"))
    same = np.asarray(finite.fill_null(False)).copy()
    for row in pc.indices_nonzero(unsure.fill_null(False)).to_pylist():
        same[row] = same[row] and Decimal(column[row].as_py()) == Decimal(repr(doubles[row].as_py()))
    kept, worse = _only(doubles, pa.array(same))
    return kept, bad | worse


def _decimals(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Texts of numbers as decimals; as Extended JSON where their digits don't fit one column."""
    values, bad = [], np.zeros(len(column), np.bool_)
    for row, text in enumerate(column.to_pylist()):
        value = None if text is None else _decimal_of(text)
        bad[row] = text is not None and value is None
        values.append(value)
    there = [value for value in values if value is not None]
    facts = [_facts(value) for value in there]
    digits, scale = (max((fact[at] for fact in facts), default=1) for at in (0, 1))
    minus_zero = any(value.is_zero() and value.is_signed() for value in there)
    if digits + scale <= PRECISION and not minus_zero:
        return pa.array(values, pa.decimal128(digits + scale, scale)), bad
    texts = [None if value is None else f'{{"$numberDecimal":"{value}"}}' for value in values]
    return pa.array(texts, pa.string()), bad


def _decimal_of(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent not in _EXPONENTS:
        return None
    return value if len(value.as_tuple().digits) <= _MOST_DIGITS else None


def _facts(value: Decimal) -> tuple[int, int]:
    """Digits before the point and places after it."""
    exponent = int(value.as_tuple().exponent)
    return max(value.adjusted() + 1, 1), max(-exponent, 0)


def _short_enough(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Decimals of 34 digits at most, not counting zeros at their end."""
    if column.type.precision <= _MOST_DIGITS:
        return _good(column)
    digits = pc.replace_substring_regex(column.cast(pa.string()), "[^0-9]", "")
    needed = pc.utf8_length(pc.utf8_trim(digits, "0"))
    return _only(column, pc.less_equal(needed, _MOST_DIGITS))


def _integers_as_decimals(column: pa.Array) -> tuple[pa.Array, Mask]:
    precision = 20 if column.type == pa.uint64() else 19
    return _good(column.cast(pa.decimal128(precision, 0)))


def _bit(column: pa.Array) -> tuple[pa.Array, Mask]:
    kept, bad = _only(column, pc.is_in(column, pa.array([0, 1], column.type)))
    return kept.cast(pa.bool_()), bad


def _truth(column: pa.Array) -> tuple[pa.Array, Mask]:
    kept, bad = _only(column, pc.is_in(column, pa.array(["true", "false"])))
    return pc.equal(kept, "true"), bad


def floored(column: pa.Array) -> pa.Array:
    """Times without what is finer than a millisecond."""
    finer = pa.types.is_timestamp(column.type) and column.type.unit in ("us", "ns")
    return pc.floor_temporal(column, unit="millisecond") if finer else column


def _date(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Moments to the millisecond."""
    bad = np.zeros(len(column), np.bool_)
    milliseconds = to_milliseconds(column)
    if milliseconds is None:
        coarse = pa.timestamp("ms", column.type.tz)
        back = column.cast(coarse, safe=False).cast(column.type)
        column, bad = _only(column, pc.equal(column, back))
        milliseconds = column.cast(coarse).cast(pa.int64())
    return milliseconds.cast(UTC_MS), bad


def _moments(column: pa.Array) -> tuple[pa.Array, Mask]:
    """Texts as moments; those without a zone are UTC."""
    column, bad = _matching(_MOMENT)(column)
    midnight = pc.match_substring_regex(column, r"^\d{4}-\d\d-\d\d$")
    zoned = pc.match_substring_regex(column, r"(Z|[+-]\d\d(:?\d\d)?)$")
    whole = pc.if_else(midnight, pc.binary_join_element_wise(column, "T00:00:00Z", ""), column)
    naive = pc.and_(pc.invert(midnight), pc.invert(zoned))
    whole = pc.if_else(naive, pc.binary_join_element_wise(whole, "Z", ""), whole)
    found, worse = _cast(pa.timestamp("us", "UTC"))(whole)
    return found, bad | worse


def _iso(column: pa.Array) -> tuple[pa.Array, Mask]:
    if pa.types.is_date(column.type):
        return _good(column.cast(pa.string()))
    zoned = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return _good(pc.strftime(zoned, "%Y-%m-%dT%H:%M:%SZ"))


def _hexadecimal(column: pa.Array) -> tuple[pa.Array, Mask]:
    """12 bytes as the text of an ObjectId."""
    kept, bad = _only(column, pc.equal(pc.binary_length(column), 12))
    return pa.array([None if raw is None else raw.hex() for raw in kept.to_pylist()], pa.string()), bad


def _uuid_of_bytes(column: pa.Array) -> tuple[pa.Array, Mask]:
    from uuid import UUID

    kept, bad = _only(column, pc.equal(pc.binary_length(column), 16))
    texts = [None if raw is None else str(UUID(bytes=raw)) for raw in kept.to_pylist()]
    return pa.array(texts, pa.string()), bad


def _integers(arrow: pa.DataType) -> dict[str, Change]:
    cast = _cast(arrow)
    digits = _matching(r"^(0|-?[1-9][0-9]{0,18})$")
    return {"integer": cast, "decimal": cast, "double": _then(_whole, cast), "text": _then(digits, cast)}


def _as_text(column: pa.Array) -> tuple[pa.Array, Mask]:
    return _good(column.cast(pa.string()))


_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,4})?$"
_MOMENT = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)?)?$"  # as Arrow reads it
_TEXT_ONLY: dict[str, Change] = {"text": _good}

#: Kind -> sort of the source -> the values of that kind, and which rows have none.
CHANGES: Final[dict[str, dict[str, Change]]] = {
    "int32": _integers(pa.int32()),
    "int64": _integers(pa.int64()),
    "double": {
        "double": _good,
        "integer": _exact_double,
        "decimal": _then(_decimal_text, _double_of_text),
        "text": _double_of_text,
    },
    "decimal": {
        "decimal": _short_enough,
        "integer": _integers_as_decimals,
        "double": _then(_as_text, _decimals),
        "text": _then(_matching(_NUMBER), _decimals),
    },
    "bool": {"bool": _good, "integer": _bit, "text": _truth},
    "date": {"moment": _date, "text": _then(_moments, _date)},
    "objectId": {"text": _matching("^[0-9a-fA-F]{24}$"), "bytes": _hexadecimal},
    "uuid": {
        "text": _matching("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
        "bytes": _uuid_of_bytes,
    },
    "string": {
        "text": _good,
        "bool": _as_text,
        "integer": _as_text,
        "decimal": _as_text,
        "double": _as_text,
        "moment": _iso,
    },
    "binary": {"bytes": _good},
    "timestamp": {"integer": _cast(pa.int64())},
    "javascript": _TEXT_ONLY,
    "symbol": _TEXT_ONLY,
    "variant": _TEXT_ONLY,
}
