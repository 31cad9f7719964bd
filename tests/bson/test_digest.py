"""Digests of documents: the same from both codecs, and those of hashlib over what PyMongo encodes."""

from __future__ import annotations

import hashlib
from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.bson import Documents, digests

pytestmark = pytest.mark.unit

ROWS: list[dict[str, Any]] = [
    {},
    {"_id": 1},
    {"_id": bson.ObjectId(), "a": 1},
    {"a": {"_id": 1}, "_id": {"x": [1, {"_id": 2}]}, "b": "_id\0"},
    {"customer_id": 7, "a": "x" * 500, "_id": "text"},
    {"a": 1},
]


def of_hashlib(raws: list[bytes]) -> list[bytes]:
    return [hashlib.blake2b(raw, digest_size=16).digest() for raw in raws]


def of_levada(raws: list[bytes], *, without_id: bool) -> list[bytes]:
    found = digests(Documents.from_list(raws), without_id=without_id)
    assert found.shape == (len(raws), 2)
    assert found.dtype == np.uint64
    return [row.tobytes() for row in found]


@pytest.mark.usefixtures("codec")
class TestDigests:
    def test_they_are_those_of_the_document_without_its_id(self) -> None:
        raws = [bson.encode(row) for row in ROWS]
        bare = [bson.encode({name: row[name] for name in row if name != "_id"}) for row in ROWS]
        assert of_levada(raws, without_id=True) == of_hashlib(bare)
        assert of_levada(raws, without_id=False) == of_hashlib(raws)

    def test_malformed_documents_are_digested_as_they_are(self) -> None:
        good = bson.encode({"_id": 1, "a": "text"})
        broken = [good[:-1], b"", b"\5\0\0\0\1", good.replace(b"\x10_id", b"\x77_id"), good[:6]]
        assert of_levada(broken, without_id=True) == of_hashlib(broken)

    def test_documents_in_a_part_of_a_buffer(self) -> None:
        raws = [bson.encode(row) for row in ROWS]
        whole = Documents.from_list(raws)
        assert (
            digests(whole.take(np.array([3, 1])), without_id=True).tolist()
            == digests(whole, without_id=True)[[3, 1]].tolist()
        )
        assert digests(whole.take(np.array([], np.int64)), without_id=True).shape == (0, 2)

    @given(st.binary(max_size=60))
    def test_any_bytes_have_a_digest(self, raw: bytes) -> None:
        framed = (len(raw) + 5).to_bytes(4, "little") + raw + b"\0"
        (found,) = of_levada([framed], without_id=False)
        assert found == of_hashlib([framed])[0]
        assert of_levada([framed], without_id=True)
