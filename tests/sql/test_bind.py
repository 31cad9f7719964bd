"""What the compiler says of names and types before anything runs."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from bson.objectid import ObjectId

from levada.sql.bind import bind
from levada.sql.catalog import Field, FixedCatalog, TableSchema
from levada.sql.dialect import parse
from levada.sql.errors import SqlError
from levada.sql.parameters import constants
from levada.sql.types import BIGINT, DOUBLE, INTEGER, TIMESTAMP, VARCHAR, decimal, list_of, struct

pytestmark = pytest.mark.unit

ADDRESS = struct(("city", VARCHAR), ("zip", VARCHAR))
CATALOG = FixedCatalog.of(
    TableSchema(
        "transactions",
        (
            Field("_id", INTEGER, nullable=False),
            Field("customer_id", BIGINT),
            Field("total", decimal(15, 2)),
            Field("status", VARCHAR),
            Field("created", TIMESTAMP),
            Field("items", list_of(struct(("sku", VARCHAR), ("price", DOUBLE)))),
        ),
    ),
    TableSchema("customers", (Field("id", BIGINT), Field("status", VARCHAR), Field("address", ADDRESS))),
)


def output(sql: str, *parameters: object) -> list[tuple[str, str]]:
    bound = bind(parse(sql, "levada"), CATALOG, constants(parameters))
    return [(name, str(column.type)) for name, column in bound.output]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select a from nowhere", "there is no table nowhere; at line 1, column 15"),
        (
            "select 1 from transaction",
            "no table transaction; at line 1, column 15; did you mean transactions?",
        ),
        ("select totl from transactions", "no column totl; at line 1, column 8; did you mean total?"),
        (
            "select\n  t.statsu\nfrom transactions t",
            "t has no column statsu; at line 2, column 3; did you mean status?",
        ),
        ("select x.total from transactions t", "there is no table x in this FROM; at line 1, column 8"),
        (
            "select status from transactions, customers",
            "status is ambiguous: transactions, customers have it",
        ),
        ("select total, count(*) from transactions", "total is neither grouped nor aggregated"),
        ("select count(*) from transactions where sum(total) > 1", "WHERE can't contain the aggregate sum"),
        ("select sum(count(*)) from transactions", "an aggregate can't contain the aggregate count"),
        ("select row_number() from transactions", "row_number needs OVER (...)"),
        (
            "select total from transactions where row_number() over () = 1",
            "WHERE can't contain a window function",
        ),
        ("select 1 from transactions where total", "WHERE takes a condition, not DECIMAL(15,2)"),
        ("select 1 union select 1, 2", "the sides of UNION have 1 and 2 columns"),
        ("select total from transactions order by 3", "there is no column 3: the result has 1"),
        ("select distinct total from transactions order by status", "ORDER BY of a SELECT DISTINCT"),
        (
            "with recursive r as (select 1 as n union all select n + 1 from r) select * from r",
            "WITH RECURSIVE",
        ),
        ("select * from transactions tablesample (10 percent)", "a sample does not run on MongoDB"),
        ("select * from transactions t, transactions t", "two tables are called t"),
        ("select (select total, status from transactions)", "a scalar subquery gives one column, not 2"),
        (
            "select 1 from transactions where total in (select id, status from customers)",
            "gives 2 columns for 1",
        ),
        ("select * from transactions limit total", "there is no column total"),
        ("select * from transactions limit -1", "LIMIT takes a whole number"),
        ("select * exclude (totl) from transactions", "* has no column totl"),
        ("select address.town from customers", "the struct has no field town"),
        ("select status.x from customers", "VARCHAR has no field x"),
        ("select id from customers limit 10 percent", "LIMIT in percent does not run on MongoDB"),
        ("select id from customers limit 10%", "LIMIT in percent does not run on MongoDB"),
        ("select id from customers fetch first 2 rows with ties", "WITH TIES does not run on MongoDB"),
        (
            "select id from customers union by name select id from customers",
            "BY NAME does not run",
        ),
        ("select unnest(items, recursive := true) from transactions", "does not run on MongoDB"),
        ("select * like 'a%' from customers", "does not run on MongoDB"),
        ("select a.id from customers a asof join customers b on a.id >= b.id", "ASOF JOIN does not run"),
        ("select id from customers for update", "FOR UPDATE does not run on MongoDB"),
        ("select sum(status) from customers", "sum does not take (VARCHAR)"),
        ("select lag(total) over w from transactions", "there is no window w"),
        ("select ?", "no value is given for the parameter 1"),
        ("select $missing", "no value is given for the parameter missing"),
        ("select total = (1, 2) from transactions", "a row value"),
        ("select unnest(total) from transactions", "UNNEST takes a list, not DECIMAL(15,2)"),
        ("select * from generate_series(1, 10000000)", "the series has more than 100,000 items"),
    ],
)
def test_tells_what_is_wrong_and_where(sql: str, message: str) -> None:
    with pytest.raises(SqlError) as caught:
        output(sql)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select * from customers", [("id", "BIGINT"), ("status", "VARCHAR"), ("address", str(ADDRESS))]),
        ("select STATUS from Customers", [("STATUS", "VARCHAR")]),
        ("select c.address.city from customers c", [("city", "VARCHAR")]),
        ("select sum(total) as s, count(*) n from transactions", [("s", "DECIMAL(38,2)"), ("n", "BIGINT")]),
        (
            "select * exclude (address) replace (id + 1 as id) from customers",
            [("id", "BIGINT"), ("status", "VARCHAR")],
        ),
        ("select x from (values (1), (2.5)) v(x)", [("x", "DECIMAL(11,1)")]),
        ("select 1 as a union all select 2.5", [("a", "DECIMAL(11,1)")]),
        (
            "select d from generate_series(date '2026-01-31', date '2026-03-31', interval 1 month) g(d)",
            [("d", "TIMESTAMP")],
        ),
        ("select ? as a, ? as b", [("a", "BIGINT"), ("b", "VARCHAR")]),
        ("select i.sku from transactions t, unnest(t.items) u(i)", [("sku", "VARCHAR")]),
        ("select id from customers fetch first 2 rows only", [("id", "BIGINT")]),
        ("values (1), (2) order by 1 desc limit 1", [("col0", "INTEGER")]),
        ("from customers select id", [("id", "BIGINT")]),
        ("select id from customers join transactions using (status)", [("id", "BIGINT")]),
        (
            """select * from (select status, id from customers)
            join (select status, total from transactions) using (status)""",
            [("status", "VARCHAR"), ("id", "BIGINT"), ("total", "DECIMAL(15,2)")],
        ),
        ("select grouping(status) g from customers group by rollup (status)", [("g", "BIGINT")]),
    ],
)
def test_gives_every_column_a_name_and_a_type(sql: str, expected: list[tuple[str, str]]) -> None:
    assert output(sql, 2**40, "text") == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (UUID("12345678123456781234567812345678"), "UUID"),
        (ObjectId("656f00000000000000000001"), "OBJECTID"),
        (Decimal("1.50"), "DECIMAL(3,2)"),
        (date(2026, 11, 23), "DATE"),
        (datetime(2026, 11, 23, tzinfo=UTC), "TIMESTAMP"),
        ([1, 2**40], "BIGINT[]"),
        (b"x", "BLOB"),
        (True, "BOOLEAN"),
    ],
)
def test_takes_parameters_as_values_of_their_type(value: object, kind: str) -> None:
    assert output("select ? as p", value) == [("p", kind)]


@pytest.mark.parametrize("value", [2**63, object(), Decimal("Infinity"), Decimal("1" * 40)])
def test_refuses_parameters_that_have_no_type(value: object) -> None:
    with pytest.raises(SqlError):
        output("select ? as p", value)
