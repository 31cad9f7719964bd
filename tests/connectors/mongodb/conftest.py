"""A MongoDB connection on the shared mongod, and shorthands for moving rows through it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from pymongo import MongoClient
from pymongo.database import Database

from levada.batches import Batch
from levada.bson import Documents, to_canonical
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.embedded import find_mongod
from levada.connectors.mongodb.warden import free_port
from levada.windows import Window

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def connection(mongod: str, database: str, tmp_path: Path) -> Iterator[MongoConnection]:
    settings = MongoSettings.model_validate({"uri": mongod, "database": database})
    connection = MongoConnection("source", settings, tmp_path)
    yield connection
    connection.close()


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    return mongo[database]


def batch(*documents: dict[str, Any]) -> Batch:
    """Documents as a canonical batch."""
    return Batch(to_canonical(Documents.from_list([encode(document) for document in documents])))


Start = Callable[..., str]


@pytest.fixture
def start(mongod: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a mongod of the test's own, standalone unless told otherwise; returns host:port."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(*options: str) -> str:
        data = tmp_path / f"mongod{len(running)}"
        data.mkdir()
        port = free_port(0)
        command = [str(find_mongod()), "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1"]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(data / "log")]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", *options]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        with MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=20_000) as client:
            client.admin.command("ping")
        return f"127.0.0.1:{port}"

    yield begin
    for process in running:
        process.kill()
        process.wait()


def replica_set(address: str) -> str:
    """Make a server a replica set of one member, and wait for it; returns its URI."""
    uri = f"mongodb://{address}/?directConnection=true"
    with MongoClient[dict[str, Any]](uri) as client:
        client.admin.command("replSetInitiate")
        deadline = time.monotonic() + 30
        while not client.admin.command("hello")["isWritablePrimary"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    return uri
