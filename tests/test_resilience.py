from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest

from levada.errors import ConfigError, Retriable
from levada.resilience import CircuitBreaker, CircuitOpen, RetryPolicy, log_execution

pytestmark = pytest.mark.unit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failing() -> None:
    raise Retriable("down")


def trip(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Retriable):
            breaker.call(failing)


def test_five_failures_in_a_row_open_the_breaker() -> None:
    breaker = CircuitBreaker(clock=Clock())
    trip(breaker, 4)
    assert breaker.state == "closed"
    trip(breaker, 1)
    assert breaker.state == "open"


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = CircuitBreaker(clock=Clock())
    trip(breaker, 4)
    breaker.call(int)
    trip(breaker, 4)
    assert breaker.state == "closed"


def test_a_stop_during_the_pause_ends_it_without_another_try() -> None:
    stop, tries = threading.Event(), []

    def fail() -> None:
        tries.append(1)
        raise Retriable("down")

    with pytest.raises(Retriable, match="down"):
        RetryPolicy(3, timedelta(minutes=10)).run(fail, stop=stop, on_retry=lambda *_: stop.set())
    assert len(tries) == 1


def test_another_open_breaker_inside_is_no_failure_of_this_one() -> None:
    outer, inner = CircuitBreaker(clock=Clock(), failures=1), CircuitBreaker(clock=Clock(), failures=1)
    trip(inner, 1)
    with pytest.raises(CircuitOpen), outer, inner:
        pass
    assert outer.state == "closed"


def test_an_open_breaker_does_not_call() -> None:
    breaker = CircuitBreaker(clock=Clock())
    trip(breaker, 5)
    called = []
    with pytest.raises(CircuitOpen):
        breaker.call(called.append, 1)
    assert called == []


def test_after_sixty_seconds_one_probe_passes_and_its_success_closes() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    trip(breaker, 5)
    clock.now = 59.9
    assert breaker.state == "open"
    clock.now = 60.0
    assert breaker.state == "half-open"
    assert breaker.call(lambda: "back") == "back"
    assert breaker.state == "closed"


def test_a_failed_probe_opens_it_for_another_sixty_seconds() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    trip(breaker, 5)
    clock.now = 60.0
    trip(breaker, 1)
    clock.now = 119.0
    assert breaker.state == "open"
    clock.now = 120.0
    assert breaker.state == "half-open"


def test_while_a_probe_is_under_way_others_are_refused() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock=clock)
    trip(breaker, 5)
    clock.now = 60.0
    with breaker, pytest.raises(CircuitOpen):
        breaker.call(int)
    assert breaker.state == "closed"


def test_errors_that_do_not_count_leave_it_closed() -> None:
    breaker = CircuitBreaker(counts=Retriable, clock=Clock())
    for _ in range(9):
        with pytest.raises(ValueError, match="x"):
            breaker.call(int, "x")
    assert breaker.state == "closed"


def test_it_decorates() -> None:
    breaker = CircuitBreaker(failures=1, clock=Clock())
    guarded = breaker(failing)
    with pytest.raises(Retriable):
        guarded()
    with pytest.raises(CircuitOpen):
        guarded()


def test_a_retriable_error_is_tried_again_as_often_as_said() -> None:
    tries: list[int] = []

    def call() -> None:
        tries.append(1)
        raise Retriable("again")

    with pytest.raises(Retriable):
        RetryPolicy(attempts=3).run(call)
    assert len(tries) == 4


def test_a_fatal_error_is_not_tried_again() -> None:
    tries: list[int] = []

    def call() -> None:
        tries.append(1)
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        RetryPolicy(attempts=3).run(call)
    assert len(tries) == 1


def test_retrying_ends_with_the_first_success() -> None:
    answers = iter([Retriable("1"), Retriable("2"), "done"])
    told: list[tuple[str, int]] = []

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    policy = RetryPolicy(attempts=5)
    assert policy.run(call, on_retry=lambda error, count: told.append((str(error), count))) == "done"
    assert told == [("1", 2), ("2", 3)]


def test_a_stop_ends_the_wait_between_tries() -> None:
    stop = threading.Event()
    tries: list[int] = []

    def call() -> None:
        tries.append(1)
        stop.set()
        raise Retriable("down")

    with pytest.raises(Retriable):
        RetryPolicy(attempts=3, delay=timedelta(hours=1)).run(call, stop=stop)
    assert len(tries) == 1


def test_log_execution_logs_start_duration_and_failure(caplog: pytest.LogCaptureFixture) -> None:
    @log_execution
    def load(secret: str) -> str:
        if secret == "wrong":
            raise ValueError("no such file")
        return secret

    with caplog.at_level(logging.INFO, logger="levada"):
        assert load("s3cret") == "s3cret"
        with pytest.raises(ValueError, match="no such file"):
            load("wrong")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].endswith("load started")
    assert "load done in" in lines[1]
    assert "load failed after" in lines[3]
    assert "no such file" in lines[3]
    assert not any("s3cret" in line for line in lines)


def test_log_execution_takes_a_name() -> None:
    assert log_execution(name="nightly")(lambda: 7)() == 7
