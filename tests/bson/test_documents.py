import bson
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.batches import CANONICAL
from levada.bson import Documents, from_canonical, split_reply, to_canonical
from levada.errors import Fatal

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("codec")]

DOCS = [bson.encode({"n": n, "text": "x" * n}) for n in range(120)]


def reply(docs, batch="firstBatch", **cursor):
    body = {batch: [bson.decode(doc) for doc in docs], "id": 7, "ns": "shop.items", **cursor}
    body["id"] = bson.Int64(body["id"])
    return bson.encode({"cursor": body, "ok": 1.0})


@pytest.mark.parametrize("batch", ["firstBatch", "nextBatch"])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 120])
def test_splits_a_reply_into_its_documents(batch, count):
    split = split_reply(reply(DOCS[:count], batch))
    assert split.documents.slices() == DOCS[:count]
    assert (split.cursor_id, split.resume_token) == (7, None)


def test_finds_the_resume_token_after_an_empty_batch():
    token = {"_data": "8263"}
    assert split_reply(reply([], postBatchResumeToken=token)).resume_token == bson.encode(token)


def test_splits_a_reply_of_more_than_a_thousand_documents():
    docs = [bson.encode({"n": n}) for n in range(12_345)]
    assert split_reply(reply(docs)).documents.slices() == docs


@pytest.mark.parametrize(
    "body",
    [
        {"ok": 1.0},
        {"cursor": 3},
        {"cursor": {"id": bson.Int64(0)}},
        {"cursor": {"firstBatch": []}},
        {"cursor": {"firstBatch": [1], "id": bson.Int64(0)}},
        {"cursor": {"firstBatch": {}, "id": bson.Int64(0)}},
    ],
)
def test_refuses_what_is_not_a_cursor_reply(body):
    with pytest.raises(Fatal, match="not a cursor reply"):
        split_reply(bson.encode(body))


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_hostile_replies_raise_fatal_or_stay_inside_the_reply(changes):
    raw = bytearray(reply(DOCS[:12]))
    for at, byte in changes:
        raw[at % len(raw)] = byte
    try:
        documents = split_reply(bytes(raw)).documents
    except Fatal:
        return
    assert (documents.starts < documents.ends).all()
    assert (documents.ends < len(raw)).all()


def test_canonical_rows_are_the_documents_byte_for_byte():
    batch = to_canonical(split_reply(reply(DOCS)).documents)
    assert batch.schema.equals(CANONICAL, check_metadata=True)
    assert batch.column(0).to_pylist() == DOCS
    assert from_canonical(batch).slices() == DOCS


def test_canonical_rows_share_memory_with_documents_that_touch():
    documents = Documents.from_list(DOCS)
    data = to_canonical(documents).column(0).buffers()[2]
    assert data.address == pa.py_buffer(documents.buffer).address


def test_canonical_rows_of_a_slice_are_only_its_own():
    assert from_canonical(to_canonical(Documents.from_list(DOCS)).slice(5, 3)).slices() == DOCS[5:8]


def test_canonical_rows_follow_the_order_of_the_slices():
    documents = Documents.from_list(DOCS).take(np.array([3, 1, 1, 2]))
    assert to_canonical(documents).column(0).to_pylist() == [DOCS[3], DOCS[1], DOCS[1], DOCS[2]]


def test_no_documents_are_an_empty_batch():
    batch = to_canonical(Documents.from_list([]))
    assert batch.num_rows == 0
    assert len(from_canonical(batch)) == 0
