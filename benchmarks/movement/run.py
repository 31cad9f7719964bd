"""MongoDB to Arrow and to the lake, beside PyMongo and pymongoarrow, on one mongod and the same documents.

    python benchmarks/movement/run.py                          1,000,000 transactions of the shop, 5 rounds
    python benchmarks/movement/run.py --documents 10000000     also shows that memory stays flat
    python benchmarks/movement/run.py --documents 100000 --rounds 1

Every scenario is a process of its own, which starts its clock when everything is imported. All take turns;
the table shows medians, and how many times as fast as the peer Levada is.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pymongo import MongoClient

HERE = Path(__file__).parent
SHOP = HERE.parents[1] / "examples" / "shop"
sys.path[:0] = [str(SHOP), str(HERE.parent)]

import generate  # noqa: E402
from scenarios import Figures, environment_of, measure, report  # noqa: E402
from server import mongod  # noqa: E402

NAMESPACE = "shop.transactions"
PEER = "pymongoarrow==1.15.0"

#: Name -> (side, scenario, environment).
SCENARIOS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "raw replies, discarded": ("ours", "replies", {}),
    "Levada, batches": ("ours", "batches", {}),
    "Levada, Arrow table": ("ours", "arrow", {}),
    "Levada, Arrow table (reference)": ("ours", "arrow", {"LEVADA_CODEC": "reference"}),
    "Levada, lake": ("ours", "lake", {}),
    "PyMongo, from_pylist": ("peer", "dictionaries", {}),
    "pymongoarrow, Arrow, 1 process": ("peer", "arrow, 1 process", {}),
    "pymongoarrow, Arrow, 2 processes": ("peer", "arrow, 2 processes", {}),
    "pymongoarrow, Parquet, 1 process": ("peer", "parquet, 1 process", {}),
    "pymongoarrow, Parquet, 2 processes": ("peer", "parquet, 2 processes", {}),
}

#: What is compared: ours, theirs, the ratio we owe.
RATIOS = (
    ("Levada, Arrow table", "pymongoarrow, Arrow, 1 process", 7.0),
    ("Levada, Arrow table", "pymongoarrow, Arrow, 2 processes", 4.0),
    ("Levada, batches", "raw replies, discarded", 0.6),
    ("Levada, Arrow table", "PyMongo, from_pylist", 20.0),
    ("Levada, lake", "pymongoarrow, Parquet, 1 process", 5.0),
    ("Levada, lake", "pymongoarrow, Parquet, 2 processes", 3.0),
    ("Levada, Arrow table (reference)", "PyMongo, from_pylist", 1.0),
)


def measured(name: str, uri: str, peer: str) -> Figures:
    """Run a scenario once."""
    side, scenario, environment = SCENARIOS[name]
    python = peer if side == "peer" else sys.executable
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder:
        return measure(python, HERE / f"{side}.py", [scenario, uri, NAMESPACE, folder], environment)


def small_copy(uri: str) -> float:
    """Seconds of processor time, user and system, of `levada copy` of a thousand documents."""
    server, _, options = uri.partition("/?")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder:
        addresses = [f"{server}/shop.products?{options}", f"file://{folder}/lake/products"]
        command = [sys.executable, "-m", "levada", "copy", *addresses]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(uri: str, documents: int) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        generate.fill(
            client["shop"],
            transactions_per_day=documents,
            days=[date(2026, 11, 23)],
            customers=50_000,
            products=1_000,
            seed=42,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    arguments = parser.parse_args()
    names = [name for name in SCENARIOS if arguments.only in name]
    found: dict[str, list[Figures]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder, mongod(arguments.cache_gb) as uri:
        python = environment_of(f"{folder}/peer", PEER)
        fill(uri, arguments.documents)
        for _ in range(arguments.rounds):
            for name in names:
                found[name].append(measured(name, uri, python))
        small = [small_copy(uri) for _ in range(arguments.rounds)]
    report(found, RATIOS)
    print(f"levada copy of 1,000 documents: {statistics.median(small):.2f} s of processor time (owed 1.2)")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
