"""Each kind of credentials is sent as its standard says, and seen nowhere else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from levada.connectors.base import Query, Table
from levada.errors import ConfigError, LevadaError

from ...rest_server import Api, Asked, Fault  # noqa: TID252
from .conftest import Open, ids, read

SECRET = "s3cret/+"
RESOURCE = {"path": "/json_link", "data": "items", "paginator": {"type": "json_link", "next": "links.next"}}

KINDS: dict[str, tuple[dict[str, Any], Callable[[Asked], bool]]] = {
    "bearer": (
        {"type": "bearer", "token": SECRET},
        lambda asked: asked.headers.get("Authorization") == f"Bearer {SECRET}",
    ),
    "key in a header": (
        {"type": "api_key", "key": SECRET, "name": "X-Api-Key"},
        lambda asked: asked.headers.get("X-Api-Key") == SECRET,
    ),
    "key in the query": (
        {"type": "api_key", "key": SECRET, "name": "key", "in": "query"},
        lambda asked: asked.query.get("key") == SECRET,
    ),
    "basic": (
        {"type": "basic", "username": "ann", "password": SECRET},
        lambda asked: (
            asked.headers.get("Authorization") == f"Basic {b64encode(f'ann:{SECRET}'.encode()).decode()}"
        ),
    ),
    "oauth2": (
        {"type": "oauth2", "token_url": "", "client_id": "me", "client_secret": SECRET, "scope": "read"},
        lambda asked: asked.headers.get("Authorization", "").startswith("Bearer token-"),
    ),
}


def settings_of(kind: str, api: Api) -> dict[str, Any]:
    settings, api.authorized = KINDS[kind]
    return {**settings, "token_url": f"{api.url}/token"} if kind == "oauth2" else settings


@pytest.fixture(autouse=True)
def filled(api: Api) -> None:
    api.add(*({"id": number} for number in range(25)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_asked_with_the_credentials(api: Api, opened: Open, kind: str) -> None:
    assert ids(read(opened(RESOURCE, auth=settings_of(kind, api)))) == list(range(25))


def secrets(api: Api) -> set[str]:
    forms = {SECRET, "s3cret%2F%2B", "s3cret/%2B", b64encode(f"ann:{SECRET}".encode()).decode()}
    return forms | set(api.tokens)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302, 429, 500])
@pytest.mark.parametrize("kind", KINDS)
def test_no_error_and_no_log_shows_a_secret(
    api: Api, opened: Open, kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connection = opened(RESOURCE, auth=settings_of(kind, api), headers={"X-Other": "hidden"}, retries=0)
    told = f"{SECRET} and s3cret%2F%2B and hidden and token-1"
    answer = Fault(status=status, body=told, headers={"Location": f"http://x/{SECRET}"})
    api.faults = [None, answer, None, answer] if kind == "oauth2" else [answer]
    with pytest.raises(LevadaError) as caught:
        read(connection)
    findings = " ".join(f"{found.what} {found.hint}" for found in connection.diagnose())
    chain = [caught.value, caught.value.__cause__]
    seen = " ".join([*map(str, chain), *map(repr, chain), caplog.text, connection.describe(), findings])
    seen += repr(connection.settings)
    assert not [secret for secret in {*secrets(api), "hidden"} if secret in seen]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_can_not_be_reached_does_not_tell_a_secret(opened: Open, api: Api, kind: str) -> None:
    settings = settings_of(kind, api)
    if kind == "oauth2":
        settings["token_url"] = "http://127.0.0.1:1/token"
    with pytest.raises(LevadaError) as caught:
        read(opened(RESOURCE, auth=settings, base_url="http://127.0.0.1:1", retries=0))
    assert not [secret for secret in secrets(api) if secret in f"{caught.value} {caught.value!r}"]


def test_a_token_is_kept_while_it_lasts(api: Api, opened: Open) -> None:
    connection = opened(RESOURCE, auth=settings_of("oauth2", api))
    for _ in range(2):
        assert len(read(connection)) > 0
    assert api.tokens == ["token-1"]
    assert api.asked[0].body == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": SECRET,
        "scope": "read",
    }


def test_a_token_that_ends_between_pages_is_renewed(api: Api, opened: Open) -> None:
    settings = settings_of("oauth2", api)
    api.authorized = lambda asked: asked.headers.get("Authorization") == f"Bearer {api.tokens[-1]}"
    api.before_page = lambda page: api.tokens.append("withdrawn") if page == 3 else None
    assert ids(read(opened(RESOURCE, auth=settings))) == list(range(25))
    assert sum(asked.path == "/token" for asked in api.asked) == 2


def test_a_token_that_is_refused_for_good_is_an_error(api: Api, opened: Open) -> None:
    settings = settings_of("oauth2", api)
    api.authorized = lambda _: False
    with pytest.raises(ConfigError, match="credentials are not accepted"):
        read(opened(RESOURCE, auth=settings))
    assert sum(asked.path == "/token" for asked in api.asked) == 2


def test_a_wrong_client_secret_is_an_error(api: Api, opened: Open) -> None:
    settings = {**settings_of("oauth2", api), "client_secret": "wrong"}
    with pytest.raises(ConfigError) as caught:
        read(opened(RESOURCE, auth=settings))
    assert caught.value.where == f"{api.url}/token"
    assert "wrong" not in str(caught.value).replace("are wrong", "")


@pytest.mark.parametrize(
    "answer", [{}, {"access_token": None}, {"access_token": "t", "expires_in": "soon"}, []]
)
def test_an_answer_without_a_usable_token_is_an_error(api: Api, opened: Open, answer: Any) -> None:
    settings = settings_of("oauth2", api)
    api.token_answer = answer
    with pytest.raises(ConfigError, match="token request"):
        read(opened(RESOURCE, auth=settings))


def test_a_login_in_netrc_is_not_sent(
    api: Api, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    read(opened(RESOURCE))
    assert not any("Authorization" in asked.headers for asked in api.asked)


def test_a_connection_can_not_be_written_to(opened: Open) -> None:
    with pytest.raises(ConfigError, match="only be read from"):
        opened(RESOURCE).sink(Table("api", "t"))


def test_an_unknown_resource_is_an_error_that_names_the_nearest(opened: Open) -> None:
    connection = opened(RESOURCE)
    assert connection.tables() == ["t"]
    assert connection.exists(Table("api", "t"))
    assert not connection.exists(Table("api", "u"))
    with pytest.raises(ConfigError, match="no resource 'tt'"):
        connection.source(Table("api", "tt"), Query())


def test_a_pipeline_of_documents_is_refused(opened: Open) -> None:
    for query in ({"filter": {"a": 1}}, {"sql": "select 1"}, {"canonical": True}):
        with pytest.raises(ConfigError):
            read(opened(RESOURCE), **query)


PROGRAM = """
import sys, socket
from pathlib import Path
from levada.connectors.base import Query, Table
from levada.connectors.rest import RestConnection, RestSettings
assert not [name for name in ("dlt", "requests") if name in sys.modules]
real = socket.socket.connect
reached = set()
def connect(self, address):
    reached.add(address[0] if isinstance(address, tuple) else address)
    return real(self, address)
socket.socket.connect = connect
settings = RestSettings.model_validate({
    "base_url": sys.argv[1], "resources": {"t": {"path": "/list", "paginator": "single"}}})
connection = RestConnection("api", settings, Path())
print(sum(len(batch.data) for batch in connection.source(Table("api", "t"), Query()).read(None, None)))
connection.close()
assert reached == {"127.0.0.1"}, reached
import threading
assert threading.active_count() == 1
"""


def test_a_read_calls_nobody_else_and_leaves_nothing_behind(api: Api, tmp_path: Path) -> None:
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, f"{api.url}/v1"],
        env={**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data")},
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("25\n", "")
    assert list(home.iterdir()) == list(work.iterdir()) == []


def test_https_is_not_left_for_http(api: Api, opened: Open) -> None:
    secure = api.url.replace("http", "https")
    with pytest.raises(LevadaError) as caught:
        read(opened(RESOURCE, base_url=secure, retries=0))
    assert caught.value.where is not None
    assert caught.value.where.startswith(secure)
