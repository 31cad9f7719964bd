from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from levada.connectors.base import Fence, Mode, Query, Table, Write, Written
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb import merge as merging
from levada.connectors.mongodb.fence import Fence as Claims
from levada.errors import Fenced, LevadaError, Retriable
from levada.positions import Position
from levada.windows import Window

from .conftest import DAY

SOURCE = Table("source", "rows", ("_id",), "at")
OUT = Table("source", "out", ("_id",), "at")
OWNER = "daily/load"
Document = dict[str, Any]
JOIN = [
    {"$lookup": {"from": "people", "localField": "who", "foreignField": "who", "as": "person"}},
    {"$unwind": "$person"},
    {"$project": {"at": 1, "who": 1, "name": "$person.name"}},
]


@pytest.fixture(autouse=True)
def _data(db: Database[Document]) -> None:
    db["people"].insert_many([{"who": n, "name": f"p{n}"} for n in range(5)])
    db["people"].create_index("who")
    rows = [{"_id": n, "at": DAY.start + timedelta(minutes=n), "who": n % 7} for n in range(2000)]
    db["rows"].insert_many(rows)
    db["rows"].create_index("at")


def merge(
    connection: MongoConnection,
    mode: Mode,
    *,
    pipeline: list[Document] = JOIN,
    window: Window | None = DAY,
    key: tuple[str, ...] = ("_id",),
    fence: Fence | None = None,
    sequence: int = 1,
) -> Written:
    write = Write(OUT, mode, OWNER, key, window, fence)
    sink: Any = connection.sink(OUT)
    written: Written = sink.merge_pipeline(
        write, SOURCE, Query(pipeline=pipeline), window, Position({}, sequence)
    )
    return written


def expected(window: Window | None = DAY) -> list[Document]:
    rows = [(n, DAY.start + timedelta(minutes=n)) for n in range(2000) if n % 7 < 5]
    return [
        {"_id": n, "at": at, "who": n % 7, "name": f"p{n % 7}"}
        for n, at in rows
        if window is None or at in window
    ]


def stored(db: Database[Document]) -> list[Document]:
    found = list(db["out"].find().sort("_id"))
    return [{key: value for key, value in row.items() if key != "_levada_window"} for row in found]


@pytest.mark.parametrize("mode", list(Mode))
def test_gives_what_the_pipeline_gives_and_again_the_same(
    connection: MongoConnection, db: Database[Document], mode: Mode
) -> None:
    for sequence in (1, 2):
        written = merge(connection, mode, sequence=sequence)
        assert written.rows == len(expected())
        assert stored(db) == expected()
        assert connection.sink(OUT).position(OWNER) == Position({}, sequence)


def test_replace_window_leaves_the_other_windows(connection: MongoConnection, db: Database[Document]) -> None:
    merge(connection, Mode.REPLACE_WINDOW, window=Window(DAY.start, DAY.end + timedelta(days=1)))
    db["rows"].delete_many({"_id": {"$lt": 100}})
    written = merge(connection, Mode.REPLACE_WINDOW, sequence=2)
    kept = [row for row in expected(None) if row["_id"] >= 100]
    assert stored(db) == kept
    assert written.rows == len([row for row in kept if row["at"] in DAY])
    assert written.replaced == len(expected())


