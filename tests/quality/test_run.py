from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError
from pymongo import MongoClient

from levada.batches import Batch
from levada.connectors.base import Connection, Mode, Table, Write
from levada.connectors.duckdb import DuckdbConnection
from levada.connectors.lake import LakeConnection
from levada.connectors.mongodb import MongoConnection
from levada.errors import ConfigError
from levada.quality import Facts, parse, run_checks
from levada.windows import Window

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = Window.parse("2026-11-23")
WHEN = pa.timestamp("ms", "UTC")
SCHEMA = pa.schema(
    [
        ("k", pa.string()),
        ("total", pa.float64()),
        ("at", WHEN),
        ("day", pa.date32()),
        ("tags", pa.list_(pa.string())),
    ]
)
#: In the window: 8 rows, 2 null totals, key "a" three times and "b" twice, null keys twice; newest at 23:00.
KEYS = ["a", "a", "a", "b", "b", "c", None, None]
ROWS = [
    {
        "k": key,
        "total": None if n in (1, 5) else float(n),
        "at": NIGHT + timedelta(hours=16 + n),
        "day": NIGHT,
        "tags": ["x", None] if n < 3 else None,
    }
    for n, key in enumerate(KEYS)
] + [{"k": "a", "total": None, "at": NOW}]


@pytest.fixture(params=["mongodb", "lake", "duckdb"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "mongodb":
        name = request.getfixturevalue("database")
        mongo: MongoClient[dict[str, Any]] = request.getfixturevalue("mongo")
        documents = [{key: value for key, value in row.items() if value is not None} for row in ROWS]
        documents[1]["total"] = None  # one null, the others missing
        mongo[name].t.insert_many(documents)
        settings = MongoConnection.settings_model(uri=request.getfixturevalue("mongod"), database=name)
        made: Connection = MongoConnection("db", settings, tmp_path)
    elif request.param == "lake":
        made = LakeConnection("db", LakeConnection.settings_model(path=str(tmp_path / "lake")), tmp_path)
    else:
        made = DuckdbConnection("db", DuckdbConnection.settings_model(path="w.duckdb"), tmp_path)
    if request.param != "mongodb":
        writer = made.sink(TABLE).open(Write(TABLE, Mode.REPLACE, "test"))
        writer.write(Batch(pa.RecordBatch.from_pylist(ROWS, SCHEMA)))
        writer.commit(None)
    yield made
    made.close()


TABLE = Table("db", "t", time="at")


def values(reference: str) -> Any:
    known = {"extract.rows": 16, "nothing.rows": 0}
    if reference not in known:
        raise ConfigError(f"no value {reference!r}")
    return known[reference]


RULES: list[tuple[dict[str, Any], Any, bool]] = [
    ({"row_count": {"min": 8, "max": 8}}, 8, True),
    ({"row_count": {"min": 9}}, 8, False),
    ({"row_count": {"max": 7}}, 8, False),
    ({"null_rate": {"column": "total", "max": 0.25}}, 0.25, True),
    ({"null_rate": {"column": "total", "max": 0.24}}, 0.25, False),
    ({"duplicates": {"columns": ["k"], "max": 3}}, 3, True),
    ({"duplicates": {"columns": ["k"]}}, 3, False),
    ({"duplicates": {"columns": ["k", "at"]}}, 0, True),
    ({"freshness": {"column": "at", "max_age": "3h"}}, NIGHT + timedelta(hours=23), True),
    ({"freshness": {"column": "at", "max_age": "2h"}}, NIGHT + timedelta(hours=23), False),
    ({"duplicates": {"columns": ["tags"]}}, 2, False),  # an array that holds null is not null itself
    ({"freshness": {"column": "day", "max_age": "26h"}}, NIGHT, True),  # a day counts from its midnight
    ({"ratio": {"to": "extract.rows", "min": 0.5}}, 0.5, True),
    ({"ratio": {"to": "extract.rows", "min": 0.51}}, 0.5, False),
    ({"ratio": {"to": "nothing.rows", "min": 0.5}}, None, False),
    ({"sql": {"value": "sum(total)", "min": 22, "max": 22}}, 22.0, True),
    ({"sql": {"value": "count(*) filter (where k = 'a')", "max": 2}}, 3, False),
    ({"sql": {"value": "count(distinct k) / count(*)", "min": 0.3, "max": 0.4}}, 0.375, True),
    ({"sql": {"value": "max(total) filter (where k = 'z')", "min": 0}}, None, True),
]


def test_every_kind_measures_the_window_on_every_system(connection: Connection) -> None:
    results, rows = run_checks(
        connection, TABLE, WINDOW, parse([rule for rule, _, _ in RULES]), Facts(NOW, values)
    )
    assert rows == 8
    found = [(result.value, result.passed) for result in results]
    assert found == [(value, passed) for _, value, passed in RULES]
    assert all(result.error is None for result in results)


def test_what_mongodb_holds_can_be_checked_by_duckdb_and_what_it_lacks_not_by_mongodb(
    connection: Connection,
) -> None:
    rules = [rule for rule, _, _ in RULES]
    results, _ = run_checks(connection, TABLE, WINDOW, parse(rules), Facts(NOW, values), engine="duckdb")
    assert [(result.value, result.passed) for result in results] == [(v, passed) for _, v, passed in RULES]
    if not isinstance(connection, MongoConnection):
        with pytest.raises(ConfigError, match="not in MongoDB"):
            run_checks(connection, TABLE, WINDOW, parse(rules), Facts(NOW, values), engine="mongodb")


@pytest.mark.parametrize("value", ["total, k", "1 from other", "(select 1)", "sum(", ""])
def test_a_sql_rule_is_one_aggregate(value: str) -> None:
    with pytest.raises((ConfigError, ValidationError)):
        parse([{"sql": {"value": value, "max": 1}}])


def test_a_sql_rule_that_can_not_be_evaluated_fails_alone(connection: Connection) -> None:
    rules = [{"sql": {"value": "max(k)", "min": 0}}, {"row_count": {"min": 1}}]
    results, _ = run_checks(connection, TABLE, WINDOW, parse(rules), Facts(NOW, values))
    assert [result.passed for result in results] == [False, True]
    assert "not a number" in str(results[0].error)


def test_without_a_window_the_whole_table_is_looked_at(connection: Connection) -> None:
    _, rows = run_checks(connection, TABLE, None, parse([{"row_count": {"min": 1}}]), Facts(NOW, values))
    assert rows == 9


def test_an_empty_window_has_no_rows_and_nothing_null(connection: Connection) -> None:
    checks = parse(
        [
            {"row_count": {"min": 1}},
            {"null_rate": {"column": "total"}},
            {"duplicates": {"columns": ["k"]}},
            {"freshness": {"column": "at", "max_age": "1h"}},
        ]
    )
    results, rows = run_checks(connection, TABLE, Window.parse("2020-01-01"), checks, Facts(NOW, values))
    assert rows == 0
    assert [result.passed for result in results] == [False, True, True, False]


def test_an_unknown_value_of_another_step_is_a_configuration_error(connection: Connection) -> None:
    with pytest.raises(ConfigError, match="nope"):
        run_checks(connection, TABLE, None, parse([{"ratio": {"to": "nope", "min": 1}}]), Facts(NOW, values))


def test_a_column_nobody_has_is_all_null_in_mongodb_and_unknown_elsewhere(connection: Connection) -> None:
    checks = parse([{"null_rate": {"column": "nowhere", "max": 0.5}}])
    if isinstance(connection, MongoConnection):
        results, _ = run_checks(connection, TABLE, WINDOW, checks, Facts(NOW, values))
        assert (results[0].value, results[0].passed) == (1.0, False)
    else:
        with pytest.raises(ConfigError, match="nowhere"):
            run_checks(connection, TABLE, WINDOW, checks, Facts(NOW, values))
