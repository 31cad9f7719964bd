"""Scans while servers are killed, step down, and documents change under them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from levada.connectors.base import Query
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.namespace import Facts, look
from levada.errors import Retriable, ScanLost
from levada.positions import Position

from .scan_servers import (
    ROWS,
    Document,
    Mongod,
    connect,
    documents,
    ids,
    initiate,
    kill_cursors,
    primary,
    read,
    until,
)

COUNT = 4000
NATURAL = Query(canonical=True, batch_rows=20)
BY_ID = Query(canonical=True, batch_rows=20, order="id")


@pytest.fixture
def server(mongod: str, tmp_path: Path) -> Iterator[Mongod]:
    made = Mongod(tmp_path / "m", "--setParameter", "enableTestCommands=1")
    made.start()
    initiate(made)
    yield made
    made.kill()


@pytest.fixture
def connection(server: Mongod, tmp_path: Path) -> Iterator[MongoConnection]:
    made = connect(server.uri, "shop", tmp_path)
    yield made
    made.close()


@pytest.fixture
def members(mongod: str, tmp_path: Path) -> Iterator[list[Mongod]]:
    """Three members of a replica set that hold `shop.rows`."""
    made = [Mongod(tmp_path / f"m{number}") for number in range(3)]
    try:
        for member in made:
            member.start()
        initiate(*made)
        fill(uri_of(made))
        yield made
    finally:
        for member in made:
            member.kill()


def uri_of(members: list[Mongod]) -> str:
    hosts = ",".join(member.address for member in members)
    return f"mongodb://{hosts}/?replicaSet=rs0&retryWrites=true"


def fill(uri: str) -> None:
    with MongoClient[Document](uri) as client:
        rows = client["shop"].get_collection("rows", write_concern=_everywhere(client))
        rows.insert_many([{"_id": number, "v": 0} for number in range(COUNT)])


def _everywhere(client: MongoClient[Document]) -> Any:
    from pymongo import WriteConcern

    return WriteConcern(w=len(client.admin.command("hello")["hosts"]), j=True)


@pytest.mark.parametrize(
    ("alone", "query"), [(True, NATURAL), (True, BY_ID), (False, BY_ID)], ids=["natural", "id", "id in a set"]
)
def test_a_server_killed_in_the_middle_and_started_again_loses_nothing(
    mongod: str, tmp_path: Path, alone: bool, query: Query
) -> None:
    server = Mongod(tmp_path / "m", alone=alone)
    try:
        server.start()
        if not alone:
            initiate(server)
        with server.client(w=1, journal=True) as client:
            client["shop"]["rows"].insert_many([{"_id": number} for number in range(COUNT)])
        with closing(connect(server.uri, "shop", tmp_path)) as connection:
            batches = connection.source(ROWS, query).read(None, None)
            seen = ids([next(batches)])
            for _ in range(2):
                server.kill()
                again = threading.Timer(1.0, server.start)
                again.start()
                for _ in range(30):
                    seen += ids([next(batches)])
                again.join()
            assert seen + ids(batches) == list(range(COUNT))
    finally:
        server.kill()


def test_the_natural_order_of_a_restarted_member_is_not_trusted(
    server: Mongod, connection: MongoConnection
) -> None:
    """What was written since its last checkpoint is replayed then, in any order."""
    fill(server.uri)
    batches: Any = connection.source(ROWS, replace(NATURAL, resumable=True)).read(None, None)
    position = next(batches).position
    server.kill()
    server.start()
    until(lambda: primary([server]))
    with pytest.raises(Retriable, match="restarted or rolled back") as caught:
        list(batches)
    assert "order: id" in str(caught.value)
    with pytest.raises(ScanLost, match="restarted or rolled back"):
        read(connection, replace(NATURAL, resumable=True), position)


@pytest.mark.parametrize("where", ["scanning", "scanlane"])
def test_a_restart_between_the_look_at_the_server_and_the_find_is_seen(
    server: Mongod, connection: MongoConnection, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The look finds the process that the token belongs to; the find gets to the next one."""
    fill(server.uri)
    query = replace(NATURAL, resumable=True)
    first: Any = connection.source(ROWS, query).read(None, None)
    position = next(first).position
    looks: list[Facts] = []

    def last_look(client: MongoClient[Any], *namespace: str) -> Facts:
        facts = look(client, *namespace)
        if not looks:
            server.kill()
            server.start()
            until(lambda: primary([server]))
            until(lambda: answers(client))
        looks.append(facts)
        return facts

    if where == "scanlane":  # goes on by itself, after its cursor is lost
        monkeypatch.setattr(f"levada.connectors.mongodb.{where}.look", last_look)
        with MongoClient[Document](server.uri) as client:
            kill_cursors(client["shop"])
        batches = first
    else:  # goes on behind a stored position
        first.close()
        monkeypatch.setattr(f"levada.connectors.mongodb.{where}.look", last_look)
        batches = connection.source(ROWS, query).read(None, position)
    with pytest.raises(Retriable, match="restarted or rolled back"):
        list(batches)
    assert looks


