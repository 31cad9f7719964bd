"""Documents as raw fields, beside what PyMongo's dictionaries make of them."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.connectors.mongodb import fields

from .test_scan import every_type

pytestmark = pytest.mark.unit

Document = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "_id", "a_id", "x.y", "$d", ""])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.just(bson.Decimal128("1.0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: bare(inner) for name, inner in value.items() if inner is not None}
    return [bare(inner) for inner in value] if isinstance(value, list) else value


def merged(stored: Document, new: Document, *, deep: bool, on_null: str) -> Document:
    result = dict(stored)
    for name, value in new.items():
        if value is None and on_null == "unset":
            result.pop(name, None)
        elif value is None and on_null == "keep":
            pass
        elif deep and isinstance(value, dict):
            old = result.get(name)
            result[name] = merged(old if isinstance(old, dict) else {}, value, deep=True, on_null=on_null)
        else:
            result[name] = bare(value) if on_null == "unset" else value
    return result


@given(DOCUMENTS)
def test_a_document_comes_apart_like_a_dictionary(document: Document) -> None:
    raw = bson.encode(document)
    assert fields.without_nulls(raw) == bson.encode(bare(document))
    rest = {name: value for name, value in document.items() if name != "_id"}
    assert fields.without_id(raw) == bson.encode(rest)
    assert fields.names_an_operator(raw) == any(name.startswith("$") for name in document)
    for name, value in document.items():
        encoded = bson.encode({"": value})
        assert fields.at(raw, (name.encode(),)) == encoded[4:5] + encoded[6:-1]
    assert fields.at(raw, (b"nowhere",)) is None


@given(DOCUMENTS, DOCUMENTS, st.booleans(), st.sampled_from(["write", "unset", "keep"]))
def test_documents_merge_like_dictionaries(stored: Document, new: Document, deep: bool, on_null: str) -> None:
    stored, new = (bson.decode(bson.encode(each)) for each in (stored, new))  # PyMongo puts _id in front
    found = fields.merged(bson.encode(stored), bson.encode(new), deep=deep, on_null=on_null)
    expected = merged(stored, new, deep=deep, on_null=on_null)
    assert bson.decode(found) == expected
    if "_id" not in expected:
        assert found == bson.encode(expected)


def test_every_type_passes_through_a_merge_byte_for_byte() -> None:
    raw = bson.encode(every_type())
    assert fields.merged(raw, raw, deep=True, on_null="write") == raw
    assert fields.merged(bson.encode({}), raw, deep=False, on_null="write") == raw


@pytest.mark.parametrize("identity", [bson.ObjectId(), "text", 1, bson.Int64(2), {"a": 1}, 1.5, True])
def test_an_id_is_taken_out_and_put_back(identity: Any) -> None:
    raw = bson.encode({"_id": identity, "customer_id": 1})
    body = fields.without_id(raw)
    assert bson.decode(body) == {"customer_id": 1}
    assert fields.with_id(fields.at(raw, (b"_id",)), body) == raw


def test_paths_lead_through_documents_only() -> None:
    raw = bson.encode({"a": {"b": 1}, "l": [{"b": 1}], "s": "b"})
    assert fields.at(raw, (b"a", b"b")) == b"\x10\x01\0\0\0"
    assert fields.at(raw, (b"l", b"b")) is None
    assert fields.at(raw, (b"s", b"b")) is None
