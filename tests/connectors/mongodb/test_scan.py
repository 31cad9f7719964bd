from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from pymongo.database import Database

from levada.batches import Batch
from levada.bson import from_canonical
from levada.connectors.base import Query, Table
from levada.connectors.mongodb import MongoConnection
from levada.errors import ConfigError, Retriable
from levada.positions import Position
from levada.windows import Window

from .conftest import DAY

ROWS = Table("source", "rows", ("_id",), "at")
MS = timedelta(milliseconds=1)


def read(
    connection: MongoConnection,
    query: Query | None = None,
    *,
    window: Window | None = None,
    after: Position | None = None,
    table: Table = ROWS,
) -> list[Batch]:
    query = query or Query(canonical=True)
    return list(connection.source(table, query).read(window, after))


def raw(batches: list[Batch]) -> list[bytes]:
    return [document for batch in batches for document in from_canonical(batch.data).slices()]


def ids(batches: list[Batch]) -> list[Any]:
    return [bson.decode(document)["_id"] for document in raw(batches)]


def every_type() -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "double": float("nan"),
        "string": "ç\0ø",
        "document": {"": {"$x": 1, "a.b": None}},
        "array": [1, [2, {}], None],
        "binary": bson.Binary(b"\x00\xff", 128),
        "uuid": bson.Binary(b"0" * 16, 4),
        "true": True,
        "date": bson.DatetimeMS(2**62),
        "null": None,
        "regex": bson.Regex("a|b", "im"),
        "code": bson.Code("f()", {"x": 1}),
        "int": 1,
        "timestamp": bson.Timestamp(7, 9),
        "long": bson.Int64(1),
        "decimal": bson.Decimal128("-0E-6176"),
        "min": bson.MinKey(),
        "max": bson.MaxKey(),
        "ref": bson.DBRef("c", 1),
    }


def test_canonical_rows_are_the_stored_bytes(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    stored = [bson.encode(every_type()) for _ in range(3)]
    db["rows"].insert_many([bson.raw_bson.RawBSONDocument(document) for document in stored])
    assert raw(read(connection)) == stored


def test_typed_rows_carry_the_values(connection: MongoConnection, db: Database[dict[str, Any]]) -> None:
    db["rows"].insert_many([{"_id": 1, "s": "a", "n": 2.5}, {"_id": 2, "s": None, "n": 1.0}])
    (batch,) = read(connection, Query())
    assert batch.data.select(["_id", "s", "n"]).to_pylist() == [
        {"_id": 1, "s": "a", "n": 2.5},
        {"_id": 2, "s": None, "n": 1.0},
    ]


@pytest.mark.parametrize("batch_rows", [1, 7, 100, 5000])
def test_reads_every_row_once_whatever_the_batch_size(
    connection: MongoConnection, db: Database[dict[str, Any]], batch_rows: int
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(100)])
    batches = read(connection, Query(canonical=True, batch_rows=batch_rows))
    assert sorted(ids(batches)) == list(range(100))
    assert max(batch.data.num_rows for batch in batches) == min(batch_rows, 100)


