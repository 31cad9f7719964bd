"""Fills the windows that a plan says are due.

Windows run at the same time as far as the steps allow: each step works on one window at a time, oldest
first, so window 2 is extracted while window 1 is transformed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from levada.pipelines.execution import Execution
from levada.pipelines.pipeline import Pipeline, check_past
from levada.pipelines.runner import Runner
from levada.state import OnLost, Run, new_run_id
from levada.windows import Window


@dataclass(frozen=True)
class Backfilled:
    """What became of the windows.

    Args:
        runs: one per window that was started, oldest first.
        left: windows that were not started, because of a stop or a failure.
    """

    runs: tuple[Run, ...]
    left: tuple[Window, ...]


class _Place:
    """A window's place in the queue before each step.

    Args:
        steps: their names.
        ahead: the window before it.
    """

    def __init__(self, steps: Iterable[str], ahead: _Place | None) -> None:
        self._ahead = ahead
        self.passed = {name: threading.Event() for name in steps}

    @contextmanager
    def turn(self, step: str) -> Iterator[None]:
        """Wait until the window ahead has passed the step, or left."""
        if self._ahead:
            self._ahead.passed[step].wait()
        try:
            yield
        finally:
            self.passed[step].set()

    def leave(self) -> None:
        for passed in self.passed.values():
            passed.set()


def backfill(
    runner: Runner,
    pipeline: Pipeline,
    windows: Sequence[Window],
    *,
    parallel: int = 1,
    keep_going: bool = False,
    fresh: bool = False,
    on_lost: OnLost = OnLost.FAIL,
) -> Backfilled:
    """Run a pipeline over several windows under one lease.

    Args:
        windows: those to run.
        parallel: how many windows are under way at once.
        keep_going: start further windows after one has failed.

    Raises:
        LeaseHeld: another run of this pipeline is active.
    """
    check_past(windows, runner.clock())
    todo = sorted(windows)
    if not todo:
        return Backfilled((), ())
    lease = runner.lease(pipeline, new_run_id(runner.clock()))
    queue: list[_Place] = []
    for _ in todo:
        queue.append(_Place(pipeline.steps, queue[-1] if queue else None))
    halted = threading.Event()

    def one(window: Window, place: _Place) -> Run | None:
        try:
            return execute(window, place)
        finally:
            place.leave()

    def execute(window: Window, place: _Place) -> Run | None:
        if halted.is_set() or runner.stop.is_set() or lease.lost.is_set():
            return None
        execution = Execution(runner, pipeline, window, lease, on_lost=on_lost, turn=place.turn)
        run = execution.execute(new_run_id(runner.clock()), fresh=fresh)
        if run.status != "done" and not keep_going:
            halted.set()
        return run

    try:
        with ThreadPoolExecutor(parallel, thread_name_prefix="window") as pool:
            found = list(pool.map(one, todo, queue))
    finally:
        lease.release()
    started = tuple(run for run in found if run)
    left = tuple(window for window, run in zip(todo, found, strict=True) if run is None)
    return Backfilled(started, left)
