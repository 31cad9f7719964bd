"""One active run per pipeline: a lease with an end, and an epoch that grows with every owner.

The server's clock decides (`$$NOW`), never a client's. A holder that is gone (same machine, process not
alive) is followed at once, any other when its lease has ended; who wakes up late carries an older epoch and
is refused by the sinks.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pymongo import ReturnDocument

from levada.errors import Fenced, LeaseHeld, LevadaError
from levada.state.store import FORMAT, Store, check_format, translated

_EPOCH_START = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Holder:
    """Who holds a lease: a machine and a process on it, and the run."""

    host: str
    pid: int
    started: str
    run: str

    @classmethod
    def here(cls, run: str) -> Holder:
        return cls(_machine(), os.getpid(), _process_start(os.getpid()), run)

    @property
    def gone(self) -> bool:
        """Whether it ran on this machine and is not alive any more."""
        return self.host == _machine() and _process_start(self.pid) != self.started

    def to_dict(self) -> dict[str, Any]:
        return {"host": self.host, "pid": self.pid, "started": self.started, "run": self.run}


class Lease:
    """A lease that is held; a thread renews it every third of its length until `release`.

    `lost` is set as soon as a renewal is refused or the lease has ended without one.
    """

    def __init__(self, store: Store, name: str, holder: Holder, seconds: float) -> None:
        self.name = name
        self.lost = threading.Event()
        self.epoch = 0
        self.valid_until = _EPOCH_START
        self._store = store
        self._holder = holder
        self._length = timedelta(seconds=seconds)
        self._released = threading.Event()
        self._changing = threading.Lock()
        self._renewer = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)

    def acquire(self) -> Lease:
        """Take the lease.

        Raises:
            LeaseHeld: somebody else holds it, and is alive.
        """
        with translated(f"lease {self.name}"):
            leases = self._store.collection("leases")
            fresh = {"format": FORMAT, "epoch": 0, "holder": None, "expires_at": _EPOCH_START}
            leases.update_one({"_id": self.name}, {"$setOnInsert": fresh}, upsert=True)
            held = leases.find_one({"_id": self.name}) or {}
            check_format(held, f"lease {self.name}")
            taken = self._take(held)
        if taken is None:
            raise self._refusal()
        self._remember(taken)
        self._renewer.start()
        return self

    def bump(self) -> None:
        """Raise the epoch, so that what is still running under the old one is refused."""
        if not self._renew(next_epoch=True):
            self.lost.set()
            raise Fenced(f"the lease {self.name} was taken over", hint="another run continues; nothing to do")

    def release(self) -> None:
        """Give the lease back; a lease already lost is left to its new owner."""
        self._released.set()
        try:
            with translated(f"lease {self.name}"):
                self._store.collection("leases").update_one(
                    {"_id": self.name, "epoch": self.epoch, "holder": self._holder.to_dict()},
                    {"$set": {"holder": None, "expires_at": _EPOCH_START}},
                )
        except LevadaError:
            return  # it ends by itself

    def _take(self, held: dict[str, Any]) -> dict[str, Any] | None:
        if held.get("holder") and Holder(**held["holder"]).gone:
            return self._update({"epoch": held["epoch"], "holder": held["holder"]}, next_epoch=True)
        return self._update({"$expr": {"$lte": ["$expires_at", "$$NOW"]}}, next_epoch=True)

    def _update(self, condition: dict[str, Any], *, next_epoch: bool) -> dict[str, Any] | None:
        changes: dict[str, Any] = {
            "holder": {"$literal": self._holder.to_dict()},
            "expires_at": {"$add": ["$$NOW", int(self._length.total_seconds() * 1000)]},
            "renewed_at": "$$NOW",
        }
        if next_epoch:
            changes["epoch"] = {"$add": ["$epoch", 1]}
        return self._store.collection("leases").find_one_and_update(
            {"_id": self.name, **condition}, [{"$set": changes}], return_document=ReturnDocument.AFTER
        )

    def _renew(self, *, next_epoch: bool) -> bool:
        """Renew it as it stands; False if somebody else has it."""
        with self._changing, translated(f"lease {self.name}"):
            taken = self._update(
                {"epoch": self.epoch, "holder": self._holder.to_dict()}, next_epoch=next_epoch
            )
            if taken is not None:
                self._remember(taken)
        return taken is not None

    def _remember(self, document: dict[str, Any]) -> None:
        self.epoch = document["epoch"]
        self.valid_until = document["expires_at"]

    def _refusal(self) -> LeaseHeld:
        held = self._store.collection("leases").find_one({"_id": self.name}) or {}
        holder = held.get("holder") or {}
        return LeaseHeld(
            f"another run is active: {holder.get('run', 'unknown')} "
            f"(process {holder.get('pid')} on {str(holder.get('host')).partition('/')[0]})",
            where=self.name,
            hint="wait for it (`levada status`), or stop that process; "
            f"its lease ends at {held.get('expires_at', _EPOCH_START):%H:%M:%S} UTC unless renewed",
        )

    def _keep(self) -> None:
        pause = self._length.total_seconds() / 3
        failures = 0
        while not self._released.wait(pause):
            try:
                renewed = self._renew(next_epoch=False)
            except LevadaError:
                failures += 1
                if failures >= 3:  # three missed renewals are a whole lease
                    self.lost.set()
                    return
                continue
            failures = 0
            if not renewed:
                self.lost.set()
                return


def lease_name(pipeline: str) -> str:
    """The name of a pipeline's lease."""
    return f"pipeline:{pipeline}"


def held(store: Store, name: str) -> bool:
    """Whether anybody holds a lease, by the server's clock."""
    still = {"_id": name, "holder": {"$ne": None}, "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
    found = store.collection("leases").find_one(still)
    return found is not None and not Holder(**found["holder"]).gone


@cache
def _machine() -> str:
    """Where process ids mean the same: host name, boot, pid namespace; containers may share the name."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()).removeprefix("pid:"))
    return "/".join(parts)


def _process_start(pid: int) -> str:
    """A text that is the same as long as the process lives; empty when it doesn't."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if not _alive(pid) else "alive"
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
