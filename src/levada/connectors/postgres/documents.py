"""Documents, lists and maps as JSON that PostgreSQL can query, and back without a change.

The column's Arrow type, kept beside the table, says what the JSON means; so numbers are plain numbers. What
JSON lacks is written so:

| Value | JSON |
|---|---|
| double NaN, infinities, -0.0 | `"NaN"`, `"Infinity"`, `"-Infinity"`, `"-0.0"` |
| date, time stamp | ISO 8601, with `Z` where there is a zone; beyond the years 1 to 9999 as time |
| time, duration | the count in the type's unit |
| binary | base64 |
| map | an array of pairs |
| null member of a document | left out |
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from json.encoder import encode_basestring as quote
from typing import Any

import numpy as np
import pyarrow as pa

Texts = list[str | None]

#: Days from 0001-01-01 up to 10000-01-01, since 1970.
_CALENDAR = (-719_162, 2_932_897)
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def texts(column: pa.Array) -> Texts:
    """The JSON of every value; None for null.

    Raises:
        pa.ArrowNotImplementedError: the type has no JSON.
    """
    kind = column.type
    for matches, write in _WRITERS:
        if matches(kind):
            return write(column)
    raise pa.ArrowNotImplementedError(f"{kind} has no JSON form")


def decoded(found: Texts, arrow: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """Values of a type from their JSON, and the texts of those rows that are no such values (null then)."""
    read = _reader(arrow)
    values: list[Any] = []
    strangers: dict[int, str] = {}
    for row, text in enumerate(found):
        try:
            values.append(None if text is None else read(json.loads(text, parse_float=_Digits)))
        except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError):
            strangers[row] = text or ""
            values.append(None)
    try:
        return pa.array(values, arrow), strangers
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        if len(found) == 1:
            return pa.nulls(1, arrow), {0: found[0] or ""}
    half = len(found) // 2
    first, second = decoded(found[:half], arrow), decoded(found[half:], arrow)
    return pa.concat_arrays([first[0], second[0]]), {
        **first[1],
        **{row + half: text for row, text in second[1].items()},
    }


class _Digits(str):
    """A number of JSON by its digits."""

    __slots__ = ()


def _plain(column: pa.Array) -> Texts:
    found: Texts = column.cast(pa.string()).to_pylist()
    return found


def _integers(column: pa.Array) -> list[int | None]:
    bits = pa.int32() if column.type.bit_width == 32 else pa.int64()
    found: list[int | None] = column.cast(bits).to_pylist()
    return found


def _counts(column: pa.Array) -> Texts:
    return [None if value is None else str(value) for value in _integers(column)]


def _doubles(column: pa.Array) -> Texts:
    return [None if value is None else _double(value) for value in column.cast(pa.float64()).to_pylist()]


def _double(value: float) -> str:
    if value - value != 0:
        return '"NaN"' if value != value else f'"{"-" if value < 0 else ""}Infinity"'  # noqa: PLR0124
    text = repr(value)
    return '"-0.0"' if text == "-0.0" else text


def _decimals(column: pa.Array) -> Texts:
    return [None if value is None else format(value, "f") for value in column.to_pylist()]


def _strings(column: pa.Array) -> Texts:
    return [None if value is None else quote(value) for value in column.to_pylist()]


def _binaries(column: pa.Array) -> Texts:
    return [
        None if value is None else f'"{base64.b64encode(value).decode()}"' for value in column.to_pylist()
    ]


def _moments(column: pa.Array) -> Texts:
    kind = column.type
    unit, day = ("D", 1) if pa.types.is_date32(kind) else (_unit(kind), _PER_DAY[_unit(kind)])
    numbers = np.asarray(column.cast(pa.int32() if unit == "D" else pa.int64()).fill_null(0))
    inside = (numbers >= _CALENDAR[0] * day) & (numbers < _CALENDAR[1] * day)
    written = np.datetime_as_string(np.where(inside, numbers, 0).astype(f"M8[{unit}]"))
    zone = "Z" if pa.types.is_timestamp(kind) and kind.tz else ""
    rows = zip(column.is_valid().to_pylist(), inside, written, numbers, strict=True)
    return [
        (f'"{text}{zone}"' if known else str(number)) if valid else None
        for valid, known, text, number in rows
    ]


def _unit(kind: pa.DataType) -> str:
    return "ms" if pa.types.is_date64(kind) else str(kind.unit)


def _documents(column: pa.Array) -> Texts:
    names = [quote(child.name) + ":" for child in column.type]
    children = [texts(column.field(at)) for at in range(len(names))]
    rows: Iterator[tuple[str | None, ...]] = (
        zip(*children, strict=True) if children else iter([()] * len(column))
    )
    valid = column.is_valid().to_pylist()
    return [
        "{" + ",".join([n + t for n, t in zip(names, row, strict=True) if t is not None]) + "}"
        if there
        else None
        for there, row in zip(valid, rows, strict=True)
    ]


def _lists(column: pa.Array) -> Texts:
    if not pa.types.is_list(column.type):
        column = column.cast(pa.list_(column.type.value_field))
    edges = np.asarray(column.offsets).tolist()
    first = edges[0]
    parts = texts(column.values.slice(first, edges[-1] - first))
    return [
        "[" + ",".join([part or "null" for part in parts[start - first : end - first]]) + "]"
        if there
        else None
        for there, start, end in zip(column.is_valid().to_pylist(), edges[:-1], edges[1:], strict=True)
    ]


def _maps(column: pa.Array) -> Texts:
    edges = np.asarray(column.offsets).tolist()
    first, count = edges[0], edges[-1] - edges[0]
    keys, items = texts(column.keys.slice(first, count)), texts(column.items.slice(first, count))
    pairs = [f"[{key},{item or 'null'}]" for key, item in zip(keys, items, strict=True)]
    return [
        "[" + ",".join(pairs[start - first : end - first]) + "]" if there else None
        for there, start, end in zip(column.is_valid().to_pylist(), edges[:-1], edges[1:], strict=True)
    ]


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_count(kind: pa.DataType) -> bool:
    return bool(pa.types.is_time(kind) or pa.types.is_duration(kind))


Matches = Callable[[pa.DataType], bool]

_WRITERS: tuple[tuple[Matches, Callable[[pa.Array], Texts]], ...] = (
    (pa.types.is_null, lambda column: [None] * len(column)),
    (_is_text, _strings),
    (pa.types.is_struct, _documents),
    (_is_list, _lists),
    (pa.types.is_boolean, _plain),
    (pa.types.is_integer, _plain),
    (pa.types.is_floating, _doubles),
    (pa.types.is_decimal, _decimals),
    (_is_moment, _moments),
    (_is_count, _counts),
    (_is_binary, _binaries),
    (pa.types.is_map, _maps),
    (pa.types.is_dictionary, lambda column: texts(column.dictionary_decode())),
)

Read = Callable[[Any], Any]


def _reader(arrow: pa.DataType) -> Read:
    """What turns parsed JSON into a Python value of the type."""
    for matches, make in _READERS:
        if matches(arrow):
            read = make(arrow)
            return lambda value: None if value is None else read(value)
    raise pa.ArrowNotImplementedError(f"{arrow} has no JSON form")


def _read_documents(arrow: pa.DataType) -> Read:
    members = {child.name: _reader(child.type) for child in arrow}
    return lambda value: {name: members[name](member) for name, member in value.items()}


def _read_lists(arrow: pa.DataType) -> Read:
    read = _reader(arrow.value_type)
    return lambda value: [read(each) for each in _expect(value, list)]


def _read_maps(arrow: pa.DataType) -> Read:
    key, item = _reader(arrow.key_type), _reader(arrow.item_type)
    return lambda value: [(key(k), item(v)) for k, v in value]


def _read_moments(arrow: pa.DataType) -> Read:
    unit = "D" if pa.types.is_date32(arrow) else _unit(arrow)

    def read(value: Any) -> int:
        if isinstance(value, int):
            return value
        moment = np.datetime64(_expect(value, str).removesuffix("Z"))
        exact = moment.astype(f"M8[{unit}]")
        if exact != moment:
            raise ValueError(value)
        return int(exact.astype(np.int64))

    return read


def _expect(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, kind) or isinstance(value, _Digits):
        raise TypeError(value)
    return value


def _read_float(arrow: pa.DataType) -> Read:
    return np.float16 if arrow == pa.float16() else float


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


_READERS: tuple[tuple[Matches, Callable[[pa.DataType], Read]], ...] = (
    (pa.types.is_null, lambda _: lambda value: _expect(value, type(None))),
    (_is_text, lambda _: lambda value: _expect(value, str)),
    (pa.types.is_struct, _read_documents),
    (_is_list, _read_lists),
    (pa.types.is_boolean, lambda _: lambda value: _expect(value, bool)),
    (pa.types.is_integer, lambda _: _whole),
    (pa.types.is_floating, _read_float),
    (pa.types.is_decimal, lambda _: Decimal),
    (_is_moment, _read_moments),
    (_is_count, lambda _: _whole),
    (_is_binary, lambda _: lambda value: base64.b64decode(_expect(value, str), validate=True)),
    (pa.types.is_map, _read_maps),
    (pa.types.is_dictionary, lambda arrow: _reader(arrow.value_type)),
)
