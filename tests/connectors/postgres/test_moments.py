"""What a read sees of a table that others load, empty or change meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import pytest

from levada.connectors.base import Query

from .warehouse import Warehouse

ROWS = 3_000


@contextmanager
def other(warehouse: Warehouse) -> Iterator[Any]:
    """Runs statements of another program, in one session; `{s}` is the schema."""
    with adbc.connect(warehouse.server.uri, autocommit=True) as connection, connection.cursor() as cursor:
        yield lambda sql: cursor.execute(sql.replace("{s}", warehouse.schema))


def wait_until_blocked(warehouse: Warehouse) -> None:
    """Until a statement about the schema waits for a lock."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{s}%'"
    deadline = time.monotonic() + 20
    while not warehouse.plain(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.02)


QUERIES = {
    "a table": Query(),
    "lanes": Query(lanes=3),
    "a query": Query(sql="SELECT * FROM {s}.items"),
    "a window of it": Query(where="k >= 0"),
}


@pytest.mark.parametrize("kind", ["plain", "partitioned"])
@pytest.mark.parametrize("name", QUERIES)
def test_a_table_that_is_loaded_anew_is_never_seen_empty(warehouse: Warehouse, name: str, kind: str) -> None:
    """TRUNCATE is seen by transactions that began before it: they would find neither old nor new rows."""
    parts = "PARTITION BY RANGE (k)" if kind == "partitioned" else ""
    warehouse.run(f"CREATE TABLE {{s}}.items (k int, pad text) {parts}")
    if parts:
        warehouse.run("CREATE TABLE {s}.part PARTITION OF {s}.items DEFAULT")
    warehouse.run("INSERT INTO {s}.items SELECT g, repeat('x', 100) FROM generate_series(1, 500) g")
    query = QUERIES[name]
    if query.sql:
        query = Query(sql=query.sql.replace("{s}", warehouse.schema))
    found: list[int] = []
    with other(warehouse) as run:
        run("BEGIN")
        run("TRUNCATE {s}." + ("part" if parts else "items"))
        run(f"INSERT INTO {{s}}.items SELECT g, repeat('y', 100) FROM generate_series(1, {ROWS}) g")
        reader = threading.Thread(target=lambda: found.append(warehouse.read(query).num_rows))
        reader.start()
        wait_until_blocked(warehouse)
        run("COMMIT")
        reader.join(30)
    assert found == [ROWS]


def test_a_table_is_not_emptied_between_its_lanes(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from levada.connectors.postgres.source import PostgresSource

    warehouse.run(
        "CREATE TABLE {s}.items AS SELECT g AS k, repeat('x', 500) AS pad FROM generate_series(1, 3000) g"
    )
    began = PostgresSource._lane
    refused: list[str] = []

    def lane(self: Any, *given: Any) -> Any:
        with other(warehouse) as run:
            run("SET lock_timeout = '100ms'")
            try:
                run("TRUNCATE {s}.items")
            except adbc.Error as error:
                refused.append(str(error))
        return began(self, *given)

    monkeypatch.setattr(PostgresSource, "_lane", lane)
    assert warehouse.read(Query(lanes=3)).num_rows == ROWS
    assert len(refused) == 3
