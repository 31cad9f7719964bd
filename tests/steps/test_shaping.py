"""Random tables and random shapes against the plain model, read back by PyMongo's own decoder."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.bson import encode
from levada.errors import ConfigError
from levada.steps.reshape import read_shape
from levada.steps.shaping import Shaper, flat

from . import shape_model as model

pytestmark = pytest.mark.unit

AWARE = bson.CodecOptions(tz_aware=True, tzinfo=UTC)

#: Sort of a column -> its Arrow type, its values, and the types it may be asked for.
SORTS: dict[str, tuple[pa.DataType, Any, tuple[str, ...]]] = {
    "i": (
        pa.int64(),
        st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)),
        ("int", "long", "double", "decimal", "string"),
    ),
    "d": (
        pa.float64(),
        st.one_of(st.floats(), st.integers(-9, 9).map(float)).filter(lambda value: str(value) != "-0.0"),
        ("int", "long", "double", "decimal"),
    ),
    "m": (
        pa.decimal128(20, 3),
        st.decimals(-(10**16), 10**16, places=3, allow_nan=False),
        ("int", "long", "double", "decimal"),
    ),
    "s": (
        pa.string(),
        st.sampled_from(["", "5", "-7", "007", "0.25", "x", "65a1b2c3d4e5f60718293a4b", "9" * 20, "true"]),
        ("string", "object_id", "int", "long", "decimal", "double"),
    ),
    "t": (
        pa.timestamp("us", "UTC"),
        st.one_of(
            st.integers(-(2**40), 2**40).map(model.milliseconds),
            st.just(datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
        ),
        ("date",),
    ),
    "b": (pa.bool_(), st.booleans(), ("bool", "string")),
}
COLUMNS = [f"{sort}{number}" for sort in SORTS for number in range(2)]
IF_NULL = st.sampled_from(["null", "missing", "keep"])


def row_values(sort: str) -> Any:
    return st.one_of(st.none(), SORTS[sort][1])


ROWS = st.lists(
    st.fixed_dictionaries({name: row_values(name[0]) for name in COLUMNS}), min_size=1, max_size=8
)


@st.composite
def column(draw: Any, sort: str | None = None, kind: str | None = None) -> Any:
    sort = sort or draw(st.sampled_from(list(SORTS)))
    name = f"{sort}{draw(st.integers(0, 1))}"
    untyped = sort == "t"  # a time finer than a millisecond is refused by its type only
    if kind is None and not untyped and draw(st.booleans()):
        return name
    chosen = {"column": name, "type": kind or draw(st.sampled_from(SORTS[sort][2]))}
    if sort == "b" and chosen["type"] == "string":
        chosen["type"] = "bool"
    return chosen | ({"if_null": "missing"} if draw(st.booleans()) else {})


def alike(part: dict[str, Any], missing: bool) -> dict[str, Any]:
    return {"column": part["column"], "type": part["type"]} | ({"if_null": "missing"} if missing else {})


@st.composite
def array(draw: Any, inner: Any) -> Any:
    """Elements of one type: how several are joined is `levada.types.lattice`'s."""
    sort = draw(st.sampled_from(list(SORTS)))
    kind = SORTS[sort][2][0]
    one = column(sort, kind)
    if draw(st.booleans()):
        missing = draw(st.booleans())
        pairs = draw(st.lists(st.tuples(one, one), min_size=1, max_size=3))
        items = [
            {name: alike(part, missing) for name, part in zip("xy", pair, strict=True)} for pair in pairs
        ]
    else:
        items = [
            {"column": item["column"], "type": kind} for item in draw(st.lists(one, min_size=1, max_size=3))
        ]
    if draw(st.booleans()):
        return items
    return {"array": items, "nulls": draw(st.sampled_from(["drop", "keep"])), "if_null": draw(IF_NULL)}


CONSTANTS = st.sampled_from([{"value": one} for one in ("v7", 5, 2**40, 0.5, True, None, "")])


def documents(inner: Any) -> Any:
    fields = st.dictionaries(st.sampled_from(["p", "q", "r"]), inner, min_size=1, max_size=3)
    return st.one_of(fields, st.fixed_dictionaries({"document": fields, "if_null": IF_NULL}))


