"""The source: every type against the server's own text, conditions, lanes, watermarks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from levada.connectors.base import Query, Table
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

from .warehouse import TABLE, Warehouse

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


def text(value: Any) -> str:
    return str(value)


def truth(value: Any) -> str:
    return "true" if value else "false"


def hexed(value: Any) -> str:
    return f"\\x{value.hex()}"


def moment(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" + (
        f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    )


def in_utc(value: Any) -> str:
    return moment(value) + "+00"


def listed(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "{" + ",".join("NULL" if each is None else write(each) for each in value) + "}"


#: Type, values as SQL literals, the Arrow type, and how a value reads in the server's own text.
TYPES: list[tuple[str, list[str], pa.DataType, Callable[[Any], str]]] = [
    ("boolean", ["true", "false"], pa.bool_(), truth),
    ("smallint", ["-32768", "32767"], pa.int16(), text),
    ("integer", ["-2147483648", "2147483647"], pa.int32(), text),
    ("bigint", ["-9223372036854775808", "9223372036854775807"], pa.int64(), text),
    ("oid", ["0", "4294967295"], pa.int64(), text),
    (
        "numeric(38,10)",
        ["1234567890123456789012345678.0123456789", "-0.0000000001"],
        pa.decimal128(38, 10),
        "{:f}".format,
    ),
    ("numeric(5,5)", ["0.12345"], pa.decimal128(5, 5), "{:f}".format),
    ("numeric(4,-2)", ["123400"], pa.decimal128(6, 0), text),
    ("text", ["''", "'a\\b''\"'", "'ünï 😀'", "E'a\\tb\\nc'"], pa.string(), text),
    ("varchar(5)", ["' x '"], pa.string(), text),
    ("name", ["'n'"], pa.string(), text),
    ('"char"', ["'c'"], pa.string(), text),
    ("bytea", ["'\\x00ff'", "''"], pa.binary(), hexed),
    ("uuid", ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"], pa.string(), text),
    ("date", ["'0001-01-01'", "'9999-12-31'"], pa.date32(), text),
    ("timestamp", ["'2026-03-29 02:30:00.000001'"], pa.timestamp("us"), moment),
    ("timestamptz", ["'2026-01-01 00:00:00.123456+02'"], pa.timestamp("us", "UTC"), in_utc),
    ("time", ["'24:00'", "'01:02:03.000004'"], pa.string(), text),
    ("timetz", ["'10:00+02'"], pa.string(), text),
    ("interval", ["'1 year 2 mons -3 days 04:05:06.7'", "'-178000000 years'"], pa.string(), text),
    ("json", ['\'{"a" : 1, "a": 2.50}\'', "'null'"], pa.string(), text),
    ("jsonb", ["'{\"b\": [1, 2.50]}'"], pa.string(), text),
    ("integer[]", ["'{1,NULL,-3}'", "'{}'"], pa.list_(pa.int32()), listed(text)),
    ("text[]", ["'{a,NULL}'"], pa.list_(pa.string()), listed(text)),
    ("boolean[]", ["'{t}'"], pa.list_(pa.bool_()), listed(lambda value: "t" if value else "f")),
    ("numeric(6,2)[]", ["'{1.25,NULL}'"], pa.list_(pa.decimal128(6, 2)), listed(text)),
    ("date[]", ["'{2026-01-31,NULL}'"], pa.list_(pa.date32()), listed(text)),
    ("{s}.mood[]", ["'{ok,NULL}'"], pa.list_(pa.string()), listed(text)),
    ("{s}.mood", ["'ok'"], pa.string(), text),
    ("bit(3)", ["'101'"], pa.string(), text),
    ("varbit", ["'1'"], pa.string(), text),
    ("cidr", ["'10.0.0.0/8'"], pa.string(), text),
    ("macaddr", ["'08:00:2b:01:02:03'"], pa.string(), text),
    ("int4range", ["'[1,5)'", "'empty'"], pa.string(), text),
    ("int4multirange", ["'{[1,2),[5,9)}'"], pa.string(), text),
    ("{s}.pair", ["'(1,\"x y\")'"], pa.string(), text),
    ("tsvector", ["'a fat cat'"], pa.string(), text),
    ("{s}.price", ["1.5"], pa.decimal128(10, 2), text),
    ("{s}.words", ["'{x,y}'"], pa.list_(pa.string()), listed(text)),
    ("point", ["'(1,2)'"], pa.string(), text),
    ("pg_lsn", ["'16/B374D848'"], pa.string(), text),
    ("regclass", ["'pg_class'"], pa.string(), text),
    ("xid8", ["'18446744073709551615'"], pa.string(), text),
    ("int2vector", ["'1 2'"], pa.string(), text),
]


@pytest.fixture
def typed(warehouse: Warehouse) -> Warehouse:
    warehouse.run(
        "CREATE TYPE {s}.mood AS ENUM ('sad', 'ok')",
        "CREATE TYPE {s}.pair AS (a int, b text)",
        "CREATE DOMAIN {s}.cost AS numeric(10,2)",
        "CREATE DOMAIN {s}.price AS {s}.cost CHECK (value > 0)",
        "CREATE DOMAIN {s}.words AS text[]",
    )
    return warehouse


def test_every_type_reads_as_the_server_writes_it(typed: Warehouse) -> None:
    columns = ", ".join(f"c{at} {kind}" for at, (kind, *_) in enumerate(TYPES))
    typed.run(f"CREATE TABLE {{s}}.items ({columns})", "INSERT INTO {s}.items DEFAULT VALUES")
    for at, (kind, values, *_) in enumerate(TYPES):
        typed.run(*(f"INSERT INTO {{s}}.items (c{at}) VALUES (CAST({value} AS {kind}))" for value in values))
    found = typed.read()
    for at, (kind, values, arrow, write) in enumerate(TYPES):
        said = typed.plain(
            "SELECT set_config('TimeZone', 'UTC', false), set_config('IntervalStyle', 'iso_8601', false), "
            f"c{at}::text FROM {{s}}.items WHERE c{at} IS NOT NULL"
        )
        column = found[f"c{at}"]
        assert column.type == arrow, kind
        read = [write(value) for value in column.drop_null().to_pylist()]
        assert sorted(read) == sorted(row[2] for row in said), kind
        assert len(read) == len(values), kind
        assert column.null_count == len(column) - len(values)


def test_an_inet_is_as_it_is_shown(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (ip inet)", "INSERT INTO {s}.items VALUES ('10.1.2.3'), ('::1/64')")
    assert warehouse.read()["ip"].to_pylist() == ["10.1.2.3", "::1/64"]


def test_floats_keep_their_bits(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (a float4, b float8)",
        "INSERT INTO {s}.items VALUES ('-0', '-0'), ('NaN', 'NaN')",
        "INSERT INTO {s}.items VALUES ('Infinity', '-Infinity'), ('1e-45', '5e-324')",
    )
    found = warehouse.read()
    assert list(map(repr, found["b"].to_pylist())) == ["-0.0", "nan", "-inf", "5e-324"]
    assert list(map(repr, found["a"].to_pylist())) == ["-0.0", "nan", "inf", "1.401298464324817e-45"]


def test_generated_and_identity_columns_are_read(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (id int GENERATED ALWAYS AS IDENTITY, a int, "
        "d int GENERATED ALWAYS AS (a * 2) STORED, gone int)",
        "INSERT INTO {s}.items (a) VALUES (5)",
        "ALTER TABLE {s}.items DROP COLUMN gone",
    )
    assert warehouse.read().to_pylist() == [{"id": 1, "a": 5, "d": 10}]


MISFITS = [
    ("timestamptz", "'infinity'", "infinity"),
    ("timestamptz", "'294276-01-01 00:00+00'", "294276-01-01 00:00:00+00"),
    ("timestamp", "'-infinity'", "-infinity"),
    ("date", "'infinity'", "infinity"),
    ("numeric(5,2)", "'NaN'", "NaN"),
    ("integer[]", "'{{1,2},{3,4}}'", "{{1,2},{3,4}}"),
    ("integer[]", "'[0:1]={1,2}'", "[0:1]={1,2}"),
    ("timestamptz[]", "'{infinity}'", "{infinity}"),
    ("numeric(5,2)[]", "'{1,NaN}'", "{1.00,NaN}"),
]


@pytest.mark.parametrize(("kind", "value", "said"), MISFITS)
def test_a_value_without_a_place_goes_aside_as_text(
    warehouse: Warehouse, kind: str, value: str, said: str
) -> None:
    warehouse.run(
        f"CREATE TABLE {{s}}.items (k int, c {kind})",
        f"INSERT INTO {{s}}.items VALUES (1, {value}), (2, NULL)",
    )
    assert warehouse.read().to_pylist() == [
        {"k": 1, "c": None, "c__text": said},
        {"k": 2, "c": None, "c__text": None},
    ]


@pytest.mark.parametrize(("kind", "value", "said"), MISFITS)
def test_it_can_be_rejected_and_counted_or_the_column_be_text(
    warehouse: Warehouse, kind: str, value: str, said: str
) -> None:
    warehouse.run(
        f"CREATE TABLE {{s}}.items (k int, c {kind})",
        f"INSERT INTO {{s}}.items VALUES (1, {value}), (2, NULL)",
    )
    strict = Warehouse(warehouse.server, warehouse.schema, warehouse.root, out_of_range="reject")
    (batch,) = strict.batches()
    assert batch.data.to_pylist() == [{"k": 2, "c": None}]
    (rejected,) = batch.rejected
    assert said in rejected.reason
    assert rejected.raw == b'{"k": 1, "c": null}'
    lax = Warehouse(warehouse.server, warehouse.schema, warehouse.root, out_of_range="text")
    assert lax.read()["c"].to_pylist() == [said, None]
    strict.connection.close()
    lax.connection.close()


def test_days_and_moments_before_christ_are_exact(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (d date, t timestamptz)",
        "INSERT INTO {s}.items VALUES ('4713-01-01 BC', '0002-12-31 23:59:59.999999+00 BC')",
    )
    found = warehouse.read()
    (said,) = warehouse.plain(
        "SELECT d - '1970-01-01'::date, (extract(epoch FROM t) * 1000000)::bigint FROM {s}.items"
    )
    assert (found["d"].cast(pa.int32())[0].as_py(), found["t"].cast(pa.int64())[0].as_py()) == said


def test_numbers_without_precision_are_decimals_of_the_places_seen(warehouse: Warehouse) -> None:
    values = ["1.50", "-12345678901234567890.123456789", "0", "1e3", "0.00001"]
    warehouse.run(
        "CREATE TABLE {s}.items (n numeric)", *(f"INSERT INTO {{s}}.items VALUES ({v})" for v in values)
    )
    found = warehouse.read()["n"]
    assert found.type == pa.decimal128(38, 9)
    assert found.to_pylist() == list(map(Decimal, values))


@pytest.mark.parametrize(
    "value", ["'NaN'", "'-Infinity'", "1e50", "0.1234567890123456789012345678901234567890123"]
)
def test_numbers_beyond_38_digits_make_a_variant(warehouse: Warehouse, value: str) -> None:
    warehouse.run("CREATE TABLE {s}.items (n numeric)", f"INSERT INTO {{s}}.items VALUES ({value}), (1.5)")
    found = warehouse.read()["n"]
    assert found.type == pa.string()
    digits = [Decimal(each.split('"')[3]) for each in found.to_pylist()]
    assert str(digits[0]) == str(Decimal(value.strip("'")))
    assert digits[1] == Decimal("1.5")


def test_a_decimal_becomes_a_variant_in_a_later_batch_and_keeps_its_digits(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items AS SELECT g AS k, CASE WHEN g = 400000 THEN 1e50 ELSE g * 0.5 END AS n "
        "FROM generate_series(1, 400000) g"
    )
    batches = warehouse.batches(Query(batch_rows=200_000))
    assert len({batch.data.schema.field("n").type for batch in batches}) == 2
    assert sum(len(batch.data) for batch in batches) == 400_000


def test_a_time_stamp_without_zone_stays_so_or_is_in_the_zone_that_is_set(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (t timestamp)", "INSERT INTO {s}.items VALUES ('2026-07-01 12:00')")
    assert warehouse.read()["t"].to_pylist() == [datetime(2026, 7, 1, 12)]
    zoned = Warehouse(warehouse.server, warehouse.schema, warehouse.root, timezone="Europe/Paris")
    assert zoned.read()["t"].to_pylist() == [datetime(2026, 7, 1, 10, tzinfo=UTC)]
    edge = datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert zoned.read(window=Window(edge, edge + timedelta(1))).num_rows == 1
    assert zoned.read(window=Window(edge - timedelta(1), edge)).num_rows == 0
    zoned.connection.close()


def test_json_can_be_documents_for_mongodb(warehouse: Warehouse) -> None:
    json = '{"b": 12345678901234567890.5, "a": [1, null, "x"], "$oid": 1}'
    warehouse.run("CREATE TABLE {s}.items (j jsonb)", f"INSERT INTO {{s}}.items VALUES ('{json}'), (NULL)")
    documents = Warehouse(warehouse.server, warehouse.schema, warehouse.root, json="variant")
    found = documents.read()["j"]
    assert found.to_pylist()[1] is None
    assert '"b":{"$numberDecimal":"12345678901234567890.5"}' in found.to_pylist()[0]
    assert found.to_pylist()[0].startswith('{"$literal":{"$oid":{"$numberInt":"1"}')
    documents.connection.close()


def numbers(warehouse: Warehouse, rows: int = 3000) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items AS SELECT 'k' || g AS k, g::int AS n, repeat('x', 100) AS pad, "
        f"timestamptz '2026-11-23Z' + g * interval '1 minute' AS t FROM generate_series(1, {rows}) g",
        "ANALYZE {s}.items",
    )


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_lanes_read_the_same_rows(warehouse: Warehouse, lanes: int) -> None:
    numbers(warehouse)
    found = warehouse.read(Query(lanes=lanes, where="n % 2 = 0", columns=("n",)))
    assert sorted(found["n"].to_pylist()) == list(range(2, 3001, 2))
    last = warehouse.batches(Query(lanes=lanes))[-1]
    assert last.position == Position({"": {"$date": "2026-11-25T02:00:00.000000Z"}})


def test_lanes_see_one_moment(warehouse: Warehouse) -> None:
    numbers(warehouse, 20_000)
    batches = warehouse.connection.source(TABLE, Query(lanes=4, batch_rows=100)).read(None, None)
    seen = [next(iter(batches)).data]
    warehouse.run("UPDATE {s}.items SET n = -n", "DELETE FROM {s}.items WHERE n < -10000")
    seen += [batch.data for batch in batches]
    assert sorted(pa.Table.from_batches(seen)["n"].to_pylist()) == list(range(1, 20_001))


def test_lanes_stop_with_their_reader(warehouse: Warehouse) -> None:
    numbers(warehouse, 20_000)
    batches = warehouse.connection.source(TABLE, Query(lanes=3, batch_rows=10)).read(None, None)
    next(iter(batches))
    batches.close()  # type: ignore[attr-defined]
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE '%transaction%' AND query LIKE '%{s}%' AND pid <> pg_backend_pid()"  # noqa: E501
    assert warehouse.plain(open_ones) == [(0,)]


def test_partitions_and_views_and_foreign_schemas_are_read(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (k text, t timestamptz) PARTITION BY RANGE (t)",
        "CREATE TABLE {s}.items_1 PARTITION OF {s}.items FOR VALUES FROM ('2026-01-01') TO ('2026-12-01')",
        "CREATE TABLE {s}.items_2 PARTITION OF {s}.items FOR VALUES FROM ('2026-12-01') TO ('2027-01-01')",
        "INSERT INTO {s}.items VALUES ('a', '2026-11-23Z'), ('b', '2026-12-23Z')",
        "CREATE VIEW {s}.latest AS SELECT k FROM {s}.items WHERE k = 'b'",
        "CREATE MATERIALIZED VIEW {s}.kept AS SELECT k FROM {s}.items",
    )
    assert sorted(warehouse.read(Query(lanes=2))["k"].to_pylist()) == ["a", "b"]
    assert warehouse.read(table=Table("pg", "latest"))["k"].to_pylist() == ["b"]
    assert warehouse.read(Query(lanes=2), table=Table("pg", "kept")).num_rows == 2
    assert warehouse.read(table=Table("pg", f'"{warehouse.schema}".latest')).num_rows == 1
    assert warehouse.read(table=Table("pg", "pg_catalog.pg_class")).num_rows > 100
    assert warehouse.connection.tables() == ["items", "kept", "latest"]


def test_a_query_stands_in_for_the_table(warehouse: Warehouse) -> None:
    numbers(warehouse)
    sql = f"SELECT n % 3 AS rest, sum(n) AS total, max(t) AS t FROM {warehouse.schema}.items GROUP BY 1; "
    found = warehouse.read(Query(sql=sql, where="rest > 0"))
    assert sorted(zip(found["rest"].to_pylist(), found["total"].to_pylist(), strict=True)) == [
        (1, Decimal(sum(range(1, 3001, 3)))),
        (2, Decimal(sum(range(2, 3001, 3)))),
    ]
    with pytest.raises(ConfigError):
        warehouse.read(Query(sql="DROP TABLE x"))
    with pytest.raises(ConfigError, match="nope"):
        warehouse.read(Query(sql="SELECT * FROM nope"))


@pytest.mark.parametrize("value", [3, "k3", Decimal("3.5"), date(2026, 1, 3)])
def test_continues_after_a_watermark_of_any_ordered_column(warehouse: Warehouse, value: Any) -> None:
    kinds = {int: "int", str: "text", Decimal: "numeric(6,2)", date: "date"}
    columns = {int: "g", str: "'k' || g", Decimal: "g + 0.5", date: "date '2026-01-01' + g - 1"}
    warehouse.run(
        f"CREATE TABLE {{s}}.items AS SELECT g, ({columns[type(value)]})::{kinds[type(value)]} AS c "
        "FROM generate_series(1, 5) g"
    )
    table = Table("pg", "items", time="c")
    position = warehouse.batches(Query(where="g <= 3"), table)[-1].position
    assert position
    assert warehouse.read(table=table, after=position)["g"].to_pylist() == [4, 5]


def test_a_text_watermark_follows_bytes_whatever_the_servers_order(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TYPE {s}.size AS ENUM ('small', 'medium', 'large')",
        "CREATE TABLE {s}.items (c {s}.size)",
        "INSERT INTO {s}.items VALUES ('small'), ('medium'), ('large')",
    )
    table = Table("pg", "items", time="c")
    assert warehouse.batches(table=table)[-1].position == Position({"": "small"})
    assert warehouse.read(table=table, after=Position({"": "medium"}))["c"].to_pylist() == ["small"]


def test_conditions_find_columns_without_case_and_members_of_documents(warehouse: Warehouse) -> None:
    batch = pa.RecordBatch.from_pylist(
        [
            {"customerId": 1, "s": {"City": "Funchal", "n": 10, "at": datetime(2026, 1, 1, tzinfo=UTC)}},
            {"customerId": 2, "s": {"City": "Porto", "n": 9, "at": None}},
        ]
    )
    warehouse.write(batch)
    for where in (
        "customerid = 1",
        '"customerId" = 1',
        "s.City = 'Funchal'",
        "s.n > 9",
        "s.at < '2026-02-01'",
        "s.at IS NOT NULL AND customerId IN (1, 7)",
        "CustomerId::VARCHAR LIKE '1%'",
    ):
        assert warehouse.read(Query(where=where))["customerId"].to_pylist() == [1], where
    for wrong in ("nope = 1", "customerId =", "s.nope = 1", "1; DROP TABLE items"):
        with pytest.raises(ConfigError):
            warehouse.read(Query(where=wrong))


def test_the_estimate_is_the_servers(warehouse: Warehouse) -> None:
    numbers(warehouse)
    source = warehouse.connection.source(TABLE, Query())
    whole, some = source.estimated(), source.estimated(DAY)
    assert whole.rows == 3000
    assert whole.row_bytes
    assert 100 < whole.row_bytes < 300
    assert some.rows
    assert 500 < some.rows < 3000


def test_an_empty_table_still_tells_its_columns(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (a int, n numeric, b text[])")
    assert warehouse.read().schema.names == ["a", "n", "b"]


def test_what_is_not_there_is_a_configuration_error(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="no table 'items'"):
        warehouse.read()
    numbers(warehouse, 1)
    for query in (Query(columns=("nope",)), Query(filter={"k": 1})):
        with pytest.raises(ConfigError):
            warehouse.read(query)
    assert warehouse.connection.exists(TABLE)
    assert not warehouse.connection.exists(Table("pg", "other"))
