"""Every source: projection, conditions, windows and watermarks against the same selections in Python."""

from __future__ import annotations

from datetime import timedelta

import pytest

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

from .endpoints import Endpoint
from .jobs import DAY, SCHEMA, STORED, TABLE, Row, ordered, row, store

TICK = timedelta(milliseconds=1)


def rows_of(batches: list[Batch]) -> list[Row]:
    return ordered(each for batch in batches for each in batch.data.to_pylist())


def read(
    endpoint: Endpoint, query: Query, window: Window | None = None, after: Position | None = None
) -> list[Batch]:
    with endpoint.open() as connection:
        return list(connection.source(TABLE, query).read(window, after))


def test_types_and_bson_labels_come_back(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
    batches = read(endpoint, Query(columns=tuple(SCHEMA.names)))
    assert rows_of(batches) == ordered(STORED)
    for batch in batches:
        assert batch.data.schema.equals(SCHEMA, check_metadata=True)


def test_projects_to_the_wanted_columns(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
    batches = read(endpoint, Query(columns=("n", "k")))
    assert all(sorted(batch.data.schema.names) == ["k", "n"] for batch in batches)
    assert rows_of(batches) == ordered({"n": each["n"], "k": each["k"]} for each in STORED)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("n = 1", lambda each: each["n"] == 1),
        ("n IS NULL", lambda each: each["n"] is None),
        ("k = 'k3' OR k = 'k4'", lambda each: each["k"] in {"k3", "k4"}),
        ("n = 1 AND k >= 'k5'", lambda each: each["n"] == 1 and each["k"] >= "k5"),
        ("k IN ('k1', 'k2') -- a comment", lambda each: each["k"] in {"k1", "k2"}),
    ],
)
def test_a_condition_selects_rows_though_its_column_is_not_read(
    endpoint: Endpoint, where: str, holds: object
) -> None:
    with endpoint.open() as connection:
        store(connection)
    batches = read(endpoint, Query(columns=("k", "t"), where=where))
    assert callable(holds)
    assert rows_of(batches) == ordered({"k": each["k"], "t": each["t"]} for each in STORED if holds(each))


def test_a_window_is_half_open(endpoint: Endpoint) -> None:
    edges = [DAY.start - TICK, DAY.start, DAY.end - TICK, DAY.end]
    with endpoint.open() as connection:
        store(connection, [*({**row(1, 0, 1), "t": moment} for moment in edges), {**row(2, 0, 1), "t": None}])
    batches = read(endpoint, Query(columns=("k", "t")), window=DAY)
    assert rows_of(batches) == [{"k": "k1", "t": DAY.start}, {"k": "k1", "t": DAY.end - TICK}]


def test_window_and_condition_hold_together(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
    batches = read(endpoint, Query(columns=("k",), where="n IS NULL OR n = 1"), window=DAY)
    assert rows_of(batches) == ordered({"k": each["k"]} for each in STORED if each["t"] in DAY)


def test_continues_after_a_watermark(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
    moment = DAY.start + timedelta(hours=5)
    batches = read(endpoint, Query(columns=("k",)), after=Position({"": {"$date": f"{moment:%FT%TZ}"}}))
    assert rows_of(batches) == ordered({"k": each["k"]} for each in STORED if each["t"] > moment)


def test_an_empty_selection_gives_no_rows(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
    far = Window(DAY.start + timedelta(400), DAY.end + timedelta(400))
    assert rows_of(read(endpoint, Query(columns=("k",)), window=far)) == []


def test_a_window_needs_a_time_column(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        with pytest.raises(ConfigError):
            list(connection.source(Table("endpoint", "items"), Query()).read(DAY, None))


def test_a_condition_that_is_no_sql_is_refused(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        with pytest.raises(ConfigError):
            list(connection.source(TABLE, Query(where="n = = 1")).read(None, None))


def test_a_reader_may_stop_early(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        batches = connection.source(TABLE, Query(batch_rows=10)).read(None, None)
        assert next(iter(batches)).data.num_rows > 0
        getattr(batches, "close", lambda: None)()
        store(connection, STORED[:3])


def test_diagnosis_names_versions_rights_and_tables(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        findings = connection.diagnose()
        assert findings
        assert all(finding.ok for finding in findings), findings