def answers(client: MongoClient[Any]) -> bool:
    """Whether the client has connections to the process that runs now."""
    with suppress(PyMongoError):
        return bool(client.admin.command("ping")["ok"])
    return False


def test_a_server_that_does_not_come_back_is_given_up_in_the_end(
    server: Mongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.connectors.mongodb.scanlane.ATTEMPTS", 2)
    fill(server.uri)
    impatient = connect(server.uri, "shop", tmp_path, server_selection_timeout=0.3)
    batches = impatient.source(ROWS, NATURAL).read(None, None)
    next(batches)
    server.kill()
    with pytest.raises(Retriable, match="MongoDB") as caught:
        list(batches)
    impatient.close()
    assert caught.value.hint


def fail(server: Mongod, command: str, code: int, times: int) -> None:
    with server.client() as client:
        data = {"failCommands": [command], "errorCode": code}
        client.admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)


@pytest.mark.parametrize("code", [43, 237, 136, 175, 262, 11601])
@pytest.mark.parametrize("query", [NATURAL, BY_ID], ids=["natural", "id"])
def test_every_error_that_leaves_the_data_alone_is_survived(
    server: Mongod, connection: MongoConnection, code: int, query: Query
) -> None:
    fill(server.uri)
    batches = connection.source(ROWS, query).read(None, None)
    seen = ids([next(batches)])
    fail(server, "getMore", code, times=3)
    assert seen + ids(batches) == list(range(COUNT))


def test_a_pipeline_is_begun_again_only_while_nothing_was_read(
    server: Mongod, connection: MongoConnection
) -> None:
    fill(server.uri)
    query = Query(canonical=True, batch_rows=20, pipeline=[{"$match": {}}])
    fail(server, "aggregate", 262, times=3)
    assert sorted(ids(read(connection, query))) == list(range(COUNT))
    fail(server, "getMore", 262, times=1)
    with pytest.raises(Retriable):
        read(connection, query)


def test_an_error_that_is_no_accident_is_not_tried_again(server: Mongod, connection: MongoConnection) -> None:
    fill(server.uri)
    batches = connection.source(ROWS, NATURAL).read(None, None)
    next(batches)
    fail(server, "getMore", 50, times=1)  # MaxTimeMSExpired
    with pytest.raises(Retriable, match="time limit"):
        list(batches)


@pytest.mark.parametrize("query", [NATURAL, BY_ID], ids=["natural", "id"])
def test_a_step_down_in_the_middle_is_survived(members: list[Mongod], tmp_path: Path, query: Query) -> None:
    connection = connect(uri_of(members), "shop", tmp_path)
    batches = connection.source(ROWS, query).read(None, None)
    seen = ids([next(batches)])
    old = primary(members)
    assert old
    with old.client() as client, suppress(AutoReconnect):
        client.admin.command("replSetStepDown", 10, force=True)
    with old.client() as client:
        kill_cursors(client["shop"])
    assert seen + ids(batches) == list(range(COUNT))
    connection.close()


