"""One try of one step: in a thread of its own, with a deadline, watched for a stop and a lost lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from levada.errors import Fenced, LevadaError, Retriable
from levada.resilience import log_execution
from levada.state import Lease
from levada.steps.base import StepResult

#: How long a step that was told to stop may take before it is left behind; the fence then refuses it.
GRACE = 10.0


class TimedOut(Retriable):
    """A step ran longer than its timeout."""


class Stopped(Retriable):
    """The run was told to stop."""


def attempt(
    call: Callable[[threading.Event], StepResult],
    *,
    name: str,
    timeout: timedelta | None,
    stop: threading.Event,
    lease: Lease,
) -> StepResult:
    """Run a step once.

    Args:
        call: runs it; given the event that tells it to end early.
        name: `pipeline/step`.
        timeout: after that it is told to end, and counts as failed.
        stop: set when the whole run should stop.
        lease: when it is lost, the step is told to end.

    Raises:
        TimedOut, Stopped, Fenced: it was told to end.
        BaseException: whatever the step raised.
    """
    early, done = threading.Event(), threading.Event()
    outcome: list[StepResult | BaseException] = []

    logged = log_execution(name=name, failure_level=logging.INFO)(call)  # events tell of failures

    def work() -> None:
        try:
            outcome.append(logged(early))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            outcome.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name=name, daemon=True).start()
    reason = _wait(done, timeout, stop, lease)
    if reason is not None:
        early.set()
        done.wait(GRACE)
        if not (outcome and isinstance(outcome[0], StepResult)):
            raise reason
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _wait(
    done: threading.Event, timeout: timedelta | None, stop: threading.Event, lease: Lease
) -> LevadaError | None:
    """Wait for the end; a reason to end early, if there is one."""
    deadline = time.monotonic() + timeout.total_seconds() if timeout else float("inf")
    pause = 0.002
    while not done.wait(pause):
        pause = min(pause * 2, 0.1)
        if stop.is_set():
            return Stopped("the run was told to stop", hint="run it again: it resumes at this step")
        if lease.lost.is_set():
            return Fenced(
                "the lease was lost: it could not be renewed in time, or another run took over",
                hint="see `levada runs`; run again if no other run continues",
            )
        if time.monotonic() > deadline:
            return TimedOut(f"timed out after {timeout}", hint="raise `timeout` of the step or the pipeline")
    return None
