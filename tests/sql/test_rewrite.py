"""What is done earlier than it is written gives the same rows: aggregates and limits below joins."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import duckdb
import pyarrow as pa
import pytest
from pymongo import MongoClient
from pymongo.database import Database

import levada
from levada.sql.catalog import Field, FixedCatalog, Index, TableSchema
from levada.sql.plan import Plan
from levada.sql.types import BIGINT, DOUBLE, INTEGER, VARCHAR

from .answers import differences, of_duckdb, of_plan

ROWS, CUSTOMERS = 3_000, 60

INNER = "orders o join customers c on o.customer = c.id"
LEFT = "orders o left join customers c on o.customer = c.id"

CATALOG = FixedCatalog.of(
    TableSchema(
        "orders",
        (Field("id", INTEGER), Field("customer", INTEGER), Field("total", BIGINT), Field("weight", DOUBLE)),
        rows=ROWS,
    ),
    TableSchema(
        "customers",
        (Field("id", INTEGER), Field("name", VARCHAR), Field("region", VARCHAR)),
        rows=CUSTOMERS,
        indexes=(Index("id_1", (("id", 1),), unique=True),),
    ),
)


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    chosen = random.Random(7)
    orders = [
        {
            "id": number,
            "customer": chosen.choice([None, *range(CUSTOMERS + 20)]),
            "total": chosen.choice([None, chosen.randint(-50, 50)]),
            "weight": chosen.choice([None, float("nan"), -0.0, chosen.random()]),
        }
        for number in range(ROWS)
    ]
    customers = [
        {"id": n, "name": f"c{n % 7}", "region": chosen.choice([None, "a", "b"])} for n in range(CUSTOMERS)
    ]
    with duckdb.connect() as connection:
        types = {"id": pa.int32(), "customer": pa.int32(), "total": pa.int64(), "weight": pa.float64()}
        connection.register("o", pa.Table.from_pylist(orders, pa.schema(list(types.items()))))
        texts = pa.schema([("id", pa.int32()), ("name", pa.string()), ("region", pa.string())])
        connection.register("c", pa.Table.from_pylist(customers, texts))
        connection.execute("create table orders as from o")
        connection.execute("create table customers as from c")
        yield connection


@pytest.fixture(scope="module")
def database(
    mongo: MongoClient[dict[str, Any]], duck: duckdb.DuckDBPyConnection
) -> Iterator[Database[dict[str, Any]]]:
    database = mongo[f"test_{uuid4().hex[:12]}"]
    for name in ("orders", "customers"):
        database[name].insert_many(duck.sql(f"from {name}").to_arrow_table().to_pylist())
    yield database
    mongo.drop_database(database.name)


def _stages(plan: Plan) -> list[str]:
    return [next(iter(stage)) for stage in plan.pipeline]


@pytest.mark.parametrize(
    "sql",
    [
        (
            f"select name, count(*) n, sum(total) s, min(total) a, max(total) b, avg(weight) w "
            f"from {INNER} group by name"
        ),
        (
            "select region, count(total) n, sum(total) filter (where weight > 0.5) s "
            "from customers c join orders o on o.customer = c.id group by region"
        ),
        f"select count(*) n, sum(total) s, count(total) k from {INNER}",
        f"select count(*) n, sum(total) s from {INNER} where name = 'none'",
        f"select name, sum(total) s, count(*) n from {LEFT} group by name",
        f"select max(weight) m, region from {INNER} and c.name <> 'c1' group by region",
        (
            f"select d.name, sum(total) s from {INNER} join customers d on d.id = o.customer "
            f"where c.region = 'a' group by d.name"
        ),
    ],
)
def test_adds_up_before_a_join(
    sql: str, duck: duckdb.DuckDBPyConnection, database: Database[dict[str, Any]]
) -> None:
    plan = levada.sql.compile(sql, CATALOG)
    texts = str(plan.pipeline)
    assert texts.count("'$group'") > texts.count("'$unionWith'")
    assert not differences(of_plan(database, plan), of_duckdb(duck, sql), ordered=False)


@pytest.mark.parametrize(
    "sql",
    [
        # the columns of one side decide, or the rows that are not told apart can't be told apart
        f"select name, count(distinct total) n from {INNER} group by name",
        f"select name, sum(total) s, count(region) n from {INNER} group by name",
        f"select o.id, sum(total) s from {INNER} group by o.id",
        f"select name, sum(c.id) s from {LEFT} group by name",
        f"select name, list(total order by total) l from {INNER} group by name",
    ],
)
def test_adds_up_behind_a_join_what_needs_all_rows(
    sql: str, duck: duckdb.DuckDBPyConnection, database: Database[dict[str, Any]]
) -> None:
    plan = levada.sql.compile(sql, CATALOG)
    assert not differences(of_plan(database, plan), of_duckdb(duck, sql), ordered=False)


@pytest.mark.parametrize(
    "sql",
    [
        f"select o.id, name from {LEFT} order by o.id limit 5",
        f"select o.id, name from {LEFT} order by total, o.id limit 5 offset 3",
        (
            "select id, (select max(name) from customers c where c.id < o.customer) m "
            "from orders o order by id desc limit 3"
        ),
        "select id from orders union all select id from customers order by id desc limit 4 offset 2",
        (
            "select id, exists (select 1 from customers c where c.id = o.customer) e "
            "from orders o order by id limit 5"
        ),
    ],
)
def test_limits_what_a_join_reads(
    sql: str, duck: duckdb.DuckDBPyConnection, database: Database[dict[str, Any]]
) -> None:
    plan = levada.sql.compile(sql, CATALOG)
    stages = _stages(plan)
    joins = [place for place, stage in enumerate(stages) if stage in {"$lookup", "$unionWith"}]
    assert "$limit" in stages[: joins[0]]
    assert not differences(of_plan(database, plan), of_duckdb(duck, sql), ordered=True)


@pytest.mark.parametrize(
    "sql",
    [
        f"select o.id, name from {INNER} order by o.id limit 5",
        f"select o.id, name from {LEFT} order by name nulls first, o.id limit 5",
        f"select name, count(*) n from {LEFT} group by name order by name limit 3",
        "select customer from orders union select id from customers order by customer limit 4",
    ],
)
def test_reads_all_where_a_limit_decides_later(
    sql: str, duck: duckdb.DuckDBPyConnection, database: Database[dict[str, Any]]
) -> None:
    plan = levada.sql.compile(sql, CATALOG)
    assert not differences(of_plan(database, plan), of_duckdb(duck, sql), ordered=True)


def test_a_random_value_is_drawn_once_for_each_row(database: Database[dict[str, Any]]) -> None:
    sql = "select r from (select random() as r from orders) where r < 0.5"
    rows = of_plan(database, levada.sql.compile(sql, CATALOG)).rows
    assert 0 < len(rows) < ROWS
    assert all(row[0] < 0.5 for row in rows)
