"""A MariaDB server for the tests: one that all workers of a run share, or one of a test's own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .sharing import Facts, joined, lives

_SECONDS = 60
_USER = "nobody"

#: Who reads in the tests; the password has every character that a URL must not hold as it is.
READER = "reader"
PASSWORD = "p@ss:w/rd%?#é"
GRANTS = "SELECT, SHOW VIEW, CREATE TEMPORARY TABLES"


@dataclass(frozen=True)
class MariaDB:
    """A running server.

    Args:
        port: on 127.0.0.1.
        process: of the server.
        folder: of its data.
        database: where statements run.
    """

    port: int
    process: int
    folder: Path
    database: str = ""

    def run(self, sql: str) -> str:
        """Run statements as the server's root; returns what the client program prints."""
        command = ["mariadb", "--no-defaults", "-uroot", "-h127.0.0.1", f"-P{self.port}", "--batch"]
        command += ["--raw", "--default-character-set=utf8mb4", *([self.database] if self.database else [])]
        done = subprocess.run(command, input=sql.encode(), capture_output=True, check=False, timeout=_SECONDS)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def rows(self, sql: str) -> list[list[str]]:
        """What a query gives, as the server prints it; NULL is the text NULL."""
        return [line.split("\t") for line in self.run(sql).splitlines()[1:]]

    def settings(self, **others: Any) -> dict[str, Any]:
        """Of a connection for the reader."""
        login = {"user": READER, "password": PASSWORD}
        return {"host": "127.0.0.1", "port": self.port, "database": self.database, **login, **others}

    def url(self, table: str, options: str = "") -> str:
        """Of a table, for the reader."""
        login = f"{READER}:{quote(PASSWORD, safe='')}"
        return f"mysql://{login}@127.0.0.1:{self.port}/{self.database}.{quote(table, safe='')}{options}"


def missing() -> str | None:
    """Why there can be no server; None if there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    absent = [
        name for name in ("mariadbd", "mariadb", "mariadb-install-db") if not shutil.which(name, path=path)
    ]
    return f"no MariaDB server: {absent[0]} is missing; make services" if absent else None


def start(*options: str) -> MariaDB:
    """Start a server on a free port, with data of its own in a new folder.

    As root it runs as another user, since it refuses to run as root; so the folder is none of pytest's,
    which are for their owner alone.
    """
    top = Path(tempfile.mkdtemp(prefix="levada-mariadb-"))
    top.chmod(0o755)
    folder = top / "data"
    folder.mkdir()
    plain, server = _programs(folder)
    with (top / "log").open("ab") as log:
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.run([*plain, *install], check=True, stdout=log, stderr=log, timeout=_SECONDS)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [*plain, server, "--no-defaults", f"--datadir={folder}", f"--port={port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={folder}/s.sock", f"--pid-file={folder}/pid"]
        command += ["--innodb-buffer-pool-size=32M", "--performance-schema=OFF"]
        command += ["--innodb-flush-log-at-trx-commit=0", *options]
        # it may outlive the worker that starts it
        subprocess.run(["setsid", "--fork", *command], check=True, stdout=log, stderr=log, timeout=_SECONDS)
    running = _waited(MariaDB(port, 0, folder))
    account = f"'{READER}'@'127.0.0.1'"
    running.run(f"CREATE USER {account} IDENTIFIED BY '{PASSWORD}'; GRANT {GRANTS} ON *.* TO {account}")
    return running


def stop(server: MariaDB) -> None:
    """Stop a server, and remove its data."""
    try:
        os.kill(server.process, signal.SIGTERM)
        deadline = time.monotonic() + _SECONDS
        while lives(server.process) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(server.process, signal.SIGKILL)
    except ProcessLookupError:
        pass
    shutil.rmtree(server.folder.parent, ignore_errors=True)


@contextmanager
def shared(root: Path) -> Iterator[MariaDB]:
    """The server of this test run."""

    def begin() -> Facts:
        return {name: str(value) for name, value in vars(start()).items()}

    with joined(root, "mariadb", begin, lambda facts: stop(_server(facts))) as facts:
        yield _server(facts)


def _server(facts: Facts) -> MariaDB:
    return MariaDB(int(facts["port"]), int(facts["process"]), Path(facts["folder"]))


def _programs(folder: Path) -> tuple[list[str], str]:
    """What a command begins with so that it does not run as root, and the server's program."""
    server = shutil.which("mariadbd", path=os.environ.get("PATH", "") + ":/usr/sbin") or "mariadbd"
    if os.geteuid() != 0:
        return [], server
    shutil.chown(folder, _USER)
    return ["setpriv", "--reuid", _USER, "--clear-groups", "--"], server


def _waited(server: MariaDB) -> MariaDB:
    """The server with its process, as soon as it answers."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            server.run("SELECT 1")
            return replace(server, process=int((server.folder / "pid").read_text()))
        except (AssertionError, OSError):
            assert time.monotonic() < deadline, (server.folder.parent / "log").read_text()
            time.sleep(0.05)
