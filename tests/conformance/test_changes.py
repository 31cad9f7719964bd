"""Keyed changes in every sink that takes them: the end state of a dictionary, whatever the batches."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from levada.connectors.base import Table
from levada.errors import Fenced

from .changes import Model, Story, send, stored, stories, told
from .endpoints import ENDPOINTS, Endpoint

#: Endpoints whose sinks take all changes that columns can take.
TAKES_CHANGES = ("duckdb", "lake", "postgres")

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
@_profile(40)
def test_any_changes_in_any_batches_end_like_a_dictionary(endpoint: Endpoint, story: Story) -> None:
    _follows_the_model(endpoint, story)


@pytest.mark.nightly
@given(story=stories(40))
@_profile(1500)
def test_very_many_changes_end_like_a_dictionary(endpoint: Endpoint, story: Story) -> None:
    _follows_the_model(endpoint, story)
