"""`uri: embedded`: a mongod of the project's own, a one-member replica set under `.levada/mongodb/`.

Several processes share one server; it is stopped when the last of them has left or died (see `warden.py`).
It listens on 127.0.0.1 only, without authentication: whoever can log in to the machine can read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError

from levada.errors import ConfigError, Fatal

INSTALL = "pip install 'levada[embedded]'"
_NOT_YET_INITIALIZED = 94
_REPLICA_SET = "levada"
_SOCKET_PATH_BYTES = 107


def find_mongod() -> Path:
    """The mongod to start: $LEVADA_MONGOD, else PATH, else the wheel of `levada[embedded]`.

    Raises:
        ConfigError: there is none, or $LEVADA_MONGOD is not a program.
    """
    if chosen := os.environ.get("LEVADA_MONGOD"):
        if shutil.which(chosen):
            return Path(chosen)
        raise ConfigError(f"LEVADA_MONGOD is {chosen!r}, which is not a program", hint="set it to a mongod")
    if found := shutil.which("mongod"):
        return Path(found)
    spec = find_spec("fiftyone")  # finds the folder without importing the package
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            return binary
    raise ConfigError(
        "there is no mongod on this machine for `uri: embedded`",
        hint=f"{INSTALL} (MongoDB Community Server, SSPL), or set LEVADA_MONGOD, or give the uri of a server",
    )


class EmbeddedServer:
    """One process's share in the embedded server of a project.

    Args:
        root: the project's folder; the data is kept in `<root>/.levada/mongodb/`.
        timeout: seconds to wait for the server to become usable.
        cache_gb: WiredTiger's cache, GB.
    """

    def __init__(self, root: Path, *, timeout: float = 60.0, cache_gb: float = 1.0) -> None:
        self.directory = root.resolve() / ".levada" / "mongodb"
        self._timeout = timeout
        self._cache_gb = cache_gb
        self._member: socket.socket | None = None
        self.pid: int | None = None
        self.port: int | None = None

    @property
    def log(self) -> Path:
        return self.directory / "mongod.log"

    def join(self) -> str:
        """Start the server, or share the running one; returns its URI.

        Raises:
            ConfigError: there is no mongod to start.
            Fatal: it does not start; the error ends with the last lines of its log.
        """
        mongod = find_mongod()
        self._make_folder()
        deadline = time.monotonic() + self._timeout
        while True:
            greeting = self._greet(mongod, deadline)
            self.port, self.pid = greeting["port"], greeting["pid"]
            uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
            if _ready(uri, self.pid, self.port, deadline):
                return uri
            self.leave()
            if time.monotonic() > deadline:
                raise self._not_starting("it did not become a primary in time")

    def leave(self) -> bool:
        """Give up this process's share; returns whether that stopped the server, after it has ended."""
        member, self._member = self._member, None
        if member is None:
            return False
        with member, contextlib.suppress(OSError):
            member.sendall(b"leave\n")
            return bool(_line(member).get("stopped"))
        return False

    def _greet(self, mongod: Path, deadline: float) -> dict[str, Any]:
        while time.monotonic() < deadline:
            greeting = self._knock(deadline)
            if "error" in greeting:
                raise self._not_starting(str(greeting["error"]))
            if greeting:
                return greeting
            if not self._kept():
                self._hire(mongod)
            time.sleep(0.01)
        raise self._not_starting("it was not ready in time")

    def _knock(self, deadline: float) -> dict[str, Any]:
        """The warden's greeting; empty if there is no warden, or it is just leaving."""
        member = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            member.settimeout(max(0.1, deadline - time.monotonic()))
            member.connect(_reachable(self.directory, folder))
            greeting = _line(member)
        except OSError:
            member.close()
            return {}
        finally:
            os.close(folder)
        if "port" in greeting:
            self._member = member
        else:
            member.close()
        return greeting

    def _kept(self) -> bool:
        """Whether a warden is at work (starting or stopping, if it does not answer)."""
        with (self.directory / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _make_folder(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"can't keep an embedded MongoDB in {self.directory}: {error.strerror}",
                hint="make the folder writable, or give the connection the uri of a server",
            ) from error

    def _hire(self, mongod: Path) -> None:
        warden = Path(__file__).with_name("warden.py")
        data = self.directory / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        subprocess.run(
            [sys.executable, "-I", "-S", str(warden), str(self.directory), *self._command(mongod, data)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            start_new_session=True,  # Ctrl-C at the terminal is for the users, not for the server
        )

    def _command(self, mongod: Path, data: Path) -> list[str]:
        # The socket lies in the folder that only its owner may enter.
        sockets = ["--unixSocketPrefix", str(self.directory)]
        if len(os.fsencode(self.directory / "mongodb-65535.sock")) > _SOCKET_PATH_BYTES:
            sockets = ["--nounixsocket"]
        parameters = (
            "diagnosticDataCollectionEnabled=false",
            "shutdownTimeoutMillisForSignaledShutdown=100",
            "periodicNoopIntervalSecs=1",
        )
        options = ["--dbpath", str(data), "--bind_ip", "127.0.0.1", "--replSet", _REPLICA_SET, *sockets]
        options += ["--wiredTigerCacheSizeGB", str(self._cache_gb), "--oplogSize", "1024"]
        options += ["--logpath", str(self.log), "--logRotate", "reopen", "--logappend"]
        return [str(mongod), *options, *(f"--setParameter={item}" for item in parameters)]

    def _not_starting(self, reason: str) -> Fatal:
        tail = "\n".join(_tail(self.log, 5))
        return Fatal(
            f"the embedded mongod does not start: {reason}\n{tail}",
            where=str(self.log),
            hint="look into the log; `levada doctor` checks the server again",
        )


def _reachable(directory: Path, folder: int) -> str:
    """A name of the socket short enough for the system, given the folder's open descriptor."""
    path = str(directory / "warden.sock")
    return path if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES else f"/proc/self/fd/{folder}/warden.sock"


def _line(member: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"\n"):
        chunk = member.recv(4096)
        if not chunk:
            return {}
        received += chunk
    message: dict[str, Any] = json.loads(received)
    return message


def _tail(log: Path, lines: int) -> list[str]:
    """The last errors of a mongod log, else its last messages, without their JSON."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65_536))
            last = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    bad = [line for line in last if '"s":"E"' in line or '"s":"F"' in line]
    return [_message(line) for line in (bad or last)[-lines:]]


def _message(line: str) -> str:
    try:
        entry = json.loads(line)
        return f"{entry['msg']} {json.dumps(entry.get('attr', {}))}"[:400]
    except (ValueError, KeyError, TypeError):
        return line[:400]


def _ready(uri: str, pid: int, port: int, deadline: float) -> bool:
    """Make this very mongod a writable primary, initiating or re-addressing its replica set; False if not."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(uri, serverSelectionTimeoutMS=2_000, connectTimeoutMS=2_000) as client:
        while time.monotonic() < deadline:
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return _same_process(client, pid)
                _configure(client, f"127.0.0.1:{port}")
            except ServerSelectionTimeoutError:
                return False
            except (OperationFailure, AutoReconnect):
                pass  # on the way to a primary some commands fail and connections are cut
            time.sleep(0.01)
    return False


def _same_process(client: MongoClient[dict[str, Any]], pid: int) -> bool:
    sections = dict.fromkeys(("repl", "metrics", "locks", "wiredTiger", "tcmalloc", "network"), 0)
    return bool(client.admin.command({"serverStatus": 1, **sections})["pid"] == pid)


def _configure(client: MongoClient[dict[str, Any]], address: str) -> None:
    member = {"_id": 0, "host": address}
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        with contextlib.suppress(OperationFailure):  # another process was first
            client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": [member]})
        return
    if [known["host"] for known in config["members"]] != [address]:
        config["members"] = [{**config["members"][0], "host": address}]
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)