def test_a_window_is_half_open_and_knows_only_dates(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    times: list[Any] = [DAY.start - MS, DAY.start, DAY.end - MS, DAY.end, None, "2026-11-23", 1795392000000]
    db["rows"].insert_many([{"_id": at, "at": time} for at, time in enumerate(times)])
    db["rows"].insert_one({"_id": "missing"})
    assert ids(read(connection, window=DAY)) == [1, 2]


def test_a_window_with_microseconds_keeps_its_ends(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    start = DAY.start + timedelta(microseconds=500)
    db["rows"].insert_many([{"_id": 0, "at": DAY.start}, {"_id": 1, "at": DAY.start + MS}])
    assert ids(read(connection, window=Window(start, DAY.end))) == [1]
    assert ids(read(connection, window=Window(DAY.start, start))) == [0]


def test_the_time_of_an_objectid_can_be_the_window(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    second = timedelta(seconds=1)
    moments = [DAY.start - second, DAY.start, DAY.end - second, DAY.end]
    wanted = [ObjectId.from_datetime(moment) for moment in moments]
    db["rows"].insert_many([{"_id": key} for key in wanted])
    assert ids(read(connection, window=DAY, table=Table("source", "rows", (), "_id"))) == wanted[1:3]


def test_filter_where_and_window_all_apply(connection: MongoConnection, db: Database[dict[str, Any]]) -> None:
    rows = [
        {"_id": number, "at": DAY.start, "a": number % 2, "b": {"c": number % 3}} for number in range(12)
    ] + [{"_id": 99, "at": DAY.end, "a": 1, "b": {"c": 1}}]
    db["rows"].insert_many(rows)
    query = Query(canonical=True, filter={"a": 1}, where="b.c = 1")
    assert ids(read(connection, query, window=DAY)) == [1, 7]


def test_columns_are_what_the_result_has(connection: MongoConnection, db: Database[dict[str, Any]]) -> None:
    db["rows"].insert_one({"_id": 1, "a": 2, "b": {"c": 3, "d": 4}})
    documents = raw(read(connection, Query(columns=("a", "b.c"), canonical=True)))
    assert [bson.decode(document) for document in documents] == [{"a": 2, "b": {"c": 3}}]
    documents = raw(read(connection, Query(columns=("_id",), canonical=True)))
    assert [bson.decode(document) for document in documents] == [{"_id": 1}]


def test_a_pipeline_runs_after_window_and_filter(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    db["rows"].insert_many(
        [{"_id": number, "at": DAY.start if number else DAY.end, "v": number} for number in range(5)]
    )
    stages = [{"$group": {"_id": None, "sum": {"$sum": "$v"}, "n": {"$sum": 1}}}]
    query = Query(pipeline=stages, filter={"v": {"$lt": 4}}, columns=("sum", "n"), canonical=True)
    documents = raw(read(connection, query, window=DAY))
    assert [bson.decode(document) for document in documents] == [{"sum": 6, "n": 3}]


@pytest.mark.parametrize("stage", [{"$out": "rows"}, {"$merge": {"into": "rows"}}])
def test_a_pipeline_that_writes_is_refused(connection: MongoConnection, stage: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="can't contain"):
        read(connection, Query(pipeline=[stage]))


def test_continues_after_a_position_without_gap_or_repeat(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    collection = db["rows"]
    times = [3, 1, 2, 2, 5, 4]
    collection.insert_many([{"_id": at, "at": DAY.start + t * MS} for at, t in enumerate(times)])
    collection.insert_one({"_id": "none", "at": None})
    first = read(connection, after=Position())
    assert ids(first) == [1, 2, 3, 0, 5, 4]
    reached = first[-1].position
    assert reached is not None
    assert read(connection, after=reached) == []
    collection.insert_many([{"_id": 10, "at": DAY.start + 9 * MS}, {"_id": 11, "at": DAY.start + 3 * MS}])
    assert ids(read(connection, after=Position.from_json(reached.to_json()))) == [10]
    assert ids(read(connection, window=Window(DAY.start, DAY.start + 9 * MS), after=reached)) == []


def test_a_position_inside_a_tie_is_not_given(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    times = [1, 2, 2, 2, 3, 3]
    db["rows"].insert_many([{"_id": at, "at": DAY.start + t * MS} for at, t in enumerate(times)])
    batches = read(connection, Query(canonical=True, batch_rows=2), after=Position())
    assert [batch.position is not None for batch in batches] == [False, True, True]
    for batch in batches:
        if batch.position:
            rest = ids(read(connection, after=batch.position))
            read_so_far = ids(batches[: batches.index(batch) + 1])
            assert read_so_far + rest == [0, 1, 2, 3, 4, 5]


def test_a_window_needs_a_time_column(connection: MongoConnection) -> None:
    with pytest.raises(ConfigError, match="no time column"):
        read(connection, window=DAY, table=Table("source", "rows"))


def test_leaving_early_closes_the_cursor_and_the_thread(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    db["rows"].insert_many([{"_id": number, "x": "x" * 100} for number in range(2000)])
    batches = connection.source(ROWS, Query(canonical=True, batch_rows=10)).read(None, None)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "levada-mongodb-read"]
    idle = db.client.admin.aggregate(
        [{"$currentOp": {"idleCursors": True, "allUsers": True}}, {"$match": {"ns": f"{db.name}.rows"}}]
    )
    assert list(idle) == []


def test_a_pipeline_that_lost_its_cursor_is_retriable(
    connection: MongoConnection, db: Database[dict[str, Any]]
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(5000)])
    query = Query(canonical=True, batch_rows=10, pipeline=[{"$match": {}}])
    batches = connection.source(ROWS, query).read(None, None)
    next(batches)
    idle = [{"$currentOp": {"idleCursors": True, "allUsers": True}}, {"$match": {"ns": f"{db.name}.rows"}}]
    killed: list[int] = []
    deadline = time.monotonic() + 30
    while not killed and time.monotonic() < deadline:  # between two replies nobody lists the cursor
        found = [
            entry["cursor"]["cursorId"] for entry in db.client.admin.aggregate(idle) if "cursor" in entry
        ]
        killed = db.command("killCursors", "rows", cursors=found)["cursorsKilled"] if found else []
    assert killed
    with pytest.raises(Retriable, match="cursor"):
        list(batches)


def test_an_error_of_the_query_is_raised_as_ours(connection: MongoConnection) -> None:
    from levada.errors import Fatal

    with pytest.raises(Fatal, match="refused") as caught:
        read(connection, Query(pipeline=[{"$nonsense": 1}]))
    assert "rows" in str(caught.value)


def test_sixteen_megabytes_pass(connection: MongoConnection, db: Database[dict[str, Any]]) -> None:
    room = 16 * 1024 * 1024 - len(bson.encode({"_id": 1, "x": ""}))
    db["rows"].insert_one({"_id": 1, "x": "x" * room})
    (document,) = raw(read(connection))
    assert len(document) == 16 * 1024 * 1024


def test_ids_of_mixed_types_are_all_read(connection: MongoConnection, db: Database[dict[str, Any]]) -> None:
    keys: list[Any] = [
        1,
        2.5,
        "a",
        ObjectId(),
        {"k": 1},
        bson.Binary(b"x"),
        True,
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    db["rows"].insert_many([{"_id": key} for key in keys])
    assert len(ids(read(connection))) == len(keys)
