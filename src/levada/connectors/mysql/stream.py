"""Large results: rows that another process (`pump`) fetches, as they arrive."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from levada.connectors.mysql import pump
from levada.connectors.mysql.questions import child, tell
from levada.connectors.mysql.server import SESSION, Server
from levada.errors import Fatal, Retriable

_ERROR_BYTES = 64 * 1024


def stream(
    server: Server, groups: Sequence[Sequence[str]], batch_rows: int, where: str, folder: Path | None
) -> Iterator[pa.RecordBatch]:
    """The rows of statements that give the same columns.

    Args:
        server: where they run.
        groups: statements; those of one group run at once, the groups one after the other.
        batch_rows: rows of a batch at most.
        where: what an error is about.
        folder: where rows wait that come faster than they are taken; None means the system's temporary one.

    Raises:
        ConfigError, Retriable, Fatal: by what the server says.
    """
    url = server.url
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as errors, child(errors) as process:
        job = {
            "url": url,
            "setup": SESSION,
            "groups": groups,
            "batch_rows": batch_rows,
            "folder": str(folder) if folder else None,
        }
        reads = Reads(process, server.settings.read_timeout, where)
        yield from reads.batches(json.dumps(job).encode())
        if process.wait() == pump.NO_ROOM:
            raise Retriable(
                "there is no room on disk for the rows that wait until they are taken",
                where=f"{where} ({folder or tempfile.gettempdir()})",
                hint="free some space there, or point TMPDIR elsewhere",
            )
        if process.returncode:
            raise _error(server, errors, where)


class Reads:
    """What a child process writes.

    Args:
        child: it runs.
        limit: seconds that a batch may take; None waits.
        where: what an error is about.
    """

    def __init__(self, child: subprocess.Popen[bytes], limit: float | None, where: str) -> None:
        self._child = child
        self._limit = limit
        self._where = where
        self._late = False

    def batches(self, job: bytes) -> Iterator[pa.RecordBatch]:
        """Hand over the job, then give the batches until the child closes its side.

        Raises:
            Retriable: a batch took too long.
        """
        assert self._child.stdout
        tell(self._child, job)
        try:
            with self._in_time():
                rows = pa.ipc.open_stream(self._child.stdout)
            while (batch := self._next(rows)) is not None:
                yield batch
        except (pa.ArrowInvalid, OSError):
            pass  # cut short: the child's status says why
        if self._late:
            raise Retriable(
                f"no rows for {self._limit:g} seconds",
                where=self._where,
                hint="raise `read_timeout`, or ask for less",
            )

    def _next(self, rows: pa.RecordBatchStreamReader) -> pa.RecordBatch | None:
        with self._in_time():
            try:
                return rows.read_next_batch()
            except StopIteration:
                return None

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        if self._limit is None:
            yield
            return
        timer = threading.Timer(self._limit, self._give_up)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._late = True
        self._child.kill()


def _error(server: Server, errors: IO[bytes], where: str) -> Exception:
    errors.seek(max(errors.seek(0, os.SEEK_END) - _ERROR_BYTES, 0))
    said = errors.read().decode(errors="replace")
    _, mark, text = said.rpartition(pump.MARK)
    if mark:
        return server.error(json.loads(text.splitlines()[0]), where)
    return Fatal(
        "the process that reads the table died", where=where, hint="the machine may be out of memory"
    )
