"""Rows into MongoDB, beside PyMongo; and MySQL to the lake, beside pandas: one server, the same rows.

    python benchmarks/load/run.py                          1,000,000 transactions of the shop, 3 rounds
    python benchmarks/load/run.py --documents 100000 --rounds 1 --only upsert

Every scenario is a process of its own, which starts its clock when everything is imported. All take turns;
the table shows medians, and how many times as fast as the peer Levada is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pymongo import MongoClient

import levada

HERE = Path(__file__).parent
SHOP = HERE.parents[1] / "examples" / "shop"
sys.path[:0] = [str(SHOP), str(HERE.parent)]

import generate  # noqa: E402
from scenarios import Figures, environment_of, measure, report  # noqa: E402
from server import mariadb, mongod  # noqa: E402

DAYS = [date(2026, 11, 19) + timedelta(number) for number in range(5)]
PEER = ("pandas>=2.2", "pyarrow", "pymongo", "pymysql", "sqlalchemy")


@dataclass(frozen=True)
class Scenario:
    """One way to load.

    Args:
        side: ours or peer.
        does: the scenario's name there.
        file: of the rows; the day's are a fifth of all, the changed ones have other values.
        into: the collection; empty at the start unless `kept`.
        kept: whether it holds what the scenario before has left.
    """

    side: str
    does: str
    file: str = "all"
    into: str = "one"
    kept: bool = False


#: In the order they run; those that need a full collection follow one that fills it.
SCENARIOS: Mapping[str, Scenario] = {
    "Levada, insert": Scenario("ours", "insert"),
    "insert_many, prebuilt dictionaries": Scenario("peer", "insert, prebuilt"),
    "to_pylist and insert_many": Scenario("peer", "insert, to_pylist"),
    "Levada, upsert, new": Scenario("ours", "upsert", into="ours"),
    "bulk_write, new": Scenario("peer", "bulk_write", into="peer"),
    "Levada, upsert, unchanged": Scenario("ours", "upsert", into="ours", kept=True),
    "bulk_write, unchanged": Scenario("peer", "bulk_write", into="peer", kept=True),
    "Levada, upsert, all changed": Scenario("ours", "upsert", "changed", into="ours", kept=True),
    "bulk_write, all changed": Scenario("peer", "bulk_write", "changed", into="peer", kept=True),
    "Levada, window replaced": Scenario("ours", "window", "day", into="ours", kept=True),
    "update_one for each row": Scenario("peer", "update_one", "day", into="peer", kept=True),
    "Levada, MySQL to lake": Scenario("ours", "lake", "mysql", kept=True),
    "pandas, MySQL to Parquet": Scenario("peer", "pandas", "mysql", kept=True),
}

#: What is compared: ours, theirs, the ratio we owe.
RATIOS = (
    ("Levada, insert", "insert_many, prebuilt dictionaries", 1.4),
    ("Levada, insert", "to_pylist and insert_many", 3.0),
    ("Levada, upsert, new", "bulk_write, new", 1.5),
    ("Levada, upsert, all changed", "bulk_write, all changed", 1.5),
    ("Levada, upsert, unchanged", "bulk_write, unchanged", 1.5),
    ("Levada, upsert, unchanged", "Levada, upsert, new", 4.0),
    ("Levada, window replaced", "update_one for each row", 12.0),
    ("Levada, MySQL to lake", "pandas, MySQL to Parquet", 3.0),
)

ORDERS = """
CREATE TABLE orders (
    id BIGINT PRIMARY KEY, customer_id VARCHAR(20), status VARCHAR(12), total DECIMAL(12, 2),
    quantity INT, rate DOUBLE, note VARCHAR(80), created DATE, updated_at DATETIME(3), paid TINYINT(1)
) AS SELECT
    seq AS id, concat('c', seq % 50000) AS customer_id,
    elt(seq % 4 + 1, 'completed', 'pending', 'cancelled', 'refunded') AS status,
    (seq * 7919 % 1000000) / 100 AS total, seq % 9 AS quantity, seq / 7 AS rate,
    concat('order of customer ', seq % 50000, ' in shop ', seq % 31) AS note,
    date '2020-01-01' + INTERVAL (seq % 2000) DAY AS created,
    timestamp '2020-01-01 00:00:00' + INTERVAL (seq * 31) SECOND AS updated_at, seq % 3 > 0 AS paid
