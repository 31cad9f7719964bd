"""Consistent scans: every document as it was at one moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from levada.batches import Batch
from levada.connectors.base import Query
from levada.connectors.mongodb import MongoConnection
from levada.errors import ConfigError, Fatal, Retriable
from levada.positions import Position

from .conftest import Start
from .scan_servers import (
    ROWS,
    Document,
    Mongod,
    connect,
    documents,
    initiate,
    kill_cursors,
    read,
    until,
)

ACCOUNTS = 600
TOTAL = ACCOUNTS * 1000


def fill(db: Database[Document]) -> None:
    db["rows"].insert_many([{"_id": number, "v": 1000} for number in range(ACCOUNTS)])


@contextmanager
def transfers(db: Database[Document]) -> Iterator[Callable[[], int]]:
    """Move amounts between documents in transactions all the while; gives the number of those done."""
    done = 0
    stop = threading.Event()

    def work() -> None:
        nonlocal done
        random = Random(3)
        with db.client.start_session() as session:
            while not stop.is_set():
                with session.start_transaction():
                    for amount in (random.randrange(1, 9),):
                        for sign in (1, -1):
                            key = {"_id": random.randrange(ACCOUNTS)}
                            db["rows"].update_one(key, {"$inc": {"v": sign * amount}}, session=session)
                done += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: done
    finally:
        stop.set()
        thread.join()


def values(batches: list[Batch]) -> dict[int, int]:
    found = [bson.decode(document) for batch in batches for document in documents(batch)]
    assert len(found) == ACCOUNTS
    return {document["_id"]: document["v"] for document in found}


@pytest.mark.parametrize(
    "more",
    [{}, {"order": "id"}, {"lanes": 3}, {"pipeline": [{"$match": {}}]}],
    ids=["natural", "id", "lanes", "pipeline"],
)
def test_the_sum_is_that_of_one_moment_while_writers_move_amounts(
    connection: MongoConnection, db: Database[Document], more: dict[str, Any]
) -> None:
    fill(db)
    query = Query(canonical=True, batch_rows=20, consistent=True, **more)
    with transfers(db) as done:
        until(lambda: done() > 20)
        batches: list[Batch] = []
        for batch in connection.source(ROWS, query).read(None, None):
            batches.append(batch)
            before = done()
            until(lambda before=before: done() > before + 5)  # type: ignore[misc]
            if len(batches) == 3 and "pipeline" not in more:
                assert kill_cursors(db) >= 1
    found = values(batches)
    assert sum(found.values()) == TOTAL
    assert found != {document["_id"]: document["v"] for document in db["rows"].find()}


def test_the_moment_is_kept_behind_a_stored_position(
    connection: MongoConnection, db: Database[Document], mongod: str, tmp_path: Path
) -> None:
    fill(db)
    for order in ("any", "id"):
        query = Query(canonical=True, batch_rows=50, consistent=True, resumable=True, order=order)  # type: ignore[arg-type]
        source: Any = connection.source(ROWS, query)
        reading = source.read(None, None)
        first = [next(reading), next(reading)]
        reading.close()
        db["rows"].update_many({}, {"$inc": {"v": 5}})
        db["rows"].delete_many({"_id": {"$in": [99, 300]}})  # the last one read, and one to come
        other = connect(mongod, db.name, tmp_path)
        stored = Position.from_json(first[-1].position.to_json())
        rest = read(other, query, stored)
        other.close()
        assert set(values(first + rest).values()) == {1000}
        db["rows"].drop()
        fill(db)


def test_a_standalone_server_and_a_capped_collection_have_no_snapshots(
    start: Start, connection: MongoConnection, db: Database[Document], tmp_path: Path
) -> None:
    alone = connect(f"mongodb://{start()}/", "shop", tmp_path)
    alone.client["shop"]["rows"].insert_one({"_id": 1})
    with pytest.raises(ConfigError, match="needs a replica set") as caught:
        read(alone, Query(consistent=True))
    alone.close()
    assert "--replSet" in str(caught.value)
    db.create_collection("rows", capped=True, size=4096)
    with pytest.raises(ConfigError, match="capped"):
        read(connection, Query(consistent=True))


def test_a_snapshot_that_the_server_has_dropped_is_fatal_and_says_what_to_do(
    mongod: str, tmp_path: Path
) -> None:
    server = Mongod(tmp_path / "m", "--setParameter", "minSnapshotHistoryWindowInSeconds=1")
    try:
        server.start()
        initiate(server)
        with server.client() as client:
            db = client["shop"]
            fill(db)
            connection = connect(server.uri, "shop", tmp_path)
            query = Query(canonical=True, batch_rows=10, consistent=True, resumable=True)
            batches: Any = connection.source(ROWS, query).read(None, None)
            first = next(batches)
            until(lambda: _history_is_gone(client, first.position))
            with pytest.raises(Fatal, match="longer than the server keeps its history") as caught:
                list(batches)
            assert not isinstance(caught.value, Retriable)
            assert "minSnapshotHistoryWindowInSeconds" in str(caught.value)
            connection.close()
    finally:
        server.kill()


def _history_is_gone(client: MongoClient[Document], position: Position) -> bool:
    """Write, and ask whether the moment of the position can still be read."""
    db = client["shop"]
    db["rows"].update_many({}, {"$inc": {"v": 1}})
    at = bson.Timestamp(*position.parts["scan"]["at"])
    try:
        db.command("find", "rows", limit=1, readConcern={"level": "snapshot", "atClusterTime": at})
    except OperationFailure as error:
        return error.code == 239
    return False
