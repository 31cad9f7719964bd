"""Both profiles of the same documents, against counts made from PyMongo's dictionaries."""

from collections import Counter, defaultdict

import bson
import numpy as np
import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.bson import Documents, profile
from levada.bson.native_profile import Profile as NativeProfile
from levada.bson.native_profile import profiler
from levada.bson.paths import paths_of, types_of

from . import bson_values as bv
from .conftest import need_native

pytestmark = pytest.mark.unit

relaxed = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

PROFILES = (profile.Profile, NativeProfile)


@pytest.fixture
def profiled(codec):
    """Profiles raw documents (or dictionaries)."""

    def run(docs):
        found = profiler()
        raws = [doc if isinstance(doc, bytes) else bson.encode(doc) for doc in docs]
        for first in range(0, len(raws), 100):
            found.add(Documents.from_list(raws[first : first + 100]))
        return found.result()

    return run


def table(found):
    return {path.path: path for path in paths_of(found.root)}


def counts(path):
    return {one.name: one.count for one in path.types} | ({"null": path.nulls} if path.nulls else {})


DOCS = [
    {"_id": 1, "n": 1, "s": "a", "items": [{"sku": "x", "qty": 1}, {"sku": "y"}]},
    {"_id": 2, "n": Int64(2), "s": None, "items": []},
    {"_id": 3, "n": "3", "items": [{"sku": None}, 5]},
    {"_id": 4, "n": 4.5, "s": "b", "items": None, "d": {"x": Decimal128("1.5")}},
]


def test_counts_types_nulls_and_what_is_missing(profiled):
    found = table(profiled(DOCS))
    assert list(found) == [
        *("_id", "n", "s", "items", "items[]", "items[].sku", "items[].qty", "d", "d.x"),
    ]
    assert counts(found["n"]) == {"int": 1, "long": 1, "string": 1, "double": 1}
    assert (found["s"].nulls, found["s"].missing, found["s"].parents) == (1, 1, 4)
    assert counts(found["items[]"]) == {"object": 3, "int": 1}
    assert (found["items[].sku"].missing, found["items[].sku"].nulls) == (0, 1)
    assert (found["items[].qty"].missing, found["items[].qty"].parents) == (2, 3)
    assert (found["d.x"].missing, found["d"].missing) == (0, 3)


def test_measures_arrays(profiled):
    lengths = table(profiled(DOCS))["items"].lengths
    assert (lengths.least, lengths.most, lengths.sum) == (0, 2, 4)


def test_keeps_few_short_examples_of_each_type(profiled):
    docs = (
        [{"s": f"value {at % 7}"} for at in range(50)] + [{"s": at} for at in range(2)] + [{"s": "é" * 500}]
    )
    types = {one.name: one for one in table(profiled(docs))["s"].types}
    assert types["string"].examples == ("value 0", "value 1", "value 2")
    assert types["int"].examples == ("0", "1")
    (long,) = table(profiled(docs[-1:]))["s"].types
    assert long.examples == ("é" * 39 + "…",)


