from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Table
from levada.engines import Input, read_statement
from levada.engines.duckdb import Widened, select
from levada.errors import ConfigError, Fatal, Retriable
from levada.types import BSON

pytestmark = pytest.mark.unit

ID = pa.field("_id", pa.string(), metadata={BSON: b"objectId"})
WHEN = pa.timestamp("ms", "UTC")


def run(
    sql: str,
    *batches: pa.RecordBatch,
    whole: bool = False,
    read: Callable[[Input], Any] | None = None,
    **values: Any,
) -> pa.Table:
    statement = read_statement(sql, lambda address: Table(*address.split(".")))

    def give(_: Input) -> Iterable[Batch]:
        return [Batch(batch) for batch in batches]

    found = list(select(statement, read or give, values, whole=whole))
    return pa.Table.from_batches(found) if found else pa.table({})


def rows(values: list[dict[str, Any]], schema: pa.Schema | None = None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(values, schema=schema)


def test_rows_of_all_batches_are_seen() -> None:
    found = run("select sum(a) as s from shop.t", rows([{"a": 1}, {"a": 2}]), rows([{"a": 4}]))
    assert found.to_pylist() == [{"s": 7}]


def test_two_dates_differ_in_days_and_items_count_from_one() -> None:
    found = run(
        "select datediff(date '2026-03-01', a) as d, [7, 8][1] as i from shop.t",
        rows([{"a": date(2026, 2, 1)}]),
    )
    assert found.to_pylist() == [{"d": 28, "i": 7}]


def test_a_sum_of_integers_is_a_long_and_not_a_decimal() -> None:
    assert run("select sum(a) as s from shop.t", rows([{"a": 1}])).schema.field("s").type == pa.int64()


def test_a_sum_beyond_64_bits_fails_and_does_not_wrap() -> None:
    with pytest.raises(Fatal):
        run("select sum(a) as s from shop.t", rows([{"a": 2**62}, {"a": 2**62}, {"a": 2**62}]))


def test_decimals_stay_exact() -> None:
    batch = rows([{"a": Decimal("0.10")}] * 3, pa.schema([("a", pa.decimal128(38, 2))]))
    assert run("select sum(a) as s from shop.t", batch).to_pylist() == [{"s": Decimal("0.30")}]


def test_columns_taken_unchanged_keep_type_and_label() -> None:
    moment = datetime(2026, 11, 23, 5, tzinfo=UTC)
    batch = rows([{"_id": "a" * 24, "at": moment}], pa.schema([ID, ("at", WHEN)]))
    schema = run("select _id, at, upper(_id) as up from shop.t", batch).schema
    assert schema.field("_id").metadata == {BSON: b"objectId"}
    assert schema.field("at").type == WHEN
    assert schema.field("up").metadata is None


def test_days_are_days_of_utc() -> None:
    batch = rows([{"at": datetime(2026, 11, 23, 23, 30, tzinfo=UTC)}], pa.schema([("at", WHEN)]))
    found = run("select cast(date(at) as varchar) as d from shop.t", batch)
    assert found.to_pylist() == [{"d": "2026-11-23"}]


def test_a_column_no_document_has_reads_as_null() -> None:
    assert run("select nope from shop.t", rows([{"a": 1}])).to_pylist() == [{"nope": None}]


def test_no_batches_at_all_is_an_empty_table() -> None:
    assert run("select count(*) as n from shop.t where a > 1").to_pylist() == [{"n": 0}]


def test_a_schema_that_widens_while_streaming_says_so_and_can_be_read_whole() -> None:
    batches = [rows([{"a": 1}]), rows([{"a": 2, "b": "new"}])]
    with pytest.raises(Widened):
        run("select * from shop.t", *batches)
    found = run("select * from shop.t order by a", *batches, whole=True)
    assert found.to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "new"}]


def test_a_table_named_twice_is_read_once_and_seen_twice() -> None:
    reads = []

    def read(_: Input) -> Iterable[Batch]:
        reads.append(1)
        return [Batch(rows([{"a": 1}, {"a": 2}]))]

    found = run("select count(*) as n from shop.t x join shop.t y on x.a <= y.a", read=read)
    assert found.to_pylist() == [{"n": 3}]
    assert reads == [1]


