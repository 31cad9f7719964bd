"""What goes wrong between Levada and the server, and what is said about it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levada.connectors.addresses import Addresses
from levada.connectors.base import Query, Table
from levada.connectors.mysql import MysqlConnection, MysqlSettings
from levada.connectors.mysql.faults import translate
from levada.connectors.mysql.stream import Reads
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

from ... import mysql  # noqa: TID252
from ...lacking import lacking  # noqa: TID252
from ...mysql import PASSWORD  # noqa: TID252
from .conftest import Legacy


def read(connection: MysqlConnection, table: str = "t", query: Query | None = None) -> int:
    batches = connection.source(Table("legacy", table), query or Query()).read(None, None)
    return sum(batch.data.num_rows for batch in batches)


def test_a_wrong_password_is_known_at_once_and_not_shown(shop: Legacy) -> None:
    wrong = "not the & pass@word"
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"Access denied .*\(using password: YES\) \(1045\)") as caught:
        read(shop.connection(password=wrong))
    assert time.monotonic() - began < 20  # the driver alone would try for thirty seconds
    assert "check `user`" in str(caught.value)
    shown = repr(caught.value) + str(caught.value) + repr(caught.value.__cause__)
    assert wrong not in shown
    assert "not%20the" not in shown


@pytest.mark.parametrize(
    ("table", "query", "kind", "words"),
    [
        ("absent", Query(), ConfigError, "levada doctor"),
        ("t", Query(sql="SELECT absent FROM t"), ConfigError, "Unknown column"),
        ("t", Query(sql="SELEC 1"), ConfigError, "syntax"),
        ("broken", Query(), ConfigError, "view"),
    ],
)
def test_what_is_not_there_says_what_to_do(
    shop: Legacy, table: str, query: Query, kind: type[LevadaError], words: str
) -> None:
    shop.run(
        "CREATE TABLE t (a INT); CREATE TABLE u (a INT); CREATE VIEW broken AS SELECT a FROM u; DROP TABLE u"
    )
    with pytest.raises(kind, match=words) as caught:
        read(shop.connection(), table, query)
    assert f"legacy.{table}" in str(caught.value)


def test_an_unknown_database(shop: Legacy) -> None:
    with pytest.raises(ConfigError, match="database"):
        read(shop.connection(database="absent_database"))


def test_missing_rights_are_named_with_the_grant(shop: Legacy, request: pytest.FixtureRequest) -> None:
    user = f"poor_{shop.server.database[-8:]}"
    account = f"'{user}'@'127.0.0.1'"
    shop.run(f"CREATE TABLE t (a INT); CREATE TABLE u (a INT); CREATE USER {account} IDENTIFIED BY 'x'")
    request.addfinalizer(lambda: shop.run(f"DROP USER {account}"))
    shop.run(f"GRANT SELECT ON {shop.server.database}.t TO {account}")
    poor = shop.connection(user=user, password="x")
    assert read(poor) == 0
    with pytest.raises(ConfigError, match="denied"):
        read(poor, "u")
    with pytest.raises(ConfigError, match="denied"):
        read(poor, "t", Query(sql="SELECT a FROM t"))
    findings = poor.diagnose()
    assert any(f"GRANT SELECT, SHOW VIEW ON `{shop.server.database}`" in finding.what for finding in findings)
    assert "2 tables" not in " ".join(finding.what for finding in findings)


def test_diagnosis_is_fine_for_the_reader(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (a INT)")
    findings = shop.connection().diagnose()
    assert all(finding.ok for finding in findings), findings
    said = " ".join(finding.what for finding in findings)
    for words in ("MariaDB", "1 table: t", "no TLS", "GRANT SELECT"):
        assert words in said
    assert PASSWORD not in said


def test_diagnosis_of_a_server_that_is_not_there_never_raises(shop: Legacy) -> None:
    (finding,) = shop.connection(port=1, connect_timeout=2).diagnose()
    assert not finding.ok
    assert finding.hint


def test_a_server_that_says_nothing_is_given_up(shop: Legacy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = shop.connection(port=silent.getsockname()[1], connect_timeout=0.3)
        with pytest.raises(Retriable, match="does not answer"):
            read(connection)


def test_rows_that_do_not_come_are_given_up(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
    began = time.monotonic()
    with pytest.raises(Retriable, match="no rows for 1 seconds"):
        read(shop.connection(read_timeout=1), "q", Query(sql="SELECT SLEEP(20) AS s FROM t"))
    assert time.monotonic() - began < 20


@pytest.mark.unit
def test_a_process_that_died_before_it_read_its_job_gives_no_rows_and_its_status() -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.wait()
        assert list(Reads(child, None, "t").batches(b"x" * 1_000_000)) == []
    assert child.returncode == 3


SLOW = Query(
    sql="SELECT seq, REPEAT('x', 500) AS text, SLEEP(0.0005) AS s FROM seq_1_to_200000", batch_rows=100
)


def _sessions(shop: Legacy) -> list[list[str]]:
    """Those that read it."""
    return shop.printed(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'reader' "
        f"AND DB = '{shop.server.database}' AND INFO LIKE '%seq_1_to_200000%'"
    )


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("statement", ["KILL", "KILL QUERY"])
def test_a_read_that_is_killed_is_to_be_tried_again(shop: Legacy, statement: str, capfd: Any) -> None:
    batches = shop.source("q", SLOW).read(None, None)
    next(batches)
    next(batches)
    for (session,) in _sessions(shop):
        shop.run(f"{statement} {session}")
    with pytest.raises(Retriable):
        list(batches)
    assert "panicked" not in capfd.readouterr().err


def test_a_reader_may_stop_early_and_leaves_no_process(shop: Legacy) -> None:
    before = _children()
    batches = shop.source("q", SLOW).read(None, None)
    next(batches)
    assert len(_sessions(shop)) == 1
    batches.close()  # type: ignore[attr-defined]
    assert _children() <= before  # others may have servers running
    deadline = time.monotonic() + 30
    while _sessions(shop):  # the server notices when it writes the next rows
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def own_server() -> Iterator[mysql.MariaDB]:
    if reason := mysql.missing():
        lacking(reason)
    server = mysql.start()
    server.run(
        "CREATE DATABASE shop; CREATE TABLE shop.t (i INT PRIMARY KEY, v VARCHAR(2000));"
        "INSERT INTO shop.t SELECT seq, REPEAT('x', 1500) FROM shop.seq_1_to_60000"
    )
    yield server
    mysql.stop(server)


def test_a_server_that_dies_is_to_be_tried_again(own_server: mysql.MariaDB, tmp_path: Path) -> None:
    settings = MysqlSettings.model_validate({**own_server.settings(), "database": "shop"})
    connection = MysqlConnection("legacy", settings, tmp_path)
    slow = Query(sql="SELECT i, v, SLEEP(0.001) AS s FROM t", batch_rows=50)
    batches = connection.source(Table("legacy", "q"), slow).read(None, None)
    next(batches)
    os.kill(own_server.process, signal.SIGKILL)
    with pytest.raises(Retriable):
        list(batches)
    with pytest.raises(Retriable, match="does not answer"):
        list(
            MysqlConnection("legacy", settings, tmp_path)
            .source(Table("legacy", "t"), Query())
            .read(None, None)
        )


@pytest.mark.parametrize(
    ("number", "state", "kind"),
    [
        (1205, "HY000", Retriable),
        (1213, "40001", Retriable),
        (1040, "08004", Retriable),
        (1158, "08S01", Retriable),
        (4242, "08S01", Retriable),
        (2006, "HY000", Retriable),
        (2013, "HY000", Retriable),
        (1969, "70100", Fatal),
        (1142, "42000", ConfigError),
        (9999, "HY000", Fatal),
    ],
)
def test_numbers_of_the_server_mean(number: int, state: str, kind: type[LevadaError]) -> None:
    error = translate(f"MySqlError {{ ERROR {number} ({state}): said secret }}", "here", "secret")
    assert type(error) is kind
    assert str(error).startswith(f"MySQL: said … ({number})")


SECRET_URLS = [
    "mysql://u:top%40secret@127.0.0.1:1/db.t",
    "mariadb://u:top%40secret@127.0.0.1:1/db.t?bogus=1",
    "mysql://u:top%40secret@127.0.0.1:abc/db.t",
    "mysql://u:top%40secret@127.0.0.1/db",
    "mysql://u:top/secret@127.0.0.1:1/db.t",
    "mysql://u:top%40secret@127.0.0.1:1/db.t?password=top%40secret&timezone=x",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_error_about_a_url_shows_its_password(url: str, tmp_path: Path) -> None:
    addresses = Addresses(None, tmp_path)
    with pytest.raises(LevadaError) as caught:
        _read_by(addresses, url)
    assert "secret" not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"


def _read_by(addresses: Addresses, url: str) -> None:
    table = addresses.table(url)
    assert "secret" not in str(table)
    list(addresses.connection(table.connection).source(table, Query()).read(None, None))


def test_without_the_driver_the_command_that_installs_it_is_told(
    shop: Legacy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "connectorx", None)
    with pytest.raises(ConfigError, match=r"levada\[mysql\]"):
        read(shop.connection())


def test_a_url_names_server_database_table_and_settings(tmp_path: Path) -> None:
    addresses = Addresses(None, tmp_path)
    table = addresses.table(
        "mariadb://ann:p%40ss@[::1]:3307/legacy.my%20orders?timezone=Europe/Lisbon&tls=required"
    )
    connection: Any = addresses.connection(table.connection)
    settings = connection.settings
    assert (str(table), table.name) == ("mysql://[::1]:3307/legacy.my orders", "my orders")
    assert (settings.host, settings.port, settings.database) == ("::1", 3307, "legacy")
    assert (settings.user, settings.password.get_secret_value()) == ("ann", "p@ss")
    assert (settings.timezone, settings.tls) == ("Europe/Lisbon", "required")
    assert "p@ss" not in repr(settings)


def test_the_project_goes_on_while_the_server_thinks(shop: Legacy) -> None:
    """Other threads, such as the one that renews the lease, are not held up."""
    shop.run("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
    beats = 0
    done = threading.Event()

    def beat() -> None:
        nonlocal beats
        while not done.wait(0.01):
            beats += 1

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        read(shop.connection(), "q", Query(sql="SELECT SLEEP(1) AS s FROM t"))
    finally:
        done.set()
        thread.join()
    assert beats > 40


def certificates(folder: Path) -> list[str]:
    """Make an authority and a certificate of `localhost`; returns the server's options."""
    if shutil.which("openssl") is None:
        lacking("no TLS: openssl is missing; make services")
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    make = "openssl req -newkey rsa:2048 -nodes -days 2"
    for line in (
        f"{make} -x509 -keyout ca.key -out ca.pem -subj /CN=authority",
        f"{make} -keyout server.key -out server.csr -subj /CN=localhost",
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out s.pem",
    ):
        subprocess.run(line.split(), cwd=folder, check=True, capture_output=True)
    (folder / "server.key").chmod(0o644)
    return [f"--ssl-{kind}={folder}/{file}" for kind, file in FILES.items()]