def test_only_the_order_of_id_goes_on_at_another_member(
    members: list[Mongod], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levada.connectors.mongodb.scanlane.ATTEMPTS", 3)
    uri = uri_of(members)
    connections = [connect(uri, "shop", tmp_path, server_selection_timeout=1) for _ in range(2)]
    orders = (NATURAL, BY_ID)
    natural, by_id = (
        each.source(ROWS, query).read(None, None) for each, query in zip(connections, orders, strict=True)
    )
    next(natural)
    seen = ids([next(by_id)])
    old = primary(members)
    assert old
    old.kill()
    until(lambda: primary(members))
    assert seen + ids(by_id) == list(range(COUNT))
    with pytest.raises(Retriable) as caught:
        list(natural)
    assert old.address in str(caught.value)
    for connection in connections:
        connection.close()


def test_a_position_of_another_member_is_lost_or_goes_on_there(members: list[Mongod], tmp_path: Path) -> None:
    queries = {
        order: Query(canonical=True, batch_rows=500, resumable=True, order=order)  # type: ignore[arg-type]
        for order in ("any", "id")
    }
    whole = connect(uri_of(members), "shop", tmp_path)
    first = {order: read(whole, query)[0] for order, query in queries.items()}
    secondary = next(member for member in members if member is not primary(members))
    other = connect(secondary.uri, "shop", tmp_path)
    assert ids(read(other, queries["id"], first["id"].position)) == list(range(500, COUNT))
    with pytest.raises(ScanLost, match="not a server of this deployment"):
        read(other, queries["any"], first["any"].position)
    facts = []
    for member in members:
        with member.client() as client:
            facts.append(look(client, "shop", "rows"))
    assert len({each.file for each in facts}) == 3
    assert len({each.uuid for each in facts}) == 1
    other.close()
    reads_secondaries = connect(uri_of(members), "shop", tmp_path, read_preference="secondary")
    assert ids(read(reads_secondaries, queries["any"], first["any"].position)) == list(range(500, COUNT))
    for connection in (whole, reads_secondaries):
        connection.close()


class Writers:
    """Threads that insert, update and delete, and write down every version before the server has it."""

    KEPT = 6000

    def __init__(self, uri: str, seed: int) -> None:
        self._uri = uri
        self._random = Random(seed)
        self.versions: dict[int, set[int]] = defaultdict(set)
        self.done = 0
        self._stop = threading.Event()

    def prepare(self) -> None:
        with MongoClient[Document](self._uri, w="majority") as client:
            rows = []
            for number in range(self.KEPT):
                self.versions[number].add(0)
                rows.append({"_id": number, "v": 0, "x": "x" * 50})
            rows += [{"_id": -number, "v": 0, "x": "y"} for number in range(1, 2000)]
            Random(1).shuffle(rows)
            client["shop"]["rows"].insert_many(rows)
            for number in range(1, 2000):
                self.versions[-number].add(0)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _work(self) -> None:
        with MongoClient[Document](self._uri, serverSelectionTimeoutMS=1000) as client:
            while not self._stop.is_set():
                with suppress(PyMongoError):
                    self._change(client["shop"]["rows"])

    def _change(self, rows: Any) -> None:
        self.done += 1
        kind = self._random.randrange(3)
        if kind == 0:
            rows.delete_one({"_id": -self._random.randrange(1, 2000)})
            return
        number = self._random.randrange(self.KEPT) if kind == 1 else 100_000 + self.done
        self.versions[number].add(self.done)
        pad = "x" * self._random.randrange(200)
        rows.replace_one({"_id": number}, {"v": self.done, "x": pad}, upsert=True)


@pytest.mark.parametrize(
    ("query", "seed"),
    [
        (Query(canonical=True, batch_rows=30, resumable=True), 1),
        (Query(canonical=True, batch_rows=30, resumable=True, order="id"), 2),
        (Query(canonical=True, batch_rows=30, resumable=True, lanes=3), 3),
    ],
    ids=["natural", "id", "lanes"],
)
def test_every_document_that_was_there_throughout_arrives_exactly_once_as_a_version_it_had(
    server: Mongod, tmp_path: Path, query: Query, seed: int
) -> None:
    writers = Writers(server.uri, seed)
    writers.prepare()
    random = Random(seed)
    seen: dict[int, int] = {}
    position: Position | None = None
    with writers.running():
        for reads in [
            *(random.randrange(10, 40) for _ in range(6)),
            None,
        ]:  # processes that die, then one more
            with closing(connect(server.uri, "shop", tmp_path)) as connection:
                batches: Any = connection.source(ROWS, query).read(None, position)
                with closing(batches):
                    for batch in itertools.islice(batches, reads):
                        position = batch.position
                        take(batch, seen)
                        if reads:
                            disturb(server, random, kills="natural" not in str(position))
    assert set(seen) >= set(range(Writers.KEPT))
    assert all(version in writers.versions[number] for number, version in seen.items())


def take(batch: Any, seen: dict[int, int]) -> None:
    for document in map(bson.decode, documents(batch)):
        assert document["_id"] not in seen
        seen[document["_id"]] = document["v"]


def disturb(server: Mongod, random: Random, *, kills: bool) -> None:
    """Now and then lose the cursors, or kill the server and start it again."""
    event = random.randrange(60)
    if event < 10:
        with server.client() as client:
            stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": "shop.rows"}}]
            found = client.admin.aggregate(stages)
            lost = [each["cursor"]["cursorId"] for each in found if "cursor" in each]
            if lost:
                client["shop"].command("killCursors", "rows", cursors=lost)
    elif event == 10 and kills:
        server.kill()
        time.sleep(0.2)
        server.start()
        until(lambda: primary([server]))
