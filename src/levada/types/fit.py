"""Columns as values of a kind that someone asks for, where no value changes; what does not fit is named.

| Asked for | Made from |
|---|---|
| int, long | whole numbers of any type in its range; digits as text, without leading zeros |
| double | whole numbers that a double holds; decimals and texts that the double's shortest text gives back |
| decimal | numbers of any type (of a double: its shortest text); numbers as text; 34 digits at most |
| bool | bool; 0 and 1; `true` and `false` as text |
| date | dates, time stamps (naive ones are UTC; to the ms); ISO 8601 text |
| object_id | 24 hexadecimal digits as text; 12 bytes |
| uuid | text 8-4-4-4-12; 16 bytes |
| string | text; bool, numbers, dates (as ISO 8601) |
| binary, `binary:n` | bytes |
| timestamp | 64-bit integers: seconds in the high 32 bits |
| javascript, symbol | text |
| json | text of JSON or Extended JSON, which becomes the value it stands for |

Other pairs are refused as a whole: no value of theirs could fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.types.fitmixed import FIELDS, apart
from levada.types.fitplain import CHANGES, floored
from levada.types.kinds import (
    BSON,
    DIGITS,
    decimal_facts,
    decimal_field,
    field_of,
    kind_of,
)

#: What people write -> the kind. MongoDB's own aliases and Levada's kinds are both understood.
TYPES: Final[dict[str, str]] = {
    **{name: name for name in ("bool", "date", "decimal", "double", "string", "uuid", "timestamp")},
    **{name: name for name in ("javascript", "symbol", "binary", "objectId", "int32", "int64")},
    "object_id": "objectId",
    "int": "int32",
    "long": "int64",
    "binData": "binary",
    "json": "variant",
}

_NAMES = {"objectId": "object_id", "int32": "int", "int64": "long", "variant": "json"}
_NUMBERS = ("int64", "double", "number")
_OF_NUMBERS = ("int32", "int64", "double", "string")


class Unfit(ValueError):
    """No value of the one kind can become one of the other."""


class Fitted(NamedTuple):
    """A column of the kind that was asked for.

    Args:
        field: its field, by the name it had.
        column: the values; null where one does not fit.
        bad: row -> why its value does not fit.
    """

    field: pa.Field
    column: pa.Array
    bad: dict[int, str]


def kind_named(name: str) -> str | None:
    """The kind that people call so; None if there is none. `binary:80` is binary of a subtype."""
    stem, colon, subtype = name.partition(":")
    if not colon:
        return TYPES.get(name)
    try:
        number = int(subtype, 16) if stem == "binary" and len(subtype) == 2 else -1
    except ValueError:
        return None
    return f"binary:{number:02x}" if number >= 0 and number not in (2, 4) else None


def fit(column: pa.Array, field: pa.Field, kind: str, *, truncate: bool = False) -> Fitted:
    """A column as values of a kind, labelled as such.

    Args:
        column: of any type.
        field: says what its values are.
        kind: see `kind_named`.
        truncate: cut times to the millisecond instead of refusing finer ones.

    Raises:
        Unfit: no value of this column's kind can become one.
    """
    column = _plain(column)
    source, target = kind_of(field.with_type(column.type)), kind.partition(":")[0]
    if pa.types.is_null(column.type):
        made = field_of(kind, field.name) if kind != "decimal" else decimal_field(field.name, 1, 0)
        return Fitted(_labelled(made, field, kind), pa.nulls(len(column), made.type), {})
    if source == "variant" and target != "variant":
        return _mixed(column, field, kind, truncate=truncate)
    change = CHANGES[target].get(_sort(column.type))
    if change is None:
        raise Unfit(f"{_NAMES.get(source, source)} can't become {_NAMES.get(kind, kind)}")
    found, bad = change(floored(column) if truncate and target == "date" else column)
    made = _field(field, found, kind)
    names = _NAMES.get(kind, kind)
    return Fitted(made, found, {row: _why(column, int(row), names) for row in np.flatnonzero(bad).tolist()})


def _mixed(column: pa.Array, field: pa.Field, kind: str, *, truncate: bool) -> Fitted:
    """A column of values of several types, as Extended JSON: each as its own type says."""
    parts = apart(column)
    if kind == "decimal":  # together, so that one scale holds them all
        texts = [parts[sort].cast(pa.string()) for sort in (*_NUMBERS, "string") if sort in parts]
        parts = {"string": pc.coalesce(*texts)} if texts else {}
    elif kind not in _OF_NUMBERS:
        parts.pop("number", None)
    made = decimal_field(field.name, 1, 0) if kind == "decimal" else field_of(kind, field.name)
    values, made = pa.nulls(len(column), made.type), _labelled(made, field, kind)
    for sort, part in parts.items():
        try:
            found = fit(part, FIELDS[sort].with_name(field.name), kind, truncate=truncate)
        except Unfit:
            continue
        values = found.column if kind == "decimal" else pc.coalesce(values, found.column)
        made = _labelled(found.field, field, kind_of(found.field)) if kind == "decimal" else made
    lost = np.flatnonzero(np.asarray(pc.and_(column.is_valid(), values.is_null()))).tolist()
    name = _NAMES.get(kind, kind)
    return Fitted(made, values, {row: _why(column, row, name) for row in lost})


def _why(column: pa.Array, row: int, kind: str) -> str:
    return f"{_shown(column, row)} can't be {kind} without a change"


def _shown(column: pa.Array, row: int) -> str:
    try:
        text = repr(column[row].as_py()) if not pa.types.is_temporal(column.type) else str(column[row])
    except ValueError:  # a time that Python's types can't hold
        text = "this time"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _field(field: pa.Field, found: pa.Array, kind: str) -> pa.Field:
    if pa.types.is_decimal(found.type):
        facts = decimal_facts(field) if pa.types.is_decimal(field.type) else None
        digits = facts[0] if facts else found.type.precision - max(found.type.scale, 0)
        made = pa.field(field.name, found.type, metadata={DIGITS: str(digits).encode()})
    elif kind == "decimal":
        made = field_of("variant", field.name)  # more digits before and after the point than a column has
        return _labelled(made, field, "variant")
    else:
        made = pa.field(field.name, found.type)
    return _labelled(made, field, kind)


def _labelled(made: pa.Field, field: pa.Field, kind: str) -> pa.Field:
    kept = {key: text for key, text in (field.metadata or {}).items() if key not in (BSON, DIGITS)}
    return made.with_metadata({**kept, **(made.metadata or {}), BSON: kind.encode()})


def _plain(column: pa.Array) -> pa.Array:
    """The same values without dictionaries, views and large forms."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    plain = _PLAIN.get(column.type)
    if pa.types.is_fixed_size_binary(column.type):
        plain = pa.binary()
    return column if plain is None else column.cast(plain)


_PLAIN = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
    pa.float16(): pa.float64(),
    pa.float32(): pa.float64(),
    pa.date64(): pa.timestamp("ms"),
}

_SORTS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pa.types.is_string, "text"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_decimal, "decimal"),
    (pa.types.is_floating, "double"),
    (pa.types.is_boolean, "bool"),
    (pa.types.is_timestamp, "moment"),
    (pa.types.is_date, "moment"),
    (pa.types.is_binary, "bytes"),
)


def _sort(arrow: pa.DataType) -> str:
    return next((name for matches, name in _SORTS if matches(arrow)), "other")
