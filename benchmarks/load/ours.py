"""Levada's side of loading: one scenario per call, figures as JSON.

python ours.py SCENARIO FILE TARGET [WINDOW]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import deltalake  # noqa: F401 - both sides import before the clock starts
import pyarrow.parquet  # noqa: F401

import levada
from levada.connectors.mongodb import MongoConnection  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1]))

from scenarios import timed

KEY = "transaction_id"


def insert(file: str, target: str) -> int:
    return levada.copy(f"file://{file}", target).rows


def upsert(file: str, target: str) -> int:
    return levada.copy(f"file://{file}", target, mode="upsert", key=KEY).rows


def window(file: str, target: str, day: str) -> int:
    window = levada.Window.parse(day)
    options = {"mode": "replace_window", "window": window, "time_column": "transaction_date"}
    return levada.copy(f"file://{file}", target, **options).rows


def lake(source: str, folder: str) -> int:
    """A table of a SQL database to the lake."""
    return levada.copy(source, f"file://{folder}/lake", mode="replace").rows


SCENARIOS: dict[str, Callable[..., int]] = {
    "insert": insert,
    "upsert": upsert,
    "window": window,
    "lake": lake,
}


if __name__ == "__main__":
    scenario, *arguments = sys.argv[1:]
    timed(lambda: SCENARIOS[scenario](*arguments))
