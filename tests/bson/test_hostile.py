"""Bytes that are not BSON: rejected one by one, never an exception, never at the cost of their neighbours."""

import re
import struct

import bson
import numpy as np
import pytest
from bson.errors import InvalidBSON
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from levada.bson import Decoder, Documents, encode

from . import bson_values as bv

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("way")]

relaxed = settings(
    max_examples=200,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

GOOD = [bson.encode({"a": at, "b": f"text {at}", "c": [{"x": at}] * (at % 3)}) for at in range(20)]


def decode(raws):
    batch, rejected = Decoder().decode(Documents.from_list(raws))
    batch.validate(full=True)
    assert batch.num_rows + len(rejected) == len(raws)
    return batch, rejected


def reason_of(bad):
    """Why one document is rejected among good ones; they must all come through, in order."""
    batch, rejected = decode([*GOOD[:7], bad, *GOOD[7:]])
    assert encode(batch)[0].to_pylist() == GOOD
    assert [one.raw for one in rejected] == [bad]
    return rejected[0].reason


def prefix(length):
    return struct.pack("<i", length)


STRING = bv.raw_string(b"x")
BAD = {
    "a name twice": (bv.raw_document((16, b"a", bytes(4)), (16, b"a", bytes(4))), "twice"),
    "a name twice, with a null": (bv.raw_document((16, b"a", bytes(4)), (10, b"a", b"")), "twice"),
    "a name twice in a document below": (
        bv.raw_document((3, b"d", bv.raw_document((10, b"x", b""), (10, b"x", b"")))),
        "twice",
    ),
    "a string of broken UTF-8": (bv.raw_document((2, b"b", bv.raw_string(b"\xff"))), "UTF-8"),
    "a name of broken UTF-8": (bv.raw_document((10, b"\xc3", b"")), "UTF-8"),
    "a regex of broken UTF-8": (bv.raw_document((11, b"r", b"\xff\0i\0")), "UTF-8"),
    "a symbol of broken UTF-8": (bv.raw_document((14, b"s", bv.raw_string(b"\xe2\x82"))), "UTF-8"),
    "a string longer than its document": (
        bv.raw_document((2, b"b", prefix(2**31 - 1) + b"x\0")),
        "length",
    ),
    "a string of negative length": (bv.raw_document((2, b"b", prefix(-5) + b"x\0")), "length"),
    "a string without its NUL": (bv.raw_document((2, b"b", prefix(2) + b"xy")), "terminator"),
    "a document longer than its parent": (
        bv.raw_document((3, b"d", prefix(400) + b"\0")),
        "length",
    ),
    "a document of length 4": (bv.raw_document((3, b"d", prefix(4) + b"\0")), "length"),
    "binary data of negative length": (
        bv.raw_document((5, b"d", prefix(-1) + b"\0")),
        "length",
    ),
    "old binary data with a wrong inner length": (
        bv.raw_document((5, b"d", struct.pack("<iBi", 4, 2, 9))),
        "inner length",
    ),
    "a boolean of 2": (bv.raw_document((8, b"t", b"\x02")), "boolean"),
    "a value cut off": (bv.raw_document((18, b"n", b"\0\0")), "longer"),
    "a type that does not exist": (bv.raw_document((20, b"n", b"")), "unknown BSON type 20"),
    "a type that does not exist, in an array": (
        bv.raw_document((4, b"c", bv.raw_document((33, b"0", b"")))),
        "33",
    ),
    "a name without an end": (prefix(9) + b"\x0aabc\0", "name"),
    "no terminator": (prefix(12) + b"\x10a\0" + bytes(4) + b"\1", "terminator"),
    "a length prefix too large": (prefix(13) + b"\x10a\0" + bytes(5), "length"),
    "a length prefix too small": (prefix(5) + b"\x10a\0" + bytes(5), "length"),
    "nothing": (b"", "length"),
    "less than a length": (b"\x05\0", "length"),
    "a code whose scope is cut": (
        bv.raw_document((15, b"c", prefix(15) + STRING + prefix(6) + b"\0")),
        "length",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD.keys())
def test_rejects(bad, reason):
    assert re.search(reason, reason_of(bad))


def deep(levels):
    doc = bson.encode({"leaf": 1})
    for _ in range(levels - 1):
        doc = bv.raw_document((3, b"d", doc))
    return doc


def test_rejects_what_is_nested_deeper_than_200_levels_and_keeps_200():
    batch, rejected = decode([deep(200), deep(201), GOOD[0]])
    assert [one.raw for one in rejected] == [deep(201)]
    assert "deeper" in rejected[0].reason
    assert encode(batch, omit_nulls=True)[0].to_pylist() == [deep(200), GOOD[0]]


def test_a_rejected_document_does_not_widen_the_schema():
    decoder = Decoder()
    decoder.decode(Documents.from_list(GOOD))
    before = decoder.schema
    bad = bv.raw_document((2, b"a", STRING), (2, b"b", bv.raw_string(b"\xff")))
    _, rejected = decoder.decode(Documents.from_list([bad, GOOD[0]]))
    assert len(rejected) == 1
    assert decoder.schema.equals(before, check_metadata=True)


def test_documents_outside_the_buffer_are_rejected():
    documents = Documents(GOOD[0], np.array([0, 5]), np.array([len(GOOD[0]), 10**9]))
    batch, rejected = Decoder().decode(documents)
    assert (batch.num_rows, len(rejected)) == (1, 1)


def read(raw):
    """The document as PyMongo reads it; None where it refuses."""
    try:
        return bv.read(raw)
    except (InvalidBSON, ValueError, OverflowError):
        return None


mutations = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=3)


@relaxed
@given(
    docs=st.lists(st.one_of(bv.plain, bv.documents), min_size=1, max_size=5),
    changes=mutations,
)
def test_mutated_bytes_are_read_as_pymongo_reads_them_or_rejected(docs, changes):
    raws = [bytearray(bson.encode(doc)) for doc in docs]
    whole = sum(map(len, raws))
    for at, byte in changes:
        place = at % whole
        for raw in raws:
            if place < len(raw):
                raw[place] = byte
                break
            place -= len(raw)
    batch, rejected = decode([*map(bytes, raws), GOOD[0]])
    reasons = {one.raw: one.reason for one in rejected}
    kept = [bytes(raw) for raw in raws if bytes(raw) not in reasons]
    for raw, reason in reasons.items():
        assert read(raw) is None or "twice" in reason
    restored, refused = encode(batch, omit_nulls=True)
    assert refused == ()
    assert bv.alike(read(restored[-1].as_py()), read(GOOD[0]))
    for before, after in zip(kept, restored.to_pylist(), strict=False):
        if (expected := read(before)) is not None:
            assert bv.alike(expected, read(after)), (expected, read(after))
