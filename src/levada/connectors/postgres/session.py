"""One connection to a PostgreSQL server by ADBC, and its errors as Levada's."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-untyped]
import pyarrow as pa

from levada.connectors.postgres.settings import PostgresSettings
from levada.connectors.sqltext import literal
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

#: What the driver raises.
DriverError: type[Exception] = adbc.Error

#: The driver asks for rows in batches of about this many bytes.
_BATCH_BYTES = "4194304"
_IDLE = 4

#: What every transaction of Levada relies on; local to it, so that poolers of connections are no trouble.
_LOCAL = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "xmloption": "content",
}

#: SQLSTATE or its beginning -> Levada's error and the advice; the longest that fits counts.
#: Source: https://www.postgresql.org/docs/current/errcodes-appendix.html.
_MEANINGS: dict[str, tuple[type[LevadaError], str]] = {
    "08": (Retriable, "the step is tried again"),
    "08P01": (Fatal, "a column has another type than expected: was the table changed meanwhile?"),
    "22": (Fatal, "the column can't take that value"),
    "23": (Fatal, "the rows break a constraint of the table"),
    "25006": (
        ConfigError,
        "this server takes no writes: name the primary, or target_session_attrs=read-write",
    ),
    "28": (ConfigError, "check user and password of the connection, and pg_hba.conf"),
    "2BP01": (Fatal, "drop what depends on it first, or write into another table"),
    "3D000": (ConfigError, "check the connection's database"),
    "3F000": (ConfigError, "check the connection's schema"),
    "40": (Retriable, "the step is tried again"),
    "42": (ConfigError, "check names and types in the condition or query"),
    "42501": (ConfigError, "`levada doctor` prints the rights that are needed"),
    "42P01": (ConfigError, "`levada doctor` lists the tables"),
    "428C9": (Fatal, "the server computes that column itself: leave it out of the rows"),
    "53": (Retriable, "the server lacks room or connections"),
    "53200": (Fatal, "ask for a smaller window"),
    "55P03": (Retriable, "others hold the table"),
    "57": (Retriable, "the server stopped, or the statement was cancelled"),
    "58": (Retriable, "the server's own trouble"),
}

#: What a failed connection says, which comes without SQLSTATE.
_REFUSALS = re.compile(
    r"authentication failed|no pg_hba\.conf entry|does not exist|no password supplied|"
    r"invalid (?:connection option|port|sslmode|integer)|certificate|permission denied|SSL was required|"
    r"does not support SSL",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"connect|terminat|closed|timeout|timed out|starting up|shutting down|too many|no connection|EOF",
    re.IGNORECASE,
)
_NOISE = re.compile(r"\s*(Query was:.*|SQLSTATE: \w+)\s*$", re.DOTALL)


def translate(error: Exception, where: str, secrets: tuple[str, ...] = ()) -> LevadaError:
    """The Levada error that says the same, without secrets."""
    state = state_of(error)
    text = f"PostgreSQL: {masked(_said(error), secrets)}"
    found = next((_MEANINGS[state[:n]] for n in (5, 2) if state[:n] in _MEANINGS), None)
    if found:
        kind, hint = found
        return kind(text, where=where, hint=hint)
    if state:
        return Fatal(f"{text} (SQLSTATE {state})", where=where)
    if _REFUSALS.search(text):
        return ConfigError(text, where=where, hint="check the connection's settings")
    if _LOST.search(text):
        return Retriable(text, where=where, hint="is the server running, and can it be reached?")
    return Fatal(text, where=where)


def state_of(error: Exception) -> str:
    """The SQLSTATE of a driver's error; empty where it has none."""
    return getattr(error, "sqlstate", None) or ""


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """A text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _said(error: Exception) -> str:
    told = {_text(name): _text(value) for name, value in getattr(error, "details", None) or ()}
    parts = [told.get(name) for name in ("PG_DIAG_MESSAGE_PRIMARY", "PG_DIAG_MESSAGE_DETAIL")]
    if parts[0]:
        return ": ".join(part for part in parts if part)
    text = _NOISE.sub("", str(error))
    return " ".join(text.rpartition("ERROR:")[2].replace("[libpq]", "").split())


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


class Session:
    """A connection in use by one thread.

    Args:
        connection: of the driver, each statement a transaction of its own unless `begin` was called.
    """

    def __init__(self, connection: adbc.Connection, timeout: float | None) -> None:
        self._connection = connection
        self._timeout = timeout
        self._begun = False

    def answers(self) -> bool:
        """Whether the server is still there."""
        try:
            self.execute("SELECT 1")
        except (DriverError, OSError):
            return False
        return True

    def settled(self) -> None:
        """Roll back what was begun and not committed."""
        if self._begun:
            self.execute("ROLLBACK")
            self._begun = False

    def begin(self, how: str = "", snapshot: str | None = None) -> None:
        """Begin a transaction with Levada's settings.

        Args:
            how: isolation and access.
            snapshot: of another transaction, whose moment this one sees.
        """
        self.execute(f"BEGIN {how}")
        self._begun = True
        if snapshot:
            self.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
        settings = dict(_LOCAL)
        if self._timeout is not None:
            settings["statement_timeout"] = str(int(self._timeout * 1000))
        listed = ", ".join(f"set_config({literal(n)}, {literal(v)}, true)" for n, v in settings.items())
        self.rows(f"SELECT {listed}")

    def commit(self) -> None:
        self.execute("COMMIT")
        self._begun = False

    def execute(self, sql: str) -> int:
        """Run a statement; returns how many rows it changed, -1 where that means nothing."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.rowcount)

    def rows(self, sql: str, copy: bool = True) -> list[tuple[Any, ...]]:
        """The rows of a small result.

        Args:
            copy: whether it may be fetched by COPY, which takes queries only.
        """
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": str(copy).lower()})
            cursor.execute(sql)
            table = cursor.fetch_arrow_table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def columns_of(self, query: str) -> list[str]:
        """The names of a query's columns, without running it."""
        with self._connection.cursor() as cursor:
            return list(cursor.adbc_execute_schema(query).names)

    @contextmanager
    def stream(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The rows of any result, as the server sends them."""
        with self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": _BATCH_BYTES})
            cursor.execute(sql)
            yield cursor.fetch_record_batch()

    def ingest(self, schema: str, table: str, rows: pa.RecordBatchReader) -> int:
        """Copy rows into a table, by the names of their columns; returns how many."""
        with self._connection.cursor() as cursor:
            return int(cursor.adbc_ingest(table, rows, mode="append", db_schema_name=schema))

    def close(self) -> None:
        self._connection.close()


class Server:
    """Where sessions come from; a few that were given back wait for the next use.

    Opening one takes the driver tens of milliseconds: it reads the server's types.

    Args:
        settings: of the connection.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        self.settings = settings
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._process = os.getpid()

    @contextmanager
    def session(self, where: str | None = None) -> Iterator[Session]:
        """A session for one thread; what is not committed at the end is rolled back.

        Raises:
            Retriable, ConfigError, Fatal: as the server's error says.
        """
        place, secrets = where or self.settings.place, self.settings.secrets
        session = self._taken() or self._opened()
        try:
            yield session
            session.settled()
        except DriverError as error:
            session.close()
            raise translate(error, place, secrets) from error
        except (OSError, pa.ArrowException) as error:
            session.close()
            raise lost(error, place, secrets) from error
        except BaseException:
            session.close()
            raise
        self._give_back(session)

    def close(self) -> None:
        """Close what waits."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _opened(self) -> Session:
        try:
            connection = adbc.connect(self.settings.conninfo(), autocommit=True)
        except DriverError as error:
            found = translate(error, self.settings.place, self.settings.secrets)
            raise found from None  # the driver's text can hold the URI
        return Session(connection, self.settings.statement_timeout)

    def _taken(self) -> Session | None:
        """One that waited and still answers."""
        while True:
            with self._lock:
                if self._process != os.getpid():  # of the process this one was forked from
                    _ABANDONED.extend(self._idle)
                    self._idle, self._process = [], os.getpid()
                if not self._idle:
                    return None
                session = self._idle.pop()
            if session.answers():
                return session
            session.close()

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and self._process == os.getpid():
                self._idle.append(session)
                return
        session.close()


#: Sessions of a process that forked: closing them here would end them there.
_ABANDONED: list[Session] = []


def lost(error: Exception, where: str, secrets: tuple[str, ...]) -> LevadaError:
    """An error of a running result: Arrow's stream keeps its text only."""
    text = f"PostgreSQL: {masked(' '.join(str(error).split()), secrets)}"
    state = re.search(r"SQLSTATE:? (\w{5})", text)
    found = (
        next((_MEANINGS[state[1][:n]] for n in (5, 2) if state[1][:n] in _MEANINGS), None) if state else None
    )
    if found:
        return found[0](text, where=where, hint=found[1])
    if isinstance(error, pa.ArrowInvalid) and not _LOST.search(text):
        return Fatal(text, where=where)
    return Retriable(text, where=where, hint="is the server running, and can it be reached?")
