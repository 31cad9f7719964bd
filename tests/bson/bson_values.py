"""Documents of every BSON type, and the table of what a round trip may change, as `alike` checks it.

| may change | because |
|---|---|
| null members and missing members are the same | a column has one null |
| the order of members | a struct has one order |
| int32, int64, double and Decimal128 of one value are the same number | types widen |
| NaN has no sign and no payload in a variant | Extended JSON has one NaN |
| undefined is null, symbols are strings, DBPointers are DBRefs | PyMongo itself reads them so |
"""

import math
import struct
from datetime import UTC
from decimal import Decimal

import bson
from bson import (
    Binary,
    Code,
    CodecOptions,
    DatetimeMS,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS as _Ms
from hypothesis import strategies as st

OPTIONS = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS, tz_aware=True, tzinfo=UTC)

int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
decimals = st.one_of(
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "-0", "-0.00", "0E+6000", "0E-6000", "1E+6000", "1E-6000"]
    ),
    st.builds("{}E{}".format, st.integers(-(10**34) + 1, 10**34 - 1), st.integers(-40, 10)),
    st.builds("{}E{}".format, st.integers(-(10**6), 10**6), st.integers(-4, 2)),
).map(Decimal128)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    int32s,
    int64s.map(Int64),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=9),
    st.builds(Binary, st.binary(max_size=9), st.sampled_from([2, 3, 5, 6, 7, 128, 255])),
    st.binary(min_size=16, max_size=16).map(lambda data: Binary(data, 4)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    int64s.map(DatetimeMS),
    st.builds(Regex, texts, st.integers(0, 511).map(lambda flags: flags & (2 | 4 | 8 | 16 | 32 | 64))),
    st.text(max_size=9).map(Code),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.just(MinKey()),
    st.just(MaxKey()),
    decimals,
)

names = st.one_of(st.sampled_from(["a", "b", "c", "d", "status", "customer_id"]), texts)


def nested(values):
    return st.one_of(
        st.lists(values, max_size=4),
        st.dictionaries(names, values, max_size=4),
        st.builds(Code, st.text(max_size=5), st.dictionaries(names, values, max_size=2)),
    )


values = st.recursive(scalars, nested, max_leaves=8)
documents = st.dictionaries(names, values, max_size=6)


def optional(**members):
    return st.fixed_dictionaries({}, optional=members)


#: Documents of little variety, so that columns keep one type or meet only a second one.
plain = st.fixed_dictionaries(
    {},
    optional={
        "number": st.one_of(int32s, int64s.map(Int64), st.floats(), decimals),
        "text": st.one_of(st.none(), st.text(max_size=9)),
        "whole": int32s,
        "list": st.lists(
            st.fixed_dictionaries({}, optional={"x": int32s, "y": st.text(max_size=3)}), max_size=3
        ),
        "inner": st.fixed_dictionaries({}, optional={"when": int64s.map(DatetimeMS), "n": st.integers(0, 5)}),
        "id": st.binary(min_size=12, max_size=12).map(ObjectId),
        "any": scalars,
    },
)


def read(raw):
    return bson.decode(raw, OPTIONS)


def alike(one, other):
    """Whether two values are the same but for the table above."""
    if _number(one) is not None and _number(other) is not None:
        return _number(one) == _number(other)
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = _members(one), _members(other)
        return ours.keys() == theirs.keys() and all(alike(ours[name], theirs[name]) for name in ours)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, Code) and isinstance(other, Code):
        return str(one) == str(other) and alike(one.scope, other.scope)
    if isinstance(one, _Ms) and isinstance(other, _Ms):
        return int(one) == int(other)
    if isinstance(one, Binary | bytes) and isinstance(other, Binary | bytes):
        return bytes(one) == bytes(other) and getattr(one, "subtype", 0) == getattr(other, "subtype", 0)
    return type(one) is type(other) and one == other


def _members(value):
    return {name: member for name, member in value.items() if member is not None}


def _number(value):
    """A key that is equal for equal numbers, and tells NaN, the infinities and -0 apart; None for others."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal128):
        return None
    if isinstance(value, Decimal128):
        value = value.to_decimal()
        value = float("nan") if value.is_nan() else value
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(value), math.copysign(1, value) if value == 0 else 0
    if isinstance(value, int):
        return Decimal(value), 1 if value == 0 else 0
    if isinstance(value, Decimal) and value.is_finite():
        return value, (-1 if value.is_signed() else 1) if value == 0 else 0
    return "nan" if math.isnan(value) else str(float(value))


def raw_document(*elements):
    """A document of (type, name, value) in bytes, for what PyMongo does not write."""
    body = b"".join(bytes([tag]) + name + b"\0" + value for tag, name, value in elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def raw_string(text):
    return struct.pack("<i", len(text) + 1) + text + b"\0"
