"""A value of another type than its column's is never a wrong answer, wherever it is, and whatever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

import levada
from levada.sql.driver import Connection
from levada.sql.faults import DataError

ROWS = 3_000


@pytest.fixture(scope="module")
def connection(mongo: MongoClient[dict[str, Any]], mongod: str) -> Iterator[Connection]:
    """Looked at while all was well; then came one document in which everything is of another type."""
    name = f"test_{uuid4().hex[:12]}"
    table = mongo[name].t
    table.insert_many(
        [
            {"_id": n, "n": n, "s": "a", "st": {"x": n, "s": "a"}, "l": [1, 2], "items": [{"p": 1.5}]}
            for n in range(ROWS)
        ]
    )
    table.create_index("n")
    table.create_index("st.x")
    with levada.sql.connect(mongod, database=name) as connection:
        connection.cursor().execute("select * from t limit 1")
        table.insert_one(
            {"_id": -1, "n": "odd", "s": 5, "st": {"x": "odd", "s": 5}, "l": [3, "x"], "items": [{"p": "z"}]}
        )
        yield connection
    mongo.drop_database(name)


def _asked(connection: Connection, sql: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "select n from t",
        "select count(*) from t where n > 2900",
        "select count(*) from t where n = 7",
        "select count(*) from t where n in (1, 2)",
        "select count(*) from t where n between 1 and 2",
        "select count(*) from t where n is null",
        "select count(*) from t where not (n > 5)",
        "select count(*) from t where s like 'a%'",
        "select count(*) from t where n + 1 > 5",
        "select sum(n) from t",
        "select avg(n) from t",
        "select min(n) from t",
        "select max(s) from t",
        "select count(n) from t",
        "select count(distinct n) from t",
        "select list(n) from t",
        "select n, count(*) from t group by n",
        "select distinct s from t",
        "select n from t order by n limit 1",
        "select sum(n) over (order by n) from t",
        "select coalesce(n, 0) from t",
        "select case when n > 3 then 1 else 0 end, count(*) from t group by 1",
        "select a.n from t a join t b on a.n = b.n",
        "select count(*) from t a where exists (select 1 from t b where b.n = a.n + 1)",
        "select count(*) from t where st.x > 0",
        "select count(*) from t where st.x = 7",
        "select count(*) from t where st.s <> 'a'",
        "select st.s, count(*) from t group by 1",
        "select max(st.x) from t",
        "select count(*) from t, unnest(l) u(i) where i > 1",
        "select sum(list_sum(l)) from t",
        "select count(*) from t where list_contains(l, 2)",
        "select sum(u.i.p) from t, unnest(items) u(i)",
        "select st from t",
        "select n from t union select 1",
        "select n from t except select 1",
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_its_document(
    connection: Connection, sql: str
) -> None:
    with pytest.raises(DataError) as caught:
        _asked(connection, sql)
    assert "_id -1" in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select count(*) from t", ROWS + 1),
        ("select count(*) from t where bson_type(n) = 'string'", 1),
        ("select count(*) from t where is_missing(n)", 0),
        ("select count(*) from t where bson_type(n) = 'int'", ROWS),
        ("select count(*) from t where bson_type(n) <> 'int' and not is_missing(s)", 1),
        ("select count(*) from (select n from t where _id >= 0)", ROWS),
        ("select sum(st.x) from t where _id between 0 and 4", 10),
    ],
)
def test_what_does_not_read_the_value_is_answered(connection: Connection, sql: str, expected: int) -> None:
    assert _asked(connection, sql) == [(expected,)]