ORDERS = [{"o": n, "k": n % 3, "t": n, "items": [{"q": n}, {"q": 2 * n}]} for n in range(8)]
PEOPLE = [{"k": n, "name": f"n{n}", "w": 1.5 * n} for n in range(4)]


@pytest.mark.parametrize(
    "sql",
    [
        "select o, name from shop.orders join shop.people using (k)",
        "select o, name from shop.orders x join shop.people y on x.k = y.k",
        "select o, name from shop.orders natural join shop.people",
        "select orders.o, people.name from shop.orders join shop.people using (k)",
        "select shop.orders.o from shop.orders semi join shop.people on shop.orders.k = shop.people.k",
        "select o from shop.orders where exists (from shop.people where people.k = orders.k and w > 1)",
        "select o, (select max(w) from shop.people where people.k < orders.o) as m from shop.orders",
        "select o from shop.orders where k in (select k from shop.people where w > t)",
        "select (select max(w + t) from shop.people) as m from shop.orders",
        "select o, l.name from shop.orders, lateral (select name from shop.people p where p.k = orders.k) l",
        "select o, i.q from shop.orders, unnest(items) as w(i)",
        "select q from shop.orders as q",
        "select p from shop.orders as x(o, p, r, s)",
        "select [i.q for i in items if i.q > 3] as l from shop.orders",
        "select o, columns('t|k') from shop.orders",
        "select n, v, o from shop.orders unpivot (v for n in (k, t))",
        "select p from shop.orders pivot (count(o) for k in (0 as p, 1 as r))",
        "with q as not materialized (select o from shop.orders) select x.o, y.o as p from q x, q y",
        "with recursive r(i) as (select 0 union all select i + 1 from r, shop.orders where o = i) from r",
        "with people as (from shop.orders limit 2) select x.w from shop.people x join people using (k)",
        "from shop.orders select o where k = 1",
        "select o as k, k as o from shop.orders union all by name select k, k as o from shop.people",
    ],
)
def test_a_statement_means_what_it_means_in_duckdb(sql: str) -> None:
    tables = {"shop.orders": rows(ORDERS), "shop.people": rows(PEOPLE)}
    with duckdb.connect() as plain:
        plain.execute("create schema shop")
        for address, batch in tables.items():
            plain.register("batch", batch)
            plain.execute(f"create table {address} as from batch")
        expected = plain.sql(sql).to_arrow_table()

    def read(item: Input) -> Iterable[Batch]:
        """As a MongoDB source reads: the columns asked for, null where no document has them."""
        batch = tables[str(item.table)]
        if item.columns:
            known = dict(zip(batch.schema.names, batch.columns, strict=True))
            names = sorted(item.columns)
            columns = [known.get(name, pa.nulls(len(batch))) for name in names]
            batch = pa.RecordBatch.from_arrays(columns, names=names)
        return [Batch(batch)]

    found = run(sql, read=read)
    assert found.schema.names == expected.schema.names
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, expected.to_pylist()))
    assert found.num_rows


def test_parameters_are_bound_and_never_pasted() -> None:
    hostile = "'; drop table t; --"
    found = run("select a from shop.t where a = $run", rows([{"a": hostile}, {"a": "x"}]), run=hostile)
    assert found.to_pylist() == [{"a": hostile}]


def test_the_fault_of_a_source_comes_through_as_it_is() -> None:
    def read(_: Input) -> Iterable[Batch]:
        yield Batch(rows([{"a": 1}]))
        raise Retriable("the primary stepped down")

    with pytest.raises(Retriable, match="stepped down"):
        run("select sum(a) from shop.t", read=read)


@pytest.mark.parametrize("sql", ["select nofunction(a) from shop.t", "select a.b.c from shop.t"])
def test_sql_that_duckdb_rejects_is_a_configuration_error(sql: str) -> None:
    with pytest.raises(ConfigError, match="DuckDB rejects"):
        run(sql, rows([{"a": 1}]))


def test_sql_that_fails_on_the_data_is_fatal() -> None:
    with pytest.raises(Fatal, match="failed on the data"):
        run("select cast(a as int) as i from shop.t", rows([{"a": "x"}]))
