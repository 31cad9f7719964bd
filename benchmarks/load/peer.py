"""What people write to load MongoDB, and to bring MySQL to Parquet; one scenario per call, figures as JSON.

python peer.py SCENARIO FILE TARGET
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bson import Decimal128, ObjectId
from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection

sys.path.insert(0, str(Path(__file__).parents[1]))

from scenarios import timed

Document = dict[str, Any]

KEY = "transaction_id"
#: Documents of a bulk.
BATCH = 10_000
#: Rows that the slowest scenario writes; its rate is the same for more.
FEW = 20_000


def documents(file: str, rows: int | None = None) -> list[Document]:
    """A Parquet file's rows as PyMongo takes them."""
    table = pq.read_table(file)
    found = [plain(row) for row in table.slice(0, rows or table.num_rows).to_pylist()]
    for document in found:
        document["_id"] = ObjectId(document["_id"])
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return Decimal128(value) if isinstance(value, Decimal) else value


@contextmanager
def collection(target: str) -> Iterator[Collection[Document]]:
    uri, _, namespace = target.rpartition("#")
    database, _, name = namespace.partition(".")
    with MongoClient[Document](uri) as client:
        yield client[database][name]


def insert_prebuilt(file: str, target: str) -> Callable[[], int]:
    prebuilt = documents(file)

    def run() -> int:
        with collection(target) as into:
            return len(into.insert_many(prebuilt, ordered=False).inserted_ids)

    return run


def insert_rows(file: str, target: str) -> Callable[[], int]:
    def run() -> int:
        rows = 0
        with collection(target) as into:
            for batch in pq.ParquetFile(file).iter_batches(BATCH):
                found = [plain(row) for row in batch.to_pylist()]
                for document in found:
                    document["_id"] = ObjectId(document["_id"])
                rows += len(into.insert_many(found, ordered=False).inserted_ids)
        return rows

    return run


def bulk_write(file: str, target: str) -> Callable[[], int]:
    changes = [UpdateOne({KEY: row[KEY]}, {"$set": row}, upsert=True) for row in documents(file)]

    def run() -> int:
        rows = 0
        with collection(target) as into:
            into.create_index(KEY, unique=True)
            for start in range(0, len(changes), BATCH):
                done = into.bulk_write(changes[start : start + BATCH], ordered=False)
                rows += done.upserted_count + done.matched_count
        return rows

    return run


def update_one(file: str, target: str) -> Callable[[], int]:
    found = documents(file, FEW)

    def run() -> int:
        with collection(target) as into:
            into.create_index(KEY, unique=True)
            for row in found:
                into.update_one({KEY: row[KEY]}, {"$set": row}, upsert=True)
        return len(found)

    return run


def pandas_to_parquet(source: str, folder: str) -> Callable[[], int]:
    """A table of a SQL database (`SQLALCHEMY_URL#TABLE`) through a DataFrame to one Parquet file."""
    import pandas as pd
    import sqlalchemy

    url, _, table = source.rpartition("#")

    def run() -> int:
        with sqlalchemy.create_engine(url).connect() as connection:
            frame = pd.read_sql(f"SELECT * FROM {table}", connection)
        frame.to_parquet(f"{folder}/table.parquet", compression="zstd")
        return len(frame)

    return run


SCENARIOS: dict[str, Callable[[str, str], Callable[[], int]]] = {
    "insert, prebuilt": insert_prebuilt,
    "insert, to_pylist": insert_rows,
    "bulk_write": bulk_write,
    "update_one": update_one,
    "pandas": pandas_to_parquet,
}


if __name__ == "__main__":
    scenario, *arguments = sys.argv[1:]
    timed(SCENARIOS[scenario](*arguments))
