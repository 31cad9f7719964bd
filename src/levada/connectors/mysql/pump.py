"""The process that reads tables: rows from the server, as fast as it gives them, to standard output.

It is run as a program and imports nothing of Levada. A process of its own, because the driver holds
Python's lock while it waits for rows, keeps whatever its caller has not fetched in memory, goes on reading
when nobody listens, and panics when a connection breaks. Here a result is fetched at once; what the other
side has no time for waits in memory while it is little, then in files.

It reads one line of JSON (`url`, `setup`, `groups`, `batch_rows`, `folder`), and writes an Arrow stream. The
statements of a group run at once, the groups one after the other, each when the one before is nearly
fetched. An error ends it with status 1 and a last line on standard error; a full disk with status 3.

Where that line is `{"questions": true}`, each of the next ones is a question (`url`, `sql`, `setup`), which a
line of JSON answers: `rows` or `error`.

It ends when the other side of standard input is closed, also in the middle of a statement.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from typing import IO, Any

import pyarrow as pa

#: Begins the line that holds the error.
MARK = "levada-mysql-error: "
#: The status of a process that has no room for the rows that wait.
NO_ROOM = 3
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

MEMORY = 48 * 1024 * 1024
_FILE = 16 * 1024 * 1024
#: Ends an Arrow stream. Source: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Outlet:
    """Writes batches in order, in a thread of its own; those that must wait wait in memory or in files.

    Args:
        sink: file descriptor that the Arrow stream goes to, one message by one system call: between the
            driver's batches there is little time to hold Python's lock.
        schema: of all batches.
        folder: where files may go; they have no names, so that none is left behind. None means the
            system's temporary one.
    """

    def __init__(self, sink: int, schema: pa.Schema, folder: str | None) -> None:
        self._folder = folder
        self._schema = schema
        self._items: deque[pa.RecordBatch | IO[bytes] | None] = deque()
        self._held = 0
        self._tail: list[pa.RecordBatch] = []
        self._files = 0
        self._changed = threading.Condition()
        self._sink = sink
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def put(self, batch: pa.RecordBatch) -> None:
        """Add a batch; never waits for the other side."""
        self._tail.append(batch)
        with self._changed:
            if self._held < MEMORY:
                self._release()
                return
        if sum(waiting.nbytes for waiting in self._tail) > _FILE:
            self._store()

    def wait_for_room(self) -> None:
        """Wait until what is waiting fits into memory."""
        if self._tail:
            self._store()
        with self._changed:
            self._changed.wait_for(lambda: self._held < MEMORY and not self._files)

    def finish(self) -> None:
        """Write what is waiting."""
        with self._changed:
            self._release()
            self._items.append(None)
            self._changed.notify_all()
        self._thread.join()

    def _release(self) -> None:
        self._items.extend(self._tail)
        self._held += sum(batch.nbytes for batch in self._tail)
        self._tail = []
        self._changed.notify_all()

    def _store(self) -> None:
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed when it has been read
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(file, self._schema, options=options) as stored:
            for batch in self._tail:
                stored.write_batch(batch)
        self._tail = []
        with self._changed:
            self._items.append(file)
            self._files += 1
            self._changed.notify_all()

    def _write(self) -> None:
        try:
            self._send(self._schema.serialize())
            while (item := self._next()) is not None:
                self._pass_on(item)
            self._send(_END)
        except (OSError, pa.ArrowException):
            os._exit(1)  # nobody listens any more

    def _send(self, message: pa.Buffer | bytes) -> None:
        rest = memoryview(message)
        while rest:
            rest = rest[os.write(self._sink, rest) :]

    def _next(self) -> pa.RecordBatch | IO[bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items)
            return self._items.popleft()

    def _pass_on(self, item: pa.RecordBatch | IO[bytes]) -> None:
        if isinstance(item, pa.RecordBatch):
            self._send(item.serialize())
        else:
            with item:
                item.seek(0)
                for batch in pa.ipc.open_stream(item):
                    self._send(batch.serialize())
        with self._changed:
            if isinstance(item, pa.RecordBatch):
                self._held -= item.nbytes
            else:
                self._files -= 1
            self._changed.notify_all()


def pump(job: dict[str, Any], sink: int) -> None:
    """Run a job; see above."""
    import connectorx

    outlet: Outlet | None = None
    for group in job["groups"]:
        if outlet:
            outlet.wait_for_room()
        reader = connectorx.read_sql(
            job["url"],
            group,
            return_type="arrow_stream",
            batch_size=job["batch_rows"],
            pre_execution_query=job["setup"],
        )
        outlet = outlet or Outlet(sink, reader.schema, job["folder"])
        for batch in reader:
            if len(batch):
                outlet.put(batch)
    if outlet:
        outlet.finish()


def end_with_parent() -> None:
    """Let a signal end this process when nobody is left to write to it: the driver holds Python's lock."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    source = sys.stdin.fileno()
    fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(source, fcntl.F_SETFL, fcntl.fcntl(source, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([source], [], [], 0)[0]:  # it was closed before
        os._exit(1)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The rows of a small result, or what the driver says against it."""
    import connectorx

    url, sql = question["url"], question["sql"]
    try:
        if sql is None:  # logs in at once; other calls try for half a minute, whatever they fail for
            connectorx.partition_sql(url, "SELECT 1 AS one", "one", 1)
            return {"rows": []}
        found = connectorx.read_sql(
            url, sql, return_type="arrow", pre_execution_query=question["setup"]
        ).to_pylist()
    except BaseException as error:  # noqa: BLE001 - a panic of the driver is one
        return {"error": str(error)}
    return {"rows": [{name: _as_text(value) for name, value in row.items()} for row in found]}


def _as_text(value: Any) -> Any:
    """MySQL 8 shows types as long texts, which a driver may take for bytes."""
    return value.decode() if isinstance(value, bytes) else value


def answers(questions: Any) -> None:
    """Answer questions as they come, until there are no more."""
    import connectorx  # noqa: F401 - before it says that it is there

    sys.stdout.write("{}\n")
    sys.stdout.flush()
    source = questions.fileno()
    for line in questions:
        flags = fcntl.fcntl(source, fcntl.F_GETFL)
        end_with_parent()
        found = json.dumps(answer(json.loads(line)))
        fcntl.fcntl(source, fcntl.F_SETFL, flags)  # the next question is no end
        sys.stdout.write(found + "\n")
        sys.stdout.flush()


def main() -> None:
    job = json.loads(sys.stdin.readline())
    try:
        if job.get("questions"):
            answers(sys.stdin)
        else:
            end_with_parent()
            pump(job, sys.stdout.fileno())
    except BaseException as error:  # noqa: BLE001 - a panic of the driver is one
        with suppress(OSError):  # the disk may be full
            sys.stderr.write(f"\n{MARK}{json.dumps(str(error))}\n")
            sys.stderr.flush()
        os._exit(NO_ROOM if getattr(error, "errno", None) in _NO_ROOM else 1)
    os._exit(0)  # what still runs inside the driver is not waited for


if __name__ == "__main__":
    main()