def test_examples_of_every_type_can_be_read(profiled):
    every = {
        "oid": ObjectId("0123456789abcdef01234567"),
        "uuid": Binary(bytes(range(16)), 4),
        "decimal": Decimal128("1.50"),
        "code": Code("f()"),
        "scoped": Code("g()", {"a": 1}),
        "binary": b"\x00\xff",
        "bool": True,
        "date": bson.DatetimeMS(0),
        "late": bson.DatetimeMS(2**62),
        "regex": bson.Regex("^a", "i"),
        "stamp": bson.Timestamp(5, 6),
        "min": bson.MinKey(),
    }
    found = {path.path: path.types[0] for path in paths_of(profiled([every]).root)}
    assert {name: (one.name, *one.examples) for name, one in found.items() if "." not in name} == {
        "oid": ("objectId", "0123456789abcdef01234567"),
        "uuid": ("uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        "decimal": ("decimal", "1.50"),
        "code": ("javascript", "f()"),
        "scoped": ("javascriptWithScope", "g()"),
        "binary": ("binData", "00ff"),
        "bool": ("bool", "true"),
        "date": ("date", "1970-01-01T00:00:00Z"),
        "late": ("date", "4611686018427387904 ms"),
        "regex": ("regex", "/^a/i"),
        "stamp": ("timestamp", "5, 6"),
        "min": ("minKey",),
    }


def test_names_that_look_like_paths_are_quoted(profiled):
    found = table(profiled([{"a.b": {"": 1}, "x[]": 1, "a b": 1, "*": 1}]))
    assert list(found) == ['"a.b"', '"a.b".""', '"x[]"', "a b", '"*"']


def test_moving_names_are_folded_into_one_path(profiled):
    docs = [{"m": {f"k{at}": {"v": at if at % 2 else str(at)}}, "n": 1} for at in range(1_500)]
    found = table(profiled(docs))
    assert list(found) == ["m", "m.*", "m.*.v", "n"]
    assert found["m"].folded
    assert (found["m.*"].seen, found["m.*"].missing) == (1_500, None)
    assert counts(found["m.*.v"]) == {"string": 750, "int": 750}
    assert found["m.*.v"].missing == 0


def test_a_thousand_names_are_not_folded_yet(profiled):
    found = table(profiled([{"m": {f"k{at}": 1 for at in range(1_000)}}]))
    assert len(found) == 1_001


def test_paths_together_are_bounded(profiled):
    docs = [{f"a{i}": {f"b{j}": 1 for j in range(900)}} for i in range(100)]
    found = table(profiled(docs))
    assert len(found) < 20_200
    assert sum(path.seen for path in found.values()) == 100 + 100 * 900


def test_malformed_documents_are_counted_by_reason(profiled):
    good = bson.encode({"a": 1})
    twice = bv.raw_document((16, b"a", bytes(4)), (16, b"a", bytes(4)))
    latin = bv.raw_document((2, b"a", bv.raw_string(b"\xff\0")))
    found = profiled([good, good[:-1], twice, twice, latin, good])
    assert found.documents == 2
    assert found.rejected == {
        "the length or terminator of the document is wrong": 1,
        "a field name appears twice in one document": 2,
        "a string is not UTF-8": 1,
    }
    assert counts(table(found)["a"]) == {"int": 2}


def test_deep_documents_are_counted_but_not_looked_into_without_end(profiled):
    doc = {"x": 1}
    for _ in range(60):
        doc = {"x": doc}
    found = profiled([doc])
    assert found.documents == 1
    assert len(table(found)) == 32


def test_positions_outside_of_the_buffer_are_malformed(codec):
    found = profiler()
    found.add(Documents(bson.encode({}), np.array([-1, 0, 2**40]), np.array([5, 2**50, 2**41])))
    assert found.result().rejected == {"the length or terminator of the document is wrong": 3}


def brute_force(docs):
    """Path -> type -> count, from dictionaries."""
    found = defaultdict(Counter)

    def look(path, value):
        found[path][type(value).__name__] += 1
        if isinstance(value, dict):
            for name, member in value.items():
                look((*path, name), member)
        if isinstance(value, list):
            for item in value:
                look((*path, 0), item)

    for doc in docs:
        look((), doc)
    return found


@given(st.lists(bv.documents, max_size=8))
@relaxed
def test_finds_what_a_walk_over_dictionaries_finds(docs):
    read = [bson.decode(bson.encode(doc), bv.OPTIONS) for doc in docs]
    expected = {path: sum(types.values()) for path, types in brute_force(read).items()}
    one = profile.Profile()
    one.add(Documents.from_list([bson.encode(doc) for doc in docs]))
    found = {}

    def look(path, node):
        if node.types:
            found[path] = sum(seen.count for seen in node.types.values())
        for name, member in node.members.items():
            look((*path, name), member)
        if node.items:
            look((*path, 0), node.items)

    look((), one.result().root)
    assert found == expected


@given(st.lists(st.one_of(bv.documents, bv.plain), max_size=8), st.data())
@relaxed
def test_both_find_the_same_in_sound_and_in_damaged_documents(docs, data):
    need_native()
    raws = []
    for doc in docs:
        raw = bytearray(bson.encode(doc))
        for _ in range(data.draw(st.integers(0, 2))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        raws.append(bytes(raw))
    found = []
    for kind in PROFILES:
        one = kind()
        one.add(Documents.from_list(raws))
        found.append(one.result())
    assert found[0] == found[1]
    assert list(paths_of(found[0].root)) == list(paths_of(found[1].root))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abcdefgh"),
            st.recursive(
                st.integers(0, 5),
                lambda inner: st.one_of(
                    st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=8),
                    st.lists(inner, max_size=2),
                ),
                max_leaves=20,
            ),
            max_size=8,
        ),
        max_size=12,
    ),
    st.integers(1, 4),
    st.integers(3, 12),
)
@relaxed
def test_nothing_is_lost_by_folding(docs, names, paths):
    """Counts of all paths together stay what they are, however early names are folded."""
    patch = pytest.MonkeyPatch()
    patch.setattr(profile, "MAX_NAMES", names)
    patch.setattr(profile, "MAX_PATHS", paths)
    try:
        one = profile.Profile()
        one.add(Documents.from_list([bson.encode(doc) for doc in docs]))
    finally:
        patch.undo()
    total = sum(sum(types.values()) for types in brute_force(docs).values())
    found = one.result().root
    assert sum(path.seen for path in paths_of(found)) + found.count(profile.DOCUMENT) == total


def test_types_have_the_names_that_mongodb_gives_them():
    assert types_of(profile.code_of(5, bytes([3, 0, 0, 0, 128, 1, 2, 3]))) == "binData:80"
    assert types_of(profile.code_of(5, bytes([3, 0, 0, 0, 4, 1, 2, 3]))) == "binData:04"


def test_both_fold_maps_of_maps_alike():
    need_native()
    docs = [
        {
            "m": {
                f"k{(7 * at + i) % 1_100}": {f"{i}": {f"x{at}": i, "same": [at, {"y": str(i)}]}}
                for i in range(60)
            }
        }
        for at in range(100)
    ]
    found = []
    for kind in PROFILES:
        one = kind()
        one.add(Documents.from_list([bson.encode(doc) for doc in docs]))
        found.append(one.result())
    assert found[0] == found[1]
    assert any(path.path == "m.*" for path in paths_of(found[0].root))
