"""Rows of one key become one document: against `itertools.groupby` over the sorted rows."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import Batch, Rejected
from levada.errors import ConfigError
from levada.steps import grouping
from levada.steps.reshape import read_shape
from levada.steps.shaping import Shaper
from levada.types import field_of

from . import shape_model as model

pytestmark = pytest.mark.unit

RAW = {
    "order": {"no": "key", "who": "who"},
    "items": {"each": {"sku": "sku", "qty": {"column": "qty", "type": "int"}}, "order_by": "line"},
    "skus": {"each": "sku", "order_by": "line", "nulls": "keep"},
}


def grouped(
    raw: Any, batches: list[pa.RecordBatch], key: tuple[str, ...] = (), **options: Any
) -> tuple[list[dict[str, Any]], list[Rejected]]:
    found: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    shaper = Shaper(read_shape(raw), "t")
    for batch in grouping.by_key(shaper, map(Batch, batches), key, **options):
        found += batch.data.to_pylist()
        rejected += batch.rejected
    return found, rejected


def by_itertools(rows: list[dict[str, Any]], key: Any, order: Any) -> list[list[dict[str, Any]]]:
    """Groups as they first come, their rows in order; nulls last, equal ones as they came."""
    first = {}
    for at, row in enumerate(rows):
        first.setdefault(key(row), at)
    placed = sorted(enumerate(rows), key=lambda one: (first[key(one[1])], *order(one[1]), one[0]))
    return [[row for _, row in run] for _, run in itertools.groupby(placed, key=lambda one: key(one[1]))]


def nulls_last(value: Any) -> tuple[bool, Any]:
    return value is None, 0 if value is None else value


ROW = st.fixed_dictionaries(
    {
        "key": st.one_of(st.none(), st.integers(0, 4)),
        "who": st.sampled_from(["ann", "bob", None]),
        "sku": st.one_of(st.none(), st.text("xy", max_size=2)),
        "qty": st.one_of(st.none(), st.integers(-2, 2), st.just(2**40)),
        "line": st.one_of(st.none(), st.integers(0, 3)),
    }
)
SCHEMA = pa.schema(
    [
        ("key", pa.int64()),
        ("who", pa.string()),
        ("sku", pa.string()),
        ("qty", pa.int64()),
        ("line", pa.int32()),
    ]
)


def expected(rows: list[dict[str, Any]], key: Any) -> tuple[list[Any], int]:
    found, rejected = [], 0
    for group in by_itertools(rows, key, lambda row: nulls_last(row["line"])):
        if len({row["who"] for row in group}) > 1:
            rejected += len(group)
            continue
        try:
            found.append(model.document_of(RAW, {**group[0], "": group}))
        except model.Refused:
            rejected += len(group)
    return found, rejected


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=30), cut=st.integers(1, 30), by=st.booleans())
def test_groups_are_those_of_itertools(rows: list[dict[str, Any]], cut: int, by: bool) -> None:
    batches = [pa.RecordBatch.from_pylist(rows[at : at + cut], SCHEMA) for at in range(0, len(rows), cut)]
    found, rejected = grouped(RAW, batches, ("order.no",) if by else ())
    wanted, refused = expected(rows, lambda row: row["key"] if by else (row["key"], row["who"]))
    assert found == wanted
    assert len(rejected) == refused


def test_many_more_rows_than_memory_give_the_same_documents(tmp_path: Path) -> None:
    chance = random.Random(20261124)
    rows = [
        {
            "key": chance.randrange(3_000),
            "who": None,
            "sku": f"s{at}",
            "qty": at % 7,
            "line": chance.randrange(5),
        }
        for at in range(20_000)
    ]
    batches = [pa.RecordBatch.from_pylist(rows[at : at + 700], SCHEMA) for at in range(0, len(rows), 700)]
    few, _ = grouped(RAW, batches, ("order.no",), folder=tmp_path, memory=50_000)
    wanted, _ = expected(rows, lambda row: row["key"])
    assert len(few) == len(wanted)
    assert sorted(few, key=lambda one: one["order"]["no"]) == sorted(
        wanted, key=lambda one: one["order"]["no"]
    )
    assert list(tmp_path.iterdir()) == []


def test_rows_of_one_key_that_disagree_are_set_aside_with_the_reason() -> None:
    batch = pa.RecordBatch.from_pydict({"k": [1, 2, 1], "name": ["a", "b", "c"], "v": [1, 2, 3]})
    found, rejected = grouped({"k": "k", "name": "name", "all": {"each": "v"}}, [batch], ("k",))
    assert found == [{"k": 2, "name": "b", "all": [2]}]
    assert [one.raw for one in rejected] == [
        b'{"k": 1, "name": "a", "v": 1}',
        b'{"k": 1, "name": "c", "v": 3}',
    ]
    assert {one.reason for one in rejected} == {
        "name: the rows of this key have different values, and the document takes one"
    }


def test_one_bad_row_sets_its_whole_document_aside() -> None:
    batch = pa.RecordBatch.from_pydict({"k": [1, 2, 1], "v": [1.0, 2.0, 0.5]})
    raw = {"k": "k", "all": {"each": {"n": {"column": "v", "type": "int"}}}}
    found, rejected = grouped(raw, [batch], ("k",))
    assert found == [{"k": 2, "all": [{"n": 2}]}]
    assert [one.reason for one in rejected] == ["all.n: 0.5 can't be int without a change"] * 2


def test_order_can_run_downwards_and_by_several_columns() -> None:
    batch = pa.RecordBatch.from_pydict({"k": [1] * 4, "a": [1, 2, 1, 2], "b": ["x", "x", "y", "y"]})
    raw = {"k": "k", "all": {"each": {"a": "a", "b": "b"}, "order_by": ["a desc", "b"]}}
    found, _ = grouped(raw, [batch])
    assert [(one["a"], one["b"]) for one in found[0]["all"]] == [(2, "x"), (2, "y"), (1, "x"), (1, "y")]


def test_columns_that_widen_on_the_way_and_any_type_of_key_do() -> None:
    keys = [Decimal("1.50"), Decimal("2.00")]
    first = pa.RecordBatch.from_pydict(
        {"k": pa.array(keys, pa.decimal128(5, 2)), "v": pa.array([1, 2], pa.int32())}
    )
    more = pa.RecordBatch.from_pydict(
        {
            "k": pa.array([Decimal("1.500")], pa.decimal128(6, 3)),
            "v": pa.array([2**40], pa.int64()),
            "w": ["x"],
        }
    )
    found, _ = grouped({"k": "k", "all": {"each": "v"}}, [first, more], ("k",))
    assert found == [{"k": Decimal("1.5"), "all": [1, 2**40]}, {"k": Decimal(2), "all": [2]}]


def test_nested_columns_outside_are_compared_by_their_values() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"k": [1, 1, 2, 2], "s": [{"a": [1]}, {"a": [1]}, {"a": []}, None], "v": [1, 2, 3, 4]}
    )
    found, rejected = grouped({"k": "k", "s": "s", "all": {"each": "v"}}, [batch], ("k",))
    assert found == [{"k": 1, "s": {"a": [1]}, "all": [1, 2]}]
    assert len(rejected) == 2


def test_the_rest_of_the_columns_counts_as_outside() -> None:
    batch = pa.RecordBatch.from_pydict({"k": [1, 1, 2], "x": ["a", "a", "b"], "v": [1, 2, 3]})
    found, _ = grouped({"all": {"each": "v"}, "*": "rest"}, [batch], ("k",))
    assert found == [{"all": [1, 2], "k": 1, "x": "a"}, {"all": [3], "k": 2, "x": "b"}]


@pytest.mark.parametrize("key", ["all", "model", "other", "k.x"])
def test_a_key_that_is_no_column_outside_is_refused(key: str) -> None:
    batch = pa.RecordBatch.from_pydict({"k": [1], "v": [1]})
    raw = {"k": "k", "model": {"value": 1}, "all": {"each": "v"}}
    with pytest.raises(ConfigError, match=f"the key '{key}'"):
        grouped(raw, [batch], (key,))


def test_no_rows_give_no_documents_and_what_was_rejected_before_is_handed_on() -> None:
    shaper = Shaper(read_shape(RAW), "t")
    nothing = Batch(_none())
    bad = Batch(_none(), rejected=(Rejected(b"x", "y"),))
    found = list(grouping.by_key(shaper, [nothing, bad], ("order.no",)))
    assert [(batch.data.num_rows, len(batch.rejected)) for batch in found] == [(0, 1)]


def _none() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], SCHEMA)


NANS = np.array([0x7FF8 << 48, (0xFFF8 << 48) + 1], np.uint64).view(np.float64)


@pytest.mark.parametrize("memory", [None, 2_000])
@pytest.mark.parametrize("twins", [np.array([0.0, -0.0]), NANS], ids=["zeros", "nans"])
def test_numbers_that_are_one_key_to_a_store_make_one_document(
    tmp_path: Path, twins: Any, memory: int | None
) -> None:
    """MongoDB, DuckDB and PostgreSQL take both for one: the second document would replace the first."""
    keys = np.tile(np.append(twins, 1.0), 30)
    rows = pa.RecordBatch.from_pydict({"k": keys, "v": np.arange(90), "pad": ["x" * 200] * 90})
    documents, rejected = grouped(
        {"_id": "k", "all": {"each": "v"}}, [rows], ("_id",), folder=tmp_path, memory=memory
    )
    assert sorted(len(document["all"]) for document in documents) == [30, 60]
    assert not rejected


def test_a_value_outside_that_differs_by_its_sign_is_still_another() -> None:
    rows = pa.RecordBatch.from_pydict({"k": [1, 1], "x": [0.0, -0.0], "v": [1, 2]})
    documents, rejected = grouped({"_id": "k", "x": "x", "all": {"each": "v"}}, [rows], ("_id",))
    assert (documents, len(rejected)) == ([], 2)


@pytest.mark.parametrize("memory", [None, 2_000])
def test_numbers_of_any_type_are_one_key_where_keys_are_mixed(tmp_path: Path, memory: int | None) -> None:
    """As MongoDB compares `_id`; texts of digits are other keys."""
    texts = [
        '{"$numberInt":"1"}',
        '{"$numberDouble":"1.0"}',
        '{"$numberDecimal":"1.00"}',
        '{"$numberLong":"1"}',
    ]
    texts += ['"1"', "null", "true", '{"$numberDouble":"1.5"}', '{"$numberDecimal":"1.5"}']
    k = pa.array(texts * 20)
    schema = pa.schema([field_of("variant", "k"), ("v", pa.int64()), ("pad", pa.string())])
    rows = pa.RecordBatch.from_arrays([k, pa.array(range(180)), pa.array(["x" * 200] * 180)], schema=schema)
    documents, rejected = grouped(
        {"_id": "k", "all": {"each": "v"}}, [rows], ("_id",), folder=tmp_path, memory=memory
    )
    assert sorted(len(document["all"]) for document in documents) == [20, 20, 20, 40, 80]
    assert not rejected


@pytest.mark.parametrize("memory", [None, 50])
def test_short_floats_are_keys_too(tmp_path: Path, memory: int | None) -> None:
    rows = pa.RecordBatch.from_pydict({"k": pa.array(np.array([1, 2, 1], np.float16)), "v": [1, 2, 3]})
    documents, _ = grouped(
        {"_id": "k", "all": {"each": "v"}}, [rows], ("_id",), folder=tmp_path, memory=memory
    )
    assert sorted(document["all"] for document in documents) == [[1, 3], [2]]
