"""PostgreSQL's types and Arrow's, in both directions.

From PostgreSQL:

| PostgreSQL | Arrow | Goes aside |
|---|---|---|
| boolean | bool | |
| smallint, integer, bigint | int16, int32, int64 | |
| oid | int64 | |
| real, double precision | float32, float64 | |
| numeric(p, s), p up to 38 | decimal128(p, s) | NaN |
| numeric of no or more digits, money | decimal128(38, s), s the places seen; beyond 38 or NaN: variant | |
| text, varchar, char, name | string | |
| bytea | binary | |
| uuid | string, `uuid` | |
| date | date32 | infinity |
| timestamp | timestamp(us); with `timezone:` timestamp(us, UTC) | infinity, from the year 294247 |
| timestamptz | timestamp(us, UTC) | infinity, from the year 294247 |
| json, jsonb | string, the JSON text; with `json: variant` a variant | |
| arrays of the above | list | several dimensions, bounds not from 1, elements that go aside |
| time, interval, enum, bit, inet, range, composite, xml and all others | string, as PostgreSQL writes it | |

To PostgreSQL:

| Arrow | PostgreSQL |
|---|---|
| bool | boolean |
| int8, int16, uint8 | smallint |
| int32, uint16 | integer |
| int64, uint32, duration | bigint |
| uint64 | numeric(20,0) |
| float16, float32 | real |
| float64 | double precision |
| decimal of up to 38 digits | numeric(p,s) |
| string of any kind, wider decimals | text |
| string, `uuid` | uuid |
| binary of any kind | bytea |
| date | date |
| timestamp with a zone | timestamp with time zone |
| timestamp without a zone | timestamp without time zone |
| time | time without time zone |
| struct, list, map | jsonb |

A domain is what it is based on; what `levada.types.kinds` calls a variant is text.
Source: https://www.postgresql.org/docs/current/datatype.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from levada.types.kinds import PRECISION, kind_of
from levada.types.layout import stored_type

US: Final = pa.timestamp("us")
US_UTC: Final = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Reading:
    """How values of a PostgreSQL type are read.

    Args:
        arrow: the Arrow type; None where the values decide it (numeric).
        select: the SQL expression of the value, `{}` is the column.
        fits: the SQL condition of the values that the Arrow type holds; None: all.
        kind: the label of the field, where it has one.
    """

    arrow: pa.DataType | None
    select: str = "{}"
    fits: str | None = None
    kind: str | None = None


_MOMENT = "isfinite({}) AND {} < '294247-01-01'"

#: Type of the catalog's own schema (`pg_type.typname`) -> how it is read.
READINGS: Final[dict[str, Reading]] = {
    "bool": Reading(pa.bool_()),
    "int2": Reading(pa.int16()),
    "int4": Reading(pa.int32()),
    "int8": Reading(pa.int64()),
    "oid": Reading(pa.int64(), "{}::int8"),
    "float4": Reading(pa.float32()),
    "float8": Reading(pa.float64()),
    "numeric": Reading(None, "{}::text"),
    "money": Reading(None, "{}::numeric::text"),
    "text": Reading(pa.string()),
    "varchar": Reading(pa.string()),
    "bpchar": Reading(pa.string()),
    "name": Reading(pa.string(), "{}::text"),
    "bytea": Reading(pa.binary()),
    "uuid": Reading(pa.string(), "{}::text", kind="uuid"),
    "date": Reading(pa.date32(), fits="isfinite({})"),
    "timestamp": Reading(US, fits=_MOMENT),
    "timestamptz": Reading(US_UTC, fits=_MOMENT),
    "inet": Reading(pa.string(), "abbrev({})"),
}
#: Any other type.
AS_TEXT: Final = Reading(pa.string(), "{}::text")

#: Elements of arrays that are read as lists of their own type; all others are lists of text.
ELEMENTS: Final = ("bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bytea", "uuid")
MOMENTS: Final = ("date", "timestamp", "timestamptz")

#: Type of the catalog -> the Arrow type that goes into it in binary.
WIRES: Final[dict[str, pa.DataType]] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "numeric": pa.decimal128(PRECISION, 0),  # of any scale
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "json": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": US,
    "timestamptz": US_UTC,
    "time": pa.time64("us"),
}

#: Type of the catalog -> the kinds it takes, as they are, beside those that are read from it.
ACCEPTS: Final[dict[str, frozenset[str]]] = {
    "numeric": frozenset({"int32", "int64", "decimal"}),
    "int8": frozenset({"int32"}),
    "float8": frozenset({"int32"}),
    "json": frozenset({"document", "array", "variant"}),
    "jsonb": frozenset({"document", "array", "variant"}),
    **dict.fromkeys(
        ("text", "varchar", "bpchar"), frozenset({"objectId", "uuid", "javascript", "symbol", "variant"})
    ),
}

#: Stored Arrow type id -> PostgreSQL's name, as `format_type` writes it.
_NAMES: dict[int, str] = {
    pa.bool_().id: "boolean",
    pa.int8().id: "smallint",
    pa.int16().id: "smallint",
    pa.int32().id: "integer",
    pa.int64().id: "bigint",
    pa.float32().id: "real",
    pa.float64().id: "double precision",
    pa.string().id: "text",
    pa.binary().id: "bytea",
    pa.date32().id: "date",
}

#: The days that a `date` has, and the microseconds that a `timestamp` has, since 1970.
#: Source: https://www.postgresql.org/docs/current/datatype-datetime.html (4713 BC to 5874897 AD, 294276 AD).
DAYS: Final = (-2_440_588, 2_145_042_905)
FIRST_MOMENT: Final = -210_866_803_200_000_000


def sql_type(field: pa.Field) -> str | None:
    """The PostgreSQL type for a logical field, as `format_type` writes it; None where there is none."""
    arrow = field.type
    if pa.types.is_time(arrow):
        return "time without time zone"
    stored = stored_type(arrow)
    if pa.types.is_nested(stored):
        return "jsonb"
    if kind_of(field) == "uuid":
        return "uuid"
    if pa.types.is_decimal(stored):
        return f"numeric({stored.precision},{stored.scale})"
    if pa.types.is_timestamp(stored):
        return f"timestamp {'with' if stored.tz else 'without'} time zone"
    return _NAMES.get(stored.id)


def decimal_of(modifier: int) -> pa.DataType | None:
    """The Arrow type of a `numeric` by its type modifier; None where it has none, or more than 38 digits.

    Source: `numeric_typmod_precision` and `numeric_typmod_scale` of PostgreSQL's numeric.c: the precision in
    the high 16 bits, the scale in the low 11 with a sign, four added to both.
    """
    if modifier < 4:
        return None
    precision, scale = (modifier - 4) >> 16, (modifier - 4) & 0x7FF
    if scale >= 1024:
        precision, scale = precision + 2048 - scale, 0
    precision = max(precision, scale)
    return pa.decimal128(precision, scale) if precision <= PRECISION else None
