"""Conditions mean at PostgreSQL what they mean to DuckDB, over the rows that are read."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from levada.connectors.base import Query
from levada.errors import ConfigError

from .warehouse import TABLE, Warehouse

CONDITIONS = [
    r"s LIKE '50\%'",
    r"s LIKE '50\x'",
    r"s LIKE '%\'",
    r"s NOT LIKE '%\%'",
    "s LIKE p",
    r"s LIKE '50!%' ESCAPE '!'",
    r"s ILIKE 'A\_B'",
    r"s = 'a\_b' OR s IN ('\')",
    "n / 4 = 2.5",
    "n // 4 = 2",
    "n ^ 2 = 9",
    "n IS DISTINCT FROM 3",
    "s || 'b' = '50%b'",
    "regexp_matches(s, '^5')",
    "length(s) = 3",
    "local >= TIMESTAMPTZ '2026-07-01 12:00:00+00'",
    "local >= '2026-07-01T12:00:00Z'",
    "local >= '2026-07-01T14:00:00+02:00'",
    "local >= '2026-07-01 12:00:00'",
    "local BETWEEN TIMESTAMPTZ '2026-07-01 11:00Z' AND '2026-07-01 12:00Z'",
    "date_trunc('hour', local) = TIMESTAMPTZ '2026-07-01 12:00:00+00'",
    "tz < '2026-07-01T12:00:00Z' AND local IS NOT NULL",
]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_chooses_what_duckdb_chooses_of_the_same_rows(
    warehouse: Warehouse, condition: str
) -> None:
    zoned = Warehouse(warehouse.server, warehouse.schema, warehouse.root, timezone="America/New_York")
    zoned.run(
        "CREATE TABLE {s}.items (k int, s text, p text, n int, local timestamp, tz timestamptz)",
        r"INSERT INTO {s}.items SELECT i, s, '50\%', i, '2026-07-01 04:00'::timestamp + i * '1h'::interval, "
        r"'2026-07-01 08:00Z'::timestamptz + i * '1 hour'::interval FROM unnest(array['50%', '50\x', '50\', "
        r"'a\_b', 'a_b', 'axb', '', '\', '%', null, '5']) WITH ORDINALITY AS u(s, i)",
    )
    rows = zoned.read()  # noqa: F841 - DuckDB finds it by its name
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        expected = connection.sql(f"SELECT k FROM rows WHERE {condition} ORDER BY k").fetchall()
    found = zoned.read(Query(where=condition, columns=("k",)))["k"].to_pylist()
    zoned.connection.close()
    assert expected
    assert sorted(found) == [k for (k,) in expected]


def test_patterns_that_mean_something_else_there_are_refused(warehouse: Warehouse) -> None:
    warehouse.write(pa.RecordBatch.from_pydict({"k": ["5a"]}))
    with pytest.raises(ConfigError, match="regexp_matches"):
        warehouse.read(Query(where="k SIMILAR TO '5.*'"), TABLE)
