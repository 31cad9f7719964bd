"""The kinds of values, one table: BSON type -> Arrow type -> the label that restores it.

| BSON | Arrow | `levada.bson` on the field |
|---|---|---|
| double | float64 (NaN, infinities and -0.0 as they are) | |
| string | string | |
| document | struct | |
| array | list | |
| binary, subtype 0 | binary | |
| binary, subtype n (except 2, 4) | binary | `binary:n`, two hexadecimal digits |
| UUID (binary, subtype 4, 16 bytes) | string, 8-4-4-4-12 hexadecimal digits | `uuid` |
| ObjectId | string, 24 hexadecimal digits | `objectId` |
| bool | bool | |
| date | timestamp(ms, UTC); any 64-bit count of ms is kept | `date` |
| null, missing | null (of the type the other rows give) | |
| JavaScript code | string | `javascript` |
| symbol | string | `symbol` |
| int32, int64 | int32, int64 | |
| timestamp | int64: seconds in the high 32 bits, the increment in the low ones | `timestamp` |
| Decimal128 | decimal128(38, s), s the most decimal places seen | `decimal` |
| regex, code with scope, DBPointer, undefined, minKey, maxKey | string, canonical Extended JSON | `variant` |
| old binary (subtype 2), UUID of another length | string, canonical Extended JSON | `variant` |
| Decimal128 NaN, infinity, -0, beyond 38 digits | string, canonical Extended JSON | `variant` |
| values of more than one kind | string, canonical Extended JSON | `variant` |

A decimal field also says how many digits its values have before the point (`levada.digits`), so that a
wider scale can be chosen, or refused, without looking at the values again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

#: Key of the field metadata that holds the kind's label.
BSON: Final = b"levada.bson"

#: Key of a decimal field's metadata: the most digits before the point that were seen, as text.
DIGITS: Final = b"levada.digits"

#: Keys of the metadata of a field renamed for a target: its original name, and the name it was given.
NAME: Final = b"levada.name"
NAMED: Final = b"levada.named"

#: Key of the metadata of a field whose type a person has settled: no target asks for another one.
SETTLED: Final = b"levada.settled"

#: Key of the metadata of a field whose nulls are left out of documents instead of written.
OMITTED: Final = b"levada.omitted"

#: Digits of the widest decimal column.
PRECISION: Final = 38

#: A document with more distinct names than this below the top is a map with moving keys: a variant.
MAX_FIELDS: Final = 1_000

UTC_MS: Final = pa.timestamp("ms", "UTC")


@dataclass(frozen=True)
class Kind:
    """How values of one kind are held.

    Args:
        arrow: the Arrow type; None where it depends on the values (nested, decimal).
        holds: whether an Arrow type may carry this kind's label.
        labelled: whether the field's metadata names the kind.
    """

    arrow: pa.DataType | None
    holds: Callable[[pa.DataType], bool]
    labelled: bool = False


def _text(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


def _bytes(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(arrow)
        or pa.types.is_large_binary(arrow)
        or pa.types.is_binary_view(arrow)
        or pa.types.is_fixed_size_binary(arrow)
    )


def _small_integer(arrow: pa.DataType) -> bool:
    return arrow in {pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()}


def _integer(arrow: pa.DataType) -> bool:
    return arrow in {pa.int64(), pa.uint32()}


def _moment(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(arrow) or pa.types.is_date(arrow))


def _list(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow)
    )


def _decimal(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(arrow) or arrow == pa.uint64())


#: Kind -> how it is held. The first kind without need of a label that holds an Arrow type is its kind.
KINDS: Final[dict[str, Kind]] = {
    "null": Kind(pa.null(), pa.types.is_null),
    "bool": Kind(pa.bool_(), pa.types.is_boolean),
    "int32": Kind(pa.int32(), _small_integer),
    "int64": Kind(pa.int64(), _integer),
    "double": Kind(pa.float64(), pa.types.is_floating),
    "decimal": Kind(None, _decimal, labelled=True),
    "string": Kind(pa.string(), _text),
    "date": Kind(UTC_MS, _moment, labelled=True),
    "binary": Kind(pa.binary(), _bytes),
    "document": Kind(None, pa.types.is_struct),
    "array": Kind(None, _list),
    "objectId": Kind(pa.string(), _text, labelled=True),
    "uuid": Kind(pa.string(), _text, labelled=True),
    "javascript": Kind(pa.string(), _text, labelled=True),
    "symbol": Kind(pa.string(), _text, labelled=True),
    "timestamp": Kind(pa.int64(), _integer, labelled=True),
    "variant": Kind(pa.string(), _text, labelled=True),
}

#: BSON type number -> kind. Types that are not here have no column of their own: they make a variant.
TAGS: Final[dict[int, str]] = {
    1: "double",
    2: "string",
    3: "document",
    4: "array",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    13: "javascript",
    14: "symbol",
    16: "int32",
    17: "timestamp",
    18: "int64",
    19: "decimal",
}

_UNLABELLED = ("null", "bool", "int32", "int64", "double", "decimal", "string", "date", "binary", "document")


def kind_of(field: pa.Field) -> str:
    """The kind of a field's values: its label where the Arrow type agrees with it, else by the Arrow type.

    A binary of another subtype is `binary:n`. Arrow types outside the lattice (times, durations, maps, ...)
    are kinds of their own, `arrow:` and the type's name. A dictionary is its values.
    """
    arrow = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    label: str = (field.metadata or {}).get(BSON, b"").decode()
    held = KINDS.get(label.partition(":")[0])
    if held is not None and held.holds(arrow):
        return label
    for name in (*_UNLABELLED, "array"):
        if KINDS[name].holds(arrow):
            return name
    return f"arrow:{arrow}"


def original_name(field: pa.Field) -> str:
    """The name a field had before a target's rules gave it another one (`levada.types.names`)."""
    metadata = field.metadata or {}
    original: bytes | None = metadata.get(NAME)
    named = metadata.get(NAMED, field.name.encode())
    name: str = field.name
    return name if original is None or named != name.encode() else original.decode()


def field_of(kind: str, name: str) -> pa.Field:
    """The field of a kind whose Arrow type does not depend on the values."""
    held = KINDS[kind.partition(":")[0]]
    labelled = held.labelled or ":" in kind
    return pa.field(name, held.arrow, metadata={BSON: kind.encode()} if labelled else None)


def decimal_field(name: str, digits: int, scale: int) -> pa.Field:
    """The field of decimals with this many digits before the point and places after it.

    More than 38 together are a variant.
    """
    if digits + scale > PRECISION:
        return field_of("variant", name)
    metadata = {BSON: b"decimal", DIGITS: str(digits).encode()}
    return pa.field(name, pa.decimal128(PRECISION, scale), metadata=metadata)


def decimal_facts(field: pa.Field) -> tuple[int, int]:
    """Digits before the point and places after it that a decimal (or integer) field needs."""
    if not pa.types.is_decimal(field.type):
        return {"int32": 10, "int64": 19, "decimal": 20}[kind_of(field)], 0
    scale = max(field.type.scale, 0)
    stored = (field.metadata or {}).get(DIGITS)
    return int(stored) if stored is not None else field.type.precision - field.type.scale, scale
