"""What people use to bring MongoDB data to Arrow and Parquet; one scenario per call, figures as JSON.

    python peer.py SCENARIO URI NAMESPACE [FOLDER]

pymongoarrow pins a version of pyarrow, so it runs in an environment of its own.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bson import Decimal128, ObjectId
from pymongo import MongoClient

sys.path.insert(0, str(Path(__file__).parents[1]))

from scenarios import timed

BATCH = 5_000

#: Documents that the slowest scenario reads; its rate is the same for more.
FEW = 100_000


def schema() -> Any:
    from pymongoarrow.api import Schema
    from pymongoarrow.types import Decimal128Type, ObjectIdType

    money, text = Decimal128Type(), pa.string()
    moment = pa.timestamp("ms", "UTC")
    item = pa.struct([("product_id", text), ("name", text), ("quantity", pa.int32()), ("price", money)])
    address = pa.struct([("city", text), ("country", text), ("zip", text)])
    return Schema(
        {
            "_id": ObjectIdType(),
            "transaction_id": text,
            "transaction_date": moment,
            "customer_id": text,
            "status": text,
            "total": money,
            "items": pa.list_(item),
            "created_at": moment,
            "shipping": pa.struct([("method", text), ("address", address)]),
            "payment_method": text,
        }
    )


def pymongoarrow(uri: str, namespace: str, query: dict[str, Any], target: str | None) -> int:
    from pymongoarrow.api import find_arrow_all

    database, _, collection = namespace.partition(".")
    with MongoClient[dict[str, Any]](uri) as client:
        table = find_arrow_all(client[database][collection], query, schema=schema())
    if target:
        pq.write_table(table, target, compression="zstd")
    return int(table.num_rows)


def halves(uri: str, namespace: str) -> list[dict[str, Any]]:
    """Two filters that split the collection by `_id`."""
    database, _, collection = namespace.partition(".")
    with MongoClient[dict[str, Any]](uri) as client:
        edges = client[database][collection].aggregate(
            [{"$sample": {"size": 1_000}}, {"$bucketAuto": {"groupBy": "$_id", "buckets": 2}}]
        )
        middle = list(edges)[1]["_id"]["min"]
    return [{"_id": {"$lt": middle}}, {"_id": {"$gte": middle}}]


def in_two(uri: str, namespace: str, folder: str | None) -> int:
    jobs = [
        (uri, namespace, query, folder and f"{folder}/{number}.parquet")
        for number, query in enumerate(halves(uri, namespace))
    ]
    with multiprocessing.Pool(2) as pool:
        return sum(pool.starmap(pymongoarrow, jobs))


def dictionaries(uri: str, namespace: str, _folder: str | None) -> int:
    """PyMongo's documents, `Table.from_pylist`; what Arrow doesn't know is converted value by value."""
    database, _, collection = namespace.partition(".")
    tables, held = [], []
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        for document in client[database][collection].find(batch_size=BATCH).limit(FEW):
            held.append(plain(document))
            if len(held) == BATCH:
                tables.append(pa.Table.from_pylist(held))
                held = []
    tables.append(pa.Table.from_pylist(held))
    return sum(table.num_rows for table in tables)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, Decimal128):
        return value.to_decimal()
    return str(value) if isinstance(value, ObjectId) else value


SCENARIOS: dict[str, Callable[[str, str, str | None], int]] = {
    "dictionaries": dictionaries,
    "arrow, 1 process": lambda uri, namespace, _: pymongoarrow(uri, namespace, {}, None),
    "arrow, 2 processes": lambda uri, namespace, _: in_two(uri, namespace, None),
    "parquet, 1 process": lambda uri, name, folder: pymongoarrow(uri, name, {}, f"{folder}/all.parquet"),
    "parquet, 2 processes": in_two,
}


def main() -> None:
    scenario, uri, namespace, *folder = sys.argv[1:]
    if folder:
        Path(folder[0]).mkdir(parents=True, exist_ok=True)
    if "process" in scenario:
        schema()  # imports
    timed(lambda: SCENARIOS[scenario](uri, namespace, folder[0] if folder else None))


if __name__ == "__main__":
    main()