def test_rows_doubled_by_a_join_are_rejected_and_counted(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["people"].insert_one({"who": 3, "name": "p3 again"})
    written = merge(connection, Mode.REPLACE_WINDOW)
    doubled = len([row for row in expected() if row["who"] == 3])
    assert stored(db) == expected()
    assert written.rows == len(expected())
    assert len(written.rejected) == doubled
    assert {each.reason.partition(":")[0] for each in written.rejected} == {"duplicate key"}


def test_upsert_by_another_key_keeps_ids(connection: MongoConnection, db: Database[Document]) -> None:
    db["out"].insert_one({"_id": "mine", "who": 2, "name": "old"})
    pipeline = [{"$group": {"_id": "$who", "n": {"$sum": 1}}}, {"$project": {"who": "$_id", "n": 1}}]
    written = merge(connection, Mode.UPSERT, pipeline=pipeline, window=None, key=("who",))
    assert written.rows == 7
    assert db["out"].find_one({"who": 2}) == {"_id": "mine", "who": 2, "n": 286}


def test_writes_nothing_after_its_lease(connection: MongoConnection, db: Database[Document]) -> None:
    db["out"].insert_one({"_id": 1, "at": DAY.end})
    with pytest.raises(Fenced, match="lease ended"):
        merge(connection, Mode.REPLACE_WINDOW, fence=Fence(1, datetime.now(UTC) - timedelta(seconds=5)))
    assert db["out"].count_documents({}) == 1
    assert connection.sink(OUT).position(OWNER) is None


def test_an_older_commit_changes_nothing(connection: MongoConnection, db: Database[Document]) -> None:
    merge(connection, Mode.REPLACE_WINDOW, sequence=5)
    db["rows"].delete_many({})
    with pytest.raises(Fenced, match="stored already"):
        merge(connection, Mode.REPLACE_WINDOW, sequence=5)
    assert stored(db) == expected()


def test_the_next_owner_stops_a_copy_that_still_runs(
    connection: MongoConnection, db: Database[Document]
) -> None:
    slow = {"$function": {"body": "function(x) { sleep(20); return x; }", "args": ["$who"], "lang": "js"}}
    errors: list[LevadaError] = []

    def copy() -> None:
        try:
            merge(connection, Mode.REPLACE_WINDOW, pipeline=[{"$addFields": {"slow": slow}}], fence=Fence(1))
        except LevadaError as error:
            errors.append(error)

    thread = threading.Thread(target=copy)
    thread.start()
    running = {"command.comment": {"$regex": "^levada:"}, "command.aggregate": "rows"}
    deadline = time.monotonic() + 20
    while not list(db.client.admin.aggregate([{"$currentOp": {}}, {"$match": running}])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    merge(connection, Mode.REPLACE_WINDOW, fence=Fence(2))
    thread.join()
    assert len(errors) == 1
    assert stored(db) == expected()


def test_the_guard_leaves_the_plan_its_index(connection: MongoConnection, db: Database[Document]) -> None:
    from levada.connectors.mongodb.scan import MongoSource, conjunction

    condition = MongoSource(connection, SOURCE, Query()).condition(DAY)
    guard = {"$expr": {"$lte": ["$$NOW", datetime.now(UTC)]}}
    plan = str(db.command("explain", {"find": "rows", "filter": conjunction([condition, guard])}))
    assert "'stage': 'IXSCAN'" in plan
    assert "at_1" in plan


@pytest.mark.parametrize(
    "pipeline",
    [
        [{"$sort": {"_id": 1}}, {"$limit": 3}],
        [{"$group": {"_id": "$who", "at": {"$min": "$at"}, "n": {"$sum": 1}}}],
    ],
    ids=["first three", "by person"],
)
def test_a_pipeline_that_looks_at_many_documents_sees_the_whole_window(
    connection: MongoConnection, db: Database[Document], pipeline: list[Document]
) -> None:
    merge(connection, Mode.REPLACE_WINDOW, pipeline=pipeline)
    within = {"$match": {"at": {"$gte": DAY.start, "$lt": DAY.end}}}
    truth = db["rows"].aggregate([within, *pipeline])
    assert stored(db) == sorted(truth, key=lambda row: row["_id"])


def test_a_window_whose_rows_all_lie_in_one_half_is_copied_whole(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["rows"].delete_many({"at": {"$gte": DAY.start + timedelta(hours=6)}})
    fence = Fence(1, datetime.now(UTC) + timedelta(hours=1))
    written = merge(connection, Mode.REPLACE_WINDOW, fence=fence)
    kept = [row for row in expected() if row["at"] < DAY.start + timedelta(hours=6)]
    assert stored(db) == kept
    assert written.rows == len(kept)


def test_the_commands_of_one_owner_in_two_databases_are_told_apart(connection: MongoConnection) -> None:
    """Else each would kill the other's, where staging and production share a server."""
    write = Write(OUT, Mode.REPLACE, OWNER)
    one, other = (Claims(connection.client, name, "out", write, transactions=False) for name in ("a", "b"))
    assert not one.comment.startswith(other.comment_of_owner)
    assert one.comment.startswith(one.comment_of_owner)


@pytest.mark.parametrize(("key", "stored_key"), [("_id", "code"), ("code", "_id")])
def test_an_upsert_tells_apart_what_another_unique_value_keeps_out(
    connection: MongoConnection, db: Database[Document], key: str, stored_key: str
) -> None:
    """`$merge` stops at the first such row; it was taken for the end of the copy."""
    db["out"].create_index("code", unique=True)
    taken = {"_id": -1, "code": -1, stored_key: 5}
    db["out"].insert_one(dict(taken))
    pipeline = [{"$project": {"at": 1, "code": "$_id"}}]
    written = merge(connection, Mode.UPSERT, pipeline=pipeline, window=None, key=(key,))
    assert [one.reason for one in written.rejected] == [f"duplicate key: {stored_key} is stored already"]
    assert written.rows == 1999
    assert {row["_id"] for row in stored(db)} == {*range(2000)} - {5} | {taken["_id"]}


@pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.REPLACE_WINDOW])
def test_a_target_that_is_made_anew_while_the_server_copies_is_not_committed_to(
    connection: MongoConnection, db: Database[Document], monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    db["out"].insert_one({"_id": -1, "at": DAY.start - timedelta(days=1)})
    aggregate = merging._Copy._aggregate

    def removed_before(copy: Any, pipeline: list[Document]) -> list[Document]:
        db.drop_collection("out")
        db["out"].create_index("at")
        return aggregate(copy, pipeline)

    monkeypatch.setattr(merging._Copy, "_aggregate", removed_before)
    with pytest.raises(Retriable, match="dropped or replaced while"):
        merge(connection, mode)
    assert connection.sink(OUT).position(OWNER) is None
