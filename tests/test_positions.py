from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.errors import Fatal, PositionLost
from levada.positions import Position
from levada.state import Entry, OnLost, reconcile

pytestmark = pytest.mark.unit

parts = st.dictionaries(st.text(), st.one_of(st.integers(), st.text(), st.none()), max_size=4)
positions = st.builds(Position, parts, st.integers(0, 1_000))


@given(positions)
def test_it_survives_json(position: Position) -> None:
    assert Position.from_json(position.to_json()) == position


@given(positions, positions)
def test_merging_keeps_the_newer_value_of_every_partition(old: Position, new: Position) -> None:
    merged = old.merge(new)
    assert all(merged.parts[key] == value for key, value in new.parts.items())
    assert set(merged.parts) == {*old.parts, *new.parts}


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(Fatal, match="format 2"):
        Position.from_dict({"format": 2, "parts": {}})


def at(sequence: int) -> Position:
    return Position({"": sequence}, sequence)


@pytest.mark.parametrize(
    ("committed", "announced", "sink", "expected"),
    [
        (None, 0, None, 0),  # fresh
        (None, 1, None, 0),  # killed before the first commit
        (None, 1, 1, 1),  # killed after it, before the ledger heard
        (5, 5, 5, 5),  # all well
        (5, 6, 5, 5),  # killed before the commit
        (5, 6, 6, 6),  # killed after it
    ],
)
def test_a_crash_is_gone_on_from_where_the_sink_is(
    committed: int | None, announced: int, sink: int | None, expected: int
) -> None:
    entry = Entry(at(committed) if committed else None, announced)
    found = reconcile(entry, at(sink) if sink else None, on_lost=OnLost.FAIL, where="x")
    assert found.sequence == expected
    assert found.parts.get("", 0) == expected


@pytest.mark.parametrize(
    ("committed", "announced", "sink"),
    [(5, 5, 3), (5, 5, None), (5, 6, 4), (5, 5, 6), (None, 0, 4), (5, 6, 8)],
)
def test_a_restored_backup_stops_unless_the_policy_says_what_to_do(
    committed: int | None, announced: int, sink: int | None
) -> None:
    entry = Entry(at(committed) if committed else None, announced)
    stored = at(sink) if sink else None
    with pytest.raises(PositionLost) as caught:
        reconcile(entry, stored, on_lost=OnLost.FAIL, where="daily/extract -> shop.x")
    assert caught.value.exit_code == 4
    assert "--on-lost" in str(caught.value.hint)
    trusted = reconcile(entry, stored, on_lost=OnLost.TRUST_SINK, where="x")
    restarted = reconcile(entry, stored, on_lost=OnLost.RESTART, where="x")
    highest = max(committed or 0, announced, sink or 0)
    assert trusted.sequence == restarted.sequence == highest
    assert trusted.parts == (stored.parts if stored else {})
    assert restarted.parts == {}
