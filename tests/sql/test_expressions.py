"""How expressions are bound and emitted: what an index can use, what is refused, how other dialects meet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
from bson.decimal128 import Decimal128
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from sqlglot import exp

from levada.sql.dialect import parse
from levada.sql.errors import SqlError
from levada.sql.expression import Column, Constant, Expr
from levada.sql.expressions.bind import ScalarBinder
from levada.sql.expressions.emit import Place, condition, match, value
from levada.sql.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    TIMESTAMP,
    VARCHAR,
    VARIANT,
    SqlType,
    decimal,
    list_of,
    struct,
)

COLUMNS: dict[str, SqlType] = {
    "i": INTEGER,
    "b": BIGINT,
    "d": DOUBLE,
    "n": decimal(15, 2),
    "m": decimal(12, 4),
    "s": VARCHAR,
    "f": BOOLEAN,
    "ts": TIMESTAMP,
    "dt": DATE,
    "l": list_of(INTEGER),
    "st": struct(("a", INTEGER), ("$b", VARCHAR)),
    "v": VARIANT,
}


class Binder(ScalarBinder):
    """Knows the columns above."""

    def column(self, node: exp.Expression) -> Expr:
        names = [part.name for part in node.parts]  # type: ignore[attr-defined]
        found: Expr = Column(COLUMNS[names[0]], True, names[0])
        for name in names[1:]:
            found = self.member(found, name, node)
        return found

    def parameter(self, node: exp.Expression) -> Expr:
        return Constant(VARCHAR, False, "2026-11-23")


def bound(sql: str, dialect: str = "levada") -> Expr:
    return Binder().bind(parse(f"select {sql}", dialect).selects[0])  # type: ignore[attr-defined]


PROVEN = {name: Place(f"${name}", name, proven=True) for name in COLUMNS}
UNPROVEN = {name: Place(f"${name}", name) for name in COLUMNS}


def filter_of(sql: str, wanted: bool = True) -> Any:
    return match(bound(sql), PROVEN, wanted)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("sql", "filter_"),
    [
        ("i = 7", {"i": 7}),
        ("7 < i", {"i": {"$gt": 7}}),
        ("i <> 7", {"i": {"$nin": [7, None]}}),
        ("not i < 7", {"i": {"$gte": 7}}),
        ("i in (1, 2, null)", {"i": {"$in": [1, 2]}}),
        ("i not in (1, null)", {"$nor": [{}]}),
        ("i between 1 and 2", {"$and": [{"i": {"$gte": 1}}, {"i": {"$lte": 2}}]}),
        ("n > 5", {"n": {"$gt": Decimal128("5.00")}}),
        ("d > 5", {"$or": [{"d": {"$gt": 5.0}}, {"d": math.nan}]}),
        ("d < 5", {"d": {"$lt": 5.0}}),
        ("s = '$where'", {"s": "$where"}),
        ("s like 'ab%'", {"s": {"$regex": "^ab", "$options": "s"}}),
        ("s like 'a.b'", {"s": {"$regex": "^a\\.b(?!\n)$", "$options": "s"}}),
        ("f", {"f": True}),
        ("not f", {"f": False}),
        ("s is null", {"s": None}),
        ("s is not null", {"s": {"$ne": None}}),
        ("dt >= date '2024-01-31' + interval 1 month", {"dt": {"$gte": datetime(2024, 2, 29, tzinfo=UTC)}}),
        ("dt = '2024-02-29'", {"dt": datetime(2024, 2, 29, tzinfo=UTC)}),
        ("i = 1 or s = 'x'", {"$or": [{"i": 1}, {"s": "x"}]}),
        ("st.a = 1", {"st.a": 1}),
        ("st.\"$b\" = 'x'", None),
        ("i + 1 = 2", None),
        ("i = b", None),
        ("l = [1]", None),
        ("l is null", None),
        ("n = d", None),
        ("i = 1 or i = b", None),
    ],
)
def test_says_conditions_in_the_match_language(sql: str, filter_: Any) -> None:
    found = filter_of(sql)
    assert str(found) == str(filter_)  # NaN is not equal to itself


@pytest.mark.unit
def test_lets_values_of_other_types_through_where_a_column_may_hold_them() -> None:
    found = match(bound("i > 5"), UNPROVEN)
    assert found is not None
    assert found["$or"][0] == {"i": {"$gt": 5}}
    assert {"string", "array", "bool"} <= set(found["$or"][1]["i"]["$type"])
    scalar = {"i": Place("$i", "i", scalar=True)}
    assert "array" not in match(bound("i > 5"), scalar)["$or"][1]["i"]["$type"]  # type: ignore[index]


def test_a_null_variable_does_not_fail_before_its_guard(mongo: MongoClient[dict[str, Any]]) -> None:
    """The server computes with the variables of a `$lookup` before it looks at any condition."""
    row = {"s": Place("$$s", proven=True), "l": Place("$$l", proven=True), "d": Place("$$d", proven=True)}
    names = (
        "length(s)",
        "upper(s)",
        "s[1:2]",
        "len(l)",
        "l[1:2]",
        "sqrt(d)",
        "starts_with(s, 'a')",
        "left(s, 1)",
    )
    inner = [{"$documents": [{}]}, {"$project": {f"x{n}": value(bound(x), row) for n, x in enumerate(names)}}]
    nulls = {"s": None, "l": None, "d": None}
    outer = [{"$documents": [{}]}, {"$lookup": {"let": nulls, "pipeline": inner, "as": "rows"}}]
    (document,) = mongo["admin"].aggregate(outer)
    assert set(document["rows"][0].values()) == {None}


@pytest.mark.unit
def test_a_list_as_a_parameter_is_an_in() -> None:
    class Listed(Binder):
        def parameter(self, node: exp.Expression) -> Expr:
            return Constant(list_of(INTEGER), False, (1, 2))

    node = parse("select i = any(?), i in ?").selects  # type: ignore[attr-defined]
    assert [match(Listed().bind(one), PROVEN) for one in node] == [{"i": {"$in": [1, 2]}}] * 2


@pytest.mark.unit
def test_uses_an_index_on_a_field_and_keeps_to_the_condition_but_for_other_types() -> None:
    exact, others, *_ = match(bound("st.a > 5"), UNPROVEN)["$or"]  # type: ignore[index]
    assert exact["$and"][1] == {"$expr": {"$gt": ["$st.a", 5]}}
    assert {"st.a": {"$gt": 5}} in (exact["$and"][0], *exact["$and"][0].get("$or", ()))
    assert {"string", "array"} <= set(others["st.a"]["$type"])
    assert not {"int", "long", "double"} & set(others["st.a"]["$type"])


@pytest.mark.unit
@pytest.mark.parametrize(
    ("sql", "emitted"),
    [
        ("i + 1", {"$add": ["$i", 1]}),
        ("b + 1", {"$toLong": {"$add": ["$b", 1]}}),
        ("coalesce(i, 0)", {"$ifNull": ["$i", 0]}),
        ("case when i > 1 then 'a' end", {"$cond": [{"$gt": ["$i", 1]}, {"$literal": "a"}, None]}),
        ("st.a", "$st.a"),
        ('st."$b"', {"$getField": {"field": {"$literal": "$b"}, "input": "$st"}}),
        ("'$i'", {"$literal": "$i"}),
        ("i > 1 and i < 3", None),
    ],
)
def test_emits_what_a_person_would_write(sql: str, emitted: Any) -> None:
    if emitted is None:
        expected = {"$and": [{"$gt": ["$i", 1]}, {"$lt": ["$i", 3]}, {"$gt": ["$i", None]}]}
        assert condition(bound(sql), PROVEN) == expected
    else:
        assert value(bound(sql), PROVEN) == emitted


@pytest.mark.unit
def test_keeps_long_chains_flat() -> None:
    chain = bound(" or ".join(f"i = {number}" for number in range(500)))
    assert len(condition(chain, PROVEN)["$or"]) == 500
    assert len(value(bound("+".join(["i"] * 300)), PROVEN)["$add"]) == 300
    assert len(value(bound(" || ".join(["s"] * 300)), PROVEN)["$concat"]) == 300


@pytest.mark.unit
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("upper(1)", "upper(text) does not take (INTEGER)"),
        ("uper(s)", "there is no function uper; at line 1, column 8; did you mean upper?"),
        ("i + s", "+(a, b) does not take (INTEGER, VARCHAR)"),
        ("dt = 'soon'", "'soon' is no DATE"),
        ("'abc'::int", "'abc' is no INTEGER"),
        ("cast(123.45 as decimal(4, 2))", "123.45 is no DECIMAL(4,2)"),
        ("st.c", "the struct has no field c"),
        ("case when i then 1 end", "INTEGER does not become BOOLEAN by itself"),
        ("case when f then i else s end", "INTEGER and VARCHAR don't go together"),
        ("v = 1", "VARIANT and INTEGER don't go together"),
        ("ts - ts", "the difference of two TIMESTAMPs is an INTERVAL"),
        ("ts at time zone 'Europe/Berlin'", "AT TIME ZONE knows UTC alone"),
        ("extract(fortnight from ts)", "a time has no part"),
        ('date_trunc(st."$b", ts)', "date_trunc takes its unit as a literal"),
        ("strftime(ts, '%Q')", "strftime has no %Q on MongoDB"),
        ("regexp_matches(s, s)", "takes its regular expression as a literal"),
        ("interval 'x' day", "can't read the INTERVAL"),
        ("s::time", "there is no type TIME"),
        ("l::varchar", "CAST from INTEGER[] to VARCHAR does not run on MongoDB"),
        ("list_transform(l, lambda x: x + 1)", "there is no function"),
        ("sha256(s)", "there is no function sha2"),
        ("99999999999999999999999999999999999", "the number has more than 34 digits"),
    ],
)
def test_refuses_by_name_and_place(sql: str, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        bound(sql)
    assert message in str(caught.value)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select 1 +", "line 1, column"),
        ("select\n  ((1)", "line 2, column"),
        ("", "there is no SQL"),
        ("select 1; select 2", "one statement at a time, not 2"),
    ],
)
def test_tells_where_the_sql_can_not_be_read(sql: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        parse(sql)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("dialect", "sql", "ours"),
    [
        ("mysql", "ifnull(i, 1)", "coalesce(i, 1)"),
        ("mysql", "i div 2", "i // 2"),
        ("mysql", "date_add(dt, interval 1 day)", "dt + interval 1 day"),
        ("mysql", "datediff(dt, ts)", "datediff(dt, ts)"),
        ("postgres", "l[1]", "l[1]"),
        ("snowflake", "l[0]", "l[1]"),
        ("snowflake", "iff(f, 1, 2)", "if(f, 1, 2)"),
        ("snowflake", "dateadd(day, 1, ts)", "ts + interval 1 day"),
        ("postgres", "s ~ 'x'", "regexp_matches(s, 'x')"),
        ("levada", "cast(? as date)", "?::date"),
        ("bigquery", "safe_cast(s as int64)", "try_cast(s as bigint)"),
    ],
)
def test_other_dialects_mean_the_same(dialect: str, sql: str, ours: str) -> None:
    assert value(bound(sql, dialect), PROVEN) == value(bound(ours), PROVEN)


TYPED = st.sampled_from(["i", "b", "d", "n", "m", "1", "2.5", "0.25", "1e2", "-3", "100000000000"])
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "//"])
FORMS = st.sampled_from(
    ["{0} {2} {1}", "coalesce({0}, {1})", "case when f then {0} else {1} end", "greatest({0}, {1})", "-({0})",
     "abs({0})", "round({0}, 1)", "floor({0})", "nullif({0}, {1})", "{0} {2} {1} {2} {0}", "sqrt({0})"]
)  # fmt: skip
_INTEGERS = {"INTEGER": "BIGINT", "HUGEINT": "BIGINT", "TINYINT": "BIGINT"}


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            "create table t(i integer, b bigint, d double, n decimal(15, 2), m decimal(12, 4), f boolean)"
        )
        yield connection


@pytest.mark.unit
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(FORMS, TYPED, TYPED, OPERATORS)
def test_types_are_those_of_duckdb(
    duck: duckdb.DuckDBPyConnection, form: str, left: str, right: str, operator: str
) -> None:
    sql = form.format(left, right, operator)
    try:
        theirs = str(duck.execute(f"select {sql} from t").description[0][1])
    except duckdb.Error:
        return
    ours = str(bound(sql).type)
    assert _INTEGERS.get(ours, ours) == _INTEGERS.get(theirs, theirs)


VALUES: dict[str, list[Any]] = {
    "i": [1, 2, -7],
    "d": [1.5, math.nan, math.inf, -math.inf, -0.0, 2.0, 3],
    "n": [Decimal128("1.50"), Decimal128("2"), 3],
    "s": ["", "a", "ab", "b\n", "é", "%"],
    "f": [True, False],
    "dt": [datetime(2024, 2, 29, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)],
}
ATOMS = st.sampled_from(
    ["i = 1", "i > 1", "i <= 2", "2 > i", "i <> 2", "i in (1, 2)", "i in (1, null)", "i is null", "d > 1.5",
     "d >= 2", "d < 2", "d <= 0", "d = 0", "d <> 2", "d between 0 and 5", "n > 1.5", "n = 2", "n < 2.5",
     "s like 'a%'", "s ilike 'A_'", "s like '%\n'", "s = ''", "s > 'a'", "s is not null", "f", "f = false",
     "dt > '2000-01-01'", "dt <= '1969-12-31'", "null", "true", "s in ('a', 'é')", "f is true"]
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} and {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} or {two[1]})"),
        inner.map(lambda one: f"(not {one})"),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def rows(mongo: MongoClient[dict[str, Any]]) -> Any:
    """Every value beside absent fields and beside nulls."""
    documents: list[dict[str, Any]] = [{}, dict.fromkeys(VALUES)]
    longest = max(map(len, VALUES.values()))
    for place in range(longest):
        whole = {name: values[place % len(values)] for name, values in VALUES.items()}
        documents.append(whole)
        documents += [{name: one} for name, one in whole.items()]
    collection = mongo["test_expressions"]["rows"]
    collection.drop()
    collection.insert_many([{"_id": number, **one} for number, one in enumerate(documents)])
    yield collection
    mongo.drop_database("test_expressions")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(CONDITIONS)
def test_values_conditions_and_filters_agree(rows: Any, sql: str) -> None:
    expr = bound(f"({sql}) or false")
    told = list(rows.aggregate([{"$sort": {"_id": 1}}, {"$project": {"told": value(expr, PROVEN)}}]))
    for wanted in (True, False):
        expected = [one["_id"] for one in told if one.get("told") is wanted]
        certain = {"$match": {"$expr": condition(expr, PROVEN, wanted)}}
        assert [one["_id"] for one in rows.aggregate([certain, {"$sort": {"_id": 1}}])] == expected
        found = match(bound(sql), PROVEN, wanted)
        if found is not None:
            assert [one["_id"] for one in rows.find(found).sort("_id", 1)] == expected
