"""The shop's daily run on a real MongoDB: right, repeatable, and the same after any disturbance."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo import MongoClient

from .shop import DAY, START, WINDOW, Document, Shop, generator, truth

ROWS = 2_000


@pytest.fixture
def shop(mongod: str, mongo: MongoClient[Document], database: str, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(mongod, database, tmp_path / "shop", mongo)
    made.prepare()
    days = [DAY - timedelta(days=1), DAY]
    generator().fill(made.database, transactions_per_day=ROWS, days=days, customers=300, products=50, seed=11)
    yield made
    mongo.drop_database(f"{database}_etl")


def test_a_run_leaves_what_plain_python_computes(shop: Shop) -> None:
    code, out, err = shop.daily()
    assert code == 0, out + err
    expected = truth(shop.database)
    staged = {document.pop("_id"): document for document in shop.database.staging_transactions.find()}
    assert staged == expected.staged
    transformed = list(shop.database.transformed_transactions.find())
    assert {document["_id"] for document in transformed} == set(expected.staged)
    assert all(document["processed_date"] == START for document in transformed)
    found = {row["customer_tier"]: row for row in shop.database.daily_analytics.find()}
    assert set(found) == set(expected.figures)
    for tier, figures in expected.figures.items():
        assert found[tier]["date"] == START
        assert found[tier]["transaction_count"] == figures["transaction_count"]
        assert found[tier]["unique_customers_count"] == figures["unique_customers_count"]
        assert found[tier]["total_revenue"].to_decimal() == figures["total_revenue"]
        average = found[tier]["avg_order_value"].to_decimal()
        assert abs(average - figures["avg_order_value"]) <= Decimal("0.01")


def test_the_lake_and_the_warehouse_hold_the_same(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    staged = truth(shop.database).staged
    with shop.project() as project:
        lake = {row["_id"]: row for row in project.read("lake.transactions").read_all().to_pylist()}
        warehouse = project.read("warehouse.daily_analytics").read_all().to_pylist()
    assert set(lake) == {str(identity) for identity in staged}
    for identity, document in staged.items():
        row = lake[str(identity)]
        total = document.get("total")
        assert row["total"] == (total.to_decimal() if total is not None else None)
        assert row["transaction_date"] == document["transaction_date"]
        assert [item["product_id"] for item in row["items"]] == [i["product_id"] for i in document["items"]]
    assert sum(row["transaction_count"] for row in warehouse) == len(staged)
    assert (shop.folder / "lake" / "transactions" / f"day={DAY}").is_dir()


def test_dropped_transactions_are_counted(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    expected = truth(shop.database)
    row = shop.database.etl_metrics.find_one()
    assert row is not None
    assert row["counts"]["validate_source_data"] == expected.source
    assert row["counts"]["extract_to_staging"] == len(expected.staged) < expected.source


def test_running_a_window_again_changes_nothing(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    before = shop.end_state()
    assert shop.daily()[0] == 0
    assert shop.end_state() == before


def test_another_window_leaves_this_one_alone(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    day_before = str(DAY - timedelta(days=1))
    assert shop.levada("run", "daily", "--window", day_before)[0] == 0
    staged = {d["_id"] for d in shop.database.staging_transactions.find({"transaction_date": WINDOW})}
    assert staged == set(truth(shop.database).staged)
    assert shop.database.etl_metrics.count_documents({}) == 2


def test_a_correction_in_the_source_arrives_with_the_next_run(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    gone = shop.database.transactions.find_one({"transaction_date": WINDOW, "customer_id": {"$ne": None}})
    assert gone is not None
    shop.database.transactions.delete_one({"_id": gone["_id"]})
    assert shop.daily()[0] == 0
    assert {d["_id"] for d in shop.database.staging_transactions.find()} == set(truth(shop.database).staged)
    assert shop.database.transformed_transactions.count_documents({"_id": gone["_id"]}) == 0


def test_staging_older_than_seven_days_is_cleaned_up(shop: Shop) -> None:
    end = START + timedelta(days=1)
    old, kept = end - timedelta(days=7, milliseconds=1), end - timedelta(days=7)
    shop.database.staging_transactions.insert_many(
        [{"_id": "old", "transaction_date": old}, {"_id": "kept", "transaction_date": kept}]
    )
    assert shop.daily()[0] == 0
    assert shop.database.staging_transactions.count_documents({"_id": "old"}) == 0
    assert shop.database.staging_transactions.count_documents({"_id": "kept"}) == 1


def test_an_empty_window_fails_at_validation_and_writes_nothing(shop: Shop) -> None:
    shop.database.transactions.delete_many({"transaction_date": WINDOW})
    code, _, err = shop.daily()
    assert code == 3
    assert "row_count" in err
    for name in ("staging_transactions", "transformed_transactions", "daily_analytics", "etl_metrics"):
        assert shop.database[name].count_documents({}) == 0
    assert not (shop.folder / "lake").exists()
    assert not (shop.folder / "warehouse.duckdb").exists()


@pytest.mark.parametrize("field", ["total", "customer_id", "status"])
def test_more_than_five_percent_of_nulls_stops_the_run(shop: Shop, field: str) -> None:
    some = [d["_id"] for d in shop.database.transactions.find({"transaction_date": WINDOW}).limit(ROWS // 15)]
    change = {"$unset": {field: ""}} if field == "status" else {"$set": {field: None}}
    shop.database.transactions.update_many({"_id": {"$in": some}}, change)
    code, _, err = shop.daily()
    assert code == 3
    assert f"null_rate({field})" in err
    assert shop.database.staging_transactions.count_documents({}) == 0


def test_a_transaction_that_is_there_twice_is_found_in_staging(shop: Shop) -> None:
    shop.database.transactions.drop_index("transaction_id_1")
    twin = shop.database.transactions.find_one({"transaction_date": WINDOW, "customer_id": {"$ne": None}})
    assert twin is not None
    shop.database.customers.update_one(
        {"customer_id": twin["customer_id"]}, {"$setOnInsert": {"name": "x", "tier": "gold"}}, upsert=True
    )
    shop.database.transactions.insert_one({**twin, "_id": ObjectId()})
    code, _, err = shop.daily()
    assert code == 3
    assert "duplicates(transaction_id) is 1" in err


def test_a_customer_that_is_there_twice_does_not_double_transactions(shop: Shop) -> None:
    shop.database.customers.drop_index("customer_id_1")
    twin = shop.database.customers.find_one()
    assert twin is not None
    shop.database.customers.insert_one({**twin, "_id": ObjectId()})
    bought = shop.database.transactions.count_documents(
        {"transaction_date": WINDOW, "customer_id": twin["customer_id"]}
    )
    assert bought
    code, _, err = shop.daily()
    assert code == 0, err
    assert {d["_id"] for d in shop.database.staging_transactions.find()} == set(truth(shop.database).staged)
    with shop.project() as project:
        values = project.runs("daily")[0].steps["extract_to_staging"].values
    assert values["quarantined"] == bought
    row = shop.database.etl_metrics.find_one()
    assert row is not None
    assert row["quarantined"] == bought
    kept = shop.state.quarantine.find({"step": "extract_to_staging"})
    assert {bson.decode(record["raw"])["customer_id"] for record in kept} == {twin["customer_id"]}


def test_two_runs_started_together_run_it_once(shop: Shop) -> None:
    processes = [shop.start("run", "daily", "--window", str(DAY)) for _ in range(2)]
    results = [(process.communicate(timeout=100)[1], process.returncode) for process in processes]
    codes = sorted(code for _, code in results)
    assert codes in ([0, 1], [0, 0])
    if codes == [0, 1]:
        assert "another run is active" in next(err for err, code in results if code)
    assert {d["_id"] for d in shop.database.staging_transactions.find()} == set(truth(shop.database).staged)


def test_killed_at_any_point_and_run_again_it_ends_the_same(shop: Shop) -> None:
    started = time.monotonic()
    assert shop.daily()[0] == 0
    seconds = time.monotonic() - started
    undisturbed = shop.end_state()
    for address in ("staging_transactions", "transformed_transactions", "daily_analytics", "etl_metrics"):
        shop.database[address].drop()
    shop.database["_levada_positions"].drop()
    shop.client.drop_database(shop.state.name)
    shutil.rmtree(shop.folder / "lake")
    (shop.folder / "warehouse.duckdb").unlink()
    random_points = random.Random(20261124)
    killed = 0
    for _ in range(20):
        process = shop.start("run", "daily", "--window", str(DAY))
        try:
            process.wait(seconds * random_points.uniform(0.15, 0.95))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed >= 10
    code, out, err = shop.daily()
    assert code == 0, out + err
    assert shop.end_state() == undisturbed


def positions(shop: Shop) -> list[Document]:
    return list(shop.state.positions.find())


def restore(shop: Shop, documents: list[Document]) -> None:
    shop.state.positions.delete_many({})
    if documents:
        shop.state.positions.insert_many(documents)


def test_a_ledger_older_than_the_data_stops_with_exit_4_unless_told_what_to_do(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    backup = positions(shop)
    assert shop.daily()[0] == 0
    assert shop.daily()[0] == 0
    end = shop.end_state()
    restore(shop, backup)
    code, _, err = shop.daily()
    assert code == 4
    assert "ledger was removed or restored" in err
    assert "--on-lost" in err
    assert shop.daily("--on-lost", "trust_sink")[0] == 0
    assert shop.end_state() == end
    assert shop.daily()[0] == 0


def test_data_older_than_the_ledger_stops_with_exit_4_unless_told_what_to_do(shop: Shop) -> None:
    assert shop.daily()[0] == 0
    kept = {name: list(shop.database[name].find()) for name in ("staging_transactions", "_levada_positions")}
    assert shop.daily()[0] == 0
    end = shop.end_state()
    for name, documents in kept.items():
        shop.database[name].delete_many({})
        shop.database[name].insert_many(documents)
    code, _, err = shop.daily()
    assert code == 4
    assert "table was removed or restored" in err
    assert shop.daily("--on-lost", "restart")[0] == 0
    assert shop.end_state() == end


def test_a_window_in_the_future_is_a_usage_error(shop: Shop) -> None:
    code, _, err = shop.levada("run", "daily", "--window", "2999-01-01")
    assert code == 2
    assert "future" in err


def test_the_incremental_job_moves_each_row_once_and_keeps_a_watermark(shop: Shop) -> None:
    assert shop.levada("run", "incremental")[0] == 0
    source: Any = shop.database.transactions
    mark = shop.state.watermarks.find_one({"job_name": "transactions_feed"})
    assert mark is not None
    due = source.count_documents({"created_at": {"$lt": mark["last_processed"]}})
    assert shop.database.transactions_feed.count_documents({}) == due > 0
    late = source.find_one()
    source.insert_one(
        {**late, "_id": ObjectId(), "transaction_id": "TXN-late", "created_at": mark["last_processed"]}
    )
    code, out, _ = shop.levada("run", "incremental", "--json")
    assert code == 0
    assert '"rows": 1' in out
    assert shop.database.transactions_feed.count_documents({"transaction_id": "TXN-late"}) == 1
