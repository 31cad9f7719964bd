"""Changes of stored rows: operations, versions, merges, nulls; identities and counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson.objectid import ObjectId
from pymongo.database import Database

from levada.batches import Batch
from levada.connectors.base import Changes, Mode, Write
from levada.connectors.mongodb import MongoConnection
from levada.errors import ConfigError
from levada.positions import Position

from .applying import MANY, OPS, OUT, OWNER, Document, apply, filler, stored
from .conftest import DAY

PAYLOAD = {"n": 1, "s": {"x": 1, "y": [1, None]}}


@pytest.mark.parametrize(
    ("operation", "there", "expected", "counts"),
    [
        ("insert", False, {"n": 2}, (1, 0, 0, 0)),
        ("insert", True, {"n": 1}, (0, 0, 0, 0)),
        ("upsert", False, {"n": 2}, (1, 0, 0, 0)),
        ("upsert", True, {"n": 2}, (1, 1, 0, 0)),
        (None, True, {"n": 2}, (1, 1, 0, 0)),
        ("update", False, None, (0, 0, 0, 0)),
        ("update", True, {"n": 2}, (1, 1, 0, 0)),
        ("delete", False, None, (0, 0, 0, 0)),
        ("delete", True, None, (0, 0, 0, 1)),
    ],
)
@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_an_operation_does_what_its_name_says(
    connection: MongoConnection,
    db: Database[Document],
    operation: str | None,
    there: bool,
    expected: Document | None,
    counts: tuple[int, ...],
    others: int,
) -> None:
    db["out"].insert_one({"k": "other", "n": 0})
    if there:
        db["out"].insert_one({"k": "a", "n": 1})
    written = apply(connection, [*filler(others), {"op": operation, "k": "a", "n": 2}])
    found = db["out"].find_one({"k": "a"}, {"_id": 0, "k": 0})
    assert found == expected
    assert db["out"].count_documents({"op": {"$exists": True}}) == 0
    told = (written.rows - others, written.replaced, written.unchanged, written.deleted)
    assert (told, written.rejected) == (counts, ())
    assert db["out"].count_documents({}) == 1 + others + (expected is not None)


def test_what_is_no_operation_is_rejected(connection: MongoConnection, db: Database[Document]) -> None:
    written = apply(connection, [{"op": "UPSERT", "k": 1}, {"op": 7, "k": 2}, {"op": "upsert", "k": 3}])
    assert [each.reason.split(" is none")[0] for each in written.rejected] == [
        "operation 'UPSERT'",
        "operation no text",
    ]
    assert bson.decode(written.rejected[0].raw) == {"op": "UPSERT", "k": 1}
    assert stored(db) == [{"k": 3}]


def test_a_typed_operation_column_is_taken_out_wherever_it_stands(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many([{"k": 1, "n": 0}, {"k": 2, "n": 0}])
    rows = pa.record_batch(
        {"k": pa.array([1, 2, 3], pa.int64()), "op": ["delete", "update", None], "n": pa.array([None, 5, 6])}
    )
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",), changes=OPS))
    writer.write(Batch(rows))
    written = writer.commit(None)
    assert stored(db) == [{"k": 2, "n": 5}, {"k": 3, "n": 6}]
    assert (written.rows, written.deleted) == (2, 1)


@pytest.mark.parametrize("changes", [Changes(operation="nowhere"), Changes(version="nowhere")])
def test_a_column_that_typed_rows_lack_is_named(connection: MongoConnection, changes: Changes) -> None:
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",), changes=changes))
    with pytest.raises(ConfigError, match="no column 'nowhere'"):
        writer.write(Batch(pa.record_batch({"k": [1]})))
    writer.abort()


@pytest.mark.parametrize(
    ("before", "after", "wins"),
    [
        (1, 2, True),
        (2, 1, False),
        (2, 2, True),
        (bson.Int64(2), 2.5, True),
        (bson.Decimal128("2.5"), 2, False),
        (2, bson.Decimal128("2.00"), True),
        (float("nan"), -1, True),
        (1, float("nan"), False),
        (None, 1, True),
        (1, None, False),
        (None, None, True),
        ("b", "a", False),
        ("a", "ab", True),
        (99, "1", True),
        ("1", 99, False),
        (DAY.start, DAY.end, True),
        (DAY.end, DAY.start, False),
        (bson.Timestamp(7, 2), bson.Timestamp(7, 1), False),
        (bson.Timestamp(7, 9), bson.Timestamp(8, 0), True),
        (ObjectId("6" * 24), ObjectId("5" * 24), False),
        (False, True, True),
        (2**53 + 1, float(2**53), False),
    ],
)
def test_the_higher_version_wins_as_the_server_orders_them(
    connection: MongoConnection, db: Database[Document], before: Any, after: Any, wins: bool
) -> None:
    db["out"].insert_one({"k": 1, "v": before, "n": "old"})
    rule = db["out"].count_documents({"$expr": {"$gte": [{"$literal": after}, "$v"]}})
    assert bool(rule) is wins  # the server says the same
    written = apply(connection, [{"k": 1, "v": after, "n": "new"}], changes=Changes(version="v"))
    (row,) = stored(db)
    assert row["n"] == ("new" if wins else "old")
    assert (written.rows, written.older) == ((1, 0) if wins else (0, 1))


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_versions_out_of_order_leave_the_highest_and_of_equals_the_later(
    connection: MongoConnection, db: Database[Document], others: int
) -> None:
    versions = [3, 5, 4, 5, 1]
    rows = [{"k": "a", "v": version, "n": n} for n, version in enumerate(versions)]
    written = apply(connection, rows[:2], filler(others), rows[2:], changes=Changes(version="v"))
    assert db["out"].find_one({"k": "a"}, {"_id": 0}) == {"k": "a", "v": 5, "n": 3}
    assert written.older == 2
    assert written.rows == others + 1


def test_a_version_without_an_order_is_rejected(connection: MongoConnection, db: Database[Document]) -> None:
    written = apply(connection, [{"k": 1, "v": {"a": 1}}, {"k": 2}], changes=Changes(version="v"))
    assert [each.reason for each in written.rejected] == ["version v is of a type that has no order"]
    assert stored(db) == [{"k": 2}]


@pytest.mark.parametrize(
    ("merge", "on_null", "expected"),
    [
        ("replace", "write", {"k": 1, "a": None, "s": {"x": None, "z": 3}, "c.d": 4, "$e": 5}),
        ("replace", "unset", {"k": 1, "s": {"z": 3}, "c.d": 4, "$e": 5}),
        ("fields", "write", {"k": 1, "a": None, "b": 2, "s": {"x": None, "z": 3}, "c.d": 4, "$e": 5}),
        ("fields", "unset", {"k": 1, "b": 2, "s": {"z": 3}, "c.d": 4, "$e": 5}),
        ("fields", "keep", {"k": 1, "a": 1, "b": 2, "s": {"x": None, "z": 3}, "c.d": 4, "$e": 5}),
        ("deep", "write", {"k": 1, "a": None, "b": 2, "s": {"x": None, "y": 2, "z": 3}, "c.d": 4, "$e": 5}),
        ("deep", "unset", {"k": 1, "b": 2, "s": {"y": 2, "z": 3}, "c.d": 4, "$e": 5}),
        ("deep", "keep", {"k": 1, "a": 1, "b": 2, "s": {"x": 1, "y": 2, "z": 3}, "c.d": 4, "$e": 5}),
    ],
)
def test_a_merge_keeps_what_the_new_row_does_not_have(
    connection: MongoConnection, db: Database[Document], merge: Any, on_null: Any, expected: Document
) -> None:
    db["out"].insert_one({"k": 1, "a": 1, "b": 2, "s": {"x": 1, "y": 2}})
    row: Document = {"k": 1, "a": None, "s": {"x": None, "z": 3}, "c.d": 4, "$e": 5}
    rules = Changes(merge=merge, on_null=on_null)
    written = apply(connection, [row], changes=rules)
    assert stored(db) == [expected]
    assert (written.rows, written.unchanged) == (1, 0)
    again = apply(connection, [row], changes=rules)
    assert (again.rows, again.unchanged) == (1, 1)


@pytest.mark.parametrize(
    ("merge", "on_null"),
    [
        (m, n)
        for m in ("replace", "fields", "deep")
        for n in ("write", "unset", "keep")
        if m[0] + n[0] != "rk"
    ],
)
def test_a_new_row_has_nulls_where_they_are_written_only(
    connection: MongoConnection, db: Database[Document], merge: Any, on_null: Any
) -> None:
    row: Document = {"k": 1, "a": None, "s": {"x": None}, "l": [None, {"y": None}]}
    expected = {
        "write": row,
        "unset": {"k": 1, "s": {}, "l": [None, {}]},
        "keep": {"k": 1, "s": {} if merge == "deep" else {"x": None}, "l": row["l"]},
    }[on_null]
    rules = Changes(merge=merge, on_null=on_null)
    apply(connection, [row], changes=rules)
    assert stored(db) == [expected]
    db.drop_collection("out")
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",), changes=rules))
    writer.write(Batch(pa.RecordBatch.from_pylist([row])))
    writer.commit(None)
    assert stored(db) == [expected]


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_a_replaced_row_keeps_its_id_whatever_the_new_one_has(
    connection: MongoConnection, db: Database[Document], others: int
) -> None:
    db["out"].insert_many([{"_id": f"old {n}", "k": n, "n": 0} for n in range(50)])
    rows = [{"_id": ObjectId(), "k": n, "n": 1} for n in range(50)]
    written = apply(connection, [*rows, *filler(others)], changes=Changes())
    assert written.rejected == ()
    found = [row for row in stored(db, ids=True) if isinstance(row["k"], int)]
    assert {row["_id"]: row["n"] for row in found} == {f"old {n}": 1 for n in range(50)}


def test_a_row_that_is_deleted_and_comes_again_is_a_new_one(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many([{"_id": "old a", "k": "a", "x": 1}, {"_id": "old b", "k": "b", "x": 1}])
    rows = [
        {"op": "delete", "k": "a"},
        {"op": "upsert", "_id": "new a", "k": "a", "y": 2},
        {"op": "delete", "k": "b"},
        {"op": "insert", "k": "b", "y": 2},
    ]
    apply(connection, rows, changes=Changes(operation="op", merge="fields"))
    assert [row for row in stored(db, ids=True) if row["k"] == "a"] == [{"_id": "new a", "k": "a", "y": 2}]
    assert stored(db)[1] == {"k": "b", "y": 2}


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_rows_that_are_stored_like_that_are_not_written(
    connection: MongoConnection, db: Database[Document], others: int
) -> None:
    rows = [{**PAYLOAD, "k": "a", "at": DAY.start + timedelta(seconds=1)}, *filler(others)]
    first = apply(connection, rows, position=Position({}, 1), changes=Changes())
    assert (first.rows, first.unchanged) == (others + 1, 0)
    with db["out"].watch() as stream:
        again = apply(connection, rows, position=Position({}, 2), changes=Changes())
        db["out"].insert_one({"k": "end"})
        assert next(stream)["operationType"] == "insert"  # and no update or replace before
    assert (again.rows, again.replaced, again.unchanged, again.bytes) == (
        others + 1,
        others + 1,
        others + 1,
        0,
    )
    assert connection.sink(OUT).position(OWNER) == Position({}, 2)


@pytest.mark.parametrize(
    "pair",
    [(5, bson.Int64(5)), (5, 5.0), (bson.Int64(5), bson.Decimal128("5.0")), (0.5, bson.Decimal128("0.50"))],
)
def test_numbers_are_equal_across_their_types(
    connection: MongoConnection, db: Database[Document], pair: tuple[Any, Any]
) -> None:
    for one, other in (pair, pair[::-1]):
        db.drop_collection("out")
        apply(connection, [{"k": one, "n": 1}], changes=Changes())
        written = apply(connection, [{"k": other, "n": 2}, {"k": one, "m": 3}], changes=Changes())
        assert (written.rows, written.replaced, written.rejected) == (1, 1, ())
        (row,) = stored(db)
        assert row == {"k": one, "m": 3}


@pytest.mark.parametrize(
    "value",
    [
        0.1, -0.0, float("nan"), float("inf"), bson.Decimal128("1E+400"), bson.Decimal128("NaN"),
        bson.Decimal128("0.1"), 2**62, -1, "", "text", True, False, DAY.start, ObjectId("5" * 24), b"\0\1",
        bson.Binary(b"x", 4 + 0x80), bson.Regex("a.*", "i"), {"a": 1, "b": 2.5}, {"$gt": 1}, {"$a": {}},
        [1, 2], [], bson.Code("f()"), bson.Code("f()", {"x": 1}), bson.Timestamp(1, 2), bson.MinKey(),
        bson.MaxKey(), bson.DBRef("c", 1), bson.Int64(2**63 - 1), 2.0**63, -(2.0**63),
    ],
    ids=repr,
)  # fmt: skip
def test_values_of_every_type_are_keys(
    connection: MongoConnection, db: Database[Document], value: Any
) -> None:
    db["out"].create_index("k")  # not unique: arrays would be refused by a part of themselves
    db["out"].insert_many([{"k": 1, "n": 0}, {"k": "a.b", "n": 0}])
    for n, rows in ((1, 1), (2, 1)):
        written = apply(connection, [{"k": value, "n": n}], changes=Changes())
        assert (written.rows, written.replaced, written.rejected) == (rows, n - 1, ())
    assert db["out"].count_documents({"n": 0}) == 2
    assert db["out"].count_documents({}) == 3
    if value == value and not isinstance(value, list):
        assert db["out"].count_documents({"k": {"$eq": value}, "n": 2}) == 1


def test_text_keys_are_equal_as_the_collation_says(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db.create_collection("out", collation={"locale": "en", "strength": 1})
    db["out"].insert_many([{"_id": 1, "k": "café", "n": 0}, {"_id": 2, "k": "tea", "n": 0}])
    rows = [
        {"k": "CAFE", "n": 1},
        {"k": "Milk", "n": 1},
        {"k": "TEA", "n": 1},
        {"k": "milk", "n": 2},
        {"k": "cafes", "n": 1},
    ]
    written = apply(connection, rows, changes=Changes())
    assert (written.rows, written.replaced, written.rejected) == (4, 2, ())
    found = [(row["k"], row["n"]) for row in db["out"].find().sort("k")]
    assert found == [("CAFE", 1), ("cafes", 1), ("milk", 2), ("TEA", 1)]
    assert db["out"].find_one({"_id": 1}) == {"_id": 1, "k": "CAFE", "n": 1}
    again = apply(connection, rows[:3] + filler(), changes=Changes())
    assert again.rejected == ()
    assert db["out"].count_documents({}) == 4 + MANY


def test_a_stored_array_is_not_equal_to_what_it_holds(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].create_index("k")
    db["out"].insert_many([{"k": [1, 2], "n": 0}, {"k": 2, "n": 0}])
    written = apply(connection, [{"k": 1, "n": 1}, {"k": 2, "n": 1}], changes=Changes())
    assert (written.rows, written.replaced, written.rejected) == (2, 1, ())
    assert stored(db) == [{"k": 1, "n": 1}, {"k": 2, "n": 1}, {"k": [1, 2], "n": 0}]


def test_under_a_unique_index_a_part_of_a_stored_array_is_refused(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].create_index("k", unique=True)
    db["out"].insert_one({"k": [1, 2]})
    written = apply(connection, [{"k": 1}, {"k": 3}], changes=Changes())
    assert [each.reason for each in written.rejected] == ["duplicate key: k is stored already"]
    assert stored(db) == [{"k": 3}, {"k": [1, 2]}]


@pytest.mark.parametrize("operation", ["upsert", "update", "delete"])
def test_a_key_that_is_stored_several_times_is_refused(
    connection: MongoConnection, db: Database[Document], operation: str
) -> None:
    db["out"].create_index("k")
    db["out"].insert_many([{"k": 1, "n": 0}, {"k": 1, "n": 1}, {"k": 2, "n": 0}, *[{"k": 3}] * 1])
    db["out"].insert_many([{"k": 4, "n": n} for n in range(3 * 2000)])
    rows = [{"op": operation, "k": k, "n": 9} for k in (1, 2, 4)]
    written = apply(connection, rows)
    assert {each.reason for each in written.rejected} == {
        "2 documents are stored under its key",
        "too many documents are stored under its key",
    }
    assert db["out"].count_documents({"k": 1, "n": {"$in": [0, 1]}}) == 2
    assert db["out"].count_documents({"k": 4, "n": {"$lt": 6000}}) == 6000
    found = db["out"].find_one({"k": 2}, {"_id": 0})
    assert found == (None if operation == "delete" else {"k": 2, "n": 9})


@pytest.mark.parametrize("n", [40, 700])
def test_compound_keys_whose_combinations_are_stored_too(
    connection: MongoConnection, db: Database[Document], n: int
) -> None:
    """n keys (i, i) among n * 40 stored combinations: more than a lookup by both lists may read."""
    stored_rows = [{"a": i, "b": (i + j) % n, "n": 0} for i in range(n) for j in range(min(n, 40))]
    db["out"].create_index([("a", 1), ("b", 1)], unique=True)
    db["out"].insert_many(stored_rows)
    rows = [{"a": i, "b": i, "n": 1} for i in range(n)] + [{"a": -1, "b": 5, "n": 1}]
    written = apply(connection, rows, key=("a", "b"), changes=Changes())
    assert (written.rows, written.replaced, written.unchanged) == (n + 1, n, 0)
    assert db["out"].count_documents({}) == len(stored_rows) + 1
    changed = db["out"].find({"n": 1}, {"_id": 0})
    assert sorted((row["a"], row["b"]) for row in changed) == [(-1, 5), *((i, i) for i in range(n))]


def test_keys_of_several_fields_and_dotted_paths(connection: MongoConnection, db: Database[Document]) -> None:
    rows: list[Document] = [
        {"a": {"b": 1}, "c": "x", "n": 1},
        {"a": {"b": 1}, "c": "y", "n": 1},
        {"a": {"b": bson.Int64(1)}, "c": "x", "n": 2},
        {"a": {}, "c": "x"},
        {"a.b": 1, "c": "x"},
    ]
    written = apply(connection, rows, key=("a.b", "c"), changes=Changes())
    assert written.rows == 2
    assert {each.reason for each in written.rejected} == {"key a.b is null or missing"}
    found = [(row["c"], row["n"]) for row in db["out"].find().sort("c")]
    assert found == [("x", 2), ("y", 1)]
    index = db["out"].index_information()["a.b_1_c_1"]
    assert index["unique"]


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_the_id_as_key(connection: MongoConnection, db: Database[Document], others: int) -> None:
    db["out"].insert_many([{"_id": bson.Int64(1), "n": 0}, {"_id": "a", "n": 0}, {"_id": 3, "n": 0}])
    rest = [{"_id": number} for number in range(10, 10 + others)]
    rows = [
        {"op": "upsert", "_id": 1, "n": 0},
        {"op": "update", "_id": "a", "n": 1},
        {"op": "delete", "_id": 3.0},
        {"op": "insert", "n": 2, "_id": 4},
        {"op": "upsert", "n": 5},
    ]
    written = apply(connection, rows + rest, key=("_id",))
    assert [each.reason for each in written.rejected] == ["key _id is null or missing"]
    assert (written.rows, written.unchanged, written.deleted) == (3 + others, 1, 1)
    found = list(db["out"].find({"n": {"$exists": True}}))
    assert sorted(map(str, found)) == sorted(
        map(str, [{"_id": 1, "n": 0}, {"_id": "a", "n": 1}, {"_id": 4, "n": 2}])
    )


@pytest.mark.parametrize("index", [{"collation": {"locale": "pt"}}, {"partialFilterExpression": {"n": 1}}])
def test_an_index_that_does_not_serve_the_key_is_no_index(
    connection: MongoConnection, db: Database[Document], index: Document
) -> None:
    db["out"].create_index("k", name="other", unique=True, **index)
    apply(connection, [{"k": 1}], changes=Changes())
    assert db["out"].index_information()["k_1"]["unique"]


@pytest.mark.parametrize("second", [("t", "text"), ("place", "2dsphere")])
def test_an_index_of_words_or_places_beside_the_key_finds_no_key(
    connection: MongoConnection, db: Database[Document], second: tuple[str, str]
) -> None:
    db["out"].create_index([("k", 1), second])
    apply(connection, [{"k": 1}], changes=Changes())
    plan = db["out"].find({"k": {"$in": [1]}}).explain()["queryPlanner"]["winningPlan"]
    assert "'indexName': 'k_1'" in str(plan)


def test_a_sparse_index_on_the_key_is_none_and_in_the_way_of_another(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].create_index("k", sparse=True)
    with pytest.raises(ConfigError, match=r"createIndex\(\{'k': 1\}, \{unique: true\}\)"):
        apply(connection, [{"k": 1}], changes=Changes())


@pytest.mark.parametrize("same", [True, False])
def test_an_insert_of_a_stored_key_counts_as_nothing(
    connection: MongoConnection, db: Database[Document], same: bool
) -> None:
    db["out"].insert_one({"k": 1, "n": 1})
    written = apply(connection, [{"op": "insert", "k": 1, "n": 1 if same else 2}])
    assert (written.rows, written.replaced, written.unchanged, written.bytes) == (0, 0, 0, 0)
    assert stored(db) == [{"k": 1, "n": 1}]


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.REPLACE_WINDOW])
def test_changes_need_stored_rows(connection: MongoConnection, mode: Mode) -> None:
    write = Write(OUT, mode, OWNER, ("k",), DAY, changes=Changes(version="v"))
    with pytest.raises(ConfigError, match=f"mode {mode}"):
        connection.sink(OUT).open(write)


def test_to_keep_what_is_stored_needs_a_merge(connection: MongoConnection) -> None:
    with pytest.raises(ConfigError, match="on_null keep needs merge"):
        apply(connection, [{"k": 1}], changes=Changes(on_null="keep"))
