"""The shop for tests: a project over a database of its own, and the truth about it by brute force."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from bson import Decimal128, json_util
from pymongo import MongoClient
from pymongo.database import Database

from levada.project import Project, load

SHOP = Path(__file__).parents[2] / "examples" / "shop"
DAY = date(2026, 11, 23)
START = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = {"$gte": START, "$lt": START + timedelta(days=1)}
Document = dict[str, Any]


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("shop_generate", SHOP / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop_generate"] = module
    spec.loader.exec_module(module)
    return module


@dataclass
class Shop:
    """A shop: its database, its folder, and how to run it."""

    uri: str
    name: str
    folder: Path
    client: MongoClient[Document]

    @property
    def database(self) -> Database[Document]:
        return self.client[self.name]

    @property
    def state(self) -> Database[Document]:
        return self.client[f"{self.name}_etl"]

    @property
    def env(self) -> dict[str, str]:
        return {
            "SHOP_MONGODB_URI": self.uri,
            "SHOP_LAKE": str(self.folder / "lake"),
            "SHOP_WAREHOUSE": str(self.folder / "warehouse.duckdb"),
            "SHOP_RETRY_DELAY": "1s",
        }

    def prepare(self) -> None:
        """Write the example's project file for this database."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = (SHOP / "levada.yml").read_text()
        text = text.replace("database: shop}", f"database: {self.name}}}")
        text = text.replace("database: etl_metadata}", f"database: {self.name}_etl}}")
        (self.folder / "levada.yml").write_text(text)

    def project(self, **options: Any) -> Project:
        return load(self.folder, env=self.env, **options)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "levada", "-p", str(self.folder), *arguments]
        return subprocess.Popen(
            command,
            env={**os.environ, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def levada(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; exit code, output, errors."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=100)
        return process.returncode, out, err

    def daily(self, *arguments: str) -> tuple[int, str, str]:
        return self.levada("run", "daily", "--window", str(DAY), *arguments)

    def end_state(self) -> dict[str, str]:
        """A digest of every table the pipeline writes, without what differs between two runs."""
        tables = {
            name: list(self.database[name].find().sort("_id"))
            for name in ("staging_transactions", "transformed_transactions", "daily_analytics")
        }
        analytics = self.database.daily_analytics.find({}, {"_id": 0}).sort(
            [("date", 1), ("customer_tier", 1)]
        )
        metrics = self.database.etl_metrics.find({}, {"run": 0, "measured_at": 0}).sort("_id")
        tables |= {"daily_analytics": list(analytics), "etl_metrics": list(metrics)}
        with self.project() as project:
            for address in ("lake.transactions", "warehouse.daily_analytics"):
                rows = project.read(address).read_all().to_pylist()
                tables[address] = sorted(rows, key=lambda row: json.dumps(row, default=str, sort_keys=True))
        return {name: _digest(rows) for name, rows in tables.items()}


def _digest(rows: list[Document]) -> str:
    text = json.dumps([json.loads(json_util.dumps(_plain(row))) for row in rows], sort_keys=True)
    return f"{len(rows)} rows {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Decimal | Decimal128) else value


@dataclass
class Truth:
    """What the daily run over a day must leave, computed from the source documents in plain Python."""

    source: int
    staged: dict[Any, Document]
    figures: dict[str, Document]


def truth(database: Database[Document]) -> Truth:
    customers = {customer["customer_id"]: customer for customer in database.customers.find()}
    source = list(database.transactions.find({"transaction_date": WINDOW}))
    staged = {}
    for transaction in source:
        customer = customers.get(transaction.get("customer_id"))
        if customer is not None:
            names = ("transaction_id", "transaction_date", "customer_id", "total", "status", "items")
            staged[transaction["_id"]] = {
                **{name: transaction[name] for name in names if name in transaction},
                "customer_name": customer["name"],
                "customer_tier": customer["tier"],
            }
    return Truth(len(source), staged, _figures(staged))


def _figures(staged: dict[Any, Document]) -> dict[str, Document]:
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in staged.values():
        groups[document["customer_tier"]].append(document)
    found = {}
    for tier, documents in groups.items():
        totals = [d["total"].to_decimal() for d in documents if d.get("total") is not None]
        found[tier] = {
            "transaction_count": len(documents),
            "total_revenue": sum(totals, Decimal(0)),
            "avg_order_value": sum(totals, Decimal(0)) / len(totals),
            "unique_customers_count": len({d["customer_id"] for d in documents}),
        }
    return found
