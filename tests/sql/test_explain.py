"""What `explain` says, against indexes and stages that are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql.driver import Connection, connect
from levada.sql.explain import Explained, Read, explain, laid_out
from levada.sql.plan import Plan, StoredPlan

ROWS = 2_000


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    found = mongo[database]
    found.orders.insert_many([{"n": n, "status": "ab"[n % 2], "name": f"n{n}"} for n in range(ROWS)])
    found.orders.create_index([("n", 1)])
    found.orders.create_index([("status", 1), ("name", 1)])
    found.small.insert_many([{"_id": n, "order": n} for n in range(3)])
    return found


@pytest.fixture
def connection(mongod: str, database: str, db: Database[Any]) -> Iterator[Connection]:
    host, _, options = mongod.partition("/?")
    with connect(f"{host.rstrip('/')}/{database}?{options}") as opened:
        yield opened


def explained(connection: Connection, sql: str) -> Explained:
    return explain(connection, connection.compile(sql))


def reads(found: Explained) -> list[Read]:
    return [read for piece in found.pieces for read in piece.reads or ()]


@pytest.mark.parametrize(
    ("where", "index", "intervals"),
    [
        ("n > 1990", "n_1", {"n": "(1990, inf"}),
        ("n = 5", "n_1", {"n": "[5, 5]"}),
        ("n between 5 and 7", "n_1", {"n": "[5, 7]"}),
        ("n in (5, 7)", "n_1", {"n": "[5, 5]"}),
        ("status = 'a'", "status_1_name_1", {"status": '["a", "a"]'}),
    ],
)
def test_a_condition_on_an_indexed_column_reads_a_part_of_the_index(
    connection: Connection, where: str, index: str, intervals: dict[str, str]
) -> None:
    found = reads(explained(connection, f"select count(*) from orders where {where}"))
    assert {read.index for read in found} == {index}  # values of other types may be a second read
    for path, interval in intervals.items():
        spans = [span for read in found for span in read.bounds[path]]
        assert any(span.startswith(interval) for span in spans)
        assert "[MinKey, MaxKey]" not in spans


def test_the_check_of_types_is_told_in_words(connection: Connection) -> None:
    lines = list(explained(connection, "select count(*) from orders where n > 1990").lines())
    [line] = [line for line in lines if line.startswith("  orders: index")]
    assert line == "  orders: index n_1, n in (1990, inf.0] or values of other types"


def test_without_an_index_every_document_is_read(connection: Connection) -> None:
    found = explained(connection, "select count(*) from orders where name like '%5'")
    assert [(read.collection, read.index) for read in reads(found)] == [("orders", None)]
    assert "  orders: every document, no index" in list(found.lines())


def test_every_table_of_a_join_is_told(connection: Connection) -> None:
    found = explained(connection, 'select o.n from orders o join small s on s."order" = o.n where o.n > 1')
    text = "\n".join(found.lines())
    assert {table.name for table in found.tables} == {"orders", "small"}
    assert "orders: about 2,000 documents, types by 1,000 of about 2,000 documents" in text
    assert "small: about 3 documents, types by all 3 documents" in text
    assert all(
        any(read.collection == name for read in reads(found)) or name in text for name in ("orders", "small")
    )


def test_what_is_checked_while_reading_is_told(connection: Connection, db: Database[Any]) -> None:
    schema = {"bsonType": "object", "properties": {"a": {"bsonType": "int"}}}
    db.create_collection("kept", validator={"$jsonSchema": schema})
    db.kept.insert_one({"a": 1, "b": 1})
    found = explained(connection, "select a, b from kept")
    assert found.checked == {"kept": ("b",)}
    assert any(line.endswith("the only document; checked while reading: b") for line in found.lines())


def test_a_lookup_that_the_server_plans_is_told_in_words(connection: Connection) -> None:
    lookup = {"from": "orders", "localField": "order", "foreignField": "n", "as": "o"}
    found = explain(connection, Plan("small", [{"$lookup": lookup}], ()))
    assert "  orders: for every row, by index n_1" in list(found.lines())


def test_a_query_without_tables_reads_nothing(connection: Connection) -> None:
    lines = list(explained(connection, "select 1 as one").lines())
    assert lines[0] == "pipeline over no collection:"
    assert lines[-4:] == ["reads:", "  nothing of the database", "columns:", "  one INTEGER not null"]


def test_temporary_tables_are_explained_before_the_query(connection: Connection) -> None:
    plan = Plan("$m1", [], (), (StoredPlan("$m1", "orders", [{"$match": {"n": 5}}]),))
    found = explain(connection, plan)
    assert [piece.name for piece in found.pieces] == ["$m1", ""]
    assert next(found.lines()) == "temporary table $m1, from orders:"
    assert reads(found)[0] == Read("orders", "n_1", {"n": ["[5, 5]"]})


def test_machines_get_json(connection: Connection) -> None:
    found = json.loads(json.dumps(explained(connection, "select status from orders where n = 5").document()))
    assert found["columns"] == [{"name": "status", "type": "VARCHAR", "nullable": True}]
    assert found["tables"][0]["documents"] == ROWS
    assert found["tables"][0]["types_from"] == "sample"
    [piece] = found["pipelines"]
    assert (piece["collection"], piece["fills"]) == ("orders", None)
    assert piece["reads"][0]["index"] == "n_1"
    assert all(len(stage) == 1 for stage in piece["pipeline"])


def test_nothing_is_run(connection: Connection, db: Database[Any]) -> None:
    explained(connection, "with x as materialized (select n from orders) select count(*) from x a, x b")
    assert sorted(db.list_collection_names()) == ["orders", "small"]


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
    max_leaves=40,
)


@given(value=documents, width=st.integers(10, 120))
def test_a_layout_is_the_same_json(value: Any, width: int) -> None:
    assert json.loads("\n".join(laid_out(value, width))) == value
