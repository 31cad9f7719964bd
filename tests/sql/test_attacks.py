"""What once went wrong in silence, left something behind, or ended in a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import Int64
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql import driver
from levada.sql.driver import Connection, connect
from levada.sql.validators import promised


@pytest.fixture
def documents(mongo: MongoClient[Any], database: str) -> Database[Any]:
    return mongo[database]


@pytest.fixture
def connection(mongod: str, database: str) -> Iterator[Connection]:
    with connect(mongod, database=database) as found:
        yield found


def test_a_closed_connection_leaves_no_temporary_tables(mongod: str, documents: Database[Any]) -> None:
    documents["t"].insert_many([{"_id": i, "k": i % 9} for i in range(50_000)])
    connection = connect(mongod, database=documents.name)
    cursor = connection.execute(
        "with a as materialized (select k, count(*) n from t group by k)"
        " select t._id, a.n from t join a using (k) join a b using (k)"
    )
    cursor.fetchone()
    connection.close()
    cursor.close()
    assert documents.list_collection_names() == ["t"]


def test_fields_by_pattern_are_columns() -> None:
    schema = {
        "properties": {"a": {"bsonType": "int"}},
        "patternProperties": {"^b": {"bsonType": "string"}},
        "additionalProperties": False,
    }
    assert not promised(schema).closed
    outer = {"properties": {"s": {"bsonType": "object", **schema}}}
    assert promised(outer).fields == ()


@pytest.mark.parametrize("text", ["select abs(n) from t", "select d::varchar from t"])
def test_what_the_server_can_not_hold_is_the_data_s_fault(
    connection: Connection, documents: Database[Any], text: str
) -> None:
    documents["t"].insert_one({"_id": 1, "n": Int64(-(2**63)), "d": DatetimeMS(10**15)})
    with pytest.raises(driver.DataError):
        connection.execute(text).fetchall()


def test_a_negative_number_of_rows_is_refused(connection: Connection, documents: Database[Any]) -> None:
    documents["t"].insert_one({"_id": 1})
    with pytest.raises(driver.ProgrammingError):
        connection.execute("select _id from t").fetchmany(-1)


def test_a_sum_of_very_many_terms_is_refused_in_words(
    connection: Connection, documents: Database[Any]
) -> None:
    documents["t"].insert_one({"_id": 1, "k": 1})
    with pytest.raises(driver.Error, match="nested too deeply"):
        connection.execute("select k" + " + 1" * 5_000 + " from t")


@pytest.mark.parametrize(
    ("odd", "indexed"), [("text", False), ("text", True), (7, False), (7, True), ([{"y": -1}], False)]
)
@pytest.mark.parametrize(
    "condition",
    ["x.y = -1", "x.y in (-1, 3)", "x.y between -5 and 3", "x.y < 3", "x.y is null", "x.y is not null"],
)
def test_what_is_no_document_where_one_is_due_is_an_error(
    connection: Connection, documents: Database[Any], odd: Any, indexed: bool, condition: str
) -> None:
    documents["t"].insert_many([{"_id": i, "x": {"y": i}} for i in range(1_500)])
    if indexed:
        documents["t"].create_index("x.y")
    connection.execute("select x from t limit 1")
    documents["t"].insert_one({"_id": -1, "x": odd})
    with pytest.raises(driver.DataError, match="_id -1"):
        connection.execute(f"select count(*) from t where {condition}").fetchall()


def test_a_condition_inside_a_document_reads_a_part_of_its_index(
    connection: Connection, documents: Database[Any]
) -> None:
    documents["t"].insert_many([{"_id": i, "x": {"y": i}} for i in range(1_500)])
    documents["t"].create_index("x.y")
    plan = connection.compile("select count(*) from t where x.y > 1490")
    found = documents.command(
        "explain", {"aggregate": "t", "pipeline": plan.pipeline, "cursor": {}}, verbosity="executionStats"
    )
    stages = found.get("stages")
    statistics = (stages[0]["$cursor"] if stages else found)["executionStats"]
    assert statistics["totalDocsExamined"] < 50


def test_subqueries_in_in_inside_each_other_end(connection: Connection, documents: Database[Any]) -> None:
    documents["t"].insert_one({"_id": 1, "k": 1})
    text = "select k from t"
    for _ in range(5):
        text = f"select k from t where k in ({text})"
    assert connection.execute(text).fetchall() == [(1,)]
    for _ in range(10):
        text = f"select k from t where k in ({text})"
    with pytest.raises(driver.ProgrammingError, match="EXISTS"):
        connection.execute(text)


def test_a_collection_made_later_is_found(connection: Connection, documents: Database[Any]) -> None:
    documents["t"].insert_one({"_id": 1})
    assert connection.execute("select count(*) from t").fetchall() == [(1,)]
    documents["u"].insert_many([{"_id": 1}, {"_id": 2}])
    assert connection.execute("select count(*) from u").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("text", "values"), [("select '\ud800'", ()), ("select ?", ["\ud800"]), ("select ?", 5)]
)
def test_odd_texts_and_parameters_are_refused_in_words(
    connection: Connection, text: str, values: Any
) -> None:
    with pytest.raises(driver.ProgrammingError):
        connection.execute(text, values)


def test_a_query_that_failed_in_the_middle_does_not_look_finished(
    connection: Connection, documents: Database[Any], mongo: MongoClient[Any]
) -> None:
    documents["t"].insert_many([{"_id": i, "s": "x" * 500} for i in range(60_000)])
    cursor = connection.execute("select * from t")
    cursor.fetchone()
    found = mongo.admin.aggregate([{"$currentOp": {"idleCursors": True}}])
    open_ones = [
        one["cursor"]["cursorId"]
        for one in found
        if one.get("ns") == f"{documents.name}.t" and one.get("cursor")
    ]
    documents.command({"killCursors": "t", "cursors": open_ones})
    with pytest.raises(driver.Error):
        cursor.fetchall()
    for fetch in (cursor.fetchone, cursor.fetchall):
        with pytest.raises(driver.InterfaceError, match="has failed"):
            fetch()
