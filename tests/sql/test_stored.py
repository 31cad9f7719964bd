"""Temporary tables of materialised queries: filled, read, dropped, swept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql import driver
from levada.sql.driver import Connection, connect
from levada.sql.plan import Plan, PlanColumn, StoredPlan
from levada.sql.types import BIGINT


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    return mongo[database]


@pytest.fixture
def connection(mongod: str, database: str) -> Iterator[Connection]:
    with connect(mongod, database=database) as opened:
        yield opened


def stored(*stages: dict[str, Any]) -> Plan:
    return Plan(
        "$m1",
        [
            {"$unionWith": {"coll": "$m1", "pipeline": []}},
            *stages,
            {"$group": {"_id": None, "n": {"$sum": "$a"}}},
        ],
        (PlanColumn("n", BIGINT, "n"),),
        (StoredPlan("$m1", "t", [{"$match": {"a": {"$gt": 1}}}]),),
    )


def temporary(db: Database[Any]) -> list[str]:
    return [name for name in db.list_collection_names() if name.startswith("levada.tmp.")]


def test_temporary_tables_are_filled_and_dropped(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_many([{"a": n} for n in range(4)])
    with connection.cursor() as cursor:
        cursor.run(stored())
        assert len(temporary(db)) == 1
        assert not [name for name in connection.catalog.names() if name != "t"]
        assert cursor.fetchall() == [(10,)]
        assert temporary(db) == []
    cursor = connection.cursor().run(stored())
    cursor.close()
    assert temporary(db) == []


def test_temporary_tables_are_dropped_after_a_failure(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_many([{"a": n} for n in range(4)])
    with pytest.raises(driver.DataError):
        connection.cursor().run(stored({"$set": {"a": {"$toInt": {"$concat": ["x", {"$toString": "$a"}]}}}}))
    assert temporary(db) == []


def test_abandoned_temporary_tables_are_swept(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_one({"a": 2})
    old = ObjectId.from_datetime(datetime(2020, 1, 1, tzinfo=UTC))
    young = ObjectId()
    for name in (old, young, "other"):
        db[f"levada.tmp.{name}"].insert_one({})
    assert connection.cursor().run(stored()).fetchall() == [(4,)]
    assert sorted(temporary(db)) == sorted([f"levada.tmp.{young}", "levada.tmp.other"])
