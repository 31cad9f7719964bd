"""The daily batch, Levada against plain PyMongo and pandas, on one mongod and the same data.

    python benchmarks/daily_batch/run.py                          1,000,000 transactions in the day
    python benchmarks/daily_batch/run.py --transactions 20000     a quick look

Both sides run as processes of their own, in turn, on fresh target collections; the table shows each side's
median seconds per step. The indexes on transactions.transaction_date and customers.customer_id are there for
both. The peer inserts in batches of 1,000.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient

HERE = Path(__file__).parent
SHOP = HERE.parents[1] / "examples" / "shop"
sys.path[:0] = [str(HERE), str(SHOP), str(HERE.parent)]

import generate  # noqa: E402
import peer  # noqa: E402
from server import mongod  # noqa: E402

DAY = date(2026, 11, 23)
DATABASE = "shop"
TASKS = (
    "validate_source_data",
    "extract_to_staging",
    "transform",
    "load_aggregated_results",
    "data_quality_checks",
    "cleanup_staging",
)


def run_levada(uri: str) -> dict[str, float]:
    """Run the shop's `daily` pipeline over the same day, as a process of its own; step -> seconds.

    Besides the six tasks it fills the lake and the warehouse, two steps that the peer does not have.
    """
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder:
        places = {
            "SHOP_MONGODB_URI": uri,
            "SHOP_LAKE": f"{folder}/lake",
            "SHOP_WAREHOUSE": f"{folder}/warehouse.duckdb",
        }
        command = [sys.executable, "-m", "levada", "-p", str(SHOP), "run", "daily"]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--window", str(DAY), "--json"],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **places},
        )
        seconds = time.perf_counter() - started
    run = json.loads(done.stdout)
    if run["status"] != "done":
        raise RuntimeError(f"levada failed: {run['error']}")
    return {**{step["name"]: step["seconds"] for step in run["steps"]}, "whole process": seconds}


def run_peer(uri: str, staging: str) -> dict[str, float]:
    """Run the peer as a process of its own; task -> seconds."""
    command = [sys.executable, str(HERE / "peer.py"), "--uri", uri, "--database", DATABASE]
    done = subprocess.run(
        [*command, "--day", str(DAY), "--staging", staging], check=True, capture_output=True, text=True
    )
    report: dict[str, dict[str, float]] = json.loads(done.stdout)
    return {task: measured["seconds"] for task, measured in report.items()}


def clear(uri: str) -> None:
    """Drop what a run wrote, keep the source."""
    with MongoClient[dict[str, Any]](uri) as client:
        for name in peer.OUTPUTS:
            client[DATABASE].drop_collection(name)
        client.drop_database("etl_metadata")
        client.admin.command("fsync")  # neither side pays for the other's dirty pages


def fill(uri: str, transactions: int, customers: int) -> float:
    """Fill the source; seconds."""
    started = time.perf_counter()
    with MongoClient[dict[str, Any]](uri) as client:
        generate.fill(
            client[DATABASE],
            transactions_per_day=transactions,
            days=[DAY],
            customers=customers,
            products=500,
            seed=7,
        )
    return time.perf_counter() - started


def table(levada: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]], size: int) -> str:
    """Median seconds, documents/s and ratio per step, as Markdown."""
    lines = [
        "| step | peer s | peer docs/s | levada s | levada docs/s | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    extra = [step for step in (levada[0] if levada else {}) if step not in TASKS]
    totals = [0.0, 0.0]
    for step in (*TASKS, *extra):
        ours, theirs = _median(levada, step), _median(other, step)
        if step in TASKS:
            totals = [totals[0] + (theirs or 0), totals[1] + (ours or 0)]
        lines.append(_row(step, theirs, ours, size))
    lines.append(_row("**the six steps**", totals[0], totals[1] or None, size))
    return "\n".join(lines)


def _median(runs: Sequence[Mapping[str, float]], step: str) -> float | None:
    found = [run[step] for run in runs if step in run]
    return statistics.median(found) if found else None


def _row(step: str, theirs: float | None, ours: float | None, size: int) -> str:
    ratio = f"{theirs / ours:.1f}x" if theirs and ours else "-"
    return f"| {step} | {_speed(theirs, size)} | {_speed(ours, size)} | {ratio} |"


def _speed(seconds: float | None, size: int) -> str:
    if seconds is None:
        return "- | -"
    return f"{seconds:.2f} | {size / max(seconds, 1e-3):,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The daily batch against plain PyMongo and pandas.")
    parser.add_argument("--transactions", type=int, default=1_000_000)
    parser.add_argument("--customers", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=1, help="of both sides, in turn")
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--staging", choices=("insert", "out"), default="insert", help="the peer's extract")
    options = parser.parse_args(arguments)
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with mongod(options.cache_gb) as uri:
        seconds = fill(uri, options.transactions, options.customers)
        print(f"{datetime.now(UTC):%F %R} UTC, {os.cpu_count()} cores, {options.transactions:,} transactions")
        print(f"filled in {seconds:.1f} s ({options.transactions / seconds:,.0f} documents/s)")
        for _ in range(options.rounds):
            clear(uri)
            theirs.append(run_peer(uri, options.staging))
            clear(uri)
            ours.append(run_levada(uri))
    print()
    print(table([run for run in ours if run], theirs, options.transactions))


if __name__ == "__main__":
    main()
