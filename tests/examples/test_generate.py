"""The shop's data: the same every time, and shaped as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from types import ModuleType
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from pymongo import MongoClient
from pymongo.database import Database

DAY = date(2026, 11, 23)
SIZE = 30_000


@pytest.fixture(scope="module")
def shop(mongo: MongoClient[dict[str, Any]], generate: ModuleType) -> Iterator[Database[dict[str, Any]]]:
    """A day of transactions in a database of its own."""
    database = mongo["test_shop_generate"]
    mongo.drop_database(database.name)
    generate.fill(database, transactions_per_day=SIZE, days=[DAY], customers=2_000, products=100, seed=7)
    yield database
    mongo.drop_database(database.name)


def _raw(generate: ModuleType, day: date, count: int, seed: int = 7) -> list[bytes]:
    blocks = generate.make_transactions(
        day, count, customers=2_000, products=generate.make_products(100, seed), seed=seed
    )
    return [document.raw for block in blocks for document in block]


@pytest.mark.unit
def test_the_same_seed_and_arguments_give_the_same_bytes(generate: ModuleType) -> None:
    first = _raw(generate, DAY, 12_345)
    assert first == _raw(generate, DAY, 12_345)
    assert first != _raw(generate, DAY, 12_345, seed=8)
    assert not set(first) & set(_raw(generate, DAY + timedelta(days=1), 12_345))


@pytest.mark.unit
def test_every_document_is_canonical_bson_with_the_declared_types(generate: ModuleType) -> None:
    options = bson.CodecOptions[dict[str, Any]](tz_aware=True)
    for raw in _raw(generate, DAY, 3_000):
        document = bson.decode(raw, options)
        assert bson.encode(document) == raw  # lengths, array indexes and order as an encoder writes them
        assert set(document) - {"customer_id"} == {
            "_id", "transaction_id", "transaction_date", "status", "total", "items", "shipping",
            "payment_method", "created_at",
        }  # fmt: skip
        assert set(document["shipping"]["address"]) == {"city", "country", "zip"}
        assert 1 <= len(document["items"]) <= 5
        for item in document["items"]:
            assert isinstance(item["quantity"], int)
            assert not isinstance(item["quantity"], Int64)
            assert isinstance(item["price"], Decimal128)


@pytest.mark.unit
def test_times_rise_within_the_day(generate: ModuleType) -> None:
    times = [bson.decode(raw)["transaction_date"] for raw in _raw(generate, DAY, 5_000)]
    assert all(before <= after for before, after in pairwise(times))
    assert {moment.date() for moment in times} == {DAY}
    assert {moment.hour for moment in times} == set(range(24))


@pytest.mark.unit
def test_any_size_is_exact(generate: ModuleType) -> None:
    assert [len(_raw(generate, DAY, count)) for count in (0, 1, 9_999, 10_001)] == [0, 1, 9_999, 10_001]


def test_filling_again_or_with_other_days_leaves_a_day_as_it_was(
    mongo: MongoClient[dict[str, Any]], database: str, generate: ModuleType
) -> None:
    target = mongo[database]
    before, after = DAY - timedelta(days=1), DAY + timedelta(days=1)
    arguments: dict[str, Any] = {"transactions_per_day": 500, "customers": 50, "products": 10, "seed": 3}
    generate.fill(target, days=[DAY], **arguments)
    alone = _digest(target)
    generate.fill(target, days=[DAY], **arguments)
    assert _digest(target) == alone
    assert generate.fill(target, days=[before, DAY, after], **arguments)["transactions"] == 1_500
    assert _digest(target) == alone


def _digest(database: Database[dict[str, Any]]) -> str:
    start = datetime(DAY.year, DAY.month, DAY.day)
    digest = sha256()
    window = {"transaction_date": {"$gte": start, "$lt": start + timedelta(days=1)}}
    for name, query in (("transactions", window), ("customers", {}), ("products", {})):
        for document in database[name].find(query).sort("_id"):
            digest.update(bson.encode(document))
    return digest.hexdigest()


def test_the_counts_and_indexes_are_as_asked(shop: Database[dict[str, Any]]) -> None:
    counts = {name: shop[name].count_documents({}) for name in ("transactions", "customers", "products")}
    assert counts == {"transactions": SIZE, "customers": 2_000, "products": 100}
    keys = {(*index["key"], index.get("unique", False)) for index in shop["transactions"].list_indexes()}
    assert keys == {
        ("_id", False),
        ("transaction_date", False),
        ("transaction_id", True),
        ("customer_id", False),
    }
    assert {tuple(index["key"]) for index in shop["customers"].list_indexes()} >= {("customer_id",)}


#: filter -> the expected share
SHARES: dict[str, tuple[dict[str, Any], float]] = {
    "null total": ({"total": {"$type": "null"}}, 0.01),
    "null status": ({"status": {"$type": "null"}}, 0.005),
    "missing customer": ({"customer_id": {"$exists": False}}, 0.002),
    "late": ({"$expr": {"$gte": ["$created_at", {"$add": ["$transaction_date", 3_600_000]}]}}, 0.01),
    "completed": ({"status": "completed"}, 0.82 * 0.995),
    "refunded": ({"status": "refunded"}, 0.04 * 0.995),
    "one item": ({"items": {"$size": 1}}, 0.42),
    "five items": ({"items": {"$size": 5}}, 0.05),
}


@pytest.mark.parametrize("share", SHARES)
def test_shares_are_as_declared(share: str, shop: Database[dict[str, Any]]) -> None:
    query, expected = SHARES[share]
    deviation = (expected * (1 - expected) / SIZE) ** 0.5
    assert abs(shop["transactions"].count_documents(query) / SIZE - expected) < 5 * deviation


def test_orphans_are_those_whose_customer_does_not_exist(shop: Database[dict[str, Any]]) -> None:
    lookup = {"from": "customers", "localField": "customer_id", "foreignField": "customer_id", "as": "c"}
    stages = [
        {"$match": {"customer_id": {"$exists": True}}},
        {"$lookup": lookup},
        {"$match": {"c": []}},
        {"$count": "orphans"},
    ]
    orphans = next(shop["transactions"].aggregate(stages))["orphans"]
    assert 0.007 * SIZE < orphans < 0.013 * SIZE


def test_a_total_is_the_sum_of_its_items_and_prices_are_the_products(shop: Database[dict[str, Any]]) -> None:
    amounts = {"$map": {"input": "$items", "in": {"$multiply": ["$$this.quantity", "$$this.price"]}}}
    wrong = {"total": {"$ne": None}, "$expr": {"$ne": ["$total", {"$sum": amounts}]}}
    assert shop["transactions"].count_documents({"total": {"$type": "decimal"}}) > 0.98 * SIZE
    assert shop["transactions"].count_documents(wrong) == 0
    prices = {product["product_id"]: product["price"] for product in shop["products"].find()}
    sold = shop["transactions"].aggregate(
        [{"$unwind": "$items"}, {"$group": {"_id": {"id": "$items.product_id", "price": "$items.price"}}}]
    )
    assert all(prices[row["_id"]["id"]] == row["_id"]["price"] for row in sold)


def test_the_command_fills_and_reports(
    mongod: str, mongo: MongoClient[dict[str, Any]], database: str, generate: ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    generate.main(
        ["--uri", mongod, "--database", database, "--transactions", "100", "--days", "2", "--customers", "10",
         "--products", "5", "--end", "2026-11-24"]
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert (report["transactions"], report["customers"]) == (200, 10)
    moments = mongo[database]["transactions"].distinct("transaction_date")
    assert {moment.date() for moment in moments} == {date(2026, 11, 22), date(2026, 11, 23)}
