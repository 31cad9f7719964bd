"""TPC-H, all 22 queries at scale 0.1: MongoDB's answers are DuckDB's, row for row, types included."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pymongo import MongoClient

from levada.sql.catalog import FixedCatalog
from levada.sql.compiler import compile as compile_sql

from . import tpch_tables
from .answers import differences, of_duckdb, of_plan

DATABASE = "test_tpch"
SCALE = 0.1
QUERIES = sorted(tpch_tables.QUERIES.glob("*.sql"))


@pytest.fixture(scope="session")
def tables(mongod: str, mongo: MongoClient[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables' files; MongoDB holds them, too, for all workers of this run."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with (root / "tpch.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mongo[DATABASE]["loaded"].find_one():
            mongo.drop_database(DATABASE)
            if not (root / "tpch").exists():
                tpch_tables.make(root / "tpch", SCALE)
            tpch_tables.load(root / "tpch", mongod, DATABASE)
            mongo[DATABASE]["loaded"].insert_one({})
    return root / "tpch"


@pytest.fixture(scope="module")
def duck(tables: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with tpch_tables.attach(tables) as connection:
        yield connection


@pytest.fixture(scope="module")
def catalog(mongod: str, tables: Path) -> FixedCatalog:
    return tpch_tables.catalog(mongod, DATABASE)


@pytest.mark.parametrize("query", QUERIES, ids=lambda path: path.stem)
def test_answers_like_duckdb(
    mongo: MongoClient[dict[str, Any]], catalog: FixedCatalog, duck: duckdb.DuckDBPyConnection, query: Path
) -> None:
    sql = query.read_text()
    expected = of_duckdb(duck, sql)
    answer = of_plan(mongo[DATABASE], compile_sql(sql, catalog))
    assert expected.rows
    assert not differences(answer, expected, ordered=True)


def test_there_are_22_queries() -> None:
    assert [path.stem for path in QUERIES] == [f"q{number:02}" for number in range(1, 23)]
