"""One server for all workers of a test run: the first that needs it starts it, the last one stops it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What there is to know of a server, as JSON.
Facts = Mapping[str, Any]


@contextmanager
def joined(
    root: Path, name: str, start: Callable[[], Facts], stop: Callable[[Facts], None]
) -> Iterator[Facts]:
    """Join the server of this folder. A user that was killed does not keep it running.

    Args:
        root: a folder that all workers of a run have.
        name: of the server.
        start, stop: run by one worker, while the others wait.
    """
    with _known(root, name) as known:
        known["server"] = known.get("server") or dict(start())
        known["users"] = [*_living(known), os.getpid()]
        server = known["server"]
    try:
        yield server
    finally:
        with _known(root, name) as known:
            known["users"] = [user for user in _living(known) if user != os.getpid()]
            if not known["users"]:
                known["server"] = {}
                stop(server)


def lives(process: int) -> bool:
    """Whether it runs; one that has ended may still have a number where nobody waits for it."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


def _living(known: dict[str, Any]) -> list[int]:
    return [user for user in known.get("users", []) if lives(user)]


@contextmanager
def _known(root: Path, name: str) -> Iterator[dict[str, Any]]:
    """What the workers know of the server, for one of them at a time."""
    file = root / f"{name}.json"
    with (root / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
        yield known
        file.write_text(json.dumps(known))
