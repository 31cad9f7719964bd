"""SQL beside the pipelines that one would write by hand: the same server, the same rows.

    python benchmarks/sql/run.py                           1,000,000 rows, joins of 200,000, 5 rounds
    python benchmarks/sql/run.py --rows 100000 --rounds 1 --only join

Both sides take turns and read their whole result; the SQL goes through `levada.sql.connect`, compiling
included, the catalog warm. Medians. Tables with a validator need no check of their types, sampled ones do.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pymongo import MongoClient
from pymongo.database import Database

import levada
import levada.sql

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from server import mongod  # noqa: E402

Row = tuple[Any, ...]

_BSON = {"int32": "int", "int64": "long", "string": "string", "double": "double"}

GROUP = """
select tier, count(*) as orders, sum(total) as revenue
from {table}
where status = 'completed' and total > 100
group by tier
order by tier
"""

JOIN = """
select count(*) as pairs, sum(l.amount) as amount, sum(r.weight) as weight
from left_{sides} l join right_{sides} r on l.k = r.k
"""


def group_by_hand(database: Database[dict[str, Any]], table: str) -> list[Row]:
    """Filter and group as one would write it who knows that no field is missing or of another type."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": "completed", "total": {"$gt": 100}}},
        {"$group": {"_id": "$tier", "orders": {"$sum": 1}, "revenue": {"$sum": "$total"}}},
        {"$sort": {"_id": 1}},
    ]
    return [(d["_id"], d["orders"], d["revenue"]) for d in database[table].aggregate(pipeline)]


def join_by_hand(database: Database[dict[str, Any]]) -> list[Row]:
    """An equi-join without an index: both sides grouped by the key, and every pair of a group."""
    pipeline: list[dict[str, Any]] = [
        {"$project": {"_id": 0, "k": 1, "l": {"amount": "$amount"}}},
        {
            "$unionWith": {
                "coll": "right_validated",
                "pipeline": [{"$project": {"_id": 0, "k": 1, "r": {"weight": "$weight"}}}],
            }
        },
        {"$match": {"k": {"$ne": None}}},
        {"$group": {"_id": "$k", "l": {"$push": "$l"}, "r": {"$push": "$r"}}},
        {"$unwind": "$l"},
        {"$unwind": "$r"},
        {
            "$group": {
                "_id": None,
                "pairs": {"$sum": 1},
                "amount": {"$sum": "$l.amount"},
                "weight": {"$sum": "$r.weight"},
            }
        },
    ]
    found = database["left_validated"].aggregate(pipeline, allowDiskUse=True)
    return [(d["pairs"], d["amount"], d["weight"]) for d in found]


def documents_to_arrow(database: Database[dict[str, Any]]) -> list[Row]:
    """All rows as an Arrow table by PyMongo."""
    found = list(database["left_validated"].find({}, {"_id": 0, "k": 1, "amount": 1}))
    table = pa.Table.from_pylist(found)
    return [(table.num_rows,)]


