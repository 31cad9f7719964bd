"""Reading tables, views and queries of MariaDB: columns, conditions, windows, watermarks, lanes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from levada.connectors.base import Query, Table
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

from .conftest import ALL, Legacy

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
ORDERS = """
CREATE TABLE orders (id INT PRIMARY KEY, status VARCHAR(20), amount DECIMAL(12,2), note VARCHAR(40),
                     placed DATETIME(3), stamped TIMESTAMP(6) NULL, day DATE);
INSERT INTO orders VALUES
(1, 'completed', 10.50, 'a\\\\b', '2026-11-22 23:59:59.999', '2026-11-22 23:59:59.999999', '2026-11-22'),
(2, 'completed', 20.00, 'it''s', '2026-11-23 00:00:00', '2026-11-23 00:00:00', '2026-11-23'),
(3, 'open', NULL, '50%', '2026-11-23 23:59:59.999', '2026-11-23 23:59:59.999999', '2026-11-23'),
(4, 'open', -1.00, 'x_y', '2026-11-24 00:00:00', '2026-11-24 00:00:00', '2026-11-24'),
(5, NULL, 0.10, '', NULL, NULL, NULL);
"""


@pytest.fixture
def orders(shop: Legacy) -> Legacy:
    shop.run(ORDERS)
    return shop


def ids(shop: Legacy, table: str = "orders", query: Query = ALL, **others: Any) -> list[int]:
    return sorted(shop.read(table, query, **others)["id"].to_pylist())


def test_columns_in_the_wanted_order_whatever_their_case(orders: Legacy) -> None:
    table = orders.read("orders", Query(columns=("AMOUNT", "id")))
    assert table.column_names == ["amount", "id"]
    assert sorted(table.to_pylist(), key=lambda row: row["id"])[0] == {"amount": Decimal("10.50"), "id": 1}


def test_an_unknown_column_is_refused_with_those_there_are(orders: Legacy) -> None:
    with pytest.raises(ConfigError, match="status"):
        orders.read("orders", Query(columns=("stauts",)))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("status = 'completed'", [1, 2]),
        ("status IS DISTINCT FROM 'completed'", [3, 4, 5]),
        ("amount > 10 AND amount < 20.01", [1, 2]),
        ("note = 'a\\b'", [1]),
        ("note = 'it''s' OR note = ''", [2, 5]),
        ("note LIKE '%\\%' ESCAPE '\\'", [3]),
        ("note || '!' = 'x_y!'", [4]),
        ("regexp_matches(note, '^[0-9]+%$')", [3]),
        ("starts_with(note, 'it')", [2]),
        ("contains(note, '_')", [4]),
        ("placed >= TIMESTAMP '2026-11-23 23:59:59.999'", [3, 4]),
        ("placed >= TIMESTAMPTZ '2026-11-24 01:00:00+02'", [3, 4]),
        ("day = DATE '2026-11-22' + INTERVAL 1 DAY", [2, 3]),
        ("id IN (1, 2) -- a comment", [1, 2]),
        ('"id" // 2 = 1', [2, 3]),
        ("amount::VARCHAR = '0.10'", [5]),
    ],
)
def test_a_condition_is_sql_as_duckdb_writes_it(orders: Legacy, where: str, expected: list[int]) -> None:
    assert ids(orders, query=Query(columns=("id",), where=where)) == expected


def test_texts_with_an_offset_are_instants_on_the_columns_clock(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (id INT, d DATETIME, s TIMESTAMP NULL, x VARCHAR(30));"
        "INSERT INTO t VALUES (1, '2026-07-01 11:59:59', '2026-07-01 10:59:59', '2026-07-01T11:00:00Z'),"
        "(2, '2026-07-01 12:00:00', '2026-07-01 11:00:00', '')"
    )
    for where in (
        "d >= '2026-07-01T11:00:00.000000Z'",
        "s >= '2026-07-01T11:00:00Z'",
        "s BETWEEN '2026-07-01T13:00:00+02:00' AND '2026-07-02 00:00:00Z'",
        "NOT d < '2026-07-01 12:00:00+01'",
    ):
        assert ids(shop, "t", Query(where=where), timezone="Europe/Lisbon") == [2]
    assert ids(shop, "t", Query(where="x = '2026-07-01T11:00:00Z'"), timezone="Europe/Lisbon") == [1]


@pytest.mark.parametrize(
    "where",
    ["id = = 1", "1 = 1; DROP TABLE orders", "absent = 1", "list_contains([1], id)", "no_such(id) = 1"],
)
def test_a_condition_that_can_not_be_meant_is_refused(orders: Legacy, where: str) -> None:
    with pytest.raises(ConfigError):
        orders.read("orders", Query(where=where))
    assert ids(orders) == [1, 2, 3, 4, 5]


def test_what_is_for_mongodb_is_refused(orders: Legacy) -> None:
    with pytest.raises(ConfigError, match="MongoDB"):
        orders.read("orders", Query(filter={"id": 1}))


@pytest.mark.parametrize("time", ["placed", "stamped", "day", "PLACED"])
def test_a_window_is_half_open(orders: Legacy, time: str) -> None:
    assert ids(orders, query=Query(columns=("id",)), window=DAY, time=time) == [2, 3]


def test_a_window_of_local_times(shop: Legacy) -> None:
    rows = ", ".join(f"({n}, '2026-10-25 {n // 2:02}:{n % 2 * 30:02}:00')" for n in range(8))
    shop.run(f"CREATE TABLE t (id INT, d DATETIME); INSERT INTO t VALUES {rows}")
    hour, start = timedelta(hours=1), datetime(2026, 10, 24, 23, tzinfo=UTC)
    found = [
        ids(
            shop,
            "t",
            window=Window(start + n * hour, start + (n + 1) * hour),
            time="d",
            timezone="Europe/Lisbon",
        )
        for n in range(5)
    ]
    # 01:00 to 02:00 was shown twice and means the first time; nothing is left out, nothing comes twice
    assert found == [[0, 1], [2, 3], [], [4, 5], [6, 7]]


def test_a_window_needs_a_time_column(orders: Legacy) -> None:
    with pytest.raises(ConfigError, match="time column"):
        orders.read("orders", window=DAY)
    with pytest.raises(ConfigError, match="no windows"):
        orders.read("orders", window=DAY, time="status")


WATERMARKS = {
    "id": (3, [4, 5]),
    "placed": ({"$date": "2026-11-23T00:00:00Z"}, [3, 4]),
    "stamped": ({"$date": "2026-11-23T23:59:59.999999Z"}, [4]),
    "day": ("2026-11-22", [2, 3, 4]),
    "amount": ("10.50", [2]),
    "note": ("it's", [4]),
}


@pytest.mark.parametrize("column", WATERMARKS)
def test_continues_after_a_watermark_of_any_column(orders: Legacy, column: str) -> None:
    value, expected = WATERMARKS[column]
    assert ids(orders, after=Position({"": value}), time=column) == expected


@pytest.mark.parametrize("column", WATERMARKS)
def test_the_last_batch_carries_the_watermark_behind_which_nothing_is_left(
    orders: Legacy, column: str
) -> None:
    first = orders.batches("orders", Query(columns=("id",), batch_rows=2), time=column)
    assert [batch.position for batch in first[:-1]] == [None] * (len(first) - 1)
    assert first[0].data.schema.names == ["id"]
    assert ids(orders, after=first[-1].position, time=column) == []


def test_watermarks_of_texts_are_in_the_order_they_were_found_by(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (id INT, code VARCHAR(5)); INSERT INTO t VALUES (1, 'b'), (2, 'C')")
    position = shop.batches("t", time="code")[-1].position
    shop.run("INSERT INTO t VALUES (3, 'c'), (4, 'ä')")
    assert ids(shop, "t", after=position, time="code") == [3, 4]


def test_a_watermark_of_another_kind_is_refused(orders: Legacy) -> None:
    with pytest.raises(ConfigError, match="watermark"):
        orders.read("orders", after=Position({"": "abc"}), time="id")
    with pytest.raises(ConfigError, match="time column"):
        orders.read("orders", after=Position({"": 1}))


def test_a_query_is_a_table_with_exact_types(orders: Legacy) -> None:
    sql = """SELECT status, SUM(amount) AS total, COUNT(*) AS n, MAX(placed) AS newest, MAX(id) AS id,
             CAST(18446744073709551615 AS UNSIGNED) AS large, NULL AS nothing -- a comment
             FROM orders WHERE day IS NOT NULL GROUP BY status;
    """
    rows = orders.read("ignored", Query(sql=sql, where="total > 0")).to_pylist()
    assert rows == [
        {
            "status": "completed",
            "total": Decimal("30.50"),
            "n": 2,
            "newest": datetime(2026, 11, 23, tzinfo=UTC),
            "id": 2,
            "large": Decimal(2**64 - 1),
            "nothing": None,
        }
    ]
    window = ids(orders, "ignored", Query(sql="SELECT id, placed FROM orders"), window=DAY, time="placed")
    assert window == [2, 3]


def test_a_query_that_is_none_is_refused(orders: Legacy) -> None:
    for sql in (
        "DELETE FROM orders",
        "SELECT 1) AS q; DROP TABLE orders; --",
        "SELECT id, id FROM orders",
        "",
    ):
        with pytest.raises(ConfigError):
            orders.read("orders", Query(sql=sql or "SELECT"))
    assert len(ids(orders)) == 5


def test_views(orders: Legacy) -> None:
    orders.run(
        "CREATE VIEW completed AS SELECT id, amount / 3 AS third FROM orders WHERE status = 'completed'"
    )
    rows = orders.read("completed").to_pylist()
    printed = orders.printed("SELECT id, third FROM completed ORDER BY id")
    assert [[str(row["id"]), str(row["third"])] for row in rows] == printed


NAMES = ["select", "with space", "qu\"o'te", "back`tick", "ünïcode", "a.b", "$x", "x" * 64, "c0", "%s;--"]


def test_names_can_be_anything(shop: Legacy) -> None:
    quoted = ["`" + name.replace("`", "``") + "`" for name in NAMES]
    for name in quoted[:3] + quoted[3:5] + quoted[7:8]:
        listed = ", ".join(f"{column} INT" for column in quoted)
        values = ", ".join(str(n) for n in range(len(NAMES)))
        shop.run(f"CREATE TABLE {name} ({listed}); INSERT INTO {name} VALUES ({values})")
    names = [*NAMES[:5], NAMES[7]]
    assert set(shop.connection().tables()) == set(names)
    for name in names:
        assert shop.connection().exists(Table("legacy", name))
    for name in (NAMES[3], NAMES[7]):
        assert shop.read(name).to_pylist() == [dict(zip(NAMES, range(len(NAMES)), strict=True))]
    where = " AND ".join('"' + name.replace('"', '""') + f'" = {n}' for n, name in enumerate(NAMES))
    assert len(shop.read(NAMES[3], Query(where=where))) == 1


def test_lanes_read_what_one_reads(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, v INT, KEY (v));"
        "INSERT INTO t SELECT CAST(seq AS SIGNED) * CAST(seq AS SIGNED) - 3000, seq FROM seq_1_to_3000;"
        "INSERT INTO t VALUES (-9223372036854775808, 0), (9223372036854775807, 0)"
    )
    one = ids(shop, "t")
    assert len(one) == 3002
    for lanes in (2, 3):
        assert ids(shop, "t", Query(lanes=lanes)) == one
    assert ids(shop, "t", Query(lanes=3, where="v < 100")) == ids(shop, "t", Query(where="v < 100"))
    assert ids(shop, "t", Query(lanes=3, consistent=True)) == one


def test_lanes_of_tables_without_whole_keys_are_one(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE a (id INT, k VARCHAR(5) PRIMARY KEY); INSERT INTO a VALUES (1, 'x');"
        "CREATE TABLE b (id INT, k INT, PRIMARY KEY (id, k)); INSERT INTO b VALUES (1, 1);"
        "CREATE TABLE c (id INT UNSIGNED PRIMARY KEY)"
    )
    assert [ids(shop, name, Query(lanes=4)) for name in "abc"] == [[1], [1], []]


def test_a_read_is_one_moment_of_the_table(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO t SELECT seq FROM seq_1_to_20000"
    )
    batches = shop.source("t", Query(batch_rows=100)).read(None, None)
    seen = next(iter(batches)).data.num_rows
    shop.run("DELETE FROM t WHERE id > 10000; INSERT INTO t SELECT seq FROM seq_30000_to_30100")
    assert seen + sum(batch.data.num_rows for batch in batches) == 20000


def test_estimates_by_the_servers_statistics(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (id INT PRIMARY KEY, d DATE); INSERT INTO t SELECT seq, NULL FROM seq_1_to_20000;"
        "ANALYZE TABLE t"
    )
    estimate = shop.source("t").estimated()
    assert estimate.rows is not None
    assert estimate.row_bytes is not None
    assert abs(estimate.rows - 20000) < 5000
    assert shop.source("t", Query(where="id = 1")).estimated().rows is None
    assert shop.source("t").estimated(DAY).rows is None


def test_tables_views_and_nothing_else(orders: Legacy) -> None:
    orders.run(
        "CREATE VIEW v AS SELECT 1 AS one; CREATE TABLE h (a INT) WITH SYSTEM VERSIONING; CREATE SEQUENCE s"
    )
    connection = orders.connection()
    assert connection.tables() == ["h", "orders", "v"]
    assert [connection.exists(Table("legacy", name)) for name in ("v", "absent")] == [True, False]
    orders.run("INSERT INTO h VALUES (1); UPDATE h SET a = 2")
    assert orders.read("h").to_pylist() == [{"a": 2}]


def test_writing_is_refused(orders: Legacy) -> None:
    with pytest.raises(ConfigError, match="never written"):
        orders.connection().sink(Table("legacy", "orders"))


def test_dates_of_a_window_are_their_midnights(orders: Legacy) -> None:
    late = Window(DAY.start + timedelta(hours=1), DAY.end + timedelta(hours=1))
    assert orders.read("orders", window=late, time="day")["day"].to_pylist() == [date(2026, 11, 24)]
