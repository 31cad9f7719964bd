from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from levada.connectors.mongodb.where import compile_where
from levada.errors import ConfigError

MOMENT = datetime(2026, 11, 23, 5, tzinfo=UTC)
FIRST = datetime(2026, 11, 23, tzinfo=UTC)
NEXT = datetime(2026, 11, 24, tzinfo=UTC)
HEX = "65a1b2c3d4e5f60718293a4b"
ROWS: list[dict[str, Any]] = [
    {"_id": 0, "i": 1, "d": 1.5, "m": "9.99", "s": "apple", "t": MOMENT, "b": True, "n": {"x": 1}},
    {
        "_id": 1,
        "i": 2,
        "d": 9.99,
        "m": "10.00",
        "s": "a%b_c",
        "t": NEXT,
        "b": False,
    },
    {"_id": 2, "i": -3, "d": 0.0, "m": "9.98", "s": "Apple\npie", "t": MOMENT, "b": True, "n": {"x": None}},
    {"_id": 3, "i": None, "d": None, "m": None, "s": None, "t": None, "b": None, "n": None},
    {"_id": 4},
    {"_id": 5, "i": 2, "d": -1.25, "m": "-0.01", "s": "", "t": datetime(1969, 7, 20, tzinfo=UTC), "b": False},
    {
        "_id": 6,
        "i": 7,
        "d": 2.0,
        "m": "2",
        "s": "100\\%",
        "t": FIRST,
        "n": {"x": 5},
    },
]
TYPES = pa.schema(
    [
        ("_id", pa.int64()),
        ("i", pa.int64()),
        ("d", pa.float64()),
        ("m", pa.decimal128(38, 4)),
        ("s", pa.string()),
        ("t", pa.timestamp("us", "UTC")),
        ("b", pa.bool_()),
        ("n", pa.struct([("x", pa.int64())])),
    ]
)
CONDITIONS = [
    "i = 2",
    "i <> 2",
    "NOT i = 2",
    "2 = i",
    "1 < i",
    "i >= 1 AND i < 3",
    "i < 1 OR i IS NULL",
    "NOT (i < 1 OR s = 'apple')",
    "NOT (i < 5 AND s = 'apple')",
    "NOT (i IN (1, 2) AND b)",
    "i IN (1, 7, NULL)",
    "i NOT IN (1, 7)",
    "i NOT IN (1, NULL)",
    "i BETWEEN -3 AND 1",
    "i NOT BETWEEN -3 AND 1",
    "NOT i BETWEEN 1 AND 2",
    "i IS NULL",
    "i IS NOT NULL",
    "NOT i IS NULL",
    "i = NULL",
    "NOT i = NULL",
    "d = 9.99",
    "d < 9.99",
    "d <= 9.99",
    "d > 9.99",
    "d >= 9.99",
    "d <> 9.99",
    "m = 9.99",
    "m < 9.99",
    "m <= 9.99",
    "m > 9.99",
    "m >= 9.99",
    "m <> 9.99",
    "m BETWEEN 9.98 AND 9.99",
    "m = -0.01",
    "d = 1.5",
    "m = 2",
    "s LIKE 'a%'",
    "s NOT LIKE 'a%'",
    "NOT s LIKE 'a%'",
    "s NOT LIKE '%!%%' ESCAPE '!'",
    "s LIKE '%!%%' ESCAPE '!'",
    "s LIKE 'a!%b!_c' ESCAPE '!'",
    "s LIKE '_pple%'",
    "s LIKE '%pie'",
    "s LIKE 'Apple'",
    "s LIKE '%\\%'",
    "s ILIKE 'APPLE%'",
    "s LIKE ''",
    "s = ''",
    "s > 'a'",
    "s IN ('apple', '')",
    "t >= TIMESTAMP '2026-11-23 00:00:00'",
    "t < DATE '2026-11-23'",
    "t = TIMESTAMPTZ '2026-11-23 06:00:00+01'",
    "t > TIMESTAMP '2026-11-23 04:59:59.9995'",
    "t <= TIMESTAMP '2026-11-23 05:00:00.0005'",
    "t < TIMESTAMP '2026-11-23 05:00:00.0005'",
    "t >= TIMESTAMP '2026-11-23 05:00:00.0005'",
    "t = TIMESTAMP '2026-11-23 05:00:00.0005'",
    "t <> TIMESTAMP '2026-11-23 05:00:00.0005'",
    "t >= '2026-11-23T05:00:00Z'",
    "t BETWEEN '2026-11-23' AND '2026-11-24'",
    "CAST('2026-11-23' AS DATE) = t",
    "b",
    "NOT b",
    "b = TRUE",
    "b IS TRUE",
    "b IS NOT TRUE",
    "b IS FALSE",
    "NOT b IS NOT FALSE",
    "n.x = 1",
    "n.x <> 1",
    "n.x IS NULL",
    "i IS DISTINCT FROM 2",
    "i IS NOT DISTINCT FROM NULL",
    "NOT i IS DISTINCT FROM 2",
    "TRUE",
    "NOT TRUE",
    "NULL OR i = 1",
    "NOT NULL",
    "(i = 1) AND ((NOT (b)))",
    "i = 1 AND i = 2 OR i = 7",
]


