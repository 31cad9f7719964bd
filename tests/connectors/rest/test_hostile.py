"""Servers that mean harm, or might as well."""

from __future__ import annotations

import gzip
import html
import json
import traceback
from typing import Any

import pytest

from levada.connectors.rest import RestSettings
from levada.connectors.rest.transport import asked_pause
from levada.errors import Fatal, LevadaError

from ...rest_server import Api, Fault  # noqa: TID252
from .conftest import Open, Waiting, read, rows

LIST = {"path": "/list", "paginator": "single"}
LINKED = {"path": "/list", "data": "items", "paginator": {"type": "json_link", "next": "next"}}
CURSOR = {"path": "/list", "data": "items", "paginator": {"type": "cursor", "next": "next", "param": "at"}}
SECRET = 'pä"ss\\w/ö+rd & <x>'


def test_an_answer_that_unpacks_to_more_than_the_limit_is_refused(api: Api, opened: Open) -> None:
    packed = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    assert len(packed) < 100_000
    api.faults = [Fault(headers={"Content-Encoding": "gzip"}, raw=packed)] * 2
    with pytest.raises(Fatal, match="more than 1000000 bytes"):
        read(opened(LIST, max_page_bytes=1_000_000))
    assert rows(read(opened(LIST, max_page_bytes=50_000_002))) == []


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_as_large_as_the_limit_is_read(api: Api, opened: Open, packed: bool) -> None:
    page = json.dumps([{"id": number, "text": "x" * 1000} for number in range(1000)]).encode()
    how: dict[str, Any] = {"headers": {"Content-Encoding": "gzip"}, "raw": gzip.compress(page)}
    api.faults = [Fault(**how) if packed else Fault(raw=page)]
    assert len(rows(read(opened(LIST, max_page_bytes=len(page))))) == 1000


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:1", "http://127.0.0.1:99999/?key=hidden"]
)
def test_a_link_that_no_request_can_follow_is_an_error(api: Api, opened: Open, link: str) -> None:
    api.faults = [Fault(body=json.dumps({"items": [{"id": 1}], "next": link}))]
    with pytest.raises(Fatal, match=r"link|leads") as caught:
        read(opened(LINKED))
    assert "hidden" not in "".join(traceback.format_exception(caught.value))
    assert len(api.asked) == 1


def test_a_cursor_that_is_no_text_of_unicode_is_an_error(api: Api, opened: Open) -> None:
    api.faults = [Fault(body='{"items": [{"id": 1}], "next": "\\ud800"}')]
    with pytest.raises(Fatal, match="cursor"):
        read(opened(CURSOR))


@pytest.mark.parametrize("cursor", ["é✓", "\n\r&=#?", "x" * 20_000, "0", "+ %2B"])
def test_any_other_cursor_arrives_as_it_came(api: Api, opened: Open, cursor: str) -> None:
    api.faults = [
        Fault(body=json.dumps({"items": [{"id": n}], "next": more})) for n, more in ((1, cursor), (2, None))
    ]
    assert rows(read(opened(CURSOR))) == [{"id": 1}, {"id": 2}]
    assert api.asked[1].query["at"] == cursor


PAUSES = [
    "²",
    "³²",
    "Mon, 99999999999 Jan 2026 00:00:00 GMT",
    "Mon, 01 Jan 99999 00:00:00 GMT",
    "nan",
    "1e9",
    "\x00",
]


@pytest.mark.parametrize("name", ["Retry-After", "X-RateLimit-Reset"])
@pytest.mark.parametrize("value", PAUSES)
def test_a_pause_that_is_none_is_passed_over(waiting: Waiting, name: str, value: str) -> None:
    assert asked_pause({"X-RateLimit-Remaining": "0", name: value}, waiting.now()) is None


def test_rows_that_differ_by_type_alone_are_two(api: Api, opened: Open) -> None:
    pairs = [
        (1.5, "1.5"),
        (10**30, str(10**30)),
        (True, "true"),
        (None, "null"),
        ({"$numberDouble": "2.5"}, 2.5),
    ]
    api.add(*({"id": 7, "v": value} for pair in pairs for value in pair))
    assert len(rows(read(opened({**LIST, "key": "id"})))) == 2 * len(pairs)


ECHOES = {
    "JSON in ASCII": lambda text: json.dumps({"you": text}),
    "JSON": lambda text: json.dumps({"you": text}, ensure_ascii=False),
    "JSON of PHP": lambda text: json.dumps({"you": text}).replace("/", "\\/"),
    "HTML": html.escape,
    "Python": repr,
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("kind", ["key", "password", "header"])
def test_a_secret_that_a_server_repeats_is_not_shown(api: Api, opened: Open, echo: str, kind: str) -> None:
    settings: dict[str, Any] = {
        "key": {"auth": {"type": "api_key", "key": SECRET, "in": "query", "name": "key"}},
        "password": {"auth": {"type": "basic", "username": "me", "password": SECRET}},
        "header": {"headers": {"X-Key": SECRET.replace("ö", "o").replace("ä", "a")}},
    }[kind]
    sent = settings["headers"]["X-Key"] if kind == "header" else SECRET
    api.faults = [Fault(status=400, body=ECHOES[echo](sent))]
    with pytest.raises(LevadaError) as caught:
        read(opened(LIST, **settings))
    told = "".join(traceback.format_exception(caught.value))
    assert "***" in told
    assert "rd &" not in told


def test_a_setting_that_is_wrong_does_not_show_its_neighbours() -> None:
    raw = {"base_url": "http://x", "resources": {"t": LIST}, "auth": {"type": "bearer", "tokn": "hidden"}}
    with pytest.raises(ValueError, match="token") as caught:
        RestSettings.model_validate(raw)
    assert "hidden" not in str(caught.value)
