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
