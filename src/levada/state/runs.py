"""The ledger of runs: the collection `runs`, one document per run with its steps."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from levada.errors import ConfigError
from levada.state.leases import Holder, held, lease_name
from levada.state.store import FORMAT, Store, check_format, translated
from levada.windows import Window

#: A run's life: running, then done, failed or stopped; `interrupted` is a running one whose process is gone,
#: or whose pipeline nobody holds the lease of.
ENDED_BADLY = ("failed", "stopped", "interrupted")


@dataclass(frozen=True)
class StepRecord:
    """One step of a run.

    Args:
        status: pending, running, done, failed, skipped.
        rows, bytes, seconds: what it moved, and how long the last try took.
        tries: how often it was started.
        values: what it hands to later steps.
        error: what, where and hint of the last failure.
        run: the run that did it, where a resumed run took it over.
    """

    name: str
    status: str = "pending"
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    tries: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    run: str | None = None


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline over one window (None: a pipeline without windows)."""

    id: str
    pipeline: str
    window: Window | None
    status: str
    started_at: datetime
    plan: str
    holder: Holder
    steps: Mapping[str, StepRecord]
    finished_at: datetime | None = None
    resumes: str | None = None
    error: Mapping[str, Any] | None = None

    @property
    def seconds(self) -> float:
        return ((self.finished_at or datetime.now(UTC)) - self.started_at).total_seconds()

    @property
    def rows(self) -> int:
        return sum(step.rows for step in self.steps.values())

    def to_dict(self) -> dict[str, Any]:
        """The stored form (format 1); `_id` is the run's id."""
        return {
            "_id": self.id,
            "format": FORMAT,
            "pipeline": self.pipeline,
            "window": {"start": self.window.start, "end": self.window.end} if self.window else None,
            "status": self.status,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "plan": self.plan,
            "holder": self.holder.to_dict(),
            "resumes": self.resumes,
            "error": self.error,
            "steps": [_step_dict(step) for step in self.steps.values()],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Run:
        check_format(stored, f"run {stored.get('_id')}")
        window = stored.get("window")
        holder = Holder(**stored["holder"])
        status = stored["status"]
        if status == "running" and holder.gone:
            status = "interrupted"
        return cls(
            id=stored["_id"],
            pipeline=stored["pipeline"],
            window=Window(window["start"], window["end"]) if window else None,
            status=status,
            started_at=stored["started_at"],
            finished_at=stored.get("finished_at"),
            plan=stored.get("plan", ""),
            holder=holder,
            resumes=stored.get("resumes"),
            error=stored.get("error"),
            steps={step["name"]: StepRecord(**step) for step in stored.get("steps", [])},
        )


def new_run_id(now: datetime) -> str:
    """Sortable by time and unique: `20261124T020000-5f3a9c`."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Runs:
    """Reads and writes the collection `runs`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, run: Run) -> None:
        with translated(f"run {run.id}"):
            self._store.collection("runs").insert_one(run.to_dict())

    def record(self, run: str, step: StepRecord) -> None:
        with translated(f"run {run}"):
            self._store.collection("runs").update_one(
                {"_id": run, "steps.name": step.name}, {"$set": {"steps.$": _step_dict(step)}}
            )

    def finish(self, run: Run) -> Run:
        """Store the run as it ended, with all its steps."""
        ended = replace(run, finished_at=run.finished_at or datetime.now(UTC))
        with translated(f"run {run.id}"):
            self._store.collection("runs").replace_one({"_id": run.id}, ended.to_dict(), upsert=True)
        return ended

    def get(self, run: str) -> Run:
        """A run by its id, or by the beginning or the end of one.

        Raises:
            ConfigError: none or several match.
        """
        with translated("runs"):
            collection = self._store.collection("runs")
            found = list(collection.find({"_id": run})) or [
                document
                for document in collection.find({}, {"_id": 1}).sort("_id", -1)
                if document["_id"].startswith(run) or document["_id"].endswith(run)
            ]
            if len(found) == 1 and "pipeline" not in found[0]:
                found = list(collection.find({"_id": found[0]["_id"]}))
        if len(found) != 1:
            what = "no run" if not found else f"{len(found)} runs"
            raise ConfigError(f"{what} with id {run!r}", hint="`levada runs` lists them")
        return Run.from_dict(found[0])

    def recent(self, pipeline: str | None = None, limit: int = 20) -> list[Run]:
        """Newest first."""
        condition = {"pipeline": pipeline} if pipeline else {}
        return self._find(condition, limit)

    def last(self, pipeline: str, window: Window | None) -> Run | None:
        """The newest run over exactly this window."""
        stored = {"start": window.start, "end": window.end} if window else None
        found = self._find({"pipeline": pipeline, "window": stored}, 1)
        return found[0] if found else None

    def by_window(self, pipeline: str, windows: Iterable[Window]) -> dict[Window, Run]:
        """The newest run of each of these windows that has one."""
        wanted = set(windows)
        if not wanted:
            return {}
        span = {"$gte": min(w.start for w in wanted), "$lt": max(w.end for w in wanted)}
        newest: dict[Window, Run] = {}
        for run in self._find({"pipeline": pipeline, "window.start": span}, 0):
            if run.window in wanted:
                newest.setdefault(run.window, run)
        return newest

    def _find(self, condition: Mapping[str, Any], limit: int) -> list[Run]:
        with translated("runs"):
            cursor = self._store.collection("runs").find(condition).sort("started_at", -1).limit(limit)
            found = [Run.from_dict(document) for document in cursor]
            busy = {run.pipeline for run in found if run.status == "running"}
            active = {name for name in busy if held(self._store, lease_name(name))}
        return [
            replace(run, status="interrupted")
            if run.status == "running" and run.pipeline not in active
            else run
            for run in found
        ]


def _step_dict(step: StepRecord) -> dict[str, Any]:
    return {
        "name": step.name,
        "status": step.status,
        "rows": step.rows,
        "bytes": step.bytes,
        "seconds": step.seconds,
        "tries": step.tries,
        "values": dict(step.values),
        "error": step.error,
        "started_at": step.started_at,
        "run": step.run,
    }
