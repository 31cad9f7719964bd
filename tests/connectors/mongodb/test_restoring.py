"""Types that a validator asks for, on a real server that has that validator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from levada.batches import CANONICAL, Batch
from levada.connectors.base import Mode, Table, Write, Written
from levada.connectors.mongodb.client import MongoConnection
from levada.connectors.mongodb.settings import MongoSettings
from levada.types.kinds import BSON, SETTLED

from ...steps import shape_model as model  # noqa: TID252

Load = Callable[..., Written]

PROPERTIES: dict[str, Any] = {
    "_id": {"bsonType": "objectId"},
    "score": {"bsonType": ["decimal", "null"]},
    "small": {"bsonType": "int"},
    "big": {"bsonType": "long"},
    "part": {"bsonType": "double"},
    "flag": {"bsonType": "bool"},
    "day": {"bsonType": "date"},
    "token": {"bsonType": "binData"},
    "plain": {"bsonType": "string"},
    "number": {"bsonType": "number"},
    "inner": {
        "bsonType": "object",
        "properties": {"ref": {"bsonType": ["null", "objectId"]}, "n": {"bsonType": "long"}},
    },
    "list": {
        "bsonType": "array",
        "items": {"bsonType": "object", "properties": {"at": {"bsonType": ["date", "null"]}}},
    },
}


@pytest.fixture
def collection(mongo: MongoClient[Any], database: str) -> Database[Any]:
    return mongo[database]


@pytest.fixture
def load(mongod: str, database: str, tmp_path: Path) -> Load:
    def write(*batches: pa.RecordBatch, mode: Mode = Mode.APPEND, key: tuple[str, ...] = ()) -> Written:
        connection = MongoConnection("db", MongoSettings(uri=mongod, database=database), tmp_path)
        try:
            table = Table("db", "t")
            writer = connection.sink(table).open(Write(table, mode, "test", key))
            for batch in batches:
                writer.write(Batch(batch))
            return writer.commit(None)
        finally:
            connection.close()

    return write


def validated(collection: Database[Any], properties: dict[str, Any], **options: Any) -> None:
    collection.create_collection("t", validator={"$jsonSchema": {"properties": properties}}, **options)


def test_every_type_of_a_validator_is_restored_from_plain_columns(
    collection: Database[Any], load: Load
) -> None:
    validated(collection, PROPERTIES)
    there = {
        "_id": "65a1b2c3d4e5f60718293a4b",
        "score": 0.1,
        "small": Int64(7),
        "big": 7,
        "part": Decimal("2.5"),
        "flag": 1,
        "day": "2026-11-24",
        "token": "00112233-4455-6677-8899-aabbccddeeff",
        "plain": "x",
        "number": Decimal("1.5"),
        "inner": {"ref": "65a1b2c3d4e5f60718293a4c", "n": 5},
        "list": [{"at": "2026-11-24T01:02:03Z"}, {"at": None}],
    }
    rows = pa.RecordBatch.from_pylist([there])
    assert load(rows).rows == 1
    found = collection.t.find_one()
    assert found == {
        "_id": ObjectId("65a1b2c3d4e5f60718293a4b"),
        "score": Decimal128("0.1"),
        "small": 7,
        "big": Int64(7),
        "part": 2.5,
        "flag": True,
        "day": datetime(2026, 11, 24, tzinfo=UTC),
        "token": Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4),
        "plain": "x",
        "number": Decimal128("1.5"),
        "inner": {"ref": ObjectId("65a1b2c3d4e5f60718293a4c"), "n": Int64(5)},
        "list": [{"at": datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)}, {"at": None}],
    }
    assert type(found["small"]) is int
    assert type(found["big"]) is Int64


def test_a_row_that_cannot_be_converted_is_refused_by_the_server_and_the_others_are_stored(
    collection: Database[Any], load: Load
) -> None:
    validated(collection, {"ref": {"bsonType": "objectId"}})
    refs = ["65a1b2c3d4e5f60718293a4b", "none", "65a1b2c3d4e5f60718293a4c", None]
    done = load(pa.RecordBatch.from_pydict({"_id": [0, 1, 2, 3], "ref": refs}))
    assert (done.rows, len(done.rejected)) == (2, 2)  # null is no ObjectId either
    assert "validation" in done.rejected[0].reason.lower()
    assert [(row["_id"], row["ref"]) for row in collection.t.find(sort=[("_id", 1)])] == [
        (0, ObjectId(refs[0])),
        (2, ObjectId(refs[2])),
    ]


def test_where_the_validator_only_warns_every_row_is_stored(collection: Database[Any], load: Load) -> None:
    validated(collection, {"ref": {"bsonType": "objectId"}}, validationAction="warn")
    refs = ["65a1b2c3d4e5f60718293a4b", "none"]
    assert load(pa.RecordBatch.from_pydict({"_id": [0, 1], "ref": refs})).rows == 2
    assert [row["ref"] for row in collection.t.find(sort=[("_id", 1)])] == [ObjectId(refs[0]), "none"]


def test_of_two_rows_with_one_key_the_last_one_wins_though_only_one_was_converted(
    collection: Database[Any], load: Load
) -> None:
    validated(collection, {"ref": {"bsonType": "objectId"}}, validationAction="warn")
    good, bad = "65a1b2c3d4e5f60718293a4b", "none"
    load(
        pa.RecordBatch.from_pydict({"k": [1, 1, 2, 2], "ref": [good, bad, bad, good]}),
        mode=Mode.UPSERT,
        key=("k",),
    )
    found = {row["k"]: row["ref"] for row in collection.t.find()}
    assert found == {1: bad, 2: ObjectId(good)}


def test_a_type_that_is_allowed_already_stays_and_of_several_the_one_that_fits_is_taken(
    collection: Database[Any], load: Load
) -> None:
    validated(collection, {"a": {"bsonType": ["int", "string"]}, "b": {"bsonType": ["int", "decimal"]}})
    load(pa.RecordBatch.from_pydict({"a": ["5", "6"], "b": ["5", "6.5"]}))
    found = list(collection.t.find({}, {"_id": 0}))
    assert found == [{"a": "5", "b": Decimal128("5.0")}, {"a": "6", "b": Decimal128("6.5")}]


def test_a_number_does_not_become_a_text_unasked(collection: Database[Any], load: Load) -> None:
    validated(collection, {"a": {"bsonType": "string"}})
    done = load(pa.RecordBatch.from_pydict({"a": pa.array([5, 6], pa.int32()), "_id": [1, 2]}))
    assert (done.rows, len(done.rejected)) == (0, 2)


def test_a_label_is_kept_unless_the_validator_contradicts_it(collection: Database[Any], load: Load) -> None:
    validated(collection, {"kept": {"bsonType": ["string", "objectId"]}, "other": {"bsonType": "string"}})
    label = {BSON: b"objectId"}
    fields = [pa.field("kept", pa.string(), metadata=label), pa.field("other", pa.string(), metadata=label)]
    text = "65a1b2c3d4e5f60718293a4b"
    load(pa.RecordBatch.from_arrays([pa.array([text]), pa.array([text])], schema=pa.schema(fields)))
    found = collection.t.find_one({}, {"_id": 0})
    assert found == {"kept": ObjectId(text), "other": text}


def test_a_settled_type_is_not_changed(collection: Database[Any], load: Load) -> None:
    validated(collection, {"a": {"bsonType": "objectId"}}, validationAction="warn")
    settled = pa.field("a", pa.string(), metadata={BSON: b"string", SETTLED: b"1"})
    text = "65a1b2c3d4e5f60718293a4b"
    load(pa.RecordBatch.from_arrays([pa.array([text])], schema=pa.schema([settled])))
    assert collection.t.find_one({}, {"_id": 0}) == {"a": text}


def test_values_of_several_types_stay_what_they_are(collection: Database[Any], load: Load) -> None:
    validated(collection, {"a": {"bsonType": ["int", "string"]}})
    mixed = pa.field("a", pa.string(), metadata={BSON: b"variant"})
    texts = pa.array(['"5"', '{"$numberInt":"5"}'])
    load(pa.RecordBatch.from_arrays([texts], schema=pa.schema([mixed])))
    assert [row["a"] for row in collection.t.find()] == ["5", 5]


def test_conditions_beside_and_inside_a_schema_count_too(collection: Database[Any], load: Load) -> None:
    inner = {"$jsonSchema": {"allOf": [{"properties": {"a": {"bsonType": "date"}}}]}}
    collection.create_collection("t", validator={"$and": [inner, {"b": {"$exists": True}}]})
    assert load(pa.RecordBatch.from_pydict({"a": ["2026-11-24"], "b": [1]})).rows == 1
    assert collection.t.find_one({}, {"_id": 0, "a": 1}) == {"a": datetime(2026, 11, 24, tzinfo=UTC)}


def test_whole_documents_are_not_touched(collection: Database[Any], load: Load) -> None:
    import bson

    validated(collection, {"a": {"bsonType": "objectId"}}, validationAction="warn")
    raw = bson.encode({"_id": 1, "a": "65a1b2c3d4e5f60718293a4b"})
    load(pa.RecordBatch.from_arrays([pa.array([raw], pa.binary())], schema=CANONICAL))
    assert collection.t.find_one() == {"_id": 1, "a": "65a1b2c3d4e5f60718293a4b"}


#: Sort of a column -> its Arrow type, its values, and the types that its values may be restored to.
SORTS: dict[str, tuple[pa.DataType, Any, set[str]]] = {
    "integer": (
        pa.int64(),
        st.one_of(st.integers(-2, 2), st.integers(-(2**63), 2**63 - 1)),
        {"int", "long", "double", "decimal", "bool"},
    ),
    "double": (
        pa.float64(),
        st.one_of(st.floats(), st.integers(-9, 9).map(float)).filter(lambda value: str(value) != "-0.0"),
        {"int", "long", "double", "decimal"},
    ),
    "decimal": (
        pa.decimal128(20, 3),
        st.decimals(-(10**16), 10**16, places=3),
        {"int", "long", "double", "decimal"},
    ),
    "text": (
        pa.string(),
        st.sampled_from(["", "5", "007", "0.25", "x", "65a1b2c3d4e5f60718293a4b", "true", "2026-11-24"]),
        {"int", "long", "double", "decimal", "bool", "date", "objectId", "string"},
    ),
    "moment": (pa.timestamp("us", "UTC"), st.integers(0, 2**40).map(model.milliseconds), {"date"}),
    "bool": (pa.bool_(), st.booleans(), {"bool"}),
}


@st.composite
def columns(draw: Any) -> tuple[str, list[Any]]:
    sort = draw(st.sampled_from(list(SORTS)))
    return sort, draw(st.lists(st.one_of(st.none(), SORTS[sort][1]), min_size=1, max_size=6))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(column=columns(), wanted=st.sampled_from(sorted(SORTS["text"][2])))
def test_what_a_strict_validator_takes_is_what_can_be_restored_without_a_change(
    collection: Database[Any], load: Load, column: tuple[str, list[Any]], wanted: str
) -> None:
    sort, values = column
    collection.t.drop()
    validated(collection, {"v": {"bsonType": wanted}})
    arrow, _, possible = SORTS[sort]
    expected = {}
    for row, value in enumerate(values):
        try:
            if value is not None and wanted in possible:
                expected[row] = model.typed(value, {"objectId": "object_id"}.get(wanted, wanted))
        except model.Refused:
            continue
    numbers = pa.array(range(len(values)), pa.int32())
    done = load(pa.record_batch({"_id": numbers, "v": pa.array(values, arrow)}))
    found = {row["_id"]: row["v"] for row in collection.t.find()}
    assert found.keys() == expected.keys()
    assert all(model.alike(found[row], expected[row]) for row in found), (found, expected)
    assert (done.rows, len(done.rejected)) == (len(expected), len(values) - len(expected))
