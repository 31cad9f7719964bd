"""The benchmark of movement moves what it says: every scenario counts all documents."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

FOLDER = Path(__file__).parents[2] / "benchmarks" / "movement"
SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.fixture
def filled(mongo: MongoClient[Any], database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(SHOP))
    import generate

    days = [date(2026, 11, 23)]
    generate.fill(mongo[database], transactions_per_day=3_000, days=days, customers=50, products=20, seed=1)
    return f"{database}.transactions"


@pytest.mark.parametrize(
    ("side", "scenario"),
    [("ours", "replies"), ("ours", "batches"), ("ours", "arrow"), ("ours", "lake"), ("peer", "dictionaries")],
)
def test_a_scenario_counts_every_document(
    mongod: str, filled: str, tmp_path: Path, side: str, scenario: str
) -> None:
    command = [sys.executable, str(FOLDER / f"{side}.py"), scenario, mongod, filled, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured = json.loads(done.stdout)
    assert measured["rows"] == 3_000
    assert measured["seconds"] > 0
