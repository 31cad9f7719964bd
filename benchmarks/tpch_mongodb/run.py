"""TPC-H's 22 queries on MongoDB beside DuckDB: the same tables, the same SQL, the answers compared.

    python benchmarks/tpch_mongodb/run.py                  scale 0.1, 3 rounds
    python benchmarks/tpch_mongodb/run.py --only q09 --rounds 1

One mongod and one DuckDB (tables in memory, two threads) on the same machine; medians. MongoDB's seconds are
the whole command, its result read by PyMongo; compiling is told beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
from pymongo import MongoClient
from pymongo.database import Database

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / "sql"), str(HERE.parent)]

import tpch_tables  # noqa: E402
from answers import differences, of_duckdb, of_plan  # noqa: E402
from server import mongod  # noqa: E402

from levada.sql import compile as compile_sql  # noqa: E402
from levada.sql.catalog import FixedCatalog  # noqa: E402

#: Milliseconds that compiling one query may take.
OWED = 100

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Figures:
    """What was measured of one query, in seconds and milliseconds."""

    query: str
    rows: int
    mongodb: float
    duckdb: float
    compile_ms: float
    alike: bool

    @property
    def ratio(self) -> float:
        return self.mongodb / self.duckdb


class Bench:
    """Both engines with the same tables."""

    def __init__(
        self, database: Database[dict[str, Any]], catalog: FixedCatalog, duck: duckdb.DuckDBPyConnection
    ) -> None:
        self._database, self._catalog, self._duck = database, catalog, duck

    def run(self, query: Path, rounds: int) -> Figures:
        sql = query.read_text()
        expected, theirs = _timed(lambda: of_duckdb(self._duck, sql), rounds)
        plan, compiling = _timed(lambda: compile_sql(sql, self._catalog), max(rounds, 3))
        answer, ours = _timed(lambda: of_plan(self._database, plan), rounds)
        alike = not differences(answer, expected, ordered=True)
        return Figures(query.stem, len(expected.rows), ours, theirs, compiling * 1000, alike)


def _timed(task: Callable[[], _Result], rounds: int) -> tuple[_Result, float]:
    """The last result, and the median of the seconds."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        result = task()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


def report(found: list[Figures]) -> None:
    print("| query | rows | MongoDB s | DuckDB s | ratio | compile ms | answer |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for one in found:
        print(
            f"| {one.query} | {one.rows} | {one.mongodb:.3f} | {one.duckdb:.3f} | {one.ratio:,.0f}x "
            f"| {one.compile_ms:.0f} | {'the same' if one.alike else 'DIFFERS'} |"
        )
    slowest = sorted(found, key=lambda one: -one.mongodb)[:3]
    print(f"\nslowest: {', '.join(f'{one.query} {one.mongodb:.2f} s' for one in slowest)}")
    ours, theirs = sum(one.mongodb for one in found), sum(one.duckdb for one in found)
    print(f"together: {ours:.1f} s, DuckDB {theirs:.2f} s")
    print(f"slowest to compile: {max(one.compile_ms for one in found):.0f} ms (owed {OWED})")
    print(f"alike: {sum(one.alike for one in found)} of {len(found)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--only", default="", help="queries whose name contains this")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    arguments = parser.parse_args()
    queries = [path for path in sorted(tpch_tables.QUERIES.glob("*.sql")) if arguments.only in path.stem]
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder, mongod(arguments.cache_gb) as uri:
        tables = Path(folder) / "tpch"
        tpch_tables.make(tables, arguments.scale)
        tpch_tables.load(tables, uri, "tpch")
        with MongoClient[dict[str, Any]](uri, tz_aware=True) as client, tpch_tables.attach(tables) as duck:
            duck.execute("SET threads = 2")
            bench = Bench(client["tpch"], tpch_tables.catalog(uri, "tpch"), duck)
            found = []
            for query in queries:
                found.append(bench.run(query, arguments.rounds))
                print(found[-1], file=sys.stderr)
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(one) for one in found], indent=1))


if __name__ == "__main__":
    main()
