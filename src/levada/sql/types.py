"""The static types of SQL on MongoDB, and how each is held in BSON and in Arrow.

| SQL | BSON | Arrow |
|---|---|---|
| BOOLEAN | bool | bool |
| INTEGER | int32 | int32 |
| BIGINT | int32 or int64 | int64 |
| DOUBLE | double, or an int whose value a double holds | float64 |
| DECIMAL(p, s) | Decimal128, or an int | decimal128(38, s) |
| VARCHAR | string (also symbol and code) | string |
| BLOB | binary | binary |
| TIMESTAMP | date: milliseconds, UTC | timestamp(ms, UTC) |
| DATE | date at midnight, UTC | date32 |
| OBJECTID | ObjectId | string, 24 hexadecimal digits |
| UUID | binary, subtype 4 | string |
| STRUCT(...) | document | struct |
| T[] | array | list |
| VARIANT | anything | string, canonical Extended JSON |
| INTERVAL | none: it only takes part in the arithmetic of times | - |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SqlType:
    """A static type.

    Args:
        name: one of the names in the module's table; `NULL` is the type of a bare NULL.
        precision: digits of a DECIMAL, at most 38.
        scale: decimal places of a DECIMAL.
        fields: names and types of a STRUCT's fields.
        item: type of a list's items.
    """

    name: str
    precision: int = 0
    scale: int = 0
    fields: tuple[tuple[str, SqlType], ...] = ()
    item: SqlType | None = None

    def __str__(self) -> str:
        if self.name == "DECIMAL":
            return f"DECIMAL({self.precision},{self.scale})"
        if self.name == "STRUCT":
            return f"STRUCT({', '.join(f'{name} {kind}' for name, kind in self.fields)})"
        return f"{self.item}[]" if self.name == "LIST" else self.name

    @property
    def numeric(self) -> bool:
        """Whether arithmetic takes it."""
        return self.name in _NUMERIC

    @property
    def temporal(self) -> bool:
        """TIMESTAMP or DATE."""
        return self.name in {"TIMESTAMP", "DATE"}


BOOLEAN: Final = SqlType("BOOLEAN")
INTEGER: Final = SqlType("INTEGER")
BIGINT: Final = SqlType("BIGINT")
DOUBLE: Final = SqlType("DOUBLE")
VARCHAR: Final = SqlType("VARCHAR")
BLOB: Final = SqlType("BLOB")
TIMESTAMP: Final = SqlType("TIMESTAMP")
DATE: Final = SqlType("DATE")
INTERVAL: Final = SqlType("INTERVAL")
OBJECTID: Final = SqlType("OBJECTID")
UUID: Final = SqlType("UUID")
VARIANT: Final = SqlType("VARIANT")
NULL: Final = SqlType("NULL")

_NUMERIC: Final = frozenset({"INTEGER", "BIGINT", "DOUBLE", "DECIMAL"})

#: The widest DECIMAL; Decimal128 itself holds 34 digits.
MAX_PRECISION: Final = 38


def decimal(precision: int, scale: int) -> SqlType:
    """DECIMAL(precision, scale), cut to 38 digits as DuckDB does."""
    return SqlType("DECIMAL", min(precision, MAX_PRECISION), min(scale, MAX_PRECISION))


def list_of(item: SqlType) -> SqlType:
    """`item[]`."""
    return SqlType("LIST", item=item)


def struct(*fields: tuple[str, SqlType]) -> SqlType:
    """STRUCT with these fields."""
    return SqlType("STRUCT", fields=fields)
