from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient

from levada.errors import PositionLost
from levada.positions import Position
from levada.state import Entry, OnLost, Positions, Store, reconcile

DATE = {"": {"$date": "2026-11-24T00:00:00Z"}}


@pytest.fixture
def positions(mongo: MongoClient[dict[str, Any]], database: str) -> Positions:
    return Positions(Store(mongo, database))


def test_what_was_announced_and_confirmed_is_remembered(positions: Positions) -> None:
    assert positions.entry("p/s", "db.t") == Entry()
    positions.announce("p/s", "db.t", 1)
    assert positions.entry("p/s", "db.t") == Entry(None, 1)
    positions.confirm("p/s", "db.t", Position(DATE, 1))
    positions.announce("p/s", "db.t", 2)
    assert positions.entry("p/s", "db.t") == Entry(Position(DATE, 1), 2)
    assert positions.entry("p/s", "db.other") == Entry()


def test_who_wakes_up_late_does_not_turn_the_ledger_back(positions: Positions) -> None:
    positions.announce("p/s", "db.t", 1)  # here it is paused, after its commit
    positions.announce("p/s", "db.t", 2)
    positions.confirm("p/s", "db.t", Position(DATE, 2))
    positions.announce("p/s", "db.t", 3)
    positions.confirm("p/s", "db.t", Position({}, 1))
    positions.announce("p/s", "db.t", 1)
    assert positions.entry("p/s", "db.t") == Entry(Position(DATE, 2), 3)


@pytest.mark.parametrize(
    ("committed", "announced", "sink", "goes_on_from"),
    [
        (0, 0, 0, 0),
        (0, 1, 0, 0),  # killed before the first commit
        (0, 1, 1, 1),  # killed after it
        (4, 5, 4, 4),
        (4, 5, 5, 5),
        (4, 4, 3, None),  # the table was restored
        (4, 5, 0, None),
        (4, 4, 5, None),  # the ledger was
        (0, 0, 1, None),
        (4, 5, 6, None),
    ],
)
def test_a_crash_is_told_apart_from_a_restored_backup(
    committed: int, announced: int, sink: int, goes_on_from: int | None
) -> None:
    entry = Entry(Position(DATE, committed) if committed else None, announced)
    stored = Position(DATE, sink) if sink else None
    if goes_on_from is not None:
        found = reconcile(entry, stored, on_lost=OnLost.FAIL, where="p/s")
        assert found.sequence == goes_on_from
        return
    with pytest.raises(PositionLost):
        reconcile(entry, stored, on_lost=OnLost.FAIL, where="p/s")
    highest = max(committed, announced, sink)
    assert reconcile(entry, stored, on_lost=OnLost.RESTART, where="p/s") == Position({}, highest)
    trusted = reconcile(entry, stored, on_lost=OnLost.TRUST_SINK, where="p/s")
    assert trusted == Position(DATE if sink else {}, highest)
