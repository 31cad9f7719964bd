"""The benchmark of loading loads what it says: every scenario counts all rows, and stores them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS = 2_000
FIFTH = ROWS // 5


@pytest.fixture(scope="module")
def files(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = spec_from_file_location("load_run", BENCHMARKS / "load" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    run = module_from_spec(spec)
    sys.modules[spec.name] = run
    spec.loader.exec_module(run)
    folder = tmp_path_factory.mktemp("load")
    run.Bench(str(folder), mongod, None, sys.executable).fill(ROWS)
    return folder


@pytest.mark.parametrize(
    ("side", "does", "file", "rows"),
    [
        ("ours", "insert", "all", ROWS),
        ("ours", "upsert", "all", ROWS),
        ("ours", "upsert", "changed", ROWS),
        ("ours", "window", "day", FIFTH),
        ("peer", "insert, prebuilt", "all", ROWS),
        ("peer", "insert, to_pylist", "all", ROWS),
        ("peer", "bulk_write", "changed", ROWS),
        ("peer", "update_one", "day", FIFTH),
    ],
)
def test_a_scenario_stores_every_row(
    mongod: str,
    mongo: MongoClient[Any],
    database: str,
    files: Path,
    side: str,
    does: str,
    file: str,
    rows: int,
) -> None:
    server, _, options = mongod.partition("/?")
    target = f"{server}/{database}.one?{options}" if side == "ours" else f"{mongod}#{database}.one"
    command = [
        sys.executable,
        str(BENCHMARKS / "load" / f"{side}.py"),
        does,
        f"{files}/{file}.parquet",
        target,
    ]
    window = ["2026-11-19"] if does == "window" else []
    done = subprocess.run([*command, *window], check=False, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    measured = json.loads(done.stdout)
    assert measured["rows"] == rows
    assert measured["seconds"] > 0
    assert mongo[database]["one"].count_documents({}) == rows
