"""Scans that go on: after a lost cursor, and behind a stored position in another process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.connectors.mongodb import MongoConnection
from levada.errors import ConfigError, PositionLost, Retriable, ScanLost
from levada.positions import Position

from .scan_servers import ROWS, Document, connect, documents, every_id, ids, kill_cursors, read

TEN = Query(canonical=True, batch_rows=10)
TEN_BY_ID = Query(canonical=True, batch_rows=10, order="id")
COUNT = 3000


def fill(db: Database[Document], count: int = COUNT) -> None:
    db["rows"].insert_many([{"_id": number, "v": number % 3} for number in range(count)])


@pytest.mark.parametrize("query", [TEN, TEN_BY_ID], ids=["natural", "id"])
def test_goes_on_after_lost_cursors_without_repeat_or_gap(
    connection: MongoConnection, db: Database[Document], query: Query
) -> None:
    fill(db)
    batches = connection.source(ROWS, query).read(None, None)
    seen = ids([next(batches)])
    for _ in range(3):
        assert kill_cursors(db) == 1
        for _ in range(20):
            seen += ids([next(batches)])
    assert seen + ids(batches) == list(range(COUNT))


@pytest.mark.parametrize("query", [TEN, TEN_BY_ID], ids=["natural", "id"])
@pytest.mark.parametrize("kept", [0, 7], ids=["all before it gone too", "some before it left"])
def test_goes_on_though_the_last_document_read_is_deleted(
    connection: MongoConnection, db: Database[Document], query: Query, kept: int
) -> None:
    fill(db)
    batches = connection.source(ROWS, query).read(None, None)
    seen = ids([next(batches)])
    kill_cursors(db)
    db["rows"].delete_many({"_id": {"$gte": kept, "$lt": 1000}})  # the reader is about 60 documents ahead
    seen += ids(batches)
    assert len(seen) == len(set(seen)) < 1000 + COUNT - 1000
    assert set(seen) >= set(range(1000, COUNT))


@pytest.mark.parametrize(
    ("more", "selected"),
    [({"filter": {"v": 1}}, 1), ({"where": "v = 1", "columns": ("_id",)}, 1), ({"filter": {"v": 9}}, 9)],
)
@pytest.mark.parametrize("order", ["any", "id"])
def test_a_condition_still_holds_after_a_lost_cursor(
    connection: MongoConnection, db: Database[Document], more: dict[str, Any], selected: int, order: Any
) -> None:
    fill(db)
    batches = connection.source(ROWS, Query(canonical=True, batch_rows=10, order=order, **more)).read(
        None, None
    )
    seen = ids([first] if (first := next(batches, None)) else [])
    if seen:
        kill_cursors(db)
    assert seen + ids(batches) == [number for number in range(COUNT) if number % 3 == selected]


def test_rows_found_by_an_index_are_not_read_by_a_whole_scan(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db)
    db["rows"].create_index("v")
    db.command("profile", 2)
    assert len(ids(read(connection, Query(canonical=True, filter={"v": 1})))) == COUNT // 3
    db.command("profile", 0)
    (found,) = db["system.profile"].find({"op": "query", "ns": f"{db.name}.rows"})
    assert found["docsExamined"] == COUNT // 3


def test_a_collection_that_is_replaced_meanwhile_is_retriable(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db)
    batches = connection.source(ROWS, TEN).read(None, None)
    next(batches)
    db["rows"].drop()
    fill(db)
    with pytest.raises(Retriable, match="dropped or replaced"):
        list(batches)


RESUMABLE = {
    "natural": Query(canonical=True, batch_rows=40, resumable=True),
    "id": Query(canonical=True, batch_rows=40, resumable=True, order="id"),
    "natural with a filter": Query(canonical=True, batch_rows=40, resumable=True, filter={"v": {"$ne": 1}}),
    "lanes": Query(canonical=True, batch_rows=40, resumable=True, lanes=3),
}


@pytest.mark.parametrize("name", RESUMABLE)
def test_another_process_goes_on_behind_every_position(
    connection: MongoConnection, db: Database[Document], mongod: str, tmp_path: Path, name: str
) -> None:
    fill(db, 600)
    query = RESUMABLE[name]
    batches = read(connection, query)
    wanted = {number for number in range(600) if not (query.filter and number % 3 == 1)}
    assert sorted(ids(batches)) == sorted(wanted)
    for at, batch in enumerate(batches):
        assert batch.position is not None
        stored = Position.from_json(batch.position.to_json())
        other = connect(mongod, db.name, tmp_path)
        rest = ids(read(other, query, stored))
        other.close()
        assert len(rest) == len(set(rest))
        assert set(rest) == wanted - set(ids(batches[: at + 1]))


def test_positions_of_lanes_hold_every_lane_from_the_first_batch_on(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db, 600)
    positions = [batch.position for batch in read(connection, RESUMABLE["lanes"])]
    assert all(position and set(position.parts) == {"scan.0", "scan.1", "scan.2"} for position in positions)


def test_ids_of_every_type_are_read_once_and_resumed_after_each(
    connection: MongoConnection, db: Database[Document]
) -> None:
    stored = every_id()
    db["rows"].insert_many([RawBSONDocument(document) for document in stored])
    query = Query(canonical=True, batch_rows=1, resumable=True, order="id")
    batches = read(connection, query)
    found = [documents(batch)[0] for batch in batches]
    assert sorted(found) == sorted(stored)
    for at, batch in enumerate(batches):
        assert batch.position is not None
        rest = read(connection, query, Position.from_json(batch.position.to_json()))
        assert [documents(each)[0] for each in rest] == found[at + 1 :]


def test_an_id_deleted_after_the_position_was_stored_is_no_gap(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db, 100)
    for query in (RESUMABLE["natural"], RESUMABLE["id"]):
        first, *_ = read(connection, query)
        last = ids([first])[-1]
        db["rows"].delete_one({"_id": last})
        rest = ids(read(connection, query, first.position))
        assert rest == [number for number in range(100) if number > last]


def test_a_finished_scan_goes_on_with_nothing_but_what_came_after(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db, 100)
    for at, query in enumerate((RESUMABLE["natural"], RESUMABLE["id"])):
        end = read(connection, query)[-1].position
        assert read(connection, query, end) == []
        db["rows"].insert_one({"_id": 1000 + at})
        assert ids(read(connection, query, end)) == [1000 + at]


@pytest.mark.parametrize("query", [RESUMABLE["natural"], RESUMABLE["id"]], ids=["natural", "id"])
def test_a_position_in_a_collection_made_anew_is_lost(
    connection: MongoConnection, db: Database[Document], query: Query
) -> None:
    fill(db, 100)
    position = read(connection, query)[0].position
    db["rows"].drop()
    fill(db, 100)
    with pytest.raises(ScanLost, match="dropped, replaced or restored") as caught:
        read(connection, query, position)
    assert isinstance(caught.value, PositionLost)
    assert f"{db.name}.rows" in str(caught.value)


def test_a_position_of_another_query_is_refused(connection: MongoConnection, db: Database[Document]) -> None:
    fill(db, 100)
    position = read(connection, RESUMABLE["natural"])[0].position
    with pytest.raises(ScanLost, match="another window, filter or columns"):
        read(connection, RESUMABLE["natural with a filter"], position)
    with pytest.raises(ConfigError, match="watermark"):
        read(connection, RESUMABLE["natural"], Position({"": {"$date": "2026-11-24T00:00:00Z"}}))


def test_a_position_of_a_newer_levada_is_refused(connection: MongoConnection, db: Database[Document]) -> None:
    fill(db, 100)
    position = read(connection, RESUMABLE["natural"])[0].position
    assert position is not None
    newer = Position({"scan": {**position.parts["scan"], "format": 2}})
    with pytest.raises(ScanLost, match="format 2"):
        read(connection, RESUMABLE["natural"], newer)


def test_a_view_or_a_pipeline_has_no_positions_and_no_order(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db, 100)
    db.command("create", "view", viewOn="rows", pipeline=[])
    for table, more in ((Table("source", "view"), {}), (ROWS, {"pipeline": [{"$match": {}}]})):
        batches: list[Batch] = read(connection, Query(canonical=True, resumable=True, **more), table=table)
        assert sorted(ids(batches)) == list(range(100))
        assert [batch.position for batch in batches] == [None] * len(batches)
        with pytest.raises(ConfigError, match="order of _id"):
            read(connection, Query(canonical=True, order="id", **more), table=table)


def test_a_projection_without_id_is_kept_in_every_order(
    connection: MongoConnection, db: Database[Document]
) -> None:
    fill(db, 100)
    for order in ("any", "id"):
        query = Query(("v",), canonical=True, batch_rows=10, resumable=True, order=order)  # type: ignore[arg-type]
        batches = read(connection, query)
        found = [bson.decode(document) for batch in batches for document in documents(batch)]
        assert found == [{"v": number % 3} for number in range(100)]
        rest = read(connection, query, batches[4].position)
        assert len([document for batch in rest for document in documents(batch)]) == 50
        (typed,) = read(connection, Query(("v",), order=order))  # type: ignore[arg-type]
        assert typed.data.to_pydict() == {"v": [number % 3 for number in range(100)]}
