"""The fast path through TLS, SCRAM and a compressed wire."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from warnings import catch_warnings

import pytest
from pymongo import MongoClient
from pymongo.compression_support import validate_compressors
from pymongo.errors import PyMongoError

from levada.connectors.base import Query
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.doctor import READ
from levada.errors import ConfigError
from levada.positions import Position

from ...lacking import lacking  # noqa: TID252
from .scan_servers import ROWS, Document, Mongod, connect, ids, initiate, kill_cursors, read, until

COUNT = 3000
QUERY = Query(canonical=True, batch_rows=100, resumable=True)


def fill(client: MongoClient[Document]) -> None:
    client["shop"]["rows"].insert_many([{"_id": number, "x": "a" * 50} for number in range(COUNT)])


def scans_and_resumes(connection: MongoConnection, client: MongoClient[Document]) -> None:
    """A scan that loses its cursor, and another one behind a stored position."""
    batches: Any = connection.source(ROWS, QUERY).read(None, None)
    first = next(batches)
    assert kill_cursors(client["shop"]) == 1
    assert ids([first, *batches]) == list(range(COUNT))
    stored = Position.from_json(first.position.to_json())
    assert ids(read(connection, QUERY, stored)) == list(range(100, COUNT))


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with `ca.pem`, and `server.pem` signed by it for 127.0.0.1."""
    if not shutil.which("openssl"):
        lacking("there is no openssl to make certificates with: apt-get install openssl")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, cwd=tmp_path, capture_output=True)

    for name in ("ca", "server"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", f"/O=levada/CN={name}")  # fmt: skip
    (tmp_path / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    (tmp_path / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-out", "ca.pem", "-days", "2",
            "-extfile", "ca.ext")  # fmt: skip
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "server.crt", "-days", "2", "-extfile", "server.ext")  # fmt: skip
    both = (tmp_path / "server.crt").read_bytes() + (tmp_path / "server.key").read_bytes()
    (tmp_path / "server.pem").write_bytes(both)
    return tmp_path


def test_tls_with_scram_and_compression(mongod: str, certificates: Path, tmp_path: Path) -> None:
    ca = str(certificates / "ca.pem")
    server = Mongod(
        tmp_path / "m",
        *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(certificates / "server.pem")),
        *("--tlsCAFile", ca, "--tlsAllowConnectionsWithoutCertificates"),
        scheme={"tls": True, "tlsCAFile": ca},
    )
    settings: dict[str, Any] = {"tls": True, "tls_ca_file": ca, "compressors": ["zlib"]}
    try:
        server.start()
        initiate(server)
        with server.client() as client:
            fill(client)
            connection = connect(server.uri, "shop", tmp_path, **settings)
            scans_and_resumes(connection, client)
            handshakes = connection.client.admin.command("serverStatus")["transportSecurity"]
            assert sum(handshakes[version] for version in ("1.2", "1.3")) > 0
            connection.close()
        with (
            MongoClient[Document](server.uri, serverSelectionTimeoutMS=500) as plain,
            pytest.raises(PyMongoError),
        ):
            plain.admin.command("ping")
    finally:
        server.kill()


@pytest.fixture
def locked(mongod: str, tmp_path: Path) -> Iterator[Mongod]:
    """A member that asks for credentials; the user `reader` may read, by the role that the doctor prints."""
    (tmp_path / "key").write_text("bGV2YWRh" * 4)
    (tmp_path / "key").chmod(0o600)
    password = "a/secret@:"
    server = Mongod(tmp_path / "m", "--keyFile", str(tmp_path / "key"))
    try:
        server.start()
        with server.client() as client:
            member = {"_id": 0, "host": server.address}
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
            until(lambda: client.admin.command("hello")["isWritablePrimary"])
            client.admin.command("createUser", "admin", pwd=password, roles=["root"])
        server.scheme = {"username": "admin", "password": password}
        with server.client() as client:
            privilege = {"resource": {"db": "shop", "collection": ""}, "actions": list(READ)}
            client["shop"].command("createRole", "levadaRead", privileges=[privilege], roles=[])
            client["shop"].command(
                "createUser", "reader", pwd="r", roles=["levadaRead"], mechanisms=["SCRAM-SHA-256"]
            )
            fill(client)
        yield server
    finally:
        server.kill()


def test_scram_with_the_least_role_is_enough_for_every_scan(locked: Mongod, tmp_path: Path) -> None:
    settings = {
        "username": "reader",
        "password": "r",
        "auth_source": "shop",
        "auth_mechanism": "SCRAM-SHA-256",
    }
    connection = connect(locked.uri, "shop", tmp_path, **settings)
    with locked.client() as client:
        scans_and_resumes(connection, client)
        who = connection.client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
        assert who == [{"user": "reader", "db": "shop"}]
    for query in (Query(canonical=True, lanes=2), Query(canonical=True, consistent=True)):
        assert sorted(ids(read(connection, query))) == list(range(COUNT))
    connection.close()
    wrong = connect(locked.uri, "shop", tmp_path, **{**settings, "password": "wrong"})
    with pytest.raises(ConfigError, match="authentication failed"):
        read(wrong, QUERY)
    wrong.close()


def test_a_user_that_may_only_find_can_read_though_not_resume(locked: Mongod, tmp_path: Path) -> None:
    with locked.client() as client:
        privilege = {"resource": {"db": "shop", "collection": "rows"}, "actions": ["find"]}
        client["shop"].command("createRole", "finder", privileges=[privilege], roles=[])
        client["shop"].command("createUser", "finder", pwd="f", roles=["finder"])
    connection = connect(locked.uri, "shop", tmp_path, username="finder", password="f", auth_source="shop")
    batches = read(connection, QUERY)
    assert sorted(ids(batches)) == list(range(COUNT))
    connection.close()


@pytest.mark.parametrize("name", ["zlib", "zstd", "snappy"])
def test_a_compressed_wire(
    mongod: str, mongo: MongoClient[Document], database: str, tmp_path: Path, name: str
) -> None:
    with catch_warnings(action="ignore"):
        able = validate_compressors(None, [name]) == [name]
    if not able:
        lacking(f"PyMongo can't compress by {name} here: pip install 'pymongo[{name}]'")
    mongo[database]["rows"].insert_many([{"_id": number, "x": "a" * 50} for number in range(COUNT)])

    def sent() -> int:
        counters = mongo.admin.command("serverStatus")["network"]["compression"]
        return int(counters[name]["compressor"]["bytesIn"])

    before = sent()
    connection = connect(mongod, database, tmp_path, compressors=[name])
    assert sorted(ids(read(connection, QUERY))) == list(range(COUNT))
    connection.close()
    assert sent() - before > COUNT * 50
