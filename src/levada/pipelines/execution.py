"""One execution of a pipeline over one window: its steps in order, retried, recorded, under a lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Any

from levada.connectors.base import Fence
from levada.errors import Fatal, LevadaError
from levada.observe import Event
from levada.observe.events import Kind
from levada.pipelines.attempt import Stopped, TimedOut, attempt
from levada.pipelines.pipeline import Pipeline
from levada.pipelines.runner import Runner
from levada.resilience import CircuitBreaker
from levada.state import ENDED_BADLY, Holder, Lease, OnLost, Run, Runs, StepRecord
from levada.steps.base import StepContext, StepResult
from levada.windows import Window

_LONGEST_TEXT = 10_000


def _at_once(_: str) -> AbstractContextManager[None]:
    return nullcontext()


class Execution:
    """One run over one window.

    Args:
        runner: whose connections, clock and listener it uses.
        lease: held by the caller.
        turn: step -> what to enter while it works, where several windows run at the same time.
    """

    def __init__(
        self,
        runner: Runner,
        pipeline: Pipeline,
        window: Window | None,
        lease: Lease,
        *,
        on_lost: OnLost = OnLost.FAIL,
        turn: Callable[[str], AbstractContextManager[None]] = _at_once,
    ) -> None:
        self._runner, self._pipeline, self._window, self._lease = runner, pipeline, window, lease
        self._on_lost = on_lost
        self._turn = turn
        self._runs = Runs(runner.store)
        now = runner.clock()
        self._now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # what a BSON date can hold
        self._records: dict[str, StepRecord] = {}
        self._errors: dict[str, BaseException] = {}
        self._run_id = ""
        self._unrecorded = False  # the ledger is out of reach: no use in starting further steps

    def execute(self, run_id: str, *, fresh: bool = False) -> Run:
        """Run all steps and record the run."""
        self._run_id = run_id
        previous = self._runs.last(self._pipeline.name, self._window)
        resumed = None if fresh else self._resumable(previous)
        self._records = self._initial(resumed)
        run = Run(
            id=run_id,
            pipeline=self._pipeline.name,
            window=self._window,
            status="running",
            started_at=self._now,
            plan=self._pipeline.fingerprint,
            holder=Holder.here(run_id),
            steps=self._records,
            resumes=resumed.id if resumed else None,
        )
        self._close(previous)
        self._runs.start(run)
        window = self._window.short if self._window else None
        self._tell("run_started", None, window=window, run=run_id, resumes=run.resumes)
        for name, record in self._records.items():
            if record.status == "done":
                self._tell("step_skipped", name, run=record.run, rows=record.rows)
        self._run_steps()
        return self._end(run)

    def _resumable(self, previous: Run | None) -> Run | None:
        if previous is None or previous.status not in (*ENDED_BADLY, "running"):
            return None
        return previous if previous.plan == self._pipeline.fingerprint else None

    def _close(self, previous: Run | None) -> None:
        """A run that is still marked as running, though we hold the lease, was interrupted."""
        if previous and previous.status in ("running", "interrupted") and previous.finished_at is None:
            self._runs.finish(replace(previous, status="interrupted", finished_at=self._now))

    def _initial(self, resumed: Run | None) -> dict[str, StepRecord]:
        """Fresh records, but for the steps that the resumed run did, and did after steps that are kept."""
        records: dict[str, StepRecord] = {}
        for name in self._pipeline.order:
            needs = self._pipeline.spec.steps[name].needs
            before = resumed.steps.get(name) if resumed else None
            records[name] = StepRecord(name)
            kept = all(records[need].status == "done" for need in needs)
            if resumed and before and before.status == "done" and kept:
                records[name] = replace(before, run=before.run or resumed.id)
        return records

    def _run_steps(self) -> None:
        waiting = [name for name, record in self._records.items() if record.status != "done"]
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(self._pipeline.spec.parallel, thread_name_prefix="step") as pool:
            while waiting or running:
                for name in self._ready(waiting, len(running)):
                    waiting.remove(name)
                    running[pool.submit(self._run_step, name)] = name
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    running.pop(future)
                    future.result()
        for name in waiting:
            self._records[name] = replace(self._records[name], status="skipped")  # stored with the run's end

    def _ready(self, waiting: Iterable[str], busy: int) -> list[str]:
        if self._runner.stop.is_set() or self._lease.lost.is_set() or self._unrecorded:
            return []
        needs = self._pipeline.spec.steps
        ready = [
            name
            for name in waiting
            if all(self._records[need].status == "done" for need in needs[name].needs)
        ]
        return ready[: self._pipeline.spec.parallel - busy]

    def _run_step(self, name: str) -> None:
        with self._turn(name):
            try:
                self._pipeline.retry_policy(name).run(
                    lambda: self._try_step(name),
                    stop=self._runner.stop,
                    on_retry=lambda error, count: self._before_retry(name, error, count),
                )
            except BaseException as error:  # noqa: BLE001 - recorded; the run's status tells
                self._fail(name, error)

    def _before_retry(self, name: str, error: BaseException, count: int) -> None:
        self._fail(name, error, final=False)
        self._tell("step_retried", name, error=self._error(error), attempt=count)
        if isinstance(error, TimedOut):
            self._lease.bump()

    def _try_step(self, name: str) -> None:
        step = self._pipeline.steps[name]
        record = replace(
            self._records[name],
            status="running",
            tries=self._records[name].tries + 1,
            started_at=self._runner.clock(),
            error=None,
        )
        self._record(record)
        self._tell("step_started", name, attempt=record.tries)
        started = time.monotonic()
        uses = step.uses()
        breakers = {
            address.split(".")[0]: self._runner.breaker(address.split(".")[0])
            for address in (*uses.reads, *uses.writes)
        }
        result = self._guarded(name, list(breakers.values()))
        seconds = time.monotonic() - started
        values = {"rows": result.rows, **result.values}
        self._record(
            replace(
                record,
                status="done",
                rows=result.rows,
                bytes=result.bytes,
                seconds=seconds,
                values=values,
                run=self._run_id,
            )
        )
        self._tell("step_finished", name, status="done", rows=result.rows, seconds=seconds, note=result.note)

    def _guarded(self, name: str, breakers: list[CircuitBreaker]) -> StepResult:
        if breakers:
            with breakers[0]:
                return self._guarded(name, breakers[1:])
        return attempt(
            lambda early: self._pipeline.steps[name].run(self._context(name, early)),
            name=f"{self._pipeline.name}/{name}",
            timeout=self._pipeline.timeout(name),
            stop=self._runner.stop,
            lease=self._lease,
        )

    def _context(self, name: str, early: threading.Event) -> StepContext:
        upstream = self._pipeline.upstream(name)
        epoch = self._lease.epoch  # of this try: one that was left behind must not get the next one's
        return StepContext(
            tables=self._runner.tables,
            store=self._runner.store,
            pipeline=self._pipeline.name,
            step=name,
            run=self._run_id,
            root=self._runner.root,
            window=self._window,
            now=self._now,
            values={other: record.values for other, record in self._records.items() if other in upstream},
            fence=lambda: self._fence(epoch),
            stop=early,
            progress=lambda rows, size: self._tell("step_progress", name, rows=rows, bytes=size),
            on_lost=self._on_lost,
        )

    def _fence(self, epoch: int) -> Fence:
        until = self._lease.valid_until

        def renewed() -> datetime:
            return self._lease.valid_until if self._lease.epoch == epoch else until

        return Fence(epoch, until, renewed)

    def _fail(self, name: str, error: BaseException, *, final: bool = True) -> None:
        started = self._records[name].started_at or self._now
        seconds = (self._runner.clock() - started).total_seconds()
        stored = self._error(error)
        failed = replace(self._records[name], status="failed", seconds=seconds, error=stored)
        self._errors[name] = error
        self._record(failed)
        if final:
            self._tell("step_finished", name, status="failed", seconds=seconds, error=stored)

    def _record(self, record: StepRecord) -> None:
        self._records[record.name] = record
        try:
            self._runs.record(self._run_id, record)
        except LevadaError as error:
            if record.status != "failed":
                raise
            self._errors.setdefault(record.name, error)
            self._unrecorded = True
        else:
            self._unrecorded = False

    def _end(self, run: Run) -> Run:
        failed = [name for name, record in self._records.items() if record.status == "failed"]
        done = all(record.status == "done" for record in self._records.values())
        stopped = self._runner.stop.is_set() or any(isinstance(e, Stopped) for e in self._errors.values())
        status = "done" if done else "stopped" if stopped else "failed"
        error = self._records[failed[0]].error if failed else None
        if error is None and self._lease.lost.is_set() and not done:
            error = {"what": "the lease was lost", "where": run.pipeline, "hint": None, "exit_code": 1}
        ended = replace(
            run, status=status, steps=dict(self._records), error=error, finished_at=self._runner.clock()
        )
        try:
            ended = self._runs.finish(ended)
        finally:
            self._tell("run_finished", None, status=status, seconds=ended.seconds, run=run.id)
        return ended

    def _error(self, error: BaseException) -> dict[str, Any]:
        """What is kept of an error: three lines, an exit code, and no secret."""
        parts: tuple[str, str | None, str | None, int]
        if isinstance(error, LevadaError):
            parts = (error.what, error.where, error.hint, error.exit_code)
        else:
            parts = (f"{type(error).__name__}: {error}", None, "--debug shows the traceback", 1)
        what, where, hint, code = parts
        return {
            "type": type(error).__name__,
            "what": _storable(self._runner.mask(what)),
            "where": _storable(self._runner.mask(where)) if where else None,
            "hint": _storable(self._runner.mask(hint)) if hint else None,
            "exit_code": code,
            "retriable": not isinstance(error, Fatal),
        }

    def _tell(self, kind: Kind, step: str | None, **details: Any) -> None:
        self._runner.listener(Event(kind, self._pipeline.name, self._runner.clock(), step, details))


def _storable(text: str) -> str:
    """What the ledger can keep of a text: no lone surrogates, and not all of a very long one."""
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]} … ({len(text):,} characters)"
    return text.encode(errors="backslashreplace").decode()
