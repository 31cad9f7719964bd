"""Every sink in every mode: the same end state as a plain model, also after dying on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from levada.connectors.base import Mode, Table, Write
from levada.errors import ConfigError, Fenced

from .endpoints import ENDPOINTS, REFUSED, Endpoint
from .jobs import (
    DAY,
    OWNER,
    SCHEMA,
    STORED,
    TABLE,
    Job,
    content,
    deliver,
    expected,
    job,
    ordered,
    points,
    row,
    store,
)
from .victims import Victims, survives_thirty_kills

MODES = list(Mode)


@pytest.mark.parametrize("mode", MODES)
def test_rows_arrive_exactly_and_others_stay(endpoint: Endpoint, mode: Mode) -> None:
    work = job(mode)
    with endpoint.open() as connection:
        store(connection)
        written = deliver(connection, work)
        wanted = ordered(expected(STORED, mode, work.rows))
        assert content(connection) == wanted
        assert written
        assert written.rejected == ()
        assert len({each["k"] for each in work.rows}) <= written.rows <= len(work.rows)


@pytest.mark.parametrize("mode", MODES)
def test_running_again_gives_the_same_end_state(endpoint: Endpoint, mode: Mode) -> None:
    work = job(mode)
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, work)
        deliver(connection, work.again())
        assert content(connection) == ordered(expected(STORED, mode, work.rows))
        assert connection.sink(TABLE).position(OWNER) == work.again().position


@pytest.mark.parametrize("mode", MODES)
def test_killed_anywhere_and_run_again_equals_an_undisturbed_run(
    endpoint: Endpoint, victims: Victims, mode: Mode
) -> None:
    work = job(mode)
    with endpoint.open() as connection:
        store(connection)
    for point, delay in points(mode, seed=3):
        victims.deliver(endpoint, work, point, delay)
        with endpoint.open() as connection:
            deliver(connection, work)
            assert content(connection) == ordered(expected(STORED, mode, work.rows)), point
            assert connection.sink(TABLE).position(OWNER) == work.position
        work = work.again()


@pytest.mark.nightly
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_thirty_points_and_run_again_equals_an_undisturbed_run(
    endpoint: Endpoint, victims: Victims, mode: Mode
) -> None:
    survives_thirty_kills(endpoint, victims, job(mode))


@pytest.mark.parametrize("mode", MODES)
def test_a_plan_looks_only(endpoint: Endpoint, mode: Mode) -> None:
    write = job(mode).write()
    with endpoint.open() as connection:
        sink = connection.sink(TABLE)
        if not hasattr(sink, "plan"):
            pytest.skip("this sink has no plan")
        before = sorted(endpoint.root.rglob("*"))
        assert str(TABLE.name) in " ".join(sink.plan(write).notes)
        assert sorted(endpoint.root.rglob("*")) == before
        store(connection)
        found = sink.plan(write)
        assert found.how
        assert found.readers
        assert content(connection) == ordered(STORED)
        assert sink.position(OWNER) is None


@pytest.mark.parametrize("mode", MODES)
def test_first_write_makes_the_table_and_survives_a_kill(
    endpoint: Endpoint, victims: Victims, mode: Mode
) -> None:
    work = job(mode)
    victims.deliver(endpoint, work, "during commit", 0.01)
    with endpoint.open() as connection:
        deliver(connection, work)
        assert content(connection) == ordered(expected([], mode, work.rows))


@pytest.mark.parametrize("mode", MODES)
def test_an_older_epoch_is_refused(endpoint: Endpoint, mode: Mode) -> None:
    work = replace(job(mode), epoch=7)
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, work)
        before = content(connection)
        late = replace(work.again(), epoch=6, parts=((row(200, 5, 9),),))
        with pytest.raises(Fenced):
            deliver(connection, late)
        assert content(connection) == before
        assert connection.sink(TABLE).position(OWNER) == work.position
        deliver(connection, replace(work.again(), epoch=8))


@pytest.mark.parametrize("mode", MODES)
def test_a_sequence_that_is_not_newer_is_refused(endpoint: Endpoint, mode: Mode) -> None:
    work = replace(job(mode), sequence=5)
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, work)
        before = content(connection)
        for sequence in (5, 4):
            late = replace(work, sequence=sequence, parts=((row(200, 5, 9),),))
            writer = connection.sink(TABLE).open(late.write())
            for batch in late.batches():
                writer.write(batch)
            with pytest.raises(Fenced):
                writer.commit(late.position)
        assert connection.sink(TABLE).position(OWNER) == work.position
        if endpoint.atomic:
            assert content(connection) == before


def test_the_position_is_there_after_the_commit_and_not_before(endpoint: Endpoint) -> None:
    work = job(Mode.APPEND)
    with endpoint.open() as connection:
        sink = connection.sink(TABLE)
        assert sink.position(OWNER) is None
        writer = sink.open(work.write())
        for batch in work.batches():
            writer.write(batch)
        assert sink.position(OWNER) is None
        writer.commit(work.position)
        assert sink.position(OWNER) == work.position
        assert sink.position("another/step") is None
    with endpoint.open() as connection:
        assert connection.sink(TABLE).position(OWNER) == work.position


def test_a_copy_without_position_stores_none(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        assert connection.sink(TABLE).position("seed") is None


@pytest.mark.parametrize("mode", MODES)
def test_no_rows_are_a_write_too(endpoint: Endpoint, mode: Mode) -> None:
    nothing = Job(mode, ())
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, nothing)
        assert content(connection) == ordered(expected(STORED, mode, []))
        assert connection.sink(TABLE).position(OWNER) == nothing.position


@pytest.mark.parametrize("mode", MODES)
def test_no_rows_into_no_table_still_store_the_position(endpoint: Endpoint, mode: Mode) -> None:
    nothing, work = Job(mode, ()), replace(job(mode), sequence=2)
    with endpoint.open() as connection:
        deliver(connection, nothing)
        assert connection.sink(TABLE).position(OWNER) == nothing.position
        assert content(connection, ()) == []
        deliver(connection, work)
        assert content(connection) == ordered(expected([], mode, work.rows))


def test_an_append_that_runs_again_without_rows_takes_back_what_it_appended(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, job(Mode.APPEND))
        deliver(connection, Job(Mode.APPEND, (), sequence=2))
        assert content(connection) == ordered(STORED)


@pytest.mark.parametrize("mode", MODES)
def test_a_schema_that_widens_between_batches_keeps_every_value(endpoint: Endpoint, mode: Mode) -> None:
    narrow = SCHEMA.append(pa.field("x", pa.int32()))
    wide = SCHEMA.append(pa.field("x", pa.int64())).append(pa.field("y", pa.string()))
    first = [{**row(300 + i, i, 1), "x": i} for i in range(5)]
    second = [{**row(400 + i, i, 1), "x": 2**40 + i, "y": f"y{i}"} for i in range(5)]
    with endpoint.open() as connection:
        store(connection)
        writer = connection.sink(TABLE).open(Job(mode, ()).write())
        for rows, schema in ((first, narrow), (second, wide), (first[:0], SCHEMA)):
            writer.write(*Job(mode, (tuple(rows),), schema=schema).batches())
        writer.commit(Job(mode, ()).position)
        filled = [{"x": None, "y": None, **each} for each in expected(STORED, mode, [*first, *second])]
        assert content(connection, (*SCHEMA.names, "x", "y")) == ordered(filled)


@pytest.mark.parametrize("mode", [Mode.REPLACE_WINDOW])
def test_only_the_half_open_window_is_replaced(endpoint: Endpoint, mode: Mode) -> None:
    tick = timedelta(milliseconds=1)
    edges = [
        {**row(1, 0, 1), "t": moment}
        for moment in (DAY.start - tick, DAY.start, DAY.end - tick, DAY.end, DAY.end + tick)
    ]
    timeless = {**row(2, 0, 1), "t": None}
    with endpoint.open() as connection:
        store(connection, [*edges, timeless])
        written = deliver(connection, Job(mode, ((row(9, 12, 9),),)))
        assert content(connection) == ordered([edges[0], edges[3], edges[4], timeless, row(9, 12, 9)])
        assert written
        assert written.replaced == 2


@pytest.mark.parametrize("mode", [Mode.REPLACE_WINDOW])
def test_rows_outside_the_window_are_set_aside_not_doubled_by_a_re_run(
    endpoint: Endpoint, mode: Mode
) -> None:
    inside, late = row(9, 12, 9), {**row(8, 0, 8), "t": DAY.end}
    timeless = {**row(7, 0, 7), "t": None}
    with endpoint.open() as connection:
        for sequence in (1, 2):
            work = Job(mode, ((inside, late, timeless),), sequence=sequence)
            written = deliver(connection, work)
            assert written
            assert (written.rows, len(written.rejected)) == (1, 2)
            assert all("outside the window" in rejected.reason for rejected in written.rejected)
            assert content(connection) == ordered([inside])


def test_appends_of_other_windows_and_owners_stay(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        sink = connection.sink(TABLE)
        for number, (owner, window) in enumerate(
            [
                (OWNER, DAY),
                ("other/step", DAY),
                (OWNER, replace(DAY, start=DAY.end, end=DAY.end + timedelta(1))),
            ]
        ):
            writer = sink.open(Write(TABLE, Mode.APPEND, owner, window=window))
            writer.write(*Job(Mode.APPEND, ((row(number + 1, 1, 1),),)).batches())
            writer.commit(None)
        writer = sink.open(Write(TABLE, Mode.APPEND, OWNER, window=DAY))
        writer.write(*Job(Mode.APPEND, ((row(11, 1, 2),),)).batches())
        writer.commit(None)
        assert content(connection) == ordered([row(2, 1, 1), row(3, 1, 1), row(11, 1, 2)])


def test_an_aborted_write_leaves_nothing(endpoint: Endpoint) -> None:
    with endpoint.open() as connection:
        store(connection)
        work = job(Mode.REPLACE)
        writer = connection.sink(TABLE).open(work.write())
        for batch in work.batches():
            writer.write(batch)
        writer.abort()
        writer.abort()
        assert content(connection) == ordered(STORED)
        assert connection.sink(TABLE).position(OWNER) is None


def test_a_mode_without_what_it_needs_is_refused(endpoint: Endpoint) -> None:
    keyless = Table("endpoint", "items")
    with endpoint.open() as connection:
        sink = connection.sink(keyless)
        for write in (
            Write(keyless, Mode.UPSERT, OWNER),
            Write(keyless, Mode.REPLACE_WINDOW, OWNER),
            Write(keyless, Mode.REPLACE_WINDOW, OWNER, window=DAY),
        ):
            with pytest.raises(ConfigError):
                sink.open(write)


@pytest.mark.parametrize("name", REFUSED)
def test_a_mode_that_an_endpoint_lacks_is_refused_by_name(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    with ENDPOINTS[name](request, tmp_path).open() as connection:
        for mode in REFUSED[name]:
            with pytest.raises(ConfigError, match=mode):
                connection.sink(TABLE).open(job(mode).write())
