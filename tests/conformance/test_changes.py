"""Keyed changes in every sink that takes them: the end state of a dictionary, whatever the batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from levada.connectors.base import Changes, Mode, Table, Write
from levada.errors import ConfigError, Fenced

from .changes import Model, Part, Story, send, stored, stories, told
from .endpoints import ENDPOINTS, Endpoint
from .jobs import OWNER, STORED, TABLE, content, deleting, deliver, expected, ordered, points, store
from .victims import Victims, survives_thirty_kills

#: Endpoints whose sinks take all changes that columns can take.
TAKES_CHANGES = ("duckdb", "lake", "mongodb", "postgres")

#: Those that have columns, and no documents that may lack a field.
COLUMNS_ONLY = ("duckdb", "lake", "postgres")

_NUMBERS = count()


@pytest.fixture(params=TAKES_CHANGES)
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Endpoint:
    return ENDPOINTS[request.param](request, tmp_path)


def _profile(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # a failing story is short, and each step costs a commit
    )


def _follows_the_model(endpoint: Endpoint, story: Story) -> None:
    table = Table("endpoint", f"changed{next(_NUMBERS)}", key=("k",))
    model = Model(story.changes)
    with endpoint.open() as connection:
        for sequence, parts in enumerate(story.writes, 1):
            before = model.rejected
            model.take(parts)
            written = send(connection, table, story.changes, parts, sequence)
            assert stored(connection, table) == told(model)
            assert len(written.rejected) == model.rejected - before
            if endpoint.atomic:
                with pytest.raises(Fenced):
                    send(connection, table, story.changes, parts, sequence)
                assert stored(connection, table) == told(model)
            position = connection.sink(table).position("daily/changes")
            assert position
            assert position.sequence == sequence


@given(story=stories())
@_profile(25)
def test_any_changes_in_any_batches_end_like_a_dictionary(endpoint: Endpoint, story: Story) -> None:
    _follows_the_model(endpoint, story)


@pytest.mark.nightly
@given(story=stories(40))
@_profile(1500)
def test_very_many_changes_end_like_a_dictionary(endpoint: Endpoint, story: Story) -> None:
    _follows_the_model(endpoint, story)


def test_killed_anywhere_and_run_again_equals_an_undisturbed_run(
    endpoint: Endpoint, victims: Victims
) -> None:
    work = deleting()
    for point, delay in points(work.mode, seed=5, during=3):
        with endpoint.open() as connection:
            store(connection)
        victims.deliver(endpoint, work, point, delay)
        with endpoint.open() as connection:
            deliver(connection, work)
            assert content(connection) == ordered(expected(STORED, work.mode, work.rows)), point
            assert connection.sink(TABLE).position(OWNER) == work.position
        work = work.again()


@pytest.mark.nightly
@pytest.mark.parametrize("endpoint", [*TAKES_CHANGES, "lake-s3"], indirect=True)
def test_killed_at_thirty_points_and_run_again_equals_an_undisturbed_run(
    endpoint: Endpoint, victims: Victims
) -> None:
    survives_thirty_kills(endpoint, victims, deleting())


def test_what_was_deleted_and_what_was_older_is_counted(endpoint: Endpoint) -> None:
    table, changes = Table("endpoint", "counted", key=("k",)), Changes("op", "v")
    columns = ("k", "v", "op")

    def part(*rows: tuple[int, int | None, str | None]) -> Part:
        return Part(columns, tuple(dict(zip(columns, row, strict=True)) for row in rows))

    with endpoint.open() as connection:
        seeded = send(connection, table, changes, [part(*((k, 5, "insert") for k in range(1, 8)))], 1)
        assert (seeded.rows, seeded.deleted, seeded.older) == (7, 0, 0)
        news = part(
            (1, 5, "delete"),
            (2, 4, "delete"),
            (3, 6, None),
            (4, None, "upsert"),
            (5, 9, "insert"),
            (6, 4, "update"),
            (9, 1, "delete"),
            (8, 1, None),
        )
        written = send(connection, table, changes, [news], 2)
        assert (written.deleted, written.older) == (1, 3)
        if endpoint.atomic:
            assert written.rows == 2


@pytest.mark.parametrize("endpoint", COLUMNS_ONLY, indirect=True)
@pytest.mark.parametrize(
    "changes",
    [Changes(merge="deep"), Changes(merge="fields", on_null="unset"), Changes(on_null="keep")],
    ids=str,
)
def test_changes_that_columns_can_not_take_are_refused(endpoint: Endpoint, changes: Changes) -> None:
    write = Write(TABLE, Mode.UPSERT, OWNER, ("k",), changes=changes)
    with endpoint.open() as connection, pytest.raises(ConfigError):
        connection.sink(TABLE).open(write)


@pytest.mark.parametrize("endpoint", COLUMNS_ONLY, indirect=True)
def test_changes_need_the_mode_that_has_stored_rows_to_change(endpoint: Endpoint) -> None:
    write = replace(deleting().write(), mode=Mode.APPEND)
    with endpoint.open() as connection, pytest.raises(ConfigError, match="append"):
        connection.sink(TABLE).open(write)


@pytest.mark.parametrize("endpoint", COLUMNS_ONLY, indirect=True)
def test_a_version_without_an_order_is_refused(endpoint: Endpoint) -> None:
    table = Table("endpoint", "orderless", key=("k",))
    rows = Part(("k", "s"), ({"k": 1, "s": {"x": 1, "l": None}},))
    with endpoint.open() as connection, pytest.raises(ConfigError, match="order"):
        send(connection, table, Changes(version="s"), [rows], 1)
