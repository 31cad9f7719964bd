"""The peer: the daily batch in plain PyMongo and pandas.

Six tasks over one day, written the usual way: documents are dictionaries, tables are DataFrames, inserts go
through `insert_many` in batches of 1,000. Prints seconds and documents/s per task as JSON.

    python peer.py --uri mongodb://127.0.0.1:27017 --day 2026-11-23

With `--staging out` the extract stays in the server by `$out`, which replaces everything in staging.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

Document = dict[str, Any]
BATCH = 1_000
OUTPUTS = ("staging_transactions", "transformed_transactions", "daily_analytics", "etl_metrics")


class DailyBatch:
    """The six tasks over `[day, day + 1)`; counts travel between them as attributes."""

    def __init__(self, database: Database[Document], day: date, staging: str = "insert") -> None:
        self.database = database
        self.start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self.end = self.start + timedelta(days=1)
        self.window = {"transaction_date": {"$gte": self.start, "$lt": self.end}}
        self.staging = staging
        self.source_count = 0
        self.staged_count = 0

    def tasks(self) -> list[Callable[[], int]]:
        """In their order; each returns how many documents it went through."""
        return [
            self.validate_source_data,
            self.extract_to_staging,
            self.transform,
            self.load_aggregated_results,
            self.data_quality_checks,
            self.cleanup_staging,
        ]

    def validate_source_data(self) -> int:
        transactions = self.database["transactions"]
        self.source_count = transactions.count_documents(self.window)
        if self.source_count == 0:
            raise ValueError(f"no transactions on {self.start:%F}")
        for field in ("total", "customer_id", "status"):
            share = transactions.count_documents({**self.window, field: None}) / self.source_count
            if share > 0.05:
                raise ValueError(f"{share:.1%} of the transactions have no {field}")
        return self.source_count

    def extract_to_staging(self) -> int:
        stages: list[Document] = [
            {"$match": self.window},
            {
                "$lookup": {
                    "from": "customers",
                    "localField": "customer_id",
                    "foreignField": "customer_id",
                    "as": "customer",
                }
            },
            {"$unwind": "$customer"},
            {
                "$project": {
                    "transaction_id": 1,
                    "transaction_date": 1,
                    "customer_id": 1,
                    "customer_name": "$customer.name",
                    "customer_tier": "$customer.tier",
                    "total": 1,
                    "status": 1,
                    "items": 1,
                }
            },
        ]
        source, target = self.database["transactions"], self.database["staging_transactions"]
        if self.staging == "out":
            source.aggregate([*stages, {"$out": target.name}])
            self.staged_count = target.count_documents({})
            return self.staged_count
        frame = pd.DataFrame(list(source.aggregate(stages)))
        target.delete_many(self.window)
        self.staged_count = _insert(target, frame)
        return self.staged_count

    def transform(self) -> int:
        frame = pd.DataFrame(list(self.database["staging_transactions"].find(self.window)))
        frame["date"] = frame["transaction_date"].dt.floor("D")
        frame["item_count"] = frame["items"].map(len)
        frame["processed_date"] = self.start
        frame = frame.drop(columns=["items", "customer_name"])
        target = self.database["transformed_transactions"]
        target.delete_many({"processed_date": self.start})
        return _insert(target, frame)

    def load_aggregated_results(self) -> int:
        group: Document = {
            "_id": {"date": "$date", "customer_tier": "$customer_tier"},
            "transaction_count": {"$sum": 1},
            "total_revenue": {"$sum": "$total"},
            "avg_order_value": {"$avg": "$total"},
            "customers": {"$addToSet": "$customer_id"},
        }
        stages = [
            {"$match": {"processed_date": self.start}},
            {"$group": group},
            {"$set": {"unique_customers_count": {"$size": "$customers"}}},
            {"$unset": "customers"},
        ]
        rows = list(self.database["transformed_transactions"].aggregate(stages))
        for row in rows:
            self.database["daily_analytics"].update_one(row.pop("_id"), {"$set": row}, upsert=True)
        return self.staged_count

    def data_quality_checks(self) -> int:
        staging = self.database["staging_transactions"]
        staged = staging.count_documents(self.window)
        if staged < 0.95 * self.source_count:
            raise ValueError(f"staging has {staged} of {self.source_count} transactions")
        repeated = [
            {"$match": self.window},
            {"$group": {"_id": "$transaction_id", "n": {"$sum": 1}}},
            {"$match": {"n": {"$gt": 1}}},
            {"$count": "duplicates"},
        ]
        if found := list(staging.aggregate(repeated, allowDiskUse=True)):
            raise ValueError(f"{found[0]['duplicates']} transaction_ids stand more than once in staging")
        metrics = {"source": self.source_count, "staging": staged, "dropped": self.source_count - staged}
        self.database["etl_metrics"].update_one({"_id": self.start}, {"$set": metrics}, upsert=True)
        return staged

    def cleanup_staging(self) -> int:
        old = {"transaction_date": {"$lt": self.end - timedelta(days=7)}}
        return self.database["staging_transactions"].delete_many(old).deleted_count


def _insert(collection: Collection[Document], frame: pd.DataFrame) -> int:
    frame = frame.astype(object).where(frame.notna(), None)  # NaN and NaT back to null
    records: list[Any] = frame.to_dict("records")
    for start in range(0, len(records), BATCH):
        collection.insert_many(records[start : start + BATCH])
    return len(records)


def run(database: Database[Document], day: date, staging: str = "insert") -> dict[str, dict[str, float]]:
    """Run the six tasks.

    Returns:
        Task -> `{seconds, documents, documents_per_second}`.
    """
    report = {}
    for task in DailyBatch(database, day, staging).tasks():
        started = time.perf_counter()
        documents = task()
        seconds = time.perf_counter() - started
        report[task.__name__] = {
            "seconds": round(seconds, 3),
            "documents": documents,
            "documents_per_second": round(documents / seconds),
        }
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The daily batch in plain PyMongo and pandas.")
    parser.add_argument("--uri", required=True)
    parser.add_argument("--database", default="shop")
    parser.add_argument("--day", type=date.fromisoformat, required=True)
    parser.add_argument("--staging", choices=("insert", "out"), default="insert")
    options = parser.parse_args(arguments)
    with MongoClient[Document](options.uri, tz_aware=True) as client:
        print(json.dumps(run(client[options.database], options.day, options.staging)))


if __name__ == "__main__":
    main()
