"""What pipelines look like: as one would write them by hand, and refused where the server has no way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from levada.sql.catalog import Field, FixedCatalog, Index, TableSchema
from levada.sql.compiler import compile as compile_sql
from levada.sql.errors import SqlError
from levada.sql.types import DOUBLE, INTEGER, VARCHAR, list_of, struct

PROVEN = FixedCatalog.of(
    TableSchema(
        "sales",
        (
            Field("tier", VARCHAR, False, True),
            Field("total", DOUBLE, False, True),
            Field("qty", INTEGER, True, True),
        ),
        rows=1_000_000,
    ),
    TableSchema(
        "tiers", (Field("name", VARCHAR, False, True), Field("rank", INTEGER, False, True)), rows=1000
    ),
)

#: A table whose values the server does not check, and what may stand in its columns by mistake.
UNPROVEN = TableSchema(
    "t",
    (
        Field("id", INTEGER, False),
        Field("n", INTEGER),
        Field("s", VARCHAR),
        Field("d", DOUBLE),
        Field("l", list_of(INTEGER)),
        Field("st", struct(("a", INTEGER))),
    ),
    rows=100_000,
)
WRONG: dict[str, list[Any]] = {
    "n": ["x", [1], [], {"a": 1}, True, datetime(2020, 1, 1, tzinfo=UTC)],
    "s": [1, ["x"], {}],
    "d": ["1.5", Decimal128("1.5"), [1.5]],
    "l": [1, "x", {"a": 1}],
}
READING = {
    "n": [
        "select id from t where n > 2",
        "select id from t where n = 2",
        "select id from t where n <> 2",
        "select id from t where not (n > 2)",
        "select id from t where n in (1, 2)",
        "select id from t where n is not null",
        "select id from t where n + 1 > 2 and n < 100",
        "select id from (select id, n + 1 as k from t) where k > 2",
        "select sum(n) from t",
        "select n, count(*) from t group by n",
        "select n from t order by n limit 1",
        "select a.id from t a join t b on a.n = b.n",
        "select id, row_number() over (order by n) from t",
    ],
    "s": ["select id from t where s = 'x'", "select id from t where s like 'x%'", "select max(s) from t"],
    "d": ["select id from t where d > 1", "select avg(d) from t", "select min(d) from t"],
    "l": ["select l from t", "select unnest(l) from t"],
}


def test_a_filter_and_a_group_are_as_written_by_hand() -> None:
    sql = "select tier, count(*) as n, sum(total) as s from sales where qty < 5 group by tier"
    plan = compile_sql(sql, PROVEN)
    assert plan.collection == "sales"
    assert plan.pipeline == [
        {"$match": {"qty": {"$lt": 5}}},
        {"$group": {"_id": "$tier", "a0": {"$sum": 1}, "a1": {"$sum": "$total"}}},
        {"$project": {"_id": 0, "tier": "$_id", "n": "$a0", "s": "$a1"}},
    ]


def test_a_join_is_one_group_of_both_sides() -> None:
    plan = compile_sql("select qty, rank from sales join tiers on tier = name", PROVEN)
    stages = [next(iter(stage)) for stage in plan.pipeline]
    assert stages == ["$replaceWith", "$unionWith", "$group", "$unwind", "$unwind", "$project"]


def test_an_order_and_a_limit_stand_side_by_side() -> None:
    plan = compile_sql("select tier from sales order by total desc limit 3", PROVEN)
    stages = [next(iter(stage)) for stage in plan.pipeline]
    assert stages[-3:] == ["$sort", "$limit", "$project"]


@pytest.mark.parametrize(
    ("column", "sql"), [(column, sql) for column, queries in READING.items() for sql in queries]
)
def test_a_value_of_another_type_is_an_error_wherever_it_is_read(
    mongo: MongoClient[dict[str, Any]], database: str, column: str, sql: str
) -> None:
    collection = mongo[database]["t"]
    plan = compile_sql(sql, FixedCatalog.of(UNPROVEN))
    good = [{"id": n, "n": n, "s": "x", "d": 1.5, "l": [1, 2], "st": {"a": 1}} for n in range(5)]
    collection.insert_many([*good, {"id": 9}])
    assert list(collection.aggregate(plan.pipeline))
    for wrong in WRONG[column]:
        collection.replace_one({"id": 9}, {"id": 9, column: wrong})
        with pytest.raises(OperationFailure):
            list(collection.aggregate(plan.pipeline))


def test_fields_of_any_name_are_read(mongo: MongoClient[dict[str, Any]], database: str) -> None:
    names = ("$x", "a.b", "r", "l", "_id", "c1", "$$ROOT", "o0")
    fields = tuple(Field(name, INTEGER) for name in names)
    catalog = FixedCatalog.of(TableSchema("t", fields), TableSchema("u", fields))
    for place, name in enumerate(("t", "u")):
        pipeline: list[Any] = [{"$documents": [{"_id": place}]}]
        for number, field in enumerate(names):
            if field != "_id":
                set_field = {"field": {"$literal": field}, "input": "$$ROOT", "value": number}
                pipeline.append({"$replaceWith": {"$setField": set_field}})
        mongo[database].aggregate([*pipeline, {"$out": name}])
    listed = ", ".join(f'x."{name}"' for name in names)
    grouped = 'x."$x", x."a.b"'
    for sql, expected in (
        (f"select {listed} from t x", [0, 1, 2, 3, 0, 5, 6, 7]),
        (
            f'select {listed} from t x join u y on x."a.b" = y."a.b" and x."l" = y."l"',
            [0, 1, 2, 3, 0, 5, 6, 7],
        ),
        (f'select {listed} from t x where exists (select 1 from u y where y."$x" >= x."$x")', None),
        (f'select {listed}, row_number() over (order by x."o0") from t x', None),
        (f'select {grouped}, sum(x."$$ROOT") from t x group by {grouped}', [0, 1, 6]),
        (f'select {listed} from t x where x."a.b" = 1 and x."$x" in (0, 7)', [0, 1, 2, 3, 0, 5, 6, 7]),
    ):
        plan = compile_sql(sql, catalog)
        found = list(mongo[database]["t"].aggregate(plan.pipeline))
        assert len(found) == 1, sql
        if expected is not None:
            assert [found[0][column.field] for column in plan.columns] == expected


def test_an_index_of_few_distinct_rows_is_looked_up() -> None:
    index = Index("name_1", (("name", 1),), unique=True)
    fields = (Field("name", VARCHAR, False, True),)
    big = TableSchema("big", fields, indexes=(index,), rows=10_000_000)
    small = TableSchema("small", fields, rows=10)
    plan = compile_sql(
        "select big.name from small join big on small.name = big.name", FixedCatalog.of(big, small)
    )
    assert plan.pipeline[0]["$lookup"]["localField"] == "name"
    assert any("index" in note.text for note in plan.notes if note.kind == "join")


def test_what_nests_deeper_than_the_server_allows_is_refused() -> None:
    sql = "select tier from sales"
    for number in range(21):
        sql = f"select tier from sales where qty > (select count(*) + {number} from ({sql}) limit 1)"
    with pytest.raises(SqlError):
        compile_sql(sql, PROVEN)


def test_more_than_one_row_of_a_scalar_subquery_is_an_error(
    mongo: MongoClient[dict[str, Any]], database: str
) -> None:
    plan = compile_sql("select (select rank from tiers) as r from sales", PROVEN)
    mongo[database]["sales"].insert_one({"tier": "a", "total": 1.0})
    mongo[database]["tiers"].insert_one({"name": "a", "rank": 1})
    assert [row["r"] for row in mongo[database]["sales"].aggregate(plan.pipeline)] == [1]
    mongo[database]["tiers"].insert_one({"name": "b", "rank": 2})
    with pytest.raises(OperationFailure, match="levada: a scalar subquery gives more than one row"):
        list(mongo[database]["sales"].aggregate(plan.pipeline))


@pytest.mark.parametrize(
    "sql",
    [
        "select sum(distinct qty) over () from sales",
        "select mode(qty) over () from sales",
        "select count(*) over (order by qty rows between 2 following and 1 following) from sales",
        "select lag(qty, qty) over (order by total) from sales",
        "select quantile_cont(qty, 1.5) from sales",
        "select string_agg(tier, tier) from sales",
        "select count(*) over (order by tier range between 1 preceding and current row) from sales",
    ],
)
def test_what_the_server_has_no_way_for_is_refused(sql: str) -> None:
    with pytest.raises(SqlError):
        compile_sql(sql, PROVEN)


def test_a_sum_beyond_bigint_is_an_error(mongo: MongoClient[dict[str, Any]], database: str) -> None:
    from levada.sql.types import BIGINT

    table = TableSchema("t", (Field("n", BIGINT, True, True),))
    plan = compile_sql("select sum(n) as s from t", FixedCatalog.of(table))
    mongo[database]["t"].insert_many([{"n": 2**62}, {"n": 2**62 - 1}])
    assert [row["s"] for row in mongo[database]["t"].aggregate(plan.pipeline)] == [2**63 - 1]
    mongo[database]["t"].insert_one({"n": 1})
    with pytest.raises(OperationFailure, match="levada: a sum is beyond the range of BIGINT"):
        list(mongo[database]["t"].aggregate(plan.pipeline))
