"""Small questions to a server, asked by another process (`pump`): it can be given up, the driver can't.

The driver waits without a limit, and holds Python's lock while it logs in: a server that accepts connections
and says nothing would stop every thread of its process, also the one that renews the lease.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import IO, Any

from levada.connectors.mysql import pump
from levada.errors import ConfigError, Retriable

#: Seconds that the process may take to start, on a machine that is busy.
_START = 120.0
_PIECE = 1 << 16


class Refused(Exception):
    """What the driver says against a question."""


class Late(Exception):
    """An answer that did not come in time."""


class Questions:
    """A process that asks, one question after the other.

    Args:
        child: it runs.
    """

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._rest = b""
        self._line(_START)  # it says that it is there

    def ask(
        self, url: str, sql: str | None, setup: Sequence[str] = (), limit: float | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a small result.

        Args:
            url: the driver's.
            sql: None only logs in.
            setup: statements that the same session runs before.
            limit: seconds that the answer may take; None waits.

        Raises:
            Refused: by what the driver says.
            Late: there is no answer; the process is gone.
            Retriable: the process died.
        """
        tell(self._child, json.dumps({"url": url, "sql": sql, "setup": list(setup)}).encode())
        answer: Mapping[str, Any] = json.loads(self._line(limit))
        if "error" in answer:
            raise Refused(answer["error"])
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    def _line(self, limit: float | None) -> bytes:
        assert self._child.stdout
        deadline = None if limit is None else time.monotonic() + limit
        while b"\n" not in self._rest:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([self._child.stdout], [], [], left)[0]:
                self._child.kill()
                raise Late
            piece = os.read(self._child.stdout.fileno(), _PIECE)
            if not piece:
                raise _died()
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@contextmanager
def questions() -> Iterator[Questions]:
    """A process for questions; it ends with the block, and with it its sessions.

    Raises:
        ConfigError: the driver isn't installed.
    """
    if find_spec("connectorx") is None:
        raise ConfigError("mysql needs connectorx", hint="pip install 'levada[mysql]'")
    with child(subprocess.DEVNULL) as process:
        tell(process, json.dumps({"questions": True}).encode())
        yield Questions(process)


@contextmanager
def child(errors: int | IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process; it ends with the block at the latest, or when this process does.

    Args:
        errors: where its standard error goes.
    """
    environment = {**os.environ, "RUST_LOG": "off", "RUST_BACKTRACE": "0"}
    process = subprocess.Popen(
        [sys.executable, "-P", pump.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def tell(child: subprocess.Popen[bytes], line: bytes) -> None:
    """Hand a line over; standard input stays open, since its end is the end of the child."""
    assert child.stdin
    rest = memoryview(line + b"\n")
    with suppress(BrokenPipeError):  # it has died, and its status says why
        while rest:
            rest = rest[os.write(child.stdin.fileno(), rest) :]


def _died() -> Retriable:
    return Retriable(
        "the process that asks the server died", hint="the machine may be out of memory; it is tried again"
    )
