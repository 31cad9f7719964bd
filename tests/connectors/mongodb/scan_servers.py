"""What tests of scans share: servers that can be killed and started again, and shorthands for reading."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bson
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from levada.batches import Batch
from levada.bson import from_canonical
from levada.connectors.base import Query, Table
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.embedded import find_mongod
from levada.connectors.mongodb.warden import free_port
from levada.positions import Position

Document = dict[str, Any]
ROWS = Table("source", "rows", ("_id",), "at")


def until(condition: Callable[[], Any], seconds: float = 40.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


class Mongod:
    """A mongod, in a replica set unless `alone`, that can be killed and started again on the same data."""

    def __init__(
        self, folder: Path, *options: str, scheme: dict[str, Any] | None = None, alone: bool = False
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = free_port(0)
        self.address = f"127.0.0.1:{self.port}"
        self.uri = f"mongodb://{self.address}/?directConnection=true"
        self._options = options if alone else ("--replSet", "rs0", *options)
        self.scheme = scheme or {}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(find_mongod()), "--dbpath", str(self.folder), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--oplogSize", "64"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--logpath", str(self.folder / "log")]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with self.client() as client:
            client.admin.command("ping")

    def client(self, **options: Any) -> MongoClient[Document]:
        settings = {"serverSelectionTimeoutMS": 30_000, "directConnection": True, **self.scheme, **options}
        return MongoClient("127.0.0.1", self.port, **settings)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def initiate(*members: Mongod) -> None:
    """Make them one replica set, and wait for its primary."""
    config = {
        "_id": "rs0",
        "members": [{"_id": at, "host": member.address} for at, member in enumerate(members)],
        "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500},
    }
    with members[0].client() as client:
        client.admin.command("replSetInitiate", config)
    until(lambda: primary(members))


def primary(members: Iterable[Mongod]) -> Mongod | None:
    """The member that takes writes now."""
    for member in members:
        if member.process:
            with member.client(serverSelectionTimeoutMS=500) as client:
                try:
                    if client.admin.command("hello")["isWritablePrimary"]:
                        return member
                except PyMongoError:
                    continue
    return None


def connect(uri: str, database: str, folder: Path, **settings: Any) -> MongoConnection:
    given = {"uri": uri, "database": database, **settings}
    return MongoConnection("source", MongoSettings.model_validate(given), folder)


def documents(batch: Batch) -> list[bytes]:
    return from_canonical(batch.data).slices()


def ids(batches: Iterable[Batch]) -> list[Any]:
    return [bson.decode(document)["_id"] for batch in batches for document in documents(batch)]


def read(
    connection: MongoConnection, query: Query, after: Position | None = None, table: Table = ROWS
) -> list[Batch]:
    return list(connection.source(table, query).read(None, after))


def kill_cursors(db: Database[Document], collection: str = "rows") -> int:
    """Kill every cursor of a collection, once there is one that waits; returns how many."""
    stages: list[Document] = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"ns": f"{db.name}.{collection}", "cursor": {"$exists": True}}},
    ]
    found: list[Document] = []

    def waiting() -> bool:
        found[:] = db.client.admin.aggregate(stages)
        return bool(found)

    until(waiting)
    lost = [each["cursor"]["cursorId"] for each in found]
    return len(db.command("killCursors", collection, cursors=lost)["cursorsKilled"])


def every_id() -> list[bytes]:
    """Documents whose `_id`s are of every BSON type that one can be of."""
    plain: list[Any] = [
        *(bson.MinKey(), bson.MaxKey(), None, True, False),
        *(1, 2.5, bson.Int64(2**60), float("nan"), float("inf"), float("-inf"), -7),
        *(bson.Decimal128("3.5"), bson.Decimal128("1E-6000"), bson.Decimal128("9" * 34)),
        *("", "a", "é", "a\0b", "65f000000000000000000000", bson.ObjectId("65f000000000000000000000")),
        *({}, {"a": 1}, {"a": 1, "b": float("nan")}, {"a": [1, 2]}, {"": None}),
        *(bson.Binary(b"x"), bson.Binary(b"x", 2), bson.Binary(b"x", 5), bson.Binary(b"0" * 16, 4)),
        *(bson.DatetimeMS(0), bson.DatetimeMS(2**62), bson.Timestamp(1, 1)),
        *(bson.Code("f"), bson.Code("g", {"x": 1})),
    ]
    rare = [b"\x0e_id\0\x03\0\0\0sy\0", b"\x0c_id\0\x02\0\0\0c\0" + b"0" * 12]  # Symbol, DBPointer
    made = [(len(body) + 5).to_bytes(4, "little") + body + b"\0" for body in rare]
    return [bson.encode({"_id": key}) for key in plain] + made