NODES = st.recursive(
    st.one_of(column(), CONSTANTS), lambda inner: st.one_of(documents(inner), array(inner)), max_leaves=8
)
SHAPES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), NODES, min_size=1, max_size=4)


def table(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = pa.schema([(name, SORTS[name[0]][0]) for name in COLUMNS])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def shaped(raw: Any, *batches: pa.RecordBatch, **options: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """The documents as PyMongo reads them, and the rejected rows."""
    found, rejected = [], []
    for batch in flat(Shaper(read_shape(raw), "t", **options), map(Batch, batches)):
        column, refused = encode(batch.data)
        found += [bson.decode(raw, AWARE) for raw in column.to_pylist()]
        rejected += [*batch.rejected, *refused]
    return found, rejected


def expected(raw: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        try:
            found.append(model.document_of(raw, row))
        except model.Refused:
            continue
    return found


def constants_as_stored(value: Any) -> Any:
    """PyMongo gives a whole number back as it was stored: 2**40 is an int64."""
    if isinstance(value, dict):
        return {name: constants_as_stored(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [constants_as_stored(inner) for inner in value]
    return Int64(value) if type(value) is int and abs(value) >= 2**31 else value


@settings(max_examples=150, deadline=None)
@given(raw=SHAPES, rows=ROWS)
def test_any_shape_of_any_rows_is_what_the_model_says(raw: Any, rows: list[dict[str, Any]]) -> None:
    found, rejected = shaped(raw, table(rows))
    wanted = [constants_as_stored(one) for one in expected(raw, rows)]
    assert len(rejected) == len(rows) - len(wanted)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert model.alike(one, other), (raw, one, other)


def test_every_bson_type_can_be_asked_for() -> None:
    values = {
        "object_id": ("65a1b2c3d4e5f60718293a4b", ObjectId("65a1b2c3d4e5f60718293a4b")),
        "decimal": ("0.10", Decimal128("0.10")),
        "int": (5, 5),
        "long": ("5", Int64(5)),
        "double": (Decimal("0.5"), 0.5),
        "date": ("2026-11-24T01:02:03.004+02:00", datetime(2026, 11, 23, 23, 2, 3, 4000, UTC)),
        "uuid": (
            "00112233-4455-6677-8899-aabbccddeeff",
            Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4),
        ),
        "binary": (b"\x00\x01", b"\x00\x01"),
        "binary:80": (b"\x00\x01", Binary(b"\x00\x01", 0x80)),
        "string": (5, "5"),
        "bool": (1, True),
        "timestamp": ((7 << 32) + 1, Timestamp(7, 1)),
        "javascript": ("f()", Code("f()")),
        "symbol": ("s", "s"),
        "json": ('{"a":[1,{"$numberDecimal":"2.5"}]}', {"a": [1, Decimal128("2.5")]}),
    }
    row = {f"c{at}": value for at, (value, _) in enumerate(values.values())}
    raw = {kind.replace(":", "_"): {"column": f"c{at}", "type": kind} for at, kind in enumerate(values)}
    found, rejected = shaped(raw, pa.RecordBatch.from_pylist([row]))
    assert not rejected
    for kind, (_, wanted) in values.items():
        assert model.alike(found[0][kind.replace(":", "_")], wanted), kind


def test_a_row_whose_value_does_not_fit_is_set_aside_with_the_reason_and_the_others_are_not() -> None:
    raw = {"a": {"n": {"column": "n", "type": "int"}}}
    found, rejected = shaped(raw, pa.RecordBatch.from_pydict({"n": [1.0, 2.5, 3.0], "x": ["p", "q", "r"]}))
    assert found == [{"a": {"n": 1}}, {"a": {"n": 3}}]
    assert [(one.raw, one.reason) for one in rejected] == [
        (b'{"n": 2.5, "x": "q"}', "a.n: 2.5 can't be int without a change")
    ]


def test_times_are_cut_to_the_millisecond_only_where_that_is_said() -> None:
    moment = datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)
    batch = pa.RecordBatch.from_pydict({"t": pa.array([moment], pa.timestamp("us", "UTC"))})
    assert shaped({"t": {"column": "t", "type": "date"}}, batch)[0] == []
    assert shaped({"t": {"column": "t", "truncate": True}}, batch)[0] == [
        {"t": datetime(2026, 1, 1, 0, 0, 0, 123_000, UTC)}
    ]


def test_a_name_with_a_dot_is_a_column_of_that_name_or_else_a_field_of_a_struct() -> None:
    stored = pa.RecordBatch.from_pydict(
        {"address.city": ["a"], "address": [{"city": "b", "x.y": {"z": "c"}}]}
    )
    inside = pa.RecordBatch.from_pydict({"address": [{"city": "b", "x.y": {"z": "c"}}, None]})
    raw = {"c": "address.city"}
    assert shaped(raw, stored)[0] == [{"c": "a"}]
    assert shaped(raw, inside)[0] == [{"c": "b"}, {"c": None}]
    assert shaped({"c": "address.x.y.z"}, inside)[0] == [{"c": "c"}, {"c": None}]


def test_the_rest_of_the_columns_can_go_anywhere() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1], "b": [2], "c": [3]})
    assert shaped({"x": "a", "more": {"*": "rest"}}, batch)[0] == [{"x": 1, "more": {"b": 2, "c": 3}}]
    assert shaped({"x": "a", "*": {"except": ["c"]}}, batch)[0] == [{"x": 1, "b": 2}]
    with pytest.raises(ConfigError, match="the column 'b' would be the field 'b'"):
        shaped({"b": "a", "*": "rest"}, batch)


