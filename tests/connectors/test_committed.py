"""What may follow what an owner committed last: the rules that all sinks share."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.connectors.base import Fence, Mode, Table, Write
from levada.connectors.committed import FORMAT, Committed, logical_of
from levada.errors import Fatal, Fenced
from levada.positions import Position

pytestmark = pytest.mark.unit


def write(epoch: int | None = None) -> Write:
    return Write(Table("t", "items"), Mode.APPEND, "p/s", fence=None if epoch is None else Fence(epoch))


def test_a_later_position_and_an_equal_or_newer_epoch_follow() -> None:
    known = Committed(3, 7, Position({"": 1}, 7).to_json())
    for epoch in (3, 4):
        after = known.then(write(epoch), Position({"": 2}, 9))
        assert (after.epoch, after.sequence, after.last) == (epoch, 9, Position({"": 2}, 9))


def test_without_a_position_or_a_fence_the_old_ones_stay() -> None:
    known = Committed(3, 7, Position({"": 1}, 7).to_json())
    for nothing in (None, Position({"": 5}, 0)):
        assert known.then(write(), nothing) == known
        assert known.then(write(4), nothing).last == Position({"": 1}, 7)


@pytest.mark.parametrize("sequence", [6, 7])
def test_a_position_that_is_there_already_is_fenced(sequence: int) -> None:
    with pytest.raises(Fenced, match=f"is at commit {sequence}, the table has 7 already"):
        Committed(3, 7).then(write(3), Position({}, sequence))


@pytest.mark.parametrize("position", [None, Position({}, 8)])
def test_an_older_epoch_is_fenced(position: Position | None) -> None:
    with pytest.raises(Fenced, match="has epoch 2, the table has seen 3"):
        Committed(3, 7).then(write(2), position)


def test_an_owner_that_never_committed_has_no_position() -> None:
    assert Committed().last is None
    assert Committed().then(write(1), None) == Committed(1)


def test_a_logical_schema_of_a_newer_format_is_not_guessed_at() -> None:
    schema = pa.schema([pa.field("x", pa.string(), metadata={"levada.bson": "objectId"})], {"a": "b"})
    stored = schema.serialize().to_pybytes()
    assert logical_of("items", FORMAT, stored).equals(schema, check_metadata=True)
    with pytest.raises(Fatal, match=f"items has format {FORMAT + 1}"):
        logical_of("items", FORMAT + 1, stored)
