"""Lanes that are stopped while the server works for them."""

from __future__ import annotations

import threading
import time

from levada.connectors.base import Query
from levada.errors import Fatal

from .warehouse import TABLE, Warehouse

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%{s}%'"
ROWS, SECONDS = 2_000, 60


def slow_from(warehouse: Warehouse, first: int, fast: str = "'fast'") -> None:
    """A table of two lanes where the server takes a minute for each value from a row on."""
    warehouse.run(
        "CREATE TYPE {s}.slow AS (k int)",
        "CREATE FUNCTION {s}.text_of(v {s}.slow) RETURNS text LANGUAGE plpgsql AS "
        f"$$BEGIN IF v.k < {first} THEN RETURN {fast}; END IF; PERFORM pg_sleep({SECONDS}); RETURN ''; END$$",
        "CREATE CAST ({s}.slow AS text) WITH FUNCTION {s}.text_of({s}.slow)",
        "CREATE TABLE {s}.items AS SELECT g AS k, row(g)::{s}.slow AS v, repeat('x', 500) AS pad "
        f"FROM generate_series(1, {ROWS}) g",
    )


def wait_until_asleep(warehouse: Warehouse) -> None:
    deadline = time.monotonic() + 20
    while warehouse.plain(SLEEPING) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_statements_of_stopped_lanes_are_cancelled_at_the_server(warehouse: Warehouse) -> None:
    slow_from(warehouse, 1_200)
    batches = warehouse.connection.source(TABLE, Query(lanes=2, batch_rows=10)).read(None, None)
    assert next(iter(batches)).data.num_rows == 10
    wait_until_asleep(warehouse)
    stopper = threading.Thread(target=batches.close, daemon=True)  # type: ignore[attr-defined]
    stopper.start()
    stopper.join(SECONDS / 3)
    assert not stopper.is_alive()
    assert warehouse.plain(SLEEPING) == [(0,)]
    fine = "CREATE OR REPLACE FUNCTION {s}.text_of(v {s}.slow) RETURNS text LANGUAGE sql AS $$SELECT 'fine'$$"
    warehouse.run(fine)
    assert warehouse.read(Query(lanes=2)).num_rows == ROWS  # by sessions that were not cancelled


def test_the_error_of_one_lane_does_not_wait_for_the_others(warehouse: Warehouse) -> None:
    slow_from(warehouse, 1_200, "1 / (900 - v.k)")
    found: list[object] = []

    def read() -> None:
        try:
            warehouse.read(Query(lanes=2))
        except Fatal as error:
            found.append(error)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(SECONDS / 3)
    assert not reading.is_alive()
    assert "division by zero" in str(found)
    assert warehouse.plain(SLEEPING) == [(0,)]