FILES = {"ca": "ca.pem", "cert": "s.pem", "key": "server.key"}


def test_tls_from_preferred_to_the_hosts_name(tmp_path: Path) -> None:
    if reason := mysql.missing():
        lacking(reason)
    folder = Path(tempfile.mkdtemp(prefix="levada-tls-"))  # pytest's folders are for their owner alone
    folder.chmod(0o755)
    server = mysql.start(*certificates(folder / "tls"))
    try:
        server.run("CREATE DATABASE shop")
        given = {**server.settings(), "database": "shop"}
        authority = {"tls_ca_file": str(folder / "tls" / "ca.pem")}

        def said(**settings: Any) -> str:
            checked = MysqlSettings.model_validate({**given, **settings})
            return " ".join(finding.what for finding in MysqlConnection("x", checked, tmp_path).diagnose())

        assert "no TLS" in said(tls="disabled")
        assert "TLS: TLS_" in said()
        assert "TLS: TLS_" in said(tls="required")
        assert "TLS: TLS_" in said(tls="verify_ca", **authority)
        assert "certificate verify failed" in said(tls="verify_ca")
        assert "certificate verify failed" in said(
            tls="verify_identity", **authority
        )  # it is not for 127.0.0.1
    finally:
        mysql.stop(server)
        shutil.rmtree(folder)
