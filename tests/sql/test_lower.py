"""Relations on a real server: answers are DuckDB's, on tables with nulls, missing fields, NaN, duplicates."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from pymongo import MongoClient

from levada.sql.catalog import Field, FixedCatalog, Index, TableSchema
from levada.sql.compiler import compile as compile_sql
from levada.sql.lower import costs
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
)

from .answers import differences, of_duckdb, of_plan

DATABASE = "test_lower"
#: Table -> rows, and whether the server would keep other types out.
TABLES = {"t": (60, True), "u": (25, False), "e": (0, True)}

TYPES: dict[str, SqlType] = {
    "i": INTEGER,
    "b": BIGINT,
    "d": DOUBLE,
    "m": decimal(15, 2),
    "s": VARCHAR,
    "o": BOOLEAN,
    "ts": TIMESTAMP,
    "da": DATE,
}
VALUES: dict[str, Callable[[random.Random], Any]] = {
    "i": lambda r: r.randint(-3, 6),
    "b": lambda r: r.choice([r.randint(-(10**12), 10**12), r.randint(0, 3)]),
    "d": lambda r: r.choice([float("nan"), -0.0, 0.0, 1.5, 2.25, -3.5, float("inf"), 1e10, 0.1]),
    "m": lambda r: Decimal(r.randint(-500, 500)) / 100,
    "s": lambda r: r.choice(["", "a", "b", "ab", "ä", "Z", "🙂"]),
    "o": lambda r: r.random() < 0.5,
    "ts": lambda r: datetime(2024, 1, 1) + timedelta(hours=r.randint(0, 100)),
    "da": lambda r: date(2024, 1, 1) + timedelta(days=r.randint(0, 40)),
}


def queries() -> list[Any]:
    """Every query of the files, under the name in the comment before it."""
    found = []
    for path in sorted((Path(__file__).parent / "relational").glob("*.sql")):
        for text in path.read_text().split(";\n"):
            name = text.strip().splitlines()[0].removeprefix("-- ")
            found.append(pytest.param(path.stem, text, id=f"{path.stem}: {name}"))
    return found


def rows_of(name: str, count: int) -> list[dict[str, Any]]:
    chosen = random.Random(name)
    return [
        {"id": place, **{n: None if chosen.random() < 0.2 else make(chosen) for n, make in VALUES.items()}}
        for place in range(count)
    ]


def stored(value: Any) -> Any:
    match value:
        case Decimal():
            return Decimal128(value)
        case datetime():
            return value.replace(tzinfo=UTC)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        case int() if not isinstance(value, bool) and abs(value) > 6:
            return Int64(value)
    return value


def document(row: dict[str, Any], chosen: random.Random) -> dict[str, Any]:
    """A row as a document: some NULLs are null, others are missing."""
    kept = {n: v for n, v in row.items() if v is not None or chosen.random() < 0.5}
    return {"id": row["id"], **{n: stored(v) for n, v in kept.items() if n != "id"}}


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, (count, _) in TABLES.items():
            columns = ", ".join(f"{column} {kind}" for column, kind in TYPES.items())
            connection.execute(f"create table {name} (id INTEGER not null, {columns})")
            for row in rows_of(name, count):
                marks = ", ".join("?" * len(row))
                connection.execute(f"insert into {name} values ({marks})", list(row.values()))
        yield connection


@pytest.fixture(scope="module")
def server(mongo: MongoClient[dict[str, Any]], worker_id: str) -> Iterator[Any]:
    database = mongo[f"{DATABASE}_{worker_id}"]
    mongo.drop_database(database.name)
    for name, (count, _) in TABLES.items():
        chosen = random.Random(count)
        database.create_collection(name)
        if count:
            database[name].insert_many([document(row, chosen) for row in rows_of(name, count)])
    yield database
    mongo.drop_database(database.name)


def tables(indexes: tuple[Index, ...] = (), rows: dict[str, int] | None = None) -> FixedCatalog:
    found = []
    for name, (count, proven) in TABLES.items():
        fields = (Field(column, kind, True, proven) for column, kind in TYPES.items())
        columns = (Field("id", INTEGER, False, proven), *fields)
        size = count if rows is None else rows[name]
        found.append(TableSchema(name, columns, indexes=indexes, rows=size, bytes=200))
    return FixedCatalog.of(*found)


@pytest.fixture(scope="module")
def catalog() -> FixedCatalog:
    return tables()


@pytest.mark.parametrize(("family", "sql"), queries())
def test_answers_like_duckdb(
    server: Any, duck: duckdb.DuckDBPyConnection, catalog: FixedCatalog, family: str, sql: str
) -> None:
    expected = of_duckdb(duck, sql)
    answer = of_plan(server, compile_sql(sql, catalog))
    assert not differences(answer, expected, ordered=family == "orders")


JOINS = [query for query in queries() if query.values[0] in {"joins", "subqueries"}]


@pytest.mark.parametrize(("family", "sql"), JOINS)
def test_answers_alike_by_an_index(
    server: Any, duck: duckdb.DuckDBPyConnection, family: str, sql: str
) -> None:
    """The indexes need not be there for `$lookup` to give the same rows."""
    indexes = tuple(Index(column, ((column, 1),)) for column in TYPES)
    known = tables(indexes, {"t": 10, "u": 10_000_000, "e": 10_000_000})
    plan = compile_sql(sql, known)
    if "t.i = u.i" in sql and family == "joins" and not {"full", "right"} & set(sql.split()):
        assert "localField" in str(plan.pipeline)
    assert not differences(of_plan(server, plan), of_duckdb(duck, sql), ordered=False)


@pytest.mark.parametrize(("family", "sql"), JOINS)
def test_answers_alike_in_shares(
    server: Any, duck: duckdb.DuckDBPyConnection, family: str, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "_PUSHED", 300.0)
    plan = compile_sql(sql, tables())
    if "t.i = u.i" in sql and family == "joins" and not {"full", "right"} & set(sql.split()):
        assert "$rand" in str(plan.pipeline)
    assert not differences(of_plan(server, plan), of_duckdb(duck, sql), ordered=False)
