"""No password is shown: by no command, in no error, in no row of the ledger, whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bson import json_util
from pymongo import MongoClient

from ..lacking import lacking  # noqa: TID252
from ..mysql import MariaDB  # noqa: TID252
from ..postgres import Postgres  # noqa: TID252
from ..rest_server import Api, running  # noqa: TID252
from ..s3 import BUCKET, S3  # noqa: TID252
from .conftest import Levada

#: Characters that are written differently in URLs, in JSON and in Python; no half of it may be seen either.
PASSWORD = "Zx9/\"W0RDq@'7"
CORE = "W0RDq"
CODED = quote(PASSWORD, safe="")

Settings = dict[str, Any]


@pytest.fixture
def api() -> Iterator[Api]:
    if find_spec("dlt") is None:
        lacking("dlt isn't installed: pip install 'levada[rest]'")
    with running() as server:
        server.authorized = lambda asked: False
        yield server


def _mongodb(uri: str, database: str) -> tuple[Settings, str]:
    return {"type": "mongodb", "uri": uri, "database": database, "server_selection_timeout": 0.1}, "t"


def _mongodb_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    host = request.getfixturevalue("mongod").removeprefix("mongodb://").split("/")[0]
    return _mongodb(f"mongodb://reader:{CODED}@{host}/?directConnection=true", "shop")


def _mongodb_nowhere(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return _mongodb(f"mongodb://reader:{CODED}@127.0.0.1:1/", "shop")


def _mongodb_wrong_option(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return _mongodb(f"mongodb://reader:{CODED}@127.0.0.1:1/?authMechanism=NOPE", "shop")


def _mysql_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    server: MariaDB = request.getfixturevalue("mariadb")
    login = {"user": "nobody", "password": PASSWORD, "database": "mysql"}
    return {"type": "mysql", "host": "127.0.0.1", "port": server.port, **login}, "t"


def _mysql_nowhere(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return {"type": "mysql", "host": "nowhere.invalid", "password": PASSWORD, "database": "d"}, "t"


def _postgres_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    server: Postgres = request.getfixturevalue("postgres")
    return {"type": "postgres", "uri": f"postgres://nobody:{CODED}@127.0.0.1:{server.port}/postgres"}, "t"


def _postgres_nowhere(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return {"type": "postgres", "uri": f"postgres://nobody:{CODED}@nowhere.invalid/postgres"}, "t"


def _postgres_fields(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return {"type": "postgres", "host": "127.0.0.1", "port": 1, "password": PASSWORD, "database": "d"}, "t"


def _rest_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    url = request.getfixturevalue("api").url  # it repeats the headers in its answer
    return _rest(url, {"type": "bearer", "token": PASSWORD})


def _rest_by_query(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    url = request.getfixturevalue("api").url
    return _rest(url, {"type": "api_key", "name": "key", "in": "query", "key": PASSWORD})


def _rest_basic(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    url = request.getfixturevalue("api").url
    return _rest(url, {"type": "basic", "username": "me", "password": PASSWORD})


def _rest_nowhere(_: pytest.FixtureRequest) -> tuple[Settings, str]:
    return _rest("http://nowhere.invalid", {"type": "api_key", "name": "key", "in": "query", "key": PASSWORD})


def _rest(url: str, auth: Settings) -> tuple[Settings, str]:
    resources = {"t": {"path": "/list", "paginator": "single"}}
    return {"type": "rest", "base_url": f"{url}/v1", "auth": auth, "retries": 0, "resources": resources}, "t"


def _lake_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    return {"type": "lake", **_stored(request)}, "t"


def _files_refused(request: pytest.FixtureRequest) -> tuple[Settings, str]:
    return {"type": "files", **_stored(request)}, "t.csv"


def _stored(request: pytest.FixtureRequest) -> Settings:
    s3: S3 = request.getfixturevalue("s3")
    return {
        "path": f"s3://{BUCKET}/x",
        "storage_options": {**s3.options, "AWS_SECRET_ACCESS_KEY": PASSWORD},
    }


ENDS: list[Callable[[pytest.FixtureRequest], tuple[Settings, str]]] = [
    _mongodb_refused,
    _mongodb_nowhere,
    _mongodb_wrong_option,
    _mysql_refused,
    _mysql_nowhere,
    _postgres_refused,
    _postgres_nowhere,
    _postgres_fields,
    _rest_refused,
    _rest_by_query,
    _rest_basic,
    _rest_nowhere,
    _lake_refused,
    _files_refused,
]


@pytest.fixture
def ledger(mongo: MongoClient[Any], database: str) -> Iterator[str]:
    yield f"{database}_state"
    mongo.drop_database(f"{database}_state")


def _project(far: Settings, table: str, mongod: str, database: str, ledger: str) -> str:
    near = {"type": "mongodb", "uri": mongod, "database": database}
    retries = {"attempts": 2, "delay": "0s"}
    steps = {
        "copy": {"copy": {"from": f"far.{table}", "to": "wh.t"}},
    }
    write = {"back": {"copy": {"from": "near.t", "to": f"far.{table}", "mode": "replace"}}}
    return json.dumps(
        {
            "format": 1,
            "name": "secrets",
            "connections": {"far": far, "near": near, "wh": {"type": "duckdb", "path": "wh.duckdb"}},
            "state": {"connection": "near", "database": ledger},
            "pipelines": {
                "pull": {"retries": retries, "steps": steps},
                "push": {"retries": retries, "steps": write},
            },
        }
    )


@pytest.mark.parametrize("way", ["written", "environment"])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
def test_no_command_shows_a_password(
    request: pytest.FixtureRequest,
    end: Callable[[pytest.FixtureRequest], tuple[Settings, str]],
    way: str,
    levada: Levada,
    mongo: MongoClient[Any],
    mongod: str,
    database: str,
    ledger: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far, table = end(request)
    text = _project(far, table, mongod, database, ledger)
    if way == "environment":
        written = json.dumps(PASSWORD)[1:-1]
        text = text.replace(written, "${PLAIN}").replace(CODED, "${CODED}")
        monkeypatch.setenv("PLAIN", PASSWORD)
        monkeypatch.setenv("CODED", CODED)
        assert CORE not in text
    (tmp_path / "levada.yml").write_text(text)
    monkeypatch.chdir(tmp_path)
    mongo[database].t.insert_one({"_id": 1})
    source = f"far.{table}"
    for arguments in (
        ("copy", source, "wh.t"),
        ("--debug", "copy", source, "wh.t"),
        ("copy", source, "wh.t", "--json"),
        ("copy", source, "wh.t", "--dry-run"),
        ("copy", source, "wh.t", "--since", "at", "--key", "id"),
        ("copy", "near.t", source, "--mode", "replace"),
        ("schema", source),
        ("--debug", "schema", source, "--arrow"),
        ("run", "pull", "--dry-run"),
        ("--debug", "run", "pull"),
        ("run", "push"),
        ("run", "pull", "--json"),
        ("runs",),
        ("runs", "--json"),
        ("status", "--json"),
        ("doctor",),
        ("doctor", "--json"),
        ("config", "show"),
        ("config", "show", "--json"),
    ):
        found = levada(*arguments)
        assert CORE not in found.out + found.err, arguments
        assert found.code in (0, 1, 2, 3)
        if arguments[0] == "copy" and "--dry-run" not in arguments:
            assert found.code != 0  # it was tried, and refused
    for name in mongo[ledger].list_collection_names():
        assert CORE not in json_util.dumps(list(mongo[ledger][name].find())), name


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://reader:{coded}@{mongod}/shop.t?directConnection=true",
        "mongodb://reader:{coded}@127.0.0.1:1/shop",
        "mongodb://reader:{plain}@127.0.0.1:1/shop.t",
        "mysql://nobody:{coded}@127.0.0.1:1/d.t",
        "mysql://nobody:{plain}@127.0.0.1:1/d.t",
        "mysql://nobody:{coded}@127.0.0.1:1/d.t?nope=1",
        "postgres://nobody:{coded}@127.0.0.1:1/d.t",
        "postgres://nobody:{plain}@127.0.0.1:1/d.t",
        "postgres://nobody:{coded}@127.0.0.1:1/d.t?nope=1",
        "postgres://nobody@127.0.0.1:1/d.t?password={coded}",
        "s3://key:{coded}@bucket/t",
        "http://me:{coded}@host/t",
    ],
)
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_no_password_of_a_url_is_shown(
    levada: Levada,
    mongod: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    debug: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    host = mongod.removeprefix("mongodb://").split("/")[0]
    address = url.format(coded=CODED, plain=PASSWORD, mongod=host)
    target = f"file://{tmp_path}/out/t"
    for arguments in (
        ("copy", address, target),
        ("copy", address, target, "--json"),
        ("copy", address, target, "--dry-run"),
        ("copy", target, address),
        ("copy", address, target, "--mode", "nope"),
        ("copy", address, target, "extra"),
        ("copy", target, target, address),
        ("schema", address),
        ("schema", address, "--nope"),
        (address,),
        ("run", address),
    ):
        found = levada(*debug, *arguments)
        assert found.code != 0, arguments
        assert CORE not in found.out + found.err, arguments
