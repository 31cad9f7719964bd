"""The driver: PEP 249 (https://peps.python.org/pep-0249/) over a MongoDB database.

```python
connection = levada.sql.connect("mongodb://localhost/shop")
with connection.cursor() as cursor:
    cursor.execute("select tier, sum(total) from transactions where status = ? group by 1", ["paid"])
    rows = cursor.fetchall()
```

`?`, `$1`, `$name` and `:name` are parameters; their values become constants of the pipeline, never text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from levada.connectors.mongodb.client import MongoConnection
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.settings import MongoSettings
from levada.errors import ConfigError
from levada.sql.compiler import Parameters
from levada.sql.compiler import compile as compiled
from levada.sql.cursor import BINARY, DATETIME, NUMBER, ROWID, STRING, Cursor
from levada.sql.faults import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249 calls it so
)
from levada.sql.live import LiveCatalog

if TYPE_CHECKING:
    from pymongo.database import Database

    from levada.sql.plan import Plan

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel: Final = "2.0"
threadsafety: Final = 1  # threads may share the module, not connections
paramstyle: Final = "qmark"

_NAME: Final = "sql"


def connect(
    uri: str | MongoConnection, *, database: str | None = None, dialect: str = "levada"
) -> Connection:
    """Open a database.

    Args:
        uri: `mongodb://user:password@host/database`, or `mongodb+srv://...`; or a connection of a project:
            `project.tables.connection("shop")`.
        database: where the URI names none.
        dialect: of the SQL: `levada` (DuckDB's, with a two-argument `datediff`), or any that sqlglot knows.

    Raises:
        ProgrammingError: the URI can't be read, or there is no database in it.
    """
    if isinstance(uri, MongoConnection):
        return _opened(uri, database, dialect, owned=False)
    from pydantic import SecretStr, ValidationError

    try:
        settings = MongoSettings(uri=SecretStr(uri), database=database)
    except ValidationError as error:
        raise ProgrammingError(
            f"the URI is not MongoDB's: it {error.errors()[0]['msg'].removeprefix('Value error, ')}",
            hint="write mongodb://user:password@host:port/database",
        ) from None
    return _opened(MongoConnection(_NAME, settings, Path.cwd()), None, dialect, owned=True)


def _opened(mongo: MongoConnection, database: str | None, dialect: str, *, owned: bool) -> Connection:
    try:
        return Connection(mongo, database or mongo.default_database(), dialect=dialect, owned=owned)
    except ConfigError as error:
        raise ProgrammingError(
            "the URI names no database", hint="write mongodb://host/database, or give `database=`"
        ) from error


class Connection:
    """A database that takes SQL.

    Args:
        mongo: where it is.
        database: its name.
        dialect: of the SQL.
        owned: whether `close` closes `mongo`, too.
    """

    Warning, Error, InterfaceError, DatabaseError = Warning, Error, InterfaceError, DatabaseError
    DataError, OperationalError, IntegrityError = DataError, OperationalError, IntegrityError
    InternalError, ProgrammingError = InternalError, ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(
        self, mongo: MongoConnection, database: str, *, dialect: str = "levada", owned: bool = False
    ) -> None:
        self.dialect = dialect
        self._mongo = mongo
        self._name = database
        self._owned = owned
        self._closed = False
        self._cursors: WeakSet[Cursor] = WeakSet()
        self._catalog: LiveCatalog | None = None
        self._database: Database[Any] | None = None

    def __repr__(self) -> str:
        return f"<levada.sql.Connection {self._mongo.describe()} {self._name}>"

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def database(self) -> Database[Any]:
        """The database, by a client that leads to one server."""
        self._must_be_open()
        if self._database is None:
            with translated(self._mongo.describe()):
                self._database = self._mongo.reader()[self._name]
        return self._database

    @property
    def catalog(self) -> LiveCatalog:
        """The tables as they were when a query first named them; see `refresh`."""
        if self._catalog is None:
            self._catalog = LiveCatalog(self.database)
        return self._catalog

    @property
    def options(self) -> dict[str, Any]:
        """What goes with every command: `maxTimeMS`, `comment`."""
        return self._mongo.settings.scan_options()

    def compile(self, sql: str, parameters: Parameters = ()) -> Plan:
        """The plan of a query over this database's tables.

        Raises:
            SqlError: the SQL is wrong or does not run on MongoDB.
        """
        return compiled(sql, self.catalog, parameters, dialect=self.dialect)

    def refresh(self) -> None:
        """Look at the tables anew when they are named next."""
        self.catalog.refresh()

    def cursor(self) -> Cursor:
        """A new cursor."""
        self._must_be_open()
        cursor = Cursor(self)
        self._cursors.add(cursor)
        return cursor

    def execute(self, sql: str, parameters: Parameters = ()) -> Cursor:
        """A new cursor that has run a query."""
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        """Nothing: queries change nothing."""
        self._must_be_open()

    def rollback(self) -> None:
        """Nothing: queries change nothing."""
        self._must_be_open()

    def close(self) -> None:
        """Close it and its cursors, whose temporary tables are dropped; again does nothing."""
        if self._closed:
            return
        try:
            for cursor in list(self._cursors):
                cursor.close()
        finally:
            self._closed = True
            if self._owned:
                self._mongo.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def _must_be_open(self) -> None:
        if self._closed:
            raise InterfaceError("the connection is closed")
