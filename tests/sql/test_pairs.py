"""Pairs of a query and its rows, in `pairs/*.sql`: MongoDB and DuckDB both give exactly these.

```
-- what the query shows
select upper(s) from samples order by id
----
HÉLLO
NULL
```

Values of a row stand between ` | `. A line `--! differs: why` means that DuckDB gives something else: then
MongoDB alone is asked, and the reason stands in docs/reference/sql.md. The table is `pairs/samples.sql`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from bson.decimal128 import Decimal128
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql.catalog import Field, FixedCatalog, TableSchema
from levada.sql.compiler import compile as compile_sql
from levada.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    decimal,
    list_of,
    struct,
)

from .answers import Answer, of_duckdb, of_plan

FOLDER = Path(__file__).parent / "pairs"

SAMPLES = TableSchema(
    "samples",
    (
        Field("id", INTEGER, nullable=False),
        Field("i", INTEGER),
        Field("b", BIGINT),
        Field("d", DOUBLE),
        Field("n", decimal(15, 2)),
        Field("s", VARCHAR),
        Field("f", BOOLEAN),
        Field("ts", TIMESTAMP),
        Field("dt", DATE),
        Field("l", list_of(INTEGER)),
        Field("st", struct(("a", INTEGER), ("b", VARCHAR))),
    ),
)
CATALOG = FixedCatalog.of(SAMPLES)


@dataclass(frozen=True)
class Pair:
    """A query and its rows.

    Args:
        place: file and number, for the test's name.
        differs: why DuckDB gives something else; empty: it gives the same.
    """

    place: str
    behaviour: str
    sql: str
    rows: tuple[str, ...]
    differs: str = ""


def pairs() -> Iterator[Pair]:
    """All pairs, in the order of files and lines."""
    for path in sorted(FOLDER.glob("*.sql")):
        if path.stem == "samples":
            continue
        for number, text in enumerate(path.read_text("utf-8").split("\n\n-- "), 1):
            if text.strip():
                yield _pair(f"{path.stem} {number}", text)


def _pair(place: str, text: str) -> Pair:
    query, _, rows = text.partition("\n----\n")
    behaviour, *lines = query.strip().splitlines()
    differs = "".join(line.removeprefix("--! differs: ") for line in lines if line.startswith("--!"))
    sql = "\n".join(line for line in lines if not line.startswith("--!"))
    return Pair(
        place, behaviour.removeprefix("-- ").strip(), sql, tuple(rows.rstrip("\n").splitlines()), differs
    )


def shown(value: Any) -> str:
    """A value as it stands in a pair."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case datetime():
            text = value.strftime("%Y-%m-%d %H:%M:%S.%f")
            return text.rstrip("0").rstrip(".")
        case Decimal():
            return f"{value:f}"
        case list():
            return f"[{', '.join(map(shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{name}: {shown(item)}' for name, item in value.items())}}}"
    return str(value)


def lines(answer: Answer) -> tuple[str, ...]:
    """An answer's rows as they stand in a pair; a DECIMAL has all places of its type."""
    places = [
        int(kind.rstrip(")").split(",")[1]) if kind.startswith("DECIMAL") else -1 for kind in answer.types
    ]
    return tuple(
        " | ".join(shown(_placed(value, scale)) for value, scale in zip(row, places, strict=True))
        for row in answer.rows
    )


def _placed(value: Any, scale: int) -> Any:
    return value.quantize(Decimal(1).scaleb(-scale)) if isinstance(value, Decimal) and scale >= 0 else value


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute((FOLDER / "samples.sql").read_text("utf-8"))
        yield connection


@pytest.fixture(scope="module")
def samples(
    mongo: MongoClient[dict[str, Any]], duck: duckdb.DuckDBPyConnection
) -> Iterator[Database[dict[str, Any]]]:
    name = f"test_{uuid4().hex[:12]}"
    cursor = duck.execute("select * from samples")
    names = [column[0] for column in cursor.description or ()]
    mongo[name]["samples"].insert_many(
        [_document(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    )
    yield mongo[name]
    mongo.drop_database(name)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    absent = row["id"] % 2 == 0
    return {name: _bson(value) for name, value in row.items() if value is not None or not absent}


def _bson(value: Any) -> Any:
    match value:
        case Decimal():
            return Decimal128(value)
        case datetime():
            return value.replace(tzinfo=UTC)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


ALL = list(pairs())


@pytest.mark.parametrize("pair", ALL, ids=lambda pair: f"{pair.place}: {pair.behaviour}")
def test_mongodb_gives_the_rows(samples: Database[dict[str, Any]], pair: Pair) -> None:
    assert lines(of_plan(samples, compile_sql(pair.sql, CATALOG))) == pair.rows


@pytest.mark.parametrize("pair", [pair for pair in ALL if not pair.differs], ids=lambda pair: pair.place)
def test_duckdb_gives_the_rows(duck: duckdb.DuckDBPyConnection, pair: Pair) -> None:
    assert lines(of_duckdb(duck, pair.sql)) == pair.rows


def test_says_where_duckdb_differs_only_where_it_does(duck: duckdb.DuckDBPyConnection) -> None:
    for pair in ALL:
        if pair.differs:
            try:
                assert lines(of_duckdb(duck, pair.sql)) != pair.rows, pair.place
            except duckdb.Error:
                continue
