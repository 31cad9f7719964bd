"""Small random tables, the same in DuckDB and in MongoDB: a set of them is known by its number alone.

Set 0 is empty, and sets grow with their numbers, so that hypothesis finds the smallest that shows a fault.
Values come from small pools, so that rows of two tables meet.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any

import duckdb
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from pymongo.database import Database

from levada.sql.catalog import Field, FixedCatalog, TableSchema
from levada.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    SqlType,
    decimal,
    list_of,
    struct,
)

#: Sets there are.
SETS = 24

#: Column -> type; `id` alone is never NULL, and unique.
COLUMNS: Mapping[str, SqlType] = {
    "id": INTEGER,
    "i": INTEGER,
    "b": BIGINT,
    "d": DOUBLE,
    "m": decimal(12, 2),
    "s": VARCHAR,
    "f": BOOLEAN,
    "ts": TIMESTAMP,
    "dt": DATE,
    "l": list_of(INTEGER),
    "st": struct(("x", INTEGER), ("y", VARCHAR)),
}

#: Table -> whether the server would keep other types out of it.
TABLES: Mapping[str, bool] = {"t1": True, "t2": False, "t3": True}

_NAN, _INFINITY = float("nan"), float("inf")

_TEXTS = (
    *(
        "",
        "a",
        "b",
        "B",
        "ab",
        "abc",
        "ä",
        "a\u0308",
        "straße",
        "Ǆ",
        "𝒳y",
        "👩\u200d👧",
        "%",
        "_",
        "a_b",
        " pad ",
    ),
    *("\t", "0", "12", "-7.5", "2024-02-29", "NULL", "'quoted'", '"', "$s", "$$ROOT", "\\", "a.b"),
    *("\u202eabc", "\ufeff"),
)

_POOLS: Mapping[str, tuple[Any, ...]] = {
    "i": (0, 1, 2, 3, -1, -2, 7, 100, -1000),
    "b": (0, 1, 2, 3, -1, 5_000_000_000, -7_000_000_000),
    "d": (0.0, -0.0, 1.0, 1.5, -2.25, 0.1, 3.0, 1e10, 2.5, -0.5, _NAN, _INFINITY, -_INFINITY),
    "m": tuple(map(Decimal, ("0.00", "1.00", "1.50", "-2.25", "0.10", "99999.99", "2.50", "-0.01", "3.00"))),
    "s": _TEXTS,
    "f": (True, False),
    "ts": (
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999000, tzinfo=UTC),
        datetime(1969, 12, 31, 12, 30, tzinfo=UTC),
        datetime(2023, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
        datetime(2024, 12, 30, 6, tzinfo=UTC),
    ),
    "dt": (date(2024, 2, 29), date(2023, 1, 1), date(1970, 1, 1), date(1969, 12, 31), date(2024, 12, 30)),
}


@dataclass(frozen=True)
class TableSet:
    """One set of tables.

    Args:
        number: knows it.
        rows: table -> rows; a column that a row lacks is missing in MongoDB, and NULL in DuckDB.
    """

    number: int
    rows: Mapping[str, tuple[Mapping[str, Any], ...]]

    def __str__(self) -> str:
        lines = [f"tables of set {self.number}:"]
        for table, rows in self.rows.items():
            lines += [f"{table}: {row}" for row in rows] or [f"{table}: empty"]
        return "\n".join(lines)


@cache
def table_set(number: int) -> TableSet:
    """The set of this number."""
    chance = random.Random(number)
    longest = min(number, 12)
    rows = {table: tuple(_rows(chance, chance.randint(longest // 2, longest))) for table in TABLES}
    return TableSet(number, rows)


def _rows(chance: random.Random, count: int) -> list[dict[str, Any]]:
    return [{"id": number, **_row(chance)} for number in range(1, count + 1)]


def _row(chance: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in COLUMNS:
        roll = chance.random()
        if name == "id" or roll < 0.08:
            continue
        row[name] = None if roll < 0.2 else _value(chance, name)
    return row


def _value(chance: random.Random, name: str) -> Any:
    if name == "l":
        return [chance.choice((1, 2, 3, None)) for _ in range(chance.randint(0, 3))]
    if name == "st":
        return {"x": chance.choice((0, 1, 2, None)), "y": chance.choice(("a", "ä", "", None))}
    return chance.choice(_POOLS[name])


def fill_duckdb(connection: duckdb.DuckDBPyConnection, tables: TableSet) -> None:
    """Make the tables in DuckDB, in place of those of another set."""
    kinds = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    for table, rows in tables.rows.items():
        connection.execute(f"CREATE OR REPLACE TABLE {table} ({kinds})")
        marks = ", ".join("?" for _ in COLUMNS)
        for row in rows:
            values = [_naive(row.get(name)) for name in COLUMNS]
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)


def _naive(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def fill_mongodb(database: Database[dict[str, Any]], tables: TableSet) -> None:
    """Make the tables in MongoDB; numbers are held in every way their type allows."""
    chance = random.Random(tables.number)
    for table, rows in tables.rows.items():
        collection = database[f"set{tables.number}.{table}"]
        collection.drop()
        database.create_collection(collection.name)
        documents = [{name: _held(chance, name, value) for name, value in row.items()} for row in rows]
        if documents:
            collection.insert_many(documents)


def _held(chance: random.Random, name: str, value: Any) -> Any:
    match value:
        case Decimal():
            return Decimal128(value)
        case date() if not isinstance(value, datetime):
            return datetime.combine(value, time(), UTC)
        case float() if value.is_integer() and value and abs(value) < 2**31 and chance.random() < 0.3:
            return int(value)
        case int() if name == "b" and chance.random() < 0.7:
            return Int64(value)
    return value


def catalog(tables: TableSet) -> FixedCatalog:
    """What the compiler is told of the tables in MongoDB."""
    return FixedCatalog.of(
        *(
            TableSchema(
                table,
                tuple(Field(name, kind, name != "id", proven) for name, kind in COLUMNS.items()),
                collection=f"set{tables.number}.{table}",
                rows=len(tables.rows[table]),
            )
            for table, proven in TABLES.items()
        )
    )
