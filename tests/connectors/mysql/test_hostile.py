"""Servers that fall silent, queries that would write, conditions that servers read in another way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest

from levada.connectors.base import Query
from levada.connectors.mysql.queries import one_query
from levada.errors import ConfigError, Fatal, Retriable
from levada.positions import Position

from ... import mysql  # noqa: TID252
from ...lacking import lacking  # noqa: TID252
from .conftest import Legacy


@contextmanager
def proxy(port: int, passed: int | None) -> Iterator[int]:
    """A server that passes so many bytes of each connection on, then cuts it; None keeps silent after 100."""
    program = """
import socket, sys, threading
target, passed, silent = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "silent"
def answers(client, server):
    left = passed
    while left and (data := server.recv(min(left, 65536))):
        client.sendall(data)
        left -= len(data)
    if not silent:
        client.shutdown(2)
def asks(client, server):
    while data := client.recv(65536):
        server.sendall(data)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    client, _ = listening.accept()
    server = socket.create_connection(("127.0.0.1", target))
    for run in (answers, asks):
        threading.Thread(target=run, args=(client, server), daemon=True).start()
"""
    how = "silent" if passed is None else "cut"
    command = [sys.executable, "-c", program, str(port), str(passed or 100), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def test_a_server_that_greets_and_falls_silent_is_given_up_while_other_threads_go_on(shop: Legacy) -> None:
    beats: list[float] = []
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.02):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat, daemon=True)
    with proxy(shop.server.port, None) as port:
        thread.start()
        with pytest.raises(Retriable, match="does not answer in 2 seconds"):
            shop.read("t", port=port, connect_timeout=2)
        done.set()
        thread.join()
    assert len(beats) > 20


def test_a_question_that_is_not_answered_is_given_up(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (a INT)")
    command = ["mariadb", "--no-defaults", "-uroot", "-h127.0.0.1", f"-P{shop.server.port}"]
    with subprocess.Popen([*command, shop.server.database], stdin=subprocess.PIPE) as other:
        assert other.stdin
        other.stdin.write(b"LOCK TABLES t WRITE; SELECT SLEEP(60);\n")
        other.stdin.flush()
        locked = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(60)'"
        deadline = time.monotonic() + 20
        while not shop.printed(locked):
            assert time.monotonic() < deadline
        try:
            with pytest.raises(Retriable, match="has not answered in 1 seconds"):
                shop.read("t", read_timeout=1)
        finally:
            shop.run(f"KILL {shop.printed(locked.replace('SELECT 1', 'SELECT ID'))[0][0]}")


@pytest.mark.parametrize("passed", [3, 90, 150, 500, 700, 1_500, 100_000, 220_000, 221_200])
def test_a_result_that_is_cut_off_is_never_taken_for_a_whole_one(shop: Legacy, passed: int) -> None:
    """From the greeting to the last bytes of about 221,300 that the rows take."""
    shop.run("CREATE TABLE t (v TEXT); INSERT INTO t SELECT REPEAT('x', 104) FROM seq_1_to_2000")
    with proxy(shop.server.port, passed) as port, pytest.raises(Retriable):
        shop.read("t", port=port, connect_timeout=5)


READER = """
import json, sys
from pathlib import Path
from levada.connectors.base import Query, Table
from levada.connectors.mysql import MysqlConnection, MysqlSettings
settings = MysqlSettings.model_validate(json.loads(sys.argv[1]))
connection = MysqlConnection("legacy", settings, Path(sys.argv[2]))
sql = "SELECT SLEEP(60) AS s FROM seq_1_to_9"
list(connection.source(Table("legacy", "q"), Query(sql=sql)).read(None, None))
"""


def test_a_reader_that_is_killed_leaves_no_process(shop: Legacy) -> None:
    settings = json.dumps(shop.server.settings())
    command = [sys.executable, "-c", READER, settings, str(shop.folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as reader:
        sleeping = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT `s` AS c0%'"
        deadline = time.monotonic() + 30
        while not shop.printed(sleeping):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = Path(f"/proc/{reader.pid}/task/{reader.pid}/children").read_text().split()
        assert children
        reader.send_signal(signal.SIGKILL)
    while any(Path(f"/proc/{child}/cmdline").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


WRITES = [
    "SELECT 1 AS a) AS q; DROP TABLE victim; -- ",
    "SELECT 1 AS a; DROP TABLE victim",
    "SELECT 1 AS a FROM victim) AS q LIMIT 1; TRUNCATE victim; SELECT * FROM (SELECT 1 AS a",
    "SELECT 1 AS a /*!) AS q; DROP TABLE victim; -- */",
    "SELECT 1 --1) AS q; DROP TABLE victim; -- ",
    "SELECT '\\'' AS a) AS q; DROP TABLE victim; -- '",
    "DROP TABLE victim",
    "DELETE FROM victim",
    "SELECT a FROM victim INTO OUTFILE '/tmp/levada-victim'",
    "SELECT writes() AS a",
]


@pytest.mark.parametrize("sql", WRITES)
def test_a_query_only_reads(shop: Legacy, sql: str) -> None:
    """The reader may do everything here."""
    shop.run("CREATE TABLE victim (a INT); INSERT INTO victim VALUES (1)")
    function = "CREATE FUNCTION writes() RETURNS INT BEGIN DELETE FROM victim; RETURN 1; END"
    shop.run(f"DELIMITER //\n{function}//\nDELIMITER ;\n")
    account = f"'may_{shop.server.database[-8:]}'@'127.0.0.1'"
    shop.run(f"CREATE USER {account} IDENTIFIED BY 'x'; GRANT ALL ON {shop.server.database}.* TO {account}")
    try:
        with pytest.raises(ConfigError):
            shop.read("q", Query(sql=sql), user=account.split("'")[1], password="x")
        assert shop.printed("SELECT a FROM victim") == [["1"]]
    finally:
        shop.run(f"DROP USER {account}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ';' AS a, '--' AS b, \"#(\" AS c",
        "SELECT 1 AS a -- a comment; with (",
        "SELECT 1 AS a # '",
        "SELECT /* ( ' */ 1 AS a;",
        "SELECT 1 AS a ; -- the end; ",
        "(SELECT 1 AS a) UNION ALL (SELECT 2)",
        "SELECT '\\')' AS a, 'it''s' AS b, 5--3 AS c",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
    ],
)
def test_a_query_may_hold_anything_that_is_one(shop: Legacy, sql: str) -> None:
    assert shop.read("q", Query(sql=sql)).num_rows in (1, 2)
    assert not one_query(sql, "here").endswith(";")


TEXTS = ["50%", "50\\x", "50\\", "a\\_b", "a_b", "axb", "", "\\", "%"]


@pytest.mark.parametrize(
    "condition",
    [
        r"s LIKE '50\%'",
        r"s LIKE '50\x'",
        r"s LIKE '%\'",
        r"s LIKE 'a\_b'",
        r"s NOT LIKE '%\%'",
        "s LIKE p",
        r"s LIKE '50!%' ESCAPE '!'",
        r"s ILIKE 'A\_B'",
        r"s = 'a\_b'",
        r"s IN ('50\', '\')",
    ],
)
def test_a_backslash_in_a_condition_is_a_backslash(shop: Legacy, condition: str) -> None:
    values = ", ".join("({}, '{}', '{}')".format(n, text, r"50\%") for n, text in enumerate(TEXTS))
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (n INT, s VARCHAR, p VARCHAR)")
    connection.execute(f"INSERT INTO t VALUES {values}")
    shop.run(
        "CREATE TABLE t (n INT, s VARCHAR(20), p VARCHAR(20)); SET sql_mode = 'NO_BACKSLASH_ESCAPES';"
        f"INSERT INTO t VALUES {values}"
    )
    expected = [n for (n,) in connection.execute(f"SELECT n FROM t WHERE {condition} ORDER BY n").fetchall()]
    assert sorted(shop.read("t", Query(where=condition))["n"].to_pylist()) == expected


@pytest.mark.parametrize("month", [1, 7])
@pytest.mark.parametrize(
    "moment",
    [
        "TIMESTAMPTZ '2026-{m:02}-01 12:00:00+00'",
        "'2026-{m:02}-01T12:00:00Z'::TIMESTAMPTZ",
        "'2026-{m:02}-01 12:00:00'::TIMESTAMPTZ",
        "'2026-{m:02}-01T14:00:00+02:00'",
        "TIMESTAMPTZ '2026-{m:02}-02 12:00:00+00' - INTERVAL 1 DAY",
    ],
)
def test_an_instant_in_a_condition_is_one_in_any_form(shop: Legacy, moment: str, month: int) -> None:
    """By the instants that a read of the same rows gives."""
    times = ", ".join(f"({n}, '2026-{month:02}-01 {2 + n // 2:02}:{n % 2 * 30:02}:00')" for n in range(20))
    shop.run(f"CREATE TABLE t (n INT, d DATETIME); INSERT INTO t VALUES {times}")
    zone = {"timezone": "America/New_York"}
    noon = datetime(2026, month, 1, 12, tzinfo=UTC)
    rows = shop.read("t", **zone).to_pylist()
    expected = [row["n"] for row in rows if row["d"] >= noon]
    found = shop.read("t", Query(where="d >= " + moment.format(m=month)), **zone)["n"].to_pylist()
    assert 0 < len(expected) < 20
    assert found == expected


def test_now_is_now_on_the_columns_clock(shop: Legacy) -> None:
    there = datetime.now(ZoneInfo("Pacific/Auckland")).replace(tzinfo=None).isoformat(" ", "seconds")
    shop.run(
        "CREATE TABLE t (n INT, d DATETIME); INSERT INTO t VALUES "
        f"(1, '{there}' - INTERVAL 1 HOUR), (2, '{there}' + INTERVAL 1 HOUR)"
    )
    for condition in ("d < now()", "d < CURRENT_TIMESTAMP", "d + INTERVAL 30 MINUTE < now()"):
        found = shop.read("t", Query(where=condition), timezone="Pacific/Auckland")
        assert found["n"].to_pylist() == [1], condition


@pytest.fixture(scope="module")
def small_packets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Legacy]:
    """A server whose sessions pass a megabyte at most; of what larger sessions have stored."""
    if reason := mysql.missing():
        lacking(reason)
    server = replace(mysql.start("--max-allowed-packet=16M"), database="mysql")
    server.run(
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (i INT PRIMARY KEY, b LONGBLOB, s LONGTEXT, j JSON);"
        "INSERT INTO t VALUES (1, REPEAT('b', 2000000), NULL, NULL), (2, NULL, REPEAT('s', 2000000), NULL),"
        "(3, NULL, NULL, JSON_QUOTE(REPEAT('j', 2000000))); SET GLOBAL max_allowed_packet = 1048576"
    )
    yield Legacy(replace(server, database="shop"), tmp_path_factory.mktemp("small"))
    mysql.stop(server)


@pytest.mark.parametrize("column", ["b", "s", "j"])
def test_a_value_that_is_too_large_for_the_server_is_an_error_and_no_null(
    small_packets: Legacy, column: str
) -> None:
    with pytest.raises(Fatal, match="max_allowed_packet"):
        small_packets.read("t", Query(columns=("i", column)))


def test_a_watermark_of_a_text_counts_the_spaces_at_its_end(shop: Legacy) -> None:
    texts = ["a", "a ", "a  ", "a\t", "A", "b", "ab"]
    shop.run(
        "CREATE TABLE t (s VARCHAR(9)); INSERT INTO t VALUES " + ", ".join(f"('{each}')" for each in texts)
    )
    for mark in texts:
        found = shop.read("t", after=Position({"": mark}), time="s")["s"].to_pylist()
        assert sorted(found) == sorted(each for each in texts if each.encode() > mark.encode()), mark


SLOW_READER = """
import json, sys, time
from pathlib import Path
from levada.connectors.base import Query, Table
from levada.connectors.mysql import MysqlConnection, MysqlSettings
from levada.errors import Retriable
settings = MysqlSettings.model_validate(json.loads(sys.argv[1]))
connection = MysqlConnection("legacy", settings, Path(sys.argv[2]))
sql = "SELECT seq, SHA2(seq, 512) AS a, SHA2(-seq, 512) AS b FROM seq_1_to_700000"
try:
    for batch in connection.source(Table("legacy", "q"), Query(sql=sql, batch_rows=50_000)).read(None, None):
        time.sleep(1)
except Retriable as error:
    print(error)
"""


def test_a_full_disk_is_told_and_is_no_end(shop: Legacy) -> None:
    """A limit for the size of files stands in for a disk that is full."""
    command = [sys.executable, "-c", SLOW_READER, json.dumps(shop.server.settings()), str(shop.folder)]
    limited = ["bash", "-c", 'ulimit -f 1000; exec "$@"', "limited", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=100, check=True)
    assert "no room on disk" in done.stdout
