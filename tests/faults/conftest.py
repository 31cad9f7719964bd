from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from levada.connectors.mongodb.embedded import find_mongod

Document = dict[str, Any]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


class Server:
    """A mongod of the test's own, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(find_mongod()), "--dbpath", str(self.folder), "--port", str(self.port)]
        command += ["--bind_ip", "127.0.0.1", "--replSet", "rs0", "--unixSocketPrefix", str(self.folder)]
        command += [
            "--wiredTigerCacheSizeGB",
            "0.25",
            "--oplogSize",
            "128",
            "--logpath",
            f"{self.folder}/log",
        ]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with MongoClient[Document](self.uri, serverSelectionTimeoutMS=30_000) as client:
            until(lambda: self._primary(client))

    def _primary(self, client: MongoClient[Document]) -> bool:
        try:
            member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
            hello = client.admin.command("hello")
            if not hello.get("setName") and not hello.get("isWritablePrimary"):
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            return bool(hello.get("isWritablePrimary"))
        except PyMongoError:
            return False

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(mongod: str, tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "m"
    folder.mkdir()
    made = Server(folder)
    made.start()
    yield made
    made.kill()
