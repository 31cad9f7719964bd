"""The shop between its other ends: MariaDB, PostgreSQL, S3 and an API, by the commands people type."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from bson import Decimal128
from pymongo import MongoClient

import levada

from .. import mysql, rest_server  # noqa: TID252
from .. import postgres as postgres_server  # noqa: TID252
from .. import s3 as s3_server  # noqa: TID252

DAY = date(2026, 11, 23)
#: Increments end at the real clock, and reach back from there.
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

SHAPE = """
customer_id: customer_id
scores:
  churn: {column: churn, type: double}
  lifetime_value: {column: lifetime_value, type: decimal}
segments: [segment, tier]
scored_at: {column: scored_at, type: date}
"""


@dataclass
class Ends:
    """A project between five servers.

    Args:
        folder: of the project.
        client: of its MongoDB.
        database: the shop's.
    """

    folder: Path
    client: MongoClient[Any]
    database: str

    def copy(self, *arguments: str) -> dict[str, Any]:
        """`levada copy`, by its exit code and JSON."""
        command = [sys.executable, "-m", "levada", "copy", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def rows(self, address: str) -> list[dict[str, Any]]:
        with levada.load(self.folder / "levada.yml") as project:
            found: list[dict[str, Any]] = project.read(address).read_all().to_pylist()
        return found


@pytest.fixture
def api() -> Iterator[rest_server.Api]:
    with rest_server.running() as running:
        yield running


@pytest.fixture
def ends(
    mongod: str,
    mongo: MongoClient[Any],
    database: str,
    postgres: postgres_server.Postgres,
    schema: str,
    s3: s3_server.S3,
    api: rest_server.Api,
    generate: ModuleType,
    tmp_path: Path,
) -> Iterator[Ends]:
    generate.fill(mongo[database], transactions_per_day=3_000, days=[DAY], customers=200, products=20, seed=5)
    payments = {
        "path": "/v1/cursor",
        "data": "items",
        "paginator": {"type": "cursor", "next": "next", "param": "cursor"},
        "key": "id",
        "since": {"param": "updated_after", "field": "updated_at", "format": "iso"},
        "columns": {"amount": "decimal(2)"},
    }
    connections = {
        "shop": {"type": "mongodb", "uri": mongod, "database": database},
        "lake": {"type": "lake", "path": s3.prefix(), "storage_options": s3.options},
        "warehouse": {"type": "postgres", "uri": postgres.uri, "schema": schema},
        "payments": {"type": "rest", "base_url": api.url, "resources": {"payments": payments}},
    }
    tables = {"shop.transactions": {"key": "transaction_id", "time": "transaction_date"}}
    state = {"connection": "shop", "database": f"{database}_etl"}
    project = {"format": 1, "name": "ends", "connections": connections, "tables": tables, "state": state}
    (tmp_path / "levada.yml").write_text(yaml.safe_dump(project))
    yield Ends(tmp_path, mongo, database)
    mongo.drop_database(f"{database}_etl")


def test_a_lake_on_s3_comes_back_as_it_was(ends: Ends) -> None:
    shop = ends.client[ends.database]
    ends.copy("shop.transactions", "lake.transactions", "--mode", "replace")
    copying = ["lake.transactions", "shop.transactions_copy", "--mode", "upsert", "--key", "transaction_id"]
    first = ends.copy(*copying)
    again = ends.copy(*copying)
    assert (first["rows"], again["rows"]) == (3_000, 3_000)
    stored = {each["_id"]: each for each in shop.transactions_copy.find()}
    assert len(stored) == 3_000
    for each in shop.transactions.find():
        # a column has no way to say that a field is missing
        assert stored[each["_id"]] == {**dict.fromkeys(stored[each["_id"]]), **each}


def test_legacy_orders_arrive_once_and_later_ones_too(ends: Ends, legacy: mysql.MariaDB) -> None:
    first, late = (f"{YESTERDAY - timedelta(days=days):%Y-%m-%d %H:%M:%S}" for days in (3, 1))
    legacy.run(f"""
        CREATE TABLE orders (id BIGINT PRIMARY KEY, total DECIMAL(20, 6), updated_at DATETIME(3), note TEXT);
        INSERT INTO orders SELECT seq, seq / 7, '{first}' + INTERVAL seq MINUTE, concat('é', seq)
        FROM seq_1_to_2000;
    """)
    copying = [legacy.url("orders"), "lake.legacy_orders", "--since", "updated_at", "--key", "id"]
    assert ends.copy(*copying)["rows"] == 2_000
    legacy.run(f"UPDATE orders SET total = -1, updated_at = '{late}' WHERE id IN (3, 4)")
    legacy.run(f"INSERT INTO orders VALUES (2001, 0.000001, '{late}', NULL)")
    assert ends.copy(*copying)["rows"] == 0  # they are behind the watermark: that is what `overlap` is for
    ends.copy(*copying, "--overlap", "30d")
    truth = {
        int(n): (Decimal(total), note) for n, total, note in legacy.rows("SELECT id, total, note FROM orders")
    }
    found = {row["id"]: (row["total"], row["note"] or "NULL") for row in ends.rows("lake.legacy_orders")}
    assert found == truth


def test_scores_of_a_warehouse_become_fields_of_the_customers(
    ends: Ends, postgres: postgres_server.Postgres, schema: str
) -> None:
    shop = ends.client[ends.database]
    known = {each["customer_id"]: each for each in shop.customers.find()}
    wanted = sorted(known)[:100]
    listed = ", ".join(f"'{name}'" for name in wanted)
    postgres.run(f"""
        CREATE TABLE {schema}.customer_scores AS
        SELECT c AS customer_id, n / 1000.0::float8 AS churn, (n * 1.25)::numeric(12, 2) AS lifetime_value,
            'loyal' AS segment, CASE WHEN n % 2 = 0 THEN 'big' END AS tier,
            timestamptz '{YESTERDAY.isoformat()}' AS scored_at
        FROM unnest(ARRAY[{listed}]) WITH ORDINALITY AS t(c, n)
    """)
    (ends.folder / "scores.yml").write_text(SHAPE)
    copying = ["warehouse.customer_scores", "shop.customers", "--mode", "upsert", "--key", "customer_id"]
    done = ends.copy(*copying, "--shape", "scores.yml", "--merge", "fields")
    assert done["rows"] == 100
    for number, name in enumerate(wanted, start=1):
        stored = shop.customers.find_one({"customer_id": name})
        scores = {
            "churn": number / 1000.0,
            "lifetime_value": Decimal128(f"{Decimal(number) * 5 / 4:.2f}"),
        }
        segments = ["loyal", "big"] if number % 2 == 0 else ["loyal"]
        assert stored == {**known[name], "scores": scores, "segments": segments, "scored_at": YESTERDAY}
    assert shop.customers.count_documents({}) == len(known)


def test_payments_are_polled_with_those_that_come_late(ends: Ends, api: rest_server.Api) -> None:
    shop = ends.client[ends.database]

    def payment(number: int, minutes: float) -> dict[str, Any]:
        moment = YESTERDAY + timedelta(minutes=minutes)
        return {"id": number, "amount": f"{number}.10", "updated_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}

    api.add(*(payment(number, number) for number in range(95)))
    api.faults = [
        None,
        rest_server.Fault(status=503),
        rest_server.Fault(status=429, headers={"Retry-After": "0"}),
    ]
    polling = [
        "payments.payments",
        "shop.payments",
        "--since",
        "updated_at",
        "--key",
        "id",
        "--overlap",
        "30d",
    ]
    assert ends.copy(*polling)["rows"] == 95
    api.add(payment(95, 94.5), payment(96, 3))
    ends.copy(*polling)
    stored = {each["id"]: each["amount"] for each in shop.payments.find()}
    assert stored == {number: Decimal128(f"{number}.10") for number in range(97)}


def test_the_warehouse_takes_what_the_lake_has(
    ends: Ends, postgres: postgres_server.Postgres, schema: str
) -> None:
    ends.copy("shop.transactions", "lake.transactions", "--mode", "replace")
    columns = "transaction_id,customer_id,total,status,transaction_date"
    loading = ["lake.transactions", "warehouse.sales", "--mode", "upsert", "--key", "transaction_id"]
    ends.copy(*loading, "--columns", columns)
    ends.copy(*loading, "--columns", columns)
    ((rows, total),) = postgres.rows(f"SELECT count(*), sum(total)::text FROM {schema}.sales")
    transactions = list(ends.client[ends.database].transactions.find())
    assert rows == len(transactions) == 3_000
    truth = sum((each["total"].to_decimal() for each in transactions if each.get("total")), Decimal(0))
    assert Decimal(total) == truth
