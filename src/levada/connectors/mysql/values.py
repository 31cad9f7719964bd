"""What the driver gives, as Arrow values of the columns' types; whole columns at a time.

A value that its type can't hold (`0000-00-00`, a local time that never was, 7 as a bool) leaves a null; its
text goes to a column beside.
"""

from __future__ import annotations

from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.types import extjson, kind_of

#: A column in its type, and the texts of the values that it can't hold; None where there are none.
Values = tuple[pa.Array, pa.Array | None]

#: Digits of a BSON decimal.
_DECIMAL128 = Context(prec=34)


def values(column: pa.Array, field: pa.Field, zone: str | None) -> Values:
    """A column as its field says.

    Args:
        column: as the driver gives it.
        field: of the same column.
        zone: what naive times mean; None for instants.

    Raises:
        pa.ArrowInvalid: a value has no place in the type; nothing is ever cut or wrapped.
    """
    kind = field.type
    if pa.types.is_date(kind):
        return _dates(column)
    if pa.types.is_timestamp(kind):
        return _moments(column, kind, zone)
    if pa.types.is_boolean(kind):
        return _truths(column)
    if kind_of(field) == "variant":
        return _long_decimals(column), None
    return column.cast(kind), None


def _dates(column: pa.Array) -> Values:
    good, odd = _calendar(column)
    return good.cast(pa.date32()), odd


def _moments(column: pa.Array, kind: pa.TimestampType, zone: str | None) -> Values:
    good, odd = _calendar(column)
    naive = good.cast(pa.timestamp(kind.unit))
    if zone in (None, "UTC"):
        return pc.assume_timezone(naive, "UTC"), odd
    moments = pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="earliest")
    never = pc.fill_null(pc.not_equal(pc.local_timestamp(moments), naive), False)
    if pc.any(never).as_py():
        apart = _only(never, column)
        odd = apart if odd is None else pc.coalesce(odd, apart)
        moments = _without(never, moments)
    return moments.cast(kind), odd


def _calendar(column: pa.Array) -> Values:
    """The texts that begin with a day of the calendar; the others apart."""
    column = column.cast(pa.string())
    days = pc.utf8_slice_codeunits(column, 0, 10)
    try:
        first = pc.min(days.cast(pa.date32()))
        plain = not first.is_valid or first.value >= _FIRST_DAY
    except pa.ArrowInvalid:
        plain = False
    if plain:
        return column, None
    never = pc.fill_null(pc.invert(_is_day(days)), False)
    return _without(never, column), _only(never, column)


#: The year 1; MySQL knows a year 0, most calendars do not.
_FIRST_DAY = -719_162


def _is_day(days: pa.Array) -> pa.Array:
    """Whether texts such as `2026-02-31` are days; null stays null."""
    year, month, day = (
        pc.fill_null(pc.utf8_slice_codeunits(days, start, end).cast(pa.int32()), 1).to_numpy()
        for start, end in ((0, 4), (5, 7), (8, 10))
    )
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[np.clip(month, 0, 12)]
    longest = longest + ((month == 2) & leap)
    good = (year > 0) & (month > 0) & (day > 0) & (day <= longest)
    return pa.array(good, mask=days.is_null().to_numpy(zero_copy_only=False))


def _truths(column: pa.Array) -> Values:
    numbers = column.cast(pa.int64())
    never = pc.fill_null(pc.or_(pc.less(numbers, 0), pc.greater(numbers, 1)), False)
    if not pc.any(never).as_py():
        return numbers.cast(pa.bool_()), None
    return _without(never, numbers).cast(pa.bool_()), _only(never, numbers.cast(pa.string()))


def _long_decimals(column: pa.Array) -> pa.Array:
    """Decimals beyond 38 digits as variants: as numbers where a Decimal128 holds them, else as strings."""
    return pa.array([text and _variant(text) for text in column.to_pylist()], pa.string())


def _variant(text: str) -> str:
    value = Decimal(text)
    exact = value.normalize(_DECIMAL128) == value
    return extjson.decimal(value) if exact else extjson.quote(text)


def _only(chosen: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(chosen, column, pa.scalar(None, column.type))


def _without(chosen: pa.Array, column: pa.Array) -> pa.Array:
    return pc.if_else(chosen, pa.scalar(None, column.type), column)
