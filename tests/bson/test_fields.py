"""Values at paths and differences of documents: the same from both codecs, and what plain decoding says."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from levada.bson import Documents, differences, values_at

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("codec")]

NAMES = st.sampled_from(["a", "b", "c", "d.e", "$f", "", "ä"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    st.binary(max_size=5),
    st.builds(bson.ObjectId, st.binary(min_size=12, max_size=12)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.dictionaries(NAMES, VALUES, max_size=5)


def element(value: Any) -> bytes:
    raw = bson.encode({"": value})
    return raw[4:5] + raw[6:-1]


def holds_dollar(value: Any) -> bool:
    return isinstance(value, (dict, list)) and b"$" in bson.encode({"": value})


def setting(old: bytes, new: bytes) -> bytes | None:
    (found,) = differences(Documents.from_list([old]), Documents.from_list([new]))
    return found


@given(st.lists(ROWS, max_size=4), st.lists(NAMES, min_size=1, max_size=3))
def test_the_value_at_a_path_is_what_decoding_finds_there(
    rows: list[dict[str, Any]], path: list[str]
) -> None:
    wanted = []
    for row in rows:
        value: Any = row
        for name in path:
            value = value[name] if isinstance(value, dict) and name in value else ...
        wanted.append(None if value is ... else element(value))
    documents = Documents.from_list([bson.encode(row) for row in rows])
    assert values_at(documents, [name.encode() for name in path]) == wanted


@given(ROWS, st.dictionaries(NAMES, VALUES, max_size=2))
def test_setting_the_differences_makes_the_new_document(old: dict[str, Any], change: dict[str, Any]) -> None:
    new = old | change
    found = setting(bson.encode(old), bson.encode(new))
    differing = {
        name: value for name, value in new.items() if name not in old or element(old[name]) != element(value)
    }
    unfit = [n for n, v in differing.items() if not n or n[0] == "$" or "." in n or holds_dollar(v)]
    if unfit or list(new) != list(old):
        assert found is None
    else:
        assert found == bson.encode(differing)[4:-1]


def test_other_names_or_another_order_of_them_are_no_differences() -> None:
    old = bson.encode({"a": 1, "b": 2})
    assert setting(old, bson.encode({"b": 2, "a": 1})) is None
    assert setting(old, bson.encode({"a": 1})) is None
    assert setting(old, bson.encode({"a": 1, "b": 2, "c": 3})) is None
    assert setting(old, old) == b""


def test_equal_numbers_of_other_types_differ() -> None:
    found = setting(bson.encode({"a": 1}), bson.encode({"a": bson.Int64(1)}))
    assert found == bson.encode({"a": bson.Int64(1)})[4:-1]


def test_names_that_come_twice_are_not_set() -> None:
    twice = bson.encode({"a": 1, "b": 2}).replace(b"\x10b\0", b"\x10a\0")
    assert setting(twice, twice.replace(b"\2\0\0\0", b"\3\0\0\0")) is None


def test_malformed_documents_have_neither() -> None:
    good = bson.encode({"a": 1, "b": "text"})
    for broken in (
        good[:-1],
        b"",
        good.replace(b"\x02b", b"\x77b"),
        good.replace(b"\5\0\0\0text", b"\xff\0\0\0text"),
    ):
        assert setting(good, broken) is None
        assert setting(broken, good) is None
        assert values_at(Documents.from_list([broken]), [b"b"]) == [None]


def test_a_path_does_not_lead_through_arrays() -> None:
    documents = Documents.from_list([bson.encode({"a": [{"b": 1}]}), bson.encode({"a": {"b": 1}})])
    assert values_at(documents, [b"a", b"b"]) == [None, element(1)]
    assert RawBSONDocument(documents.slices()[1])["a"]["b"] == 1


def test_no_documents_have_no_values() -> None:
    nothing = Documents.from_list([])
    assert values_at(nothing, [b"a"]) == []
    assert differences(nothing, nothing) == []
