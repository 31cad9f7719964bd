"""The step `sql` with `engine: mongodb`: computed inside the server, against what DuckDB computes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from pymongo import MongoClient

from levada.errors import ConfigError

from ..steps.conftest import Clock, Make, clock, make  # noqa: F401, TID252 - fixtures


@pytest.fixture
def collections(mongo: MongoClient[dict[str, Any]], database: str) -> Any:
    found = mongo[database]
    found.orders.insert_many(
        [
            {"_id": n, "customer": ObjectId(f"{n % 3:024x}"), "total": Decimal128(f"{n}.50"), "at": day(n)}
            for n in range(12)
        ]
    )
    found.customers.insert_many([{"_id": ObjectId(f"{n:024x}"), "name": f"n{n}"} for n in range(3)])
    return found


def day(number: int) -> datetime:
    return datetime(2026, 11, 20 + number % 4, 5, tzinfo=UTC)


def sql(query: str, to: str, engine: str = "mongodb", rest: str = "") -> str:
    return f"steps: {{s: {{sql: {{engine: {engine}, query: {query!r}, to: {to}{rest}}}}}}}"


QUERY = (
    "select c._id as _id, name, count(*) as n, sum(total) as total "
    "from db.orders o join db.customers c on o.customer = c._id group by 1, 2"
)


@pytest.mark.parametrize("to", ["db.dst", "lake.dst", "wh.dst"])
def test_the_result_is_that_of_duckdb(make: Make, collections: Any, to: str) -> None:  # noqa: F811
    found = {}
    for engine in ("mongodb", "duckdb"):
        project = make(sql(QUERY, to, engine))
        run = project.run("p")
        assert run.status == "done", run.error
        rows = project.read(to).read_all().to_pylist()
        found[engine] = sorted(rows, key=lambda row: row["name"])
        assert len(rows) == 3
    assert found["mongodb"] == found["duckdb"]


def test_object_ids_and_decimals_are_restored_in_bson(make: Make, collections: Any) -> None:  # noqa: F811
    run = make(sql(QUERY, "db.dst")).run("p")
    assert run.status == "done", run.error
    kept = collections.dst.find_one({"name": "n0"})
    assert kept == {"_id": ObjectId("0" * 24), "name": "n0", "n": 4, "total": Decimal128("20.00")}


def test_the_window_is_bound(make: Make, collections: Any) -> None:  # noqa: F811
    query = "select _id, at from db.orders where at >= $window_start and at < $window_end"
    run = make("window: day\n" + sql(query, "db.dst")).run("p", window="2026-11-21")
    assert run.status == "done", run.error
    assert sorted(row["_id"] for row in collections.dst.find()) == [1, 5, 9]


def test_tables_of_other_systems_are_refused_with_the_way_out(make: Make, collections: Any) -> None:  # noqa: F811
    run = make(sql("select 1 as a from db.orders join wh.other on true", "db.dst")).run("p")
    assert run.status == "failed"
    assert "tables of several connections: db, wh" in str(run.error)
    assert "leave `engine` out" in str(run.error)


def test_a_table_of_another_kind_is_refused(make: Make, collections: Any) -> None:  # noqa: F811
    run = make(sql("select a from wh.other", "db.dst")).run("p")
    assert "'wh', which is duckdb" in str(run.error)


def test_a_name_that_comes_twice_is_refused(make: Make, collections: Any) -> None:  # noqa: F811
    run = make(sql("select o._id, c._id from db.orders o cross join db.customers c", "db.dst")).run("p")
    assert "two columns of the SELECT are called '_id'" in str(run.error)


def test_memory_limit_is_duckdbs(make: Make) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="memory_limit is DuckDB's"):
        make(sql("select a from db.t", "db.dst", rest=", memory_limit: 1GB")).run("p")


def test_an_unknown_column_is_told_with_its_place(make: Make, collections: Any) -> None:  # noqa: F811
    run = make(sql("select totl from db.orders", "db.dst")).run("p")
    assert "there is no column totl" in str(run.error)
    assert "line 1, column 8" in str(run.error)
    assert "dst" not in collections.list_collection_names()


VIEWS = {
    "joined": QUERY,
    "counted": "select count(*) as n, max(total) as most from db.orders",
    "filtered": "select _id, total from db.orders where total > 5",
    "united": "select _id as k from db.orders where _id > 9 union all select 7 as k",
}


@pytest.mark.parametrize("query", VIEWS.values(), ids=VIEWS.keys())
def test_a_view_gives_what_a_table_would(make: Make, collections: Any, query: str) -> None:  # noqa: F811
    assert make(sql(query, "db.stored")).run("p").status == "done"
    for _ in range(2):  # made, then changed
        run = make(sql(query, "db.shown", rest=", view: true")).run("p")
        assert run.status == "done", run.error
    rows = [sorted(map(_plain, collections[name].find({}))) for name in ("stored", "shown")]
    assert rows[0] == rows[1]
    assert rows[0]
    collections.orders.delete_many({})
    assert len(list(collections.shown.find({}))) < len(rows[0]) or query == VIEWS["counted"]


def _plain(document: dict[str, Any]) -> str:
    return repr(sorted((k, repr(v)) for k, v in document.items() if k != "_id" or "name" in document))


@pytest.mark.parametrize(
    ("query", "to", "message"),
    [
        ("select _id from db.orders", "db.customers", "is a table, not a view"),
        ("select total, total from db.orders", "db.v", "give it a name"),
        ("select _id from db.orders where at < $now", "db.v", "can't have the run's values"),
        ("select _id from db.orders", "lake.v", "several connections"),
        ("with a as materialized (select _id from db.orders) select * from a", "db.v", "MATERIALIZED"),
    ],
)
def test_what_can_not_be_a_view_is_refused(
    make: Make,  # noqa: F811
    collections: Any,
    query: str,
    to: str,
    message: str,
) -> None:
    run = make(sql(query, to, rest=", view: true")).run("p")
    assert run.status != "done"
    assert message in str(run.error)
    assert collections.customers.count_documents({}) == 3


def test_a_view_takes_nothing_that_writes_rows(make: Make) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="view: true"):
        make(sql(QUERY, "db.v", rest=", view: true, mode: append")).run("p")
