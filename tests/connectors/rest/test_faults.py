"""What a server does wrong for a while costs time, not rows; what stays wrong is told in the right words."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from levada.connectors.base import Query, Table
from levada.connectors.rest.transport import retry_after
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

from ...rest_server import Api, Fault  # noqa: TID252
from .conftest import Open, Waiting, ids, read

RESOURCE = {"path": "/cursor", "data": "items", "paginator": {"type": "cursor", "next": "next"}}
ROWS = list(range(25))


@pytest.fixture(autouse=True)
def filled(api: Api) -> None:
    api.add(*({"id": number, "name": "é" * 50} for number in ROWS))


PASSING = {
    "429": Fault(status=429, body="slow down"),
    "500": Fault(status=500, body="oops"),
    "503": Fault(status=503),
    "a CDN's 522": Fault(status=522),
    "reset before the answer": Fault(reset=0),
    "reset in the body": Fault(reset=120),
    "truncated body of a chunk": Fault(cut=120),
    "empty body": Fault(cut=0),
}


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again_and_nothing_is_lost(
    api: Api, opened: Open, waiting: Waiting, fault: str, page: int
) -> None:
    api.faults = [*[None] * page, PASSING[fault], PASSING[fault]]
    assert ids(read(opened(RESOURCE))) == ROWS
    assert len(waiting.slept) == 2
    assert len(api.asked) == 5


def test_a_body_shorter_than_announced_is_tried_again(api: Api, opened: Open) -> None:
    api.faults = [Fault(headers={"Content-Length": "100000"}, reset=50)]
    assert ids(read(opened(RESOURCE))) == ROWS


@pytest.mark.parametrize("fault", PASSING)
def test_what_does_not_pass_is_retriable(api: Api, opened: Open, fault: str) -> None:
    api.faults = [PASSING[fault]] * 10
    with pytest.raises(Retriable) as caught:
        read(opened(RESOURCE, retries=2))
    assert len(api.asked) == 3
    assert f"{api.url}/v1/cursor" in str(caught.value)


def test_pauses_grow_up_to_the_longest(api: Api, opened: Open, waiting: Waiting) -> None:
    api.faults = [Fault(status=500)] * 6
    read(opened(RESOURCE, retries=6, max_wait="5s"))
    longest = [0.5, 1, 2, 4, 5, 5]
    assert all(most / 2 <= slept <= most for slept, most in zip(waiting.slept, longest, strict=True))


def test_a_server_says_in_seconds_how_long_to_wait(api: Api, opened: Open, waiting: Waiting) -> None:
    api.faults = [
        Fault(status=429, headers={"Retry-After": "7"}),
        Fault(status=503, headers={"Retry-After": "0"}),
    ]
    assert ids(read(opened(RESOURCE))) == ROWS
    assert waiting.slept == [7, 0]


def test_a_server_says_by_a_date_how_long_to_wait(api: Api, opened: Open, waiting: Waiting) -> None:
    when = format_datetime(waiting.now() + timedelta(seconds=90), usegmt=True)
    api.faults = [Fault(status=429, headers={"Retry-After": when})]
    assert ids(read(opened(RESOURCE))) == ROWS
    assert waiting.slept == [90]


def test_a_server_that_asks_for_too_long_a_pause_ends_the_step_at_once(
    api: Api, opened: Open, waiting: Waiting
) -> None:
    api.faults = [Fault(status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(Retriable, match="asks to wait 3600 s"):
        read(opened(RESOURCE))
    assert waiting.slept == []


@pytest.mark.parametrize("value", ["soon", "", "-1", "1.5", "Tue, 99 Nov 2026"])
def test_a_retry_after_that_says_nothing_is_passed_over(waiting: Waiting, value: str) -> None:
    assert retry_after(value, waiting.now()) is None


def test_a_date_that_has_passed_means_now(waiting: Waiting) -> None:
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT", waiting.now()) == 0


def test_requests_keep_their_distance(api: Api, opened: Open, waiting: Waiting) -> None:
    connection = opened(RESOURCE, requests_per_second=4)
    read(connection)
    read(connection)
    assert waiting.slept == [0.25] * 5


def test_a_server_that_does_not_answer_in_time_is_retriable(api: Api, opened: Open) -> None:
    api.faults = [Fault(delay=3)] * 2
    with pytest.raises(Retriable, match="did not arrive"):
        read(opened(RESOURCE, timeout="1s", retries=0))


@pytest.mark.parametrize(
    "slow",
    [
        Fault(drip=0.05),
        Fault(drip=0.05, drip_head=True),
        Fault(drip=0.05, unsized=True, text=lambda whole: f"[{whole}]"),
    ],
)
def test_a_server_that_answers_byte_by_byte_does_not_hold_a_read_for_ever(
    api: Api, opened: Open, slow: Fault
) -> None:
    api.faults = [slow]
    connection = opened(RESOURCE, timeout="5s", answer_timeout="1s")
    with pytest.raises(Retriable, match="not there whole after 1 s") as caught:
        read(connection)
    assert "answer_timeout" in str(caught.value.hint)
    assert len(api.asked) == 1
    assert ids(read(connection)) == ROWS  # the connection is as good as new


def test_a_slow_answer_that_is_there_in_time_is_read(api: Api, opened: Open) -> None:
    api.faults = [Fault(drip=0.001), Fault(drip=0.001, drip_head=True)]
    assert ids(read(opened(RESOURCE, answer_timeout="1m"))) == ROWS


def test_a_server_that_was_slow_once_loses_nothing(api: Api, opened: Open) -> None:
    api.faults = [None, Fault(delay=2)]
    assert ids(read(opened(RESOURCE, timeout="1s"))) == ROWS


def test_no_server_is_retriable(opened: Open) -> None:
    with pytest.raises(Retriable) as caught:
        read(opened(RESOURCE, base_url="http://127.0.0.1:1", retries=1))
    assert caught.value.what == "can't reach the server: Connection refused"
    with pytest.raises(Retriable, match=r"can't reach the server: Failed to resolve 'nowhere.invalid'"):
        read(opened(RESOURCE, base_url="http://nowhere.invalid", retries=0))


LASTING: list[tuple[Fault, type[LevadaError], str]] = [
    (Fault(status=400, body='{"error": "bad parameter"}'), Fatal, "bad parameter"),
    (Fault(status=422, body="x" * 1000), Fatal, "x" * 200),
    (Fault(status=401), ConfigError, "credentials"),
    (Fault(status=403, body="no scope"), ConfigError, "no scope"),
    (Fault(status=404), ConfigError, "nothing at this path"),
    (Fault(status=302, headers={"Location": "https://login.example.com/?next=1"}), ConfigError, "redirects"),
    (
        Fault(body="<html>log in</html>", headers={"Content-Type": "text/html"}),
        Fatal,
        "no JSON",
    ),
    (Fault(body='[{"id": 1, "id": 2}]'), Fatal, "a name appears twice"),
    (Fault(body="[" * 100_000), Fatal, "nested too deep"),
]


@pytest.mark.parametrize(("fault", "kind", "told"), LASTING)
def test_what_stays_wrong_is_told_at_once(
    api: Api, opened: Open, waiting: Waiting, fault: Fault, kind: type[LevadaError], told: str
) -> None:
    api.faults = [fault]
    with pytest.raises(kind) as caught:
        read(opened(RESOURCE))
    assert type(caught.value) is kind
    assert told in str(caught.value)
    assert "x" * 201 not in str(caught.value)
    assert waiting.slept == []
    assert f"{api.url}/v1/cursor" in str(caught.value)


def test_a_page_that_fails_late_gives_no_position(api: Api, opened: Open) -> None:
    api.faults = [None, None, Fault(status=400)]
    connection = opened(RESOURCE)
    found: list[Any] = []
    with pytest.raises(Fatal):
        found.extend(connection.source(Table("api", "t"), Query()).read(None, None))
    assert all(batch.position is None for batch in found)


def test_doctor_tries_every_resource(api: Api, opened: Open) -> None:
    connection = opened(RESOURCE, retries=0)
    assert all(finding.ok for finding in connection.diagnose())
    api.faults = [Fault(status=401)]
    assert [finding.ok for finding in connection.diagnose()] == [True, False, True]


@pytest.mark.parametrize(
    ("status", "headers", "slept"),
    [
        (403, {"Retry-After": "3"}, 3),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}, 20),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795521630"}, 30),
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795521630", "Retry-After": "4"}, 4),
        (400, {"Retry-After": "3"}, 3),
    ],
)
def test_a_limit_of_rate_is_waited_for(
    api: Api, opened: Open, waiting: Waiting, status: int, headers: dict[str, str], slept: float
) -> None:
    """The clock begins at 1795521600 seconds since 1970."""
    api.faults = [Fault(status=status, headers=headers)]
    assert ids(read(opened(RESOURCE))) == ROWS
    assert waiting.slept == [slept]


def test_a_forbidden_request_that_has_requests_left_is_an_error(api: Api, opened: Open) -> None:
    headers = {"X-RateLimit-Remaining": "10", "X-RateLimit-Reset": "20"}
    api.faults = [Fault(status=403, headers=headers)]
    with pytest.raises(ConfigError):
        read(opened(RESOURCE))


def test_parameters_are_written_as_json_writes_them(api: Api, opened: Open) -> None:
    read(opened({**RESOURCE, "params": {"active": True, "deleted": False, "size": 5, "kind": "x&y"}}))
    expected = {"active": "true", "deleted": "false", "size": "5", "kind": "x&y"}
    assert all(expected.items() <= asked.query.items() for asked in api.asked)