class Bench:
    """One server, filled."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri, self._folder = uri, folder
        self._client = MongoClient[dict[str, Any]](uri)
        self._database = self._client["bench"]
        self._connection: Any = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._client.close()

    def fill(self, rows: int, joined: int) -> None:
        chance = random.Random(42)
        keys = list(range(joined))
        chance.shuffle(keys)
        left = {"k": pa.array(keys, pa.int64()), "amount": [number % 1000 for number in range(joined)]}
        chance.shuffle(keys)
        right = {"k": pa.array(keys, pa.int64()), "weight": [number / 7 for number in range(joined)]}
        for name, table in (("{}", _orders(rows, chance)), ("left_{}", left), ("right_{}", right)):
            self._store(name, pa.table(table))

    def _store(self, name: str, table: pa.Table) -> None:
        """Once with a validator, once without: then its types are found by a sample, and checked."""
        file = self._folder / "rows.parquet"
        pq.write_table(table, file)
        kinds = {column.name: {"bsonType": _BSON[str(column.type)]} for column in table.schema}
        validator = {"$jsonSchema": {"required": list(kinds), "properties": kinds}}
        self._database.create_collection(name.format("validated"), validator=validator)
        server, _, options = self._uri.partition("/?")
        for how in ("validated", "sampled"):
            levada.copy(f"file://{file}", f"{server}/bench.{name.format(how)}?{options}")

    def scenarios(self) -> Mapping[str, Callable[[], list[Row]]]:
        self._connection = levada.sql.connect(self._uri, database="bench")
        return {
            "filter + group by hand": lambda: group_by_hand(self._database, "validated"),
            "filter + group, validated": lambda: self._sql(GROUP.format(table="validated")),
            "filter + group, sampled": lambda: self._sql(GROUP.format(table="sampled")),
            "join by hand": lambda: join_by_hand(self._database),
            "join, validated": lambda: self._sql(JOIN.format(sides="validated")),
            "join, sampled": lambda: self._sql(JOIN.format(sides="sampled")),
            "to Arrow by PyMongo": lambda: documents_to_arrow(self._database),
            "to Arrow, fetch_arrow": lambda: self._arrow("select k, amount from left_validated"),
        }

    def _sql(self, sql: str) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]

    def _arrow(self, sql: str) -> list[Row]:
        cursor = self._connection.cursor()
        cursor.execute(sql)
        return [(cursor.fetch_arrow().num_rows,)]


def _orders(rows: int, chance: random.Random) -> pa.Table:
    return pa.table(
        {
            "customer": pa.array([chance.randrange(50_000) for _ in range(rows)], pa.int32()),
            "tier": [chance.choice(("bronze", "silver", "gold", "platinum")) for _ in range(rows)],
            "status": [
                chance.choice(("completed", "completed", "pending", "cancelled")) for _ in range(rows)
            ],
            "total": [chance.randrange(100_000) / 100 for _ in range(rows)],
            "note": [f"order number {number} of this shop" for number in range(rows)],
        }
    )


#: What is compared: ours, theirs, and how many times as long ours may take.
RATIOS: Sequence[tuple[str, str, float]] = (
    ("filter + group, validated", "filter + group by hand", 1.3),
    ("filter + group, sampled", "filter + group by hand", 1.3),
    ("join, validated", "join by hand", 1.3),
    ("join, sampled", "join by hand", 1.3),
    ("to Arrow, fetch_arrow", "to Arrow by PyMongo", 1.0),
)


def measure(scenarios: Mapping[str, Callable[[], list[Row]]], rounds: int) -> dict[str, float]:
    """Median seconds of each; all take turns, after one round that warms up and compares the answers."""
    answers = {name: task() for name, task in scenarios.items()}
    for ours, theirs, _ in RATIOS:
        if ours in answers and theirs in answers:
            assert _rounded(answers[ours]) == _rounded(answers[theirs]), (answers[ours], answers[theirs])
    seconds: dict[str, list[float]] = {name: [] for name in scenarios}
    for _ in range(rounds):
        for name, task in scenarios.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(many) for name, many in seconds.items()}


def _rounded(rows: list[Row]) -> list[Row]:
    return [tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row) for row in rows]


def report(found: Mapping[str, float]) -> None:
    for name, seconds in found.items():
        print(f"{name:<32}{seconds:>10.3f} s")
    print()
    for ours, theirs, owed in RATIOS:
        if ours in found and theirs in found:
            print(f"{ours} / {theirs}: {found[ours] / found[theirs]:.2f} (at most {owed})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--joined", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-gb", type=float, default=2.0)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--json", type=Path, help="where the figures go as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder, mongod(arguments.cache_gb) as uri:
        bench = Bench(uri, Path(folder))
        bench.fill(arguments.rows, arguments.joined)
        chosen = {name: task for name, task in bench.scenarios().items() if arguments.only in name}
        found = measure(chosen, arguments.rounds)
        bench.close()
    report(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