FROM seq_1_to_{rows}
"""


class Bench:
    """Servers and files of one run.

    Args:
        folder: for files.
        uri: of mongod.
        port: of MariaDB; None where it is not asked for.
        peer: Python of the peer.
    """

    def __init__(self, folder: str, uri: str, port: int | None, peer: str) -> None:
        self._folder, self._uri, self._port, self._peer = folder, uri, port, peer
        self._server, _, self._options = uri.partition("/?")

    def fill(self, documents: int) -> None:
        """The shop's transactions as files: all, one day's, and all with other values."""
        with MongoClient[dict[str, Any]](self._uri) as client:
            generate.fill(
                client["shop"],
                transactions_per_day=documents // len(DAYS),
                days=DAYS,
                customers=50_000,
                products=1_000,
                seed=42,
            )
            levada.copy(self._url("shop.transactions"), f"file://{self.file('all')}")
            client.drop_database("shop")
        rows = pq.read_table(self.file("all"))
        column = rows.schema.get_field_index("payment_method")
        field = rows.schema.field(column)
        other = pa.chunked_array([pa.repeat("changed", rows.num_rows)]).cast(field.type)
        pq.write_table(rows.set_column(column, field, other), self.file("changed"))
        day = levada.read(f"file://{self.file('all')}", where=_within("transaction_date", DAYS[0])).read_all()
        pq.write_table(day, self.file("day"))

    def file(self, name: str) -> str:
        return f"{self._folder}/{name}.parquet"

    def run(self, scenario: Scenario) -> Figures:
        if not scenario.kept:
            with MongoClient[dict[str, Any]](self._uri) as client:
                client["load"].drop_collection(scenario.into)
        python = self._peer if scenario.side == "peer" else sys.executable
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            arguments = [scenario.does, *self._ends(scenario, scratch)]
            return measure(python, HERE / f"{scenario.side}.py", arguments)

    def _ends(self, scenario: Scenario, scratch: str) -> list[str]:
        ours = scenario.side == "ours"
        if scenario.file == "mysql":
            driver, table = ("mysql", "/legacy.orders") if ours else ("mysql+pymysql", "/legacy#orders")
            return [f"{driver}://root@127.0.0.1:{self._port}{table}", scratch]
        target = f"load.{scenario.into}"
        window = [str(DAYS[0])] if scenario.does == "window" else []
        return [
            self.file(scenario.file),
            self._url(target) if ours else f"{self._uri}#{target}",
            *window,
        ]

    def _url(self, namespace: str) -> str:
        return f"{self._server}/{namespace}?{self._options}"


def _within(column: str, day: date) -> str:
    return f"{column} >= '{day}T00:00:00Z' AND {column} < '{day + timedelta(1)}T00:00:00Z'"


def chosen(only: str) -> list[str]:
    """The scenarios to run, with those that fill the collections of others."""
    wanted = [name for name in SCENARIOS if only in name]
    into = {SCENARIOS[name].into for name in wanted if SCENARIOS[name].kept}
    fill = [name for name in ("Levada, upsert, new", "bulk_write, new") if SCENARIOS[name].into in into]
    return [name for name in SCENARIOS if name in wanted or name in fill]


def rounds(bench: Bench, names: Sequence[str], number: int) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(number):
        for name in names:
            found[name].append(bench.run(SCENARIOS[name]))
            print(f"{name}: {found[name][-1]}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    arguments = parser.parse_args()
    names = chosen(arguments.only)
    with (
        tempfile.TemporaryDirectory(prefix="levada-bench-") as folder,
        mongod(arguments.cache_gb) as uri,
        mariadb(ORDERS.format(rows=arguments.documents)) as port,
    ):
        bench = Bench(folder, uri, port, environment_of(f"{folder}/peer", *PEER))
        bench.fill(arguments.documents)
        found = rounds(bench, names, arguments.rounds)
    report(found, RATIOS)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
