"""A MySQL or MariaDB database, as a source."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from levada.connectors.base import Finding, Query, Table
from levada.connectors.mysql.columns import of_table, quoted
from levada.connectors.mysql.conditions import text
from levada.connectors.mysql.server import Server
from levada.connectors.mysql.settings import MysqlSettings
from levada.connectors.mysql.source import MysqlSource
from levada.errors import ConfigError, LevadaError
from levada.observe import counted

_TABLES = (
    "SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
    "AND TABLE_TYPE IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED')"
)
_FACTS = (
    "SELECT CAST(VERSION() AS CHAR) AS version, CAST(CURRENT_USER() AS CHAR) AS user, "
    "CAST(DATABASE() AS CHAR) AS name"
)


class MysqlConnection:
    """A connection of `type: mysql`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; rows that must wait go to its `.levada/tmp`.
    """

    kind = "mysql"
    settings_model = MysqlSettings
    takes_sql = True  # a query in place of a table

    def __init__(self, name: str, settings: MysqlSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._server = Server(settings, root)
        self._folder = root / ".levada" / "tmp" if (root / ".levada").is_dir() else None

    def describe(self) -> str:
        """Host, port and database."""
        return self.settings.place

    def source(self, table: Table, query: Query) -> MysqlSource:
        return MysqlSource(self._server, table, query, self._folder)

    def sink(self, table: Table) -> NoReturn:
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "MySQL and MariaDB are read, never written",
            where=str(table),
            hint="write to a lake, DuckDB, PostgreSQL or MongoDB",
        )

    def tables(self) -> list[str]:
        """Names of the tables and views that the user can see.

        Raises:
            ConfigError, Retriable: the server does not let us in, or does not answer.
        """
        return sorted(row["name"] for row in self._server.rows(_TABLES))

    def exists(self, table: Table) -> bool:
        """Whether there is a table, or a view, of that name."""
        sql = f"{_TABLES} AND TABLE_NAME = {text(table.name)}"
        return bool(self._server.rows(sql, where=str(table)))

    def key(self, table: Table) -> tuple[str, ...]:
        """The columns of its primary key; none where it has none.

        Raises:
            ConfigError: there is no such table, or no right to read it.
        """
        return tuple(column.name for column in of_table(self._server, table.name, str(table)) if column.key)

    def diagnose(self) -> list[Finding]:
        """Reachability, version, TLS, tables and the grant that reading needs; never raises."""
        try:
            with self._server.asking():
                facts = self._server.rows(_FACTS)[0]
                cipher = self._server.rows("SHOW STATUS LIKE 'Ssl_cipher'")[0]["Value"]
                names = self.tables()
        except LevadaError as error:
            return [Finding(False, f"{self.name}: {error.what}", error.hint)]
        listed = (
            f"{counted(len(names), 'table')}: {', '.join(names)}"
            if names
            else "no tables that this user can see"
        )
        needs = None if names else self._grant(facts["user"])
        return [
            Finding(True, f"{self.name}: {facts['version']} at {self.describe()}, as {facts['user']}"),
            Finding(True, f"TLS: {cipher}" if cipher else "no TLS: `tls: required` asks for it"),
            Finding(bool(names), listed, needs),
            Finding(True, f"rights needed: {self._grant(facts['user'])}"),
        ]

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _grant(self, user: str) -> str:
        name, _, host = user.rpartition("@")
        account = f"{text(name)}@{text(host)}"
        return (
            f"GRANT SELECT, SHOW VIEW ON {quoted(self.settings.database)}.* TO {account}; "
            f"for `sql:` CREATE TEMPORARY TABLES too"
        )
