"""One DuckDB database: one connection per process, a cursor per use."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from levada.connectors.complaints import told
from levada.connectors.duckdb.settings import MEMORY, DuckdbSettings
from levada.connectors.reading import OFFLINE
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

_PID = re.compile(r"\(PID (\d+)\)")

#: DuckDB's error -> Levada's, and the advice; the first that fits counts.
_MEANINGS: tuple[tuple[type[duckdb.Error], type[LevadaError], str], ...] = (
    (duckdb.OutOfMemoryException, Fatal, "raise `memory_limit`, or ask for a smaller window"),
    (duckdb.TransactionException, Retriable, "the step is tried again"),
    (
        duckdb.ConversionException,
        Fatal,
        "the type that the value gets can't hold it; `try_cast` makes it null",
    ),
    (duckdb.ConstraintException, Fatal, "the rows break a constraint of the table"),
    (duckdb.SerializationException, Fatal, "a newer DuckDB wrote the file: upgrade Levada's"),
    (duckdb.InterruptException, Retriable, "the query was interrupted"),
    (duckdb.CatalogException, ConfigError, "`levada doctor` lists the tables"),
    (duckdb.BinderException, ConfigError, "check the names in the condition or query"),
    (duckdb.ParserException, ConfigError, "write SQL as DuckDB reads it"),
    (duckdb.InvalidInputException, ConfigError, "check the query, and the connection's settings"),
    (duckdb.IOException, Fatal, "check the path and its rights"),
)


def translate(error: duckdb.Error, where: str) -> LevadaError:
    """The Levada error that says the same."""
    text, advice = told(error)
    if "Could not set lock" in text:
        found = _PID.search(str(error))
        holder = f"process {found[1]}" if found else "another process"
        return Retriable(
            f"{holder} has the database open",
            where=where,
            hint="DuckDB takes one process at a time: wait for it, or close it",
        )
    if "No space left" in text or "File too large" in text:
        return Retriable(f"DuckDB: {text}", where=where, hint="free some space, then run again")
    for kind, meaning, hint in _MEANINGS:
        if isinstance(error, kind):
            return meaning(f"DuckDB: {text}", where=where, hint=advice or hint)
    return Fatal(f"DuckDB: {text}", where=where, hint=advice)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Let DuckDB's errors out as Levada's."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error, where) from error


class Database:
    """A database file, opened by the first use.

    Args:
        settings: of the connection.
        root: the project's folder.
    """

    def __init__(self, settings: DuckdbSettings, root: Path) -> None:
        self.settings = settings
        self.file = settings.file(root)
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def exists(self) -> bool:
        """Whether there is a database to look at; the first use makes one."""
        return self.file == MEMORY or Path(self.file).exists()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own transaction; closed afterwards.

        Raises:
            Retriable: another process has the database open.
            Fatal, ConfigError: it can't be opened.
        """
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    def close(self) -> None:
        """Let other processes have it."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> duckdb.DuckDBPyConnection:
        options: dict[str, Any] = dict(OFFLINE)
        given = {"memory_limit": self.settings.memory_limit, "threads": self.settings.threads}
        options.update({name: value for name, value in given.items() if value is not None})
        with translated(self.file):
            if self.file != MEMORY:
                _make_folder(Path(self.file).parent)
            connection = duckdb.connect(self.file, config=options)
            run(connection, "SET GLOBAL TimeZone = 'UTC'")
        return connection


def run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None = None) -> list[Any]:
    """Run a statement and fetch its rows; left unfetched, the next statement is refused."""
    return list(cursor.execute(sql, parameters).fetchall())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Fatal(
            f"can't make the folder: {error.strerror}", where=str(folder), hint="mend its rights, or `path`"
        ) from error
