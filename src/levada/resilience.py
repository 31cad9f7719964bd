"""Retry, circuit breaker and `log_execution`."""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

import tenacity

from levada.errors import Fatal, LevadaError, Retriable

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("levada")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently to try again.

    Args:
        attempts: tries after the first.
        delay: pause before each of them.
        jitter: up to this much is added to a pause at random, so that runs don't retry in step.
    """

    attempts: int = 0
    delay: timedelta = timedelta(0)
    jitter: timedelta = timedelta(0)

    def run(
        self,
        call: Callable[[], T],
        *,
        stop: threading.Event | None = None,
        on_retry: Callable[[BaseException, int], None] | None = None,
    ) -> T:
        """Call until it succeeds; anything but a `Fatal` error is tried again.

        Args:
            call: what to do.
            stop: set to stop waiting and raise the last error.
            on_retry: told the error and the number of the try that comes next (2, 3, ...).
        """
        stopped = (stop or threading.Event()).wait
        failed: list[BaseException] = []

        def pause(_: tenacity.RetryCallState) -> float:
            return self.delay.total_seconds() + random.uniform(0, self.jitter.total_seconds())  # noqa: S311

        def before_sleep(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error:
                failed[:] = [error]
                if on_retry:
                    on_retry(error, state.attempt_number + 1)

        def sleep(seconds: float) -> None:
            if stopped(seconds):
                raise failed[0]

        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts + 1),
            wait=pause,
            retry=tenacity.retry_if_exception(_worth_retrying),
            sleep=sleep,
            before_sleep=before_sleep,
            reraise=True,
        )
        return retrying(call)


def _worth_retrying(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, Fatal)


class CircuitOpen(Retriable):
    """The breaker is open: the call was not made."""


class CircuitBreaker:
    """Stops calling what keeps failing, and probes it again after a while.

    Closed: calls pass. Open, after `failures` failures in a row: calls raise `CircuitOpen` at once.
    Half-open, after `cooldown` seconds: one call passes; success closes it, failure reopens it.
    Thread-safe. Use it as a decorator, by `call`, or as a context manager.

    Args:
        failures: failures in a row that open it.
        cooldown: seconds before a probe is let through.
        counts: errors that count as failures; others pass through and change nothing, and so does another
            breaker's `CircuitOpen`.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        name: str = "circuit",
        *,
        failures: int = 5,
        cooldown: float = 60.0,
        counts: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._limit = failures
        self._cooldown = cooldown
        self._counts = counts
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        with self._lock:
            return self._state()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        with self:
            return function(*args, **kwargs)

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.call(function, *args, **kwargs)

        return guarded

    def __enter__(self) -> CircuitBreaker:
        with self._lock:
            state = self._state()
            if state == "open" or (state == "half-open" and self._probing):
                raise CircuitOpen(
                    f"{self.name} failed {self._failures} times in a row; not calling it",
                    hint=f"it is tried again {self._cooldown:g} s after the last failure",
                )
            self._probing = state == "half-open"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._probing = False
            if error is None:
                self._failures, self._opened_at = 0, None
            elif isinstance(error, self._counts) and not isinstance(error, CircuitOpen):
                self._failures += 1
                if self._failures >= self._limit:
                    self._opened_at = self._clock()

    def _state(self) -> str:
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._clock() - self._opened_at >= self._cooldown else "open"


@overload
def log_execution(function: Callable[P, T]) -> Callable[P, T]: ...
@overload
def log_execution(
    *, name: str | None = None, logger: logging.Logger = _log, failure_level: int = logging.ERROR
) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
def log_execution(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    logger: logging.Logger = _log,
    failure_level: int = logging.ERROR,
) -> Callable[..., Any]:
    """Log the start, the duration and the failure of a call.

    Works bare (`@log_execution`) and with arguments (`@log_execution(name="nightly load")`). The error is
    logged in one line and raised unchanged; only its type and message are logged, never the arguments.
    """
    if function is None:
        return functools.partial(_logged, name=name, logger=logger, failure_level=failure_level)
    return _logged(function, name=name, logger=logger, failure_level=failure_level)


def _logged(
    function: Callable[P, T], *, name: str | None, logger: logging.Logger, failure_level: int
) -> Callable[P, T]:
    label = name or function.__qualname__

    @functools.wraps(function)
    def logged(*args: P.args, **kwargs: P.kwargs) -> T:
        logger.info("%s started", label)
        started = time.monotonic()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            seconds = time.monotonic() - started
            logger.log(failure_level, "%s failed after %.3f s: %s", label, seconds, _one_line(error))
            raise
        logger.info("%s done in %.3f s", label, time.monotonic() - started)
        return result

    return logged


def _one_line(error: BaseException) -> str:
    text = str(error) if isinstance(error, LevadaError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
