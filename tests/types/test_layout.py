from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.types import widen
from levada.types.layout import (
    Change,
    change,
    from_stored,
    grown_type,
    readable_schema,
    row_text,
    stored_schema,
    stored_type,
    to_stored,
    unstorable_rows,
)

pytestmark = pytest.mark.unit

#: Types that must come back as they were, each with values for it.
LEAVES: list[tuple[pa.DataType, st.SearchStrategy[object]]] = [
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint8(), st.integers(0, 2**8 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=5)),
    (pa.large_string(), st.text(max_size=5)),
    (pa.binary(), st.binary(max_size=5)),
    (pa.binary(2), st.binary(min_size=2, max_size=2)),
    (pa.null(), st.none()),
    (pa.timestamp("ms", "UTC"), st.integers(-(2**53), 2**53)),
    (pa.timestamp("us"), st.integers(-(2**53), 2**53)),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
    (pa.duration("us"), st.integers(-(2**40), 2**40)),
    (pa.decimal128(38, 2), st.decimals(-(10**9), 10**9, places=2)),
    (pa.struct([]), st.just({})),
]


@st.composite
def columns(draw: st.DrawFn, depth: int = 2) -> pa.Array:
    kind, values = draw(kinds(depth))
    return pa.array(draw(st.lists(st.none() | values, max_size=4)), kind)


def kinds(depth: int) -> st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[object]]]:
    leaves = st.sampled_from(LEAVES)
    if not depth:
        return leaves
    inner = kinds(depth - 1)
    lists = inner.map(lambda k: (pa.list_(k[0]), st.lists(st.none() | k[1], max_size=3)))
    structs = st.lists(inner, min_size=1, max_size=3).map(
        lambda ks: (
            pa.struct([(f"f{i}", k[0]) for i, k in enumerate(ks)]),
            st.fixed_dictionaries({f"f{i}": st.none() | k[1] for i, k in enumerate(ks)}),
        )
    )
    return leaves | lists | structs


@given(columns())
def test_what_is_stored_comes_back_as_it_was(column: pa.Array) -> None:
    batch = pa.RecordBatch.from_arrays([column, pa.array(range(len(column)))], names=["c", "k"])
    stored = to_stored(batch, stored_schema(batch.schema))
    restored = from_stored(stored, readable_schema(batch.schema, stored.schema))
    restored.validate(full=True)
    assert restored.schema.equals(batch.schema)
    assert restored.equals(batch)


@given(columns())
def test_the_stored_form_is_its_own(column: pa.Array) -> None:
    stored = stored_type(column.type)
    assert stored_type(stored) == stored


@pytest.mark.parametrize("kind", [pa.large_list(pa.int8()), pa.list_(pa.int8(), 2), pa.list_view(pa.int8())])
def test_every_kind_of_list_is_a_plain_list(kind: pa.DataType) -> None:
    assert stored_type(kind) == pa.list_(pa.int8())


def test_a_decimal_beyond_the_store_is_text_and_comes_back() -> None:
    column = pa.array([Decimal("1" * 50 + ".25")], pa.decimal256(60, 2))
    batch = pa.RecordBatch.from_arrays([column], names=["c"])
    stored = to_stored(batch, stored_schema(batch.schema))
    assert stored["c"].to_pylist() == ["1" * 50 + ".25"]
    assert from_stored(stored, batch.schema).equals(batch)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=20), st.integers(0, 3))
def test_exactly_the_times_that_overflow_are_unstorable(counts: list[int | None], skip: int) -> None:
    times = pa.array(counts, pa.timestamp("ms", "UTC"))
    offsets = pa.array(range(len(counts) + 1), pa.int32())
    batch = pa.RecordBatch.from_arrays([pa.ListArray.from_arrays(offsets, times)], names=["deep"]).slice(skip)
    wanted = [i for i, n in enumerate(counts[skip:]) if n is not None and not -(2**63) <= n * 1000 < 2**63]
    assert [row for row, _ in unstorable_rows(batch)] == wanted


def test_a_slice_is_stored_though_its_neighbours_can_not_be() -> None:
    times = pa.array([2**62, 5], pa.timestamp("ms", "UTC"))
    batch = pa.RecordBatch.from_arrays([pa.ListArray.from_arrays([0, 1, 2], times)], names=["deep"]).slice(1)
    stored = to_stored(batch, stored_schema(batch.schema))
    assert stored["deep"].flatten().cast(pa.int64()).to_pylist() == [5000]


def test_a_row_as_text_shows_values_that_python_has_no_type_for() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "t": pa.array([2**62], pa.timestamp("ms", "UTC")),
            "s": pa.array([{"d": timedelta(seconds=1), "l": [b"\xff"]}]),
            "n": pa.nulls(1),
            "x": pa.array([Decimal("1.10")]),
        }
    )
    assert json.loads(row_text(batch, 0)) == {
        "t": 2**62,
        "s": {"d": 1_000_000, "l": ["ff"]},
        "n": None,
        "x": "1.10",
    }


@pytest.mark.parametrize(
    ("old", "new", "needed"),
    [
        (pa.int32(), pa.int32(), Change.NONE),
        (pa.int32(), pa.int64(), Change.CONVERT),
        (pa.int64(), pa.int32(), Change.NONE),
        (pa.int64(), pa.float64(), Change.CONVERT),
        (pa.string(), pa.int32(), Change.CONVERT),
        (pa.null(), pa.int32(), Change.GROW),
        (pa.int32(), pa.null(), Change.NONE),
        (pa.struct([("a", pa.int32())]), pa.struct([("b", pa.int32())]), Change.GROW),
        (pa.struct([]), pa.struct([("b", pa.int32())]), Change.GROW),
        (pa.struct([("a", pa.int32())]), pa.struct([("a", pa.string())]), Change.CONVERT),
        (pa.list_(pa.null()), pa.list_(pa.int32()), Change.SETTLE),
        (pa.struct([("l", pa.list_(pa.null()))]), pa.struct([("l", pa.list_(pa.int32()))]), Change.SETTLE),
        (pa.list_(pa.struct([("a", pa.int32())])), pa.list_(pa.struct([("b", pa.int32())])), Change.GROW),
        (pa.list_(pa.int32()), pa.list_(pa.int64()), Change.CONVERT),
        (pa.decimal128(10, 2), pa.decimal128(12, 4), Change.CONVERT),
    ],
)
def test_says_what_a_stored_column_needs(old: pa.DataType, new: pa.DataType, needed: Change) -> None:
    before, after = pa.field("x", old), pa.field("x", new)
    assert change(before, widen(pa.schema([before]), pa.schema([after])).field(0)) is needed


def test_growing_keeps_the_order_of_stored_fields_and_placeholders() -> None:
    stored = stored_type(pa.struct([("e", pa.struct([])), ("a", pa.int32())]))
    wanted = pa.struct([("a", pa.int32()), ("e", pa.struct([("y", pa.string())])), ("z", pa.int64())])
    grown = grown_type(stored, wanted)
    assert [field.name for field in grown] == ["e", "a", "z"]
    assert [field.name for field in grown.field("e").type] == ["_levada_empty", "y"]


def test_a_type_that_another_program_changed_is_believed() -> None:
    logical = pa.schema([("a", pa.int32()), ("gone", pa.int64())])
    stored = pa.schema([("a", pa.string()), ("theirs", pa.int64()), ("_levada_owner", pa.string())])
    assert readable_schema(logical, stored) == pa.schema([("a", pa.string()), ("theirs", pa.int64())])