def test_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    batch = pa.RecordBatch.from_pydict({"churn_score": [1.0], "ltv": [2]})
    with pytest.raises(ConfigError) as refused:
        shaped({"scores": {"churn": "churn_scor"}}, batch)
    assert "no column 'churn_scor' for the field 'scores.churn'" in refused.value.what
    assert "did you mean 'churn_score'" in (refused.value.hint or "")


def test_a_type_that_no_value_of_a_column_can_have_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="field 'a': bool can't become date"):
        shaped({"a": {"column": "b", "type": "date"}}, pa.RecordBatch.from_pydict({"b": [True]}))


def test_where_rows_may_lack_columns_they_are_null_and_told_if_none_ever_had_them() -> None:
    first, second = pa.RecordBatch.from_pydict({"a": [1]}), pa.RecordBatch.from_pydict({"a": [2], "b": ["x"]})
    shaper = Shaper(read_shape({"a": "a", "b": "b", "c": "c"}), "t", open_ended=True)
    made = [batch.data.to_pylist() for batch in flat(shaper, map(Batch, (first, second)))]
    assert made == [[{"a": 1, "b": None, "c": None}], [{"a": 2, "b": "x", "c": None}]]
    assert shaper.notes == ["no row had the column c"]


def test_a_value_where_a_document_should_be_is_not_lost_silently() -> None:
    label = {b"levada.bson": b"variant"}
    mixed = pa.record_batch(
        [pa.array(['{"city":"b"}', None])],
        schema=pa.schema([pa.field("address", pa.string(), metadata=label)]),
    )
    found, rejected = shaped({"c": "address.city"}, mixed, open_ended=True)
    assert found == [{"c": None}]
    assert [one.reason for one in rejected] == ["address.city: address is not always a document"]


def test_columns_that_the_shape_leaves_out_are_told_once() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1], "b": [2], "s": [{"x": 1, "y": 2}]})
    shaper = Shaper(read_shape({"a": "a", "x": "s.x"}), "t")
    list(flat(shaper, map(Batch, (batch, batch))))
    assert shaper.notes == ["columns that the shape leaves out: b"]


def test_elements_of_several_types_keep_their_values() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["x"], "b": pa.array([2], pa.int32()), "c": [True]})
    assert shaped({"all": ["a", "b", "c"]}, batch)[0] == [{"all": ["x", 2, True]}]


def test_slices_and_dictionaries_are_read_as_the_rows_they_are() -> None:
    whole = pa.record_batch(
        {
            "k": pa.array(["a", "b", None, "a"]).dictionary_encode(),
            "n": [1, 2, 3, 4],
            "l": [[1], [2], [3], []],
        }
    )
    raw = {"k": {"column": "k", "type": "string"}, "in": ["n", "n"], "l": "l"}
    assert shaped(raw, whole.slice(1, 3))[0] == [
        {"k": "b", "in": [2, 2], "l": [2]},
        {"k": None, "in": [3, 3], "l": [3]},
        {"k": "a", "in": [4, 4], "l": []},
    ]
