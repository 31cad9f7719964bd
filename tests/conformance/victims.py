"""Processes that die on purpose.

`python -m tests.conformance.victims` imports everything once, starts nothing, and forks a child for every
job that it is sent: a child costs milliseconds instead of the imports.
"""

from __future__ import annotations

import base64
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from levada.connectors.base import Mode

from .endpoints import Endpoint
from .jobs import OWNER, STORED, TABLE, Job, content, deliver, expected, job, ordered, points, store

ROOT = Path(__file__).parents[2]


class Victims:
    """Delivers jobs in processes that are killed on the way."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.conformance.victims"]
        self._nursery = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def deliver(self, endpoint: Endpoint, work: Job, point: str, delay: float) -> None:
        """Deliver until a point, or for `delay` seconds into the commit."""
        assert self._nursery.stdin
        assert self._nursery.stdout
        sent = base64.b64encode(pickle.dumps((endpoint, work, point, delay))).decode()
        self._nursery.stdin.write(sent + "\n")
        self._nursery.stdin.flush()
        status = self._nursery.stdout.readline().strip()
        assert status == str(-signal.SIGKILL), f"the process ended with {status!r}"

    def close(self) -> None:
        assert self._nursery.stdin
        assert self._nursery.stdout
        self._nursery.stdin.close()
        self._nursery.wait(30)
        self._nursery.stdout.close()


def survives_thirty_kills(endpoint: Endpoint, victims: Victims, work: Job) -> None:
    """Die at 30 seeded points, most of them within the commit, and run again each time."""
    moments: list[float] = []
    with endpoint.open() as connection:
        store(connection)
        deliver(connection, work, lambda _: moments.append(time.perf_counter()))
    took = moments[-1] - moments[-2]
    for point, delay in points(work.mode, seed=30, during=27, commit=1.2 * took):
        work = work.again()
        with endpoint.open() as connection:
            store(connection)
        victims.deliver(endpoint, work, point, delay)
        with endpoint.open() as connection:
            deliver(connection, work)
            assert content(connection) == ordered(expected(STORED, work.mode, work.rows)), (point, delay)
            assert connection.sink(TABLE).position(OWNER) == work.position


def _serve() -> None:
    import levada.connectors.duckdb
    import levada.connectors.files
    import levada.connectors.lake
    import levada.connectors.mongodb
    import levada.connectors.postgres  # noqa: F401

    list(job(Mode.APPEND).batches())  # pyarrow imports more when it first sees a datetime
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                _die(*pickle.loads(base64.b64decode(line)))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _die(endpoint: Endpoint, work: Job, point: str, delay: float) -> None:
    def reached(now: str) -> None:
        if now in (point, "after commit"):
            _kill()
        if now == "before commit" and point == "during commit":
            threading.Thread(target=lambda: (time.sleep(delay), _kill()), daemon=True).start()

    with endpoint.open() as connection:
        deliver(connection, work, reached)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve()
