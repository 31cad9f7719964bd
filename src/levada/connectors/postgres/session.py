"""One connection to a PostgreSQL server by ADBC, and its errors as Levada's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa

from levada.connectors.postgres.faults import driver_error, lost, translate
from levada.connectors.postgres.settings import PostgresSettings
from levada.connectors.sqltext import literal
from levada.errors import ConfigError

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


class Session:
    """A connection in use by one thread.

    Args:
        connection: of the driver, each statement a transaction of its own unless `begin` was called.
    """

    def __init__(self, connection: Any, timeout: float | None) -> None:
        self._connection = connection
        self._timeout = timeout
        self._begun = False
        self.cancelled = False

    def answers(self) -> bool:
        """Whether the server is still there."""
        try:
            self.execute("SELECT 1")
        except (driver_error(), OSError):
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

    def cancel(self) -> None:
        """End the statement that another thread runs in it, if the server can be told."""
        self.cancelled = True
        with suppress(driver_error(), OSError):
            self._connection.adbc_cancel()

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
        except driver_error() as error:
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
            from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped]
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs adbc_driver_postgresql", hint="pip install 'levada[postgres]'"
            ) from error
        try:
            connection = dbapi.connect(self.settings.conninfo(), autocommit=True)
        except driver_error() as error:
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
            alone = self._process == os.getpid()
            if len(self._idle) < _IDLE and alone and not session.cancelled:
                self._idle.append(session)
                return
        session.close()


#: Sessions of a process that forked: closing them here would end them there.
_ABANDONED: list[Session] = []
