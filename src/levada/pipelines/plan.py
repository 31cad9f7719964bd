"""Which windows are missing, failed or done, and what a run would do about each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from levada.pipelines.pipeline import Pipeline
from levada.state import ENDED_BADLY, Run, Runs
from levada.windows import Window


@dataclass(frozen=True)
class PlannedStep:
    """A step of a window: `run`, or `keep` where a failed run has done it already."""

    name: str
    action: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class PlannedWindow:
    """One window of a plan.

    Args:
        status: missing, done, failed, stopped, interrupted, running, or changed: done, but by other steps
            than the project file has now.
        due: whether a backfill would run it.
        last: its newest run.
        steps: what a run would do.
    """

    window: Window
    status: str
    due: bool
    last: Run | None
    steps: tuple[PlannedStep, ...]

    @property
    def action(self) -> str:
        """`run`, `resume` or `nothing`."""
        if not self.due:
            return "nothing"
        return "resume" if any(step.action == "keep" for step in self.steps) else "run"


def plan(
    pipeline: Pipeline, runs: Runs, windows: Iterable[Window], now: datetime, *, again: bool = False
) -> list[PlannedWindow]:
    """Look up the windows in the ledger.

    Args:
        windows: those of interest; those that are not over at `now` are left out.
        again: whether windows that are done are due, too.
    """
    over = [window for window in windows if window.end <= now]
    newest = runs.by_window(pipeline.name, over)
    return [_plan_one(pipeline, window, newest.get(window), again=again) for window in over]


def _plan_one(pipeline: Pipeline, window: Window, last: Run | None, *, again: bool) -> PlannedWindow:
    status = last.status if last else "missing"
    same = last is not None and last.plan == pipeline.fingerprint
    if status == "done" and not same:
        status = "changed"
    due = status in ("missing", *ENDED_BADLY) or again
    kept = _kept(pipeline, last) if last and same and status in ENDED_BADLY else frozenset()
    steps = tuple(
        PlannedStep(
            name,
            "keep" if name in kept else "run",
            pipeline.steps[name].uses().reads,
            pipeline.steps[name].uses().writes,
        )
        for name in pipeline.order
    )
    return PlannedWindow(window, status, due, last, steps)


def _kept(pipeline: Pipeline, last: Run) -> frozenset[str]:
    done = {name for name, step in last.steps.items() if step.status == "done"}
    return frozenset(name for name in done if pipeline.upstream(name) <= done)
