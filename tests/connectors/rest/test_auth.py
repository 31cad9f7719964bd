"""Each kind of credentials is sent as its standard says, and seen nowhere else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from levada.connectors.base import Query, Table
from levada.connectors.rest.redaction import Redaction
from levada.connectors.rest.transport import Clock, Pace, Rules, Transport
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

from ...lacking import lacking  # noqa: TID252
from ...rest_server import Api, Asked, Fault, running  # noqa: TID252
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


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Api, Path]]:
    """A server with a certificate that only its own file vouches for, and that file."""
    certificate, key = self_signed(tmp_path)
    with running((certificate, key)) as api:
        api.add(*({"id": number} for number in range(15)))
        yield api, certificate


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and its key."""
    if find_spec("cryptography") is None:
        lacking("cryptography is missing: uv sync --group test")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "levada tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: tuple[Api, Path], opened: Open) -> None:
    api, _ = secure
    with pytest.raises(ConfigError, match="certificate of the server is not accepted"):
        read(opened(RESOURCE, base_url=f"{api.url}/v1"))
    assert api.asked == []


def test_the_file_of_an_authority_vouches_for_it(
    secure: tuple[Api, Path], opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, certificate = secure
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/none")
    assert ids(read(opened(RESOURCE, base_url=f"{api.url}/v1", verify=str(certificate)))) == list(range(15))


def test_an_answer_byte_by_byte_over_tls_ends_too(secure: tuple[Api, Path], opened: Open) -> None:
    api, certificate = secure
    api.faults = [Fault(drip=0.05)]
    given = {"base_url": f"{api.url}/v1", "verify": str(certificate), "answer_timeout": "1s"}
    with pytest.raises(Retriable, match="not there whole after 1 s"):
        read(opened(RESOURCE, **given))
    assert ids(read(opened(RESOURCE, **given))) == list(range(15))


def test_https_is_not_left_for_http(secure: tuple[Api, Path], opened: Open) -> None:
    api, certificate = secure
    api.faults = [Fault(text=lambda text: text.replace("https:", "http:"))]
    with pytest.raises(Fatal, match="would get the credentials"):
        read(opened(RESOURCE, base_url=f"{api.url}/v1", verify=str(certificate)))
    assert len(api.asked) == 1


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "allowed", "asked"),
    [
        ("https://api.example.com/v1?page=2", (), True),
        ("https://api.example.com:443/v1", (), True),
        ("https://api.example.com:8443/v1", (), False),
        ("http://api.example.com/v1", (), False),
        ("https://api.example.com@elsewhere.example/v1", (), False),
        ("https://pages.example.com:8443/v1", ("pages.example.com",), True),
        ("https://pages.example.com:8443/v1", ("pages.example.com:9000",), False),
    ],
)
def test_credentials_go_to_the_hosts_and_ports_that_the_settings_name(
    url: str, allowed: tuple[str, ...], asked: bool
) -> None:
    requests = pytest.importorskip("requests")
    rules = Rules("https://api.example.com/v1", allowed, 0.01, 0, 0.01, True)
    clock = Clock(sleep=lambda _: None)
    sent: list[str] = []

    class Nobody:
        """Reaches no server."""

        def send(self, request: Any, **_: Any) -> None:
            sent.append(request.url)
            raise requests.ConnectionError

    transport = Transport(Nobody(), rules, pace=Pace(None, clock), clock=clock, redaction=Redaction([]))
    with pytest.raises(Retriable if asked else Fatal):
        transport.send(requests.Request("GET", url).prepare())
    assert sent == ([url] if asked else [])
