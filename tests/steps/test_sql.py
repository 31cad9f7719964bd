"""The step `sql` between real systems."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from .conftest import Make


@pytest.fixture
def collections(mongo: MongoClient[dict[str, Any]], database: str) -> Any:
    return mongo[database]


def test_a_document_that_cannot_be_decoded_goes_to_quarantine(make: Make, collections: Any) -> None:
    broken = bson.encode({"_id": 9, "a": "text"}).replace(b"text", b"\xff\xfext")
    collections.src.insert_many([{"_id": n, "a": "ok"} for n in range(3)])
    collections.src.insert_one(RawBSONDocument(broken))
    project = make("steps: {s: {sql: {query: 'select _id, a from db.src', to: db.dst}}}")
    step = project.run("p").steps["s"]
    assert (step.rows, step.values["quarantined"]) == (3, 1)
    assert [kept["raw"] for kept in collections.quarantine.find()] == [broken]


@pytest.mark.parametrize("target", ["lake.kept", "wh.kept"])
def test_a_table_is_not_replaced_by_nothing_because_no_document_can_be_decoded(
    make: Make, collections: Any, target: str
) -> None:
    collections.odd.insert_one({"_id": 1})
    project = make(f"steps:\n  one: {{copy: {{from: db.odd, to: {target}, mode: replace}}}}\n")
    assert project.run("p").status == "done"
    collections.odd.drop()
    broken = bson.encode({"_id": 9, "a": "text"}).replace(b"text", b"\xff\xfext")
    collections.odd.insert_one(RawBSONDocument(broken))
    run = project.run("p")
    assert (run.status, project.read(target).read_all().to_pylist()) == ("failed", [{"_id": 1}])
    assert collections.quarantine.count_documents({}) == 1


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select count(*) as n from db.nothing", 1),
        ("select * from db.nothing", 0),
        ("select x.a, y.b from db.nothing x join db.none y using (k)", 0),
    ],
)
@pytest.mark.parametrize("to", ["db.dst", "lake.dst"])
def test_an_empty_collection_is_a_table_without_rows(
    make: Make, collections: Any, query: str, rows: int, to: str
) -> None:
    run = make(f"steps: {{s: {{sql: {{query: '{query}', to: {to}}}}}}}").run("p")
    assert run.status == "done", run.error
    assert run.rows == rows


def test_collections_are_joined_by_names_without_a_table(make: Make, collections: Any) -> None:
    collections.orders.insert_many([{"_id": n, "customer": n % 2, "total": n} for n in range(5)])
    collections.customers.insert_many([{"customer": n, "name": f"n{n}"} for n in range(2)])
    query = "select name, sum(total) as total from db.orders join db.customers using (customer) group by name"
    run = make(f"steps: {{s: {{sql: {{query: '{query}', to: db.dst}}}}}}").run("p")
    assert run.status == "done", run.error
    found = {row["name"]: row["total"] for row in collections.dst.find()}
    assert found == {"n0": 6, "n1": 4}


def test_a_select_that_fails_at_once_leaves_no_collection(make: Make, collections: Any) -> None:
    collections.src.insert_one({"_id": 1})
    for query in ("select nope from lake.nope", "select cast(''x'' as int) as n from db.src"):
        project = make(f"steps: {{s: {{sql: {{query: '{query}', to: db.dst}}}}}}")
        assert project.run("p").status == "failed"
    assert "dst" not in collections.list_collection_names()
