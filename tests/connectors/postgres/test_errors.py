"""What goes wrong on the way to the server, said as what a runner should do about it, without secrets."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.postgres import PostgresConnection, PostgresSettings
from levada.connectors.postgres.faults import masked
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

from ...lacking import lacking  # noqa: TID252
from ...postgres import Postgres, alone, missing  # noqa: TID252
from .warehouse import TABLE, Warehouse

PASSWORD = "s3cr/et@:%p"
ROWS = pa.RecordBatch.from_pydict({"k": ["k1"]})


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Postgres]:
    """A server that may be stopped."""
    if reason := missing():
        lacking(reason)
    with alone() as server:
        yield server


def connected(root: Path, **settings: object) -> PostgresConnection:
    return PostgresConnection("pg", PostgresSettings.model_validate(settings), root)


def every_text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.fixture
def guarded(postgres: Postgres, schema: str) -> Iterator[str]:
    """A role that has a password and may do nothing; the server trusts it all the same."""
    role = f"{schema}_guest"
    postgres.run(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    yield role
    postgres.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_missing_right_says_which_and_the_doctor_how_to_grant_it(
    warehouse: Warehouse, guarded: str, tmp_path: Path
) -> None:
    warehouse.write(ROWS)
    server = warehouse.server
    settings = {"host": "127.0.0.1", "port": server.port, "database": "postgres", "schema": warehouse.schema}
    guest = connected(tmp_path, user=guarded, password=PASSWORD, **settings)
    with pytest.raises(ConfigError, match="permission denied") as caught:
        list(guest.source(TABLE, Query()).read(None, None))
    assert PASSWORD not in every_text(caught.value)
    bad = [finding for finding in guest.diagnose() if not finding.ok]
    assert [finding.hint for finding in bad] == [f'GRANT USAGE ON SCHEMA "{warehouse.schema}" TO "{guarded}"']
    warehouse.run(bad[0].hint or "", f"GRANT SELECT ON ALL TABLES IN SCHEMA {{s}} TO {guarded}")
    assert len(list(guest.source(TABLE, Query()).read(None, None))) == 1
    assert all(finding.ok for finding in guest.diagnose())
    writer = guest.sink(TABLE).open(Write(TABLE, Mode.APPEND, "p/s"))
    writer.write(Batch(ROWS))
    with pytest.raises(ConfigError, match="permission denied"):
        writer.commit(None)
    guest.close()


def test_a_wrong_password_is_a_configuration_error_and_never_shown(own: Postgres, tmp_path: Path) -> None:
    own.run(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    (hba,) = own.rows("SELECT current_setting('hba_file')")[0]
    Path(hba).write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    own.run("SELECT pg_reload_conf()")
    where = {"host": "127.0.0.1", "port": own.port, "database": "postgres", "user": "postgres"}
    right = connected(tmp_path, password=PASSWORD, **where)
    assert right.tables() == []
    right.close()
    for password in ("wr0ng/" + PASSWORD, None):
        wrong = connected(tmp_path, password=password, **where)
        with pytest.raises(ConfigError) as caught:
            wrong.tables()
        assert PASSWORD not in every_text(caught.value)
        assert "wr0ng" not in every_text(caught.value)
        assert [finding.ok for finding in wrong.diagnose()] == [False]


def test_a_server_that_is_not_there_is_tried_again(own: Postgres, tmp_path: Path) -> None:
    connection = connected(tmp_path, uri=own.uri)
    sink = connection.sink(TABLE)
    writer = sink.open(Write(TABLE, Mode.APPEND, "p/s"))
    writer.write(Batch(ROWS))
    own.run("CREATE TABLE items AS SELECT g AS k, repeat('x', 1000) AS pad FROM generate_series(1, 100000) g")
    reading = connection.source(TABLE, Query()).read(None, None)
    next(iter(reading))
    os.kill(own.pid, signal.SIGQUIT)  # at once, as in a crash
    with pytest.raises(Retriable):
        list(reading)
    with pytest.raises(Retriable):
        writer.commit(None)
    with pytest.raises(Retriable):
        connection.tables()
    assert [finding.ok for finding in connection.diagnose()] == [False]
    connection.close()


def test_a_session_that_the_server_ended_is_replaced(warehouse: Warehouse) -> None:
    called = {"application_name": warehouse.schema}
    named = Warehouse(warehouse.server, warehouse.schema, warehouse.root, options=called)
    named.write(ROWS)
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{s}'"
    assert warehouse.plain(ended)
    assert named.connection.tables() == ["items"]
    named.connection.close()


def test_a_statement_that_takes_too_long_is_ended(warehouse: Warehouse) -> None:
    patient = Warehouse(warehouse.server, warehouse.schema, warehouse.root, statement_timeout=0.2)
    with pytest.raises(Retriable, match="timeout"):
        patient.read(Query(sql="SELECT pg_sleep(20)::text AS slept"))
    patient.connection.close()


def test_an_error_in_the_middle_of_the_rows_is_told(warehouse: Warehouse) -> None:
    sql = "SELECT 1 / (50000 - g) AS x, repeat('y', 500) AS pad FROM generate_series(1, 60000) g"
    with pytest.raises(Fatal, match="division by zero"):
        warehouse.read(Query(sql=sql))


@pytest.mark.parametrize(
    "uri",
    [
        f"postgres://u:{PASSWORD}@h/d",
        "postgres://u:p@ss/w0rd-hidden@h:1/d",
        "postgres://u:w0rd-hidden@h:port/d",
        "mysql://u:w0rd-hidden@h/d",
    ],
)
def test_a_uri_that_can_t_be_read_is_refused_without_showing_it(uri: str) -> None:
    with pytest.raises(ValueError, match=r"percent-encoded|begins with") as caught:
        PostgresSettings.model_validate({"uri": uri})
    assert "w0rd" not in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_settings_and_plans_show_no_password(tmp_path: Path) -> None:
    connection = connected(tmp_path, uri="postgres://me:w0rd@db.example:6000/shop?sslmode=require")
    assert connection.describe() == "postgres://db.example:6000/shop"
    assert "w0rd" not in repr(connection.settings)
    asked = connection.settings.conninfo()
    assert asked.startswith("postgresql://me:w0rd@db.example:6000/shop?")
    assert "sslmode=require" in asked


@pytest.mark.unit
def test_secrets_among_the_options_are_cut_out_of_errors() -> None:
    given = {"uri": "postgres://h/d?password=in%2Furi", "options": {"sslpassword": "of/the key"}}
    secrets = PostgresSettings.model_validate(given).secrets
    assert masked("in/uri in%2Furi of/the key of%2Fthe%20key", secrets) == "*** *** *** ***"


@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"host": "h", "database": "a b"}, "postgresql://h:5432/a%20b?"),
        (
            {"host": "/var/run", "port": 6, "database": "d", "user": "u@x"},
            "postgresql://u%40x@%2Fvar%2Frun:6/d?",
        ),
        (
            {"host": "::1", "database": "d", "password": PASSWORD, "user": "u"},
            "postgresql://u:s3cr%2Fet%40%3A%25p@[::1]:5432/d?",
        ),
        ({"uri": "postgres://a,b:6/d"}, "postgresql://a,b:6/d?"),
        ({"uri": "postgres://u:%2F@h"}, "postgresql://u:%2F@h/postgres?"),
    ],
)
def test_settings_become_one_uri(settings: dict[str, object], begins: str) -> None:
    assert PostgresSettings.model_validate(settings).conninfo().startswith(begins)


def test_settings_are_checked(tmp_path: Path) -> None:
    for wrong in (
        {},
        {"database": "d", "timezone": "Mars"},
        {"database": "d", "nope": 1},
        {"database": "d", "port": 0},
    ):
        with pytest.raises(ValueError):
            PostgresSettings.model_validate(wrong)


def test_opening_a_connection_touches_nothing(tmp_path: Path) -> None:
    connection = connected(tmp_path, uri="postgres://127.0.0.1:1/d")
    connection.source(TABLE, Query())
    connection.sink(Table("pg", "x")).open(Write(TABLE, Mode.APPEND, "p/s")).abort()
    with pytest.raises(LevadaError):
        connection.tables()
    assert list(tmp_path.iterdir()) == []
