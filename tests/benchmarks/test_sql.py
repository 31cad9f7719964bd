"""The benchmarks of SQL measure what they say: both sides give the same answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Callable[[str], ModuleType]]:
    """Loads a benchmark; what it put on the path is taken away afterwards."""
    before = list(sys.path)

    def load(folder: str) -> ModuleType:
        spec = spec_from_file_location(f"{folder}_run", BENCHMARKS / folder / "run.py")
        assert spec is not None
        assert spec.loader is not None
        run = module_from_spec(spec)
        sys.modules[spec.name] = run
        spec.loader.exec_module(run)
        return run

    yield load
    sys.path[:] = before


def test_sql_and_pipelines_by_hand_give_the_same_rows(
    mongod: str, mongo: MongoClient[Any], loaded: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    run = loaded("sql")
    mongo.drop_database("bench")
    try:
        bench = run.Bench(mongod, tmp_path)
        bench.fill(2_000, 500)
        found = run.measure(bench.scenarios(), 1)
        bench.close()
    finally:
        mongo.drop_database("bench")
    assert all(seconds > 0 for seconds in found.values())
    assert {name for pair in run.RATIOS for name in pair[:2]} == set(found)


def test_tpch_is_measured_on_both_engines(
    mongod: str, mongo: MongoClient[Any], database: str, loaded: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    run = loaded("tpch_mongodb")
    run.tpch_tables.make(tmp_path / "tpch", 0.01)
    run.tpch_tables.load(tmp_path / "tpch", mongod, database)
    with run.tpch_tables.attach(tmp_path / "tpch") as duck, MongoClient(mongod, tz_aware=True) as client:
        bench = run.Bench(client[database], run.tpch_tables.catalog(mongod, database), duck)
        found = bench.run(run.tpch_tables.QUERIES / "q01.sql", 1)
    assert found.alike
    assert found.rows == 4
    assert min(found.mongodb, found.duckdb, found.compile_ms) > 0