@pytest.fixture
def rows(db: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    stored = [{**row, "m": Decimal128(row["m"])} if row.get("m") else row for row in ROWS]
    db["rows"].insert_many(stored)
    return db


@pytest.fixture(scope="module")
def truth() -> duckdb.DuckDBPyConnection:
    typed = [{**row, "m": Decimal(row["m"]) if row.get("m") else None} for row in ROWS]
    duck = duckdb.connect()
    duck.execute("SET TimeZone = 'UTC'")
    duck.register("rows", pa.Table.from_pylist(typed, schema=TYPES))
    return duck


def ids(db: Database[dict[str, Any]], where: str) -> list[int]:
    return [row["_id"] for row in db["rows"].find(compile_where(where), {"_id": 1}).sort("_id")]


def expected(truth: duckdb.DuckDBPyConnection, where: str) -> list[int]:
    return [row[0] for row in truth.execute(f"SELECT _id FROM rows WHERE {where} ORDER BY _id").fetchall()]


def test_finds_the_rows_that_duckdb_finds(
    rows: Database[dict[str, Any]], truth: duckdb.DuckDBPyConnection
) -> None:
    found = {where: ids(rows, where) for where in CONDITIONS}
    assert found == {where: expected(truth, where) for where in CONDITIONS}


LEAVES = st.sampled_from(
    [
        "i = 2",
        "i < 2",
        "s LIKE 'a%'",
        "b",
        "d >= 1.5",
        "n.x = 1",
        "i IS NULL",
        "i IN (1, NULL)",
        "m <> 9.99",
        "NULL",
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        part.map("NOT ({})".format),
        st.tuples(part, part).map("({0[0]}) AND ({0[1]})".format),
        st.tuples(part, part).map("({0[0]}) OR ({0[1]})".format),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=TREES)
def test_any_nesting_follows_three_valued_logic(
    rows: Database[dict[str, Any]], truth: duckdb.DuckDBPyConnection, where: str
) -> None:
    assert ids(rows, where) == expected(truth, where)


def test_twenty_four_hex_digits_match_text_and_objectid(db: Database[dict[str, Any]]) -> None:
    db["rows"].insert_many([{"_id": ObjectId(HEX)}, {"_id": HEX}, {"_id": "other"}])
    assert db["rows"].count_documents(compile_where(f"_id = '{HEX}'")) == 2
    assert db["rows"].count_documents(compile_where(f"_id <> '{HEX}'")) == 1
    assert db["rows"].count_documents(compile_where(f"_id IN ('{HEX}')")) == 2


HOSTILE = [
    "{'$gt': ''}",
    '"}}, {"$where": "sleep(1000)"}',
    "' OR ''='",
    "$ne",
    "\\",
    ".*",
    "^(a+)+$",
    "'; DROP TABLE rows; --",
    "\u202e\x01",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_are_only_strings(db: Database[dict[str, Any]], text: str) -> None:
    quoted = text.replace("'", "''")
    db["rows"].insert_many([{"_id": 1, "s": text}, {"_id": 2, "s": "x"}, {"_id": 3}])
    for where in (f"s = '{quoted}'", f"s IN ('{quoted}')", f"s LIKE '{quoted}'", f"NOT s <> '{quoted}'"):
        assert [row["_id"] for row in db["rows"].find(compile_where(where))] == [1]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("a = b", "EQ"),
        ("lower(a) = 'x'", "Lower"),
        ("a + 1 = 2", "Add"),
        ("a = (SELECT 1)", "Subquery"),
        ("a IN (SELECT 1)", "In"),
        ("EXISTS (SELECT 1)", "Exists"),
        ("a = {'$gt': 1}", "Struct"),
        ("1 = 1", "EQ"),
        ("a = current_date", "CurrentDate"),
        ("a LIKE b", "Column"),
        ("a LIKE ANY ('x', 'y')", "Any"),
        ("a BETWEEN SYMMETRIC 2 AND 1", "Between"),
        ("CASE WHEN a THEN b END", "Case"),
        ("a = ?", "Placeholder"),
        ("a::int = 1", "Cast"),
        ("a[1] = 1", "Bracket"),
        ("a SIMILAR TO 'x'", "SimilarTo"),
    ],
)
def test_refuses_what_a_filter_cannot_say_by_name(where: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"can't contain {named}"):
        compile_where(where)


@pytest.mark.unit
def test_says_where_the_refused_thing_stands() -> None:
    with pytest.raises(ConfigError, match="Lower at column 11"):
        compile_where("a = 1 AND lower(b) = 'x'")


@pytest.mark.unit
@pytest.mark.parametrize(
    "where", ["", "a =", "a = 1)", "a = 1; DROP TABLE x", "a = 1 LIMIT 1", "a = 1 UNION SELECT 1", "("]
)
def test_refuses_what_is_not_one_condition(where: str) -> None:
    with pytest.raises(ConfigError):
        compile_where(where)


@pytest.mark.unit
@pytest.mark.parametrize("name", ['"$where"', '"$expr"', '"a.b"', 'a."$b"', '""', '"a\0b"'])
def test_refuses_names_that_mean_something_else_to_mongodb(name: str) -> None:
    with pytest.raises(ConfigError):
        compile_where(f"{name} = 1")


@pytest.mark.unit
@pytest.mark.parametrize("where", ["(" * 5000 + "a = 1" + ")" * 5000, "NOT " * 5000 + "a"])
def test_refuses_bottomless_nesting(where: str) -> None:
    with pytest.raises(ConfigError):
        compile_where(where)


@pytest.mark.unit
def test_numbers_beyond_double_and_decimal_are_refused() -> None:
    with pytest.raises(ConfigError, match="more digits"):
        compile_where(f"a = 0.{'1' * 40}")
