from __future__ import annotations

from itertools import pairwise
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId

from levada.connectors.mongodb.lanes import lane_of
from levada.connectors.mongodb.raw import parsed
from levada.connectors.mongodb.rows import CHUNK_ROWS, Numbering, Rows, chunks, identity

from .conftest import DAY, batch

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "key", [ObjectId(), "ab", "", 1, 2**40, 1.5, True, DAY.start, {"a": 1}, b"x", bson.Decimal128("1"), None]
)
def test_the_identity_is_the_type_and_the_bytes_of_the_id_wherever_it_stands(key: Any) -> None:
    alone = bson.encode({"k": key})
    expected = alone[4:5] + alone[7:-1]
    assert identity(bson.encode({"_id": key, "x": "_id"})) == expected
    assert identity(bson.encode(bson.SON([("x", {"_id": 1}), ("_id", key)]))) == expected


@pytest.mark.parametrize("document", [{}, {"x": "_id\0"}, {"x": {"_id": 1}}, {"_idx": 1}])
def test_no_id_is_no_identity(document: dict[str, Any]) -> None:
    assert identity(bson.encode(document)) is None


def test_numbered_documents_keep_their_fields_and_stay_in_the_range_of_the_attempt() -> None:
    numbering = Numbering()
    good, rejected = Rows(numbering).of(batch({"a": 1}, {"_id": 7, "a": 2}, {"a": 3}))
    assert rejected == []
    decoded = [bson.decode(document) for document in good]
    assert [row["a"] for row in decoded] == [1, 2, 3]
    assert decoded[1]["_id"] == 7
    assert decoded[0]["_id"] < decoded[2]["_id"]
    assert {decoded[at]["_id"].binary[:8] for at in (0, 2)} == {numbering.prefix}


def test_a_tag_replaces_one_that_is_there() -> None:
    (tagged,), _ = Rows(tag="new").of(batch({"_levada_window": "old", "a": 1}))
    assert bson.decode(tagged) == {"a": 1, "_levada_window": "new"}


def test_chunks_are_bounded_and_lose_nothing() -> None:
    documents = [bytes(size) for size in (1, 5_000_000, 1, 3_999_999, 1, 2, *[1] * 4500)]
    cut = list(chunks(documents))
    assert [document for chunk in cut for document in chunk] == documents
    assert all(len(chunk) <= CHUNK_ROWS for chunk in cut)
    assert all(len(chunk) == 1 or sum(map(len, chunk)) <= 4_000_000 for chunk in cut)


def test_neighbouring_ids_share_a_lane_and_both_lanes_are_used() -> None:
    keys = [identity(bson.encode({"_id": number})) or b"" for number in range(8192)]
    lanes = [lane_of(key) for key in keys]
    assert sum(a != b for a, b in pairwise(lanes)) == 3
    assert set(lanes) == {0, 1}
    wide = [identity(bson.encode({"_id": bson.Int64(number)})) or b"" for number in range(8192)]
    assert [lane_of(key) for key in wide] == lanes


def test_values_that_python_cannot_hold_can_be_looked_past() -> None:
    document = bson.encode({"_id": 1, "d": bson.DatetimeMS(2**62), "s": "ab"}).replace(b"ab", b"\xff\xfe")
    assert parsed(document)["_id"] == 1
