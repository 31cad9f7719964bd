"""A query in place of a table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from levada.connectors.base import Query, Table
from levada.connectors.duckdb.connection import DuckdbConnection
from levada.connectors.duckdb.settings import DuckdbSettings
from levada.errors import ConfigError, Fatal
from levada.positions import Position
from levada.windows import Window

pytestmark = pytest.mark.unit

TABLE = Table("wh", "anything", time="at")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[DuckdbConnection]:
    with duckdb.connect(str(tmp_path / "wh.duckdb")) as there:
        there.execute(
            "create table t as select i as k, i % 3 as g, timestamptz '2026-11-24 00:00:00Z' + interval (i) "
            "hour as at from range(48) t(i)"
        ).fetchall()
    opened = DuckdbConnection("wh", DuckdbSettings(path="wh.duckdb"), tmp_path)
    yield opened
    opened.close()


def rows(connection: DuckdbConnection, sql: str, window: Window | None = None, **query: Any) -> list[Any]:
    source = connection.source(TABLE, Query(sql=sql, **query))
    return [row for batch in source.read(window, None) for row in batch.data.to_pylist()]


def test_the_result_of_a_query_is_read(connection: DuckdbConnection) -> None:
    sql = "select g, count(*) as n, sum(k) as total from t group by g order by g -- all of them"
    expected = [{"g": g, "n": 16, "total": sum(range(g, 48, 3))} for g in range(3)]
    assert rows(connection, sql) == expected
    assert rows(connection, f"{sql.partition(' --')[0]};") == expected


@pytest.mark.parametrize("tail", [" -- note", "; -- note", ";;", "; /* a ; b */ ;", "\n;\n-- one\n-- two\n"])
def test_a_query_may_end_with_semicolons_and_notes(connection: DuckdbConnection, tail: str) -> None:
    assert rows(connection, f"select count(*) as n, ';' as s from t{tail}") == [{"n": 48, "s": ";"}]


def test_sums_of_integers_are_64_bits_wide_and_larger_ones_an_error(connection: DuckdbConnection) -> None:
    source = connection.source(TABLE, Query(sql="select sum(k) as total from t"))
    assert next(source.read(None, None)).data.schema.field("total").type == pa.int64()
    with pytest.raises(Fatal, match="range"):
        rows(connection, "select sum(9223372036854775807) as total from t")


def test_columns_conditions_windows_and_watermarks_go_on_top_of_it(connection: DuckdbConnection) -> None:
    sql = 'select k * 2 as twice, g, "at" from t'
    assert rows(connection, sql, columns=("twice",), where="g = 1 and twice > 80") == [
        {"twice": k * 2} for k in range(41, 48) if k % 3 == 1
    ]
    day = Window(datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC))
    assert [row["twice"] for row in rows(connection, sql, day)] == list(range(48, 96, 2))
    source = connection.source(TABLE, Query(sql=sql))
    newer = source.read(None, Position({"": {"$date": "2026-11-25T20:00:00Z"}}))
    assert [row["twice"] for batch in newer for row in batch.data.to_pylist()] == [90, 92, 94]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from t",
        "insert into t values (1, 1, now())",
        "create table u as select 1",
        "select 1; select 2",
        "select 1; -- note\nselect 2",
        "-- a note alone",
        "copy t to 'x.csv'",
        "pragma database_list",
        "attach 'x.db'",
        "drop table t",
        "",
        "select from where",
    ],
)
def test_what_is_not_one_select_is_refused(connection: DuckdbConnection, sql: str) -> None:
    with pytest.raises(ConfigError):
        rows(connection, sql)
    assert rows(connection, "select count(*) as n from t") == [{"n": 48}]


def test_an_unknown_column_in_it_is_a_configuration_error(connection: DuckdbConnection) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        rows(connection, "select nothing from t")
