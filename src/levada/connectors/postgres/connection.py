"""A PostgreSQL database, as source and sink."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from levada.connectors.base import Fence, Finding, Mode, Query, Table, Write
from levada.connectors.postgres.catalog import Catalog, Place
from levada.connectors.postgres.conditions import moment
from levada.connectors.postgres.selection import item_of
from levada.connectors.postgres.session import Server, Session
from levada.connectors.postgres.settings import PostgresSettings
from levada.connectors.postgres.sink import PostgresSink
from levada.connectors.postgres.source import PostgresSource
from levada.connectors.reading import projected
from levada.connectors.sqltext import bounds, literal, quoted
from levada.errors import LevadaError
from levada.observe import counted
from levada.types.layout import HIDDEN_PREFIX
from levada.windows import Window

_PRUNER = "levada/prune"
_OLDEST = 130000

#: Right -> the SQL that tells whether the role has it in a schema, and the statement that grants it.
_RIGHTS = {
    "read tables": ("has_schema_privilege({name}, 'USAGE')", "GRANT USAGE ON SCHEMA {schema} TO {role}"),
    "make tables": ("has_schema_privilege({name}, 'CREATE')", "GRANT CREATE ON SCHEMA {schema} TO {role}"),
    "make temporary tables": (
        "has_database_privilege(current_database(), 'TEMP')",
        "GRANT TEMPORARY ON DATABASE {database} TO {role}",
    ),
}


class PostgresConnection:
    """A connection of `type: postgres`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; spilled batches go to its `.levada/tmp`.
    """

    kind = "postgres"
    settings_model = PostgresSettings
    takes_sql = True  # a query in place of a table

    def __init__(self, name: str, settings: PostgresSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._server = Server(settings)
        self._spool = root / ".levada" / "tmp" if (root / ".levada").is_dir() else None

    def describe(self) -> str:
        """Host, port and database."""
        return f"postgres://{self.settings.place}"

    def source(self, table: Table, query: Query) -> PostgresSource:
        return PostgresSource(self._server, table, query)

    def sink(self, table: Table) -> PostgresSink:
        return PostgresSink(self._server, table.name, self._spool)

    def exists(self, table: Table) -> bool:
        """Whether there is such a table or view."""
        place = Place.of(table.name, self.settings.schema_name)
        with self._server.session(str(table)) as session:
            session.begin("READ ONLY")
            catalog = Catalog(session, place.schema)
            return catalog.relation(place.table) is not None or catalog.written(place.table)

    def key(self, table: Table) -> tuple[str, ...]:
        """The columns of its primary key; none where it has none, or there is no such table."""
        place = Place.of(table.name, self.settings.schema_name)
        with self._server.session(str(table)) as session:
            session.begin("READ ONLY")
            return Catalog(session, place.schema).primary_key(place.table)

    def delete_before(self, table: Table, column: str, cutoff: datetime, fence: Fence | None = None) -> int:
        """Remove rows whose time lies before the cutoff; rows without a time stay. Returns how many.

        Raises:
            ConfigError: no such column, or it holds no times.
            Fenced: a newer epoch has pruned this table.
        """
        place = Place.of(table.name, self.settings.schema_name)
        with self._server.session(str(table)) as session:
            session.begin()
            catalog = Catalog(session, place.schema)
            stored = catalog.table(place.table)
            if stored is None:
                return 0
            name = projected(stored.logical, (column,), str(table)).names[0]
            found = stored.column(name)
            if found is None:
                return 0
            catalog.create()
            catalog.lock(place.table)
            catalog.advance(Write(table, Mode.APPEND, _PRUNER, fence=fence), place.table, None)
            arrow = item_of(found, stored, self.settings).field.type
            edge = bounds(Window(cutoff, cutoff.max.replace(tzinfo=cutoff.tzinfo)), arrow, name)[0]
            condition = f"{moment(found, arrow, self.settings)} < {literal(edge)}"
            removed = session.execute(f"DELETE FROM {place.sql} WHERE {condition}")  # noqa: S608
            session.commit()
            return removed

    def tables(self) -> list[str]:
        """Names of the tables and views, Levada's own left out.

        Raises:
            Retriable, ConfigError, Fatal: the database can't be read.
        """
        with self._server.session() as session:
            session.begin("READ ONLY")
            return self._tables(session)

    def diagnose(self) -> list[Finding]:
        """Version, rights and tables, and the least role; never raises."""
        try:
            with self._server.session() as session:
                session.begin("READ ONLY")
                return [*self._server_found(session), *self._rights_found(session)]
        except LevadaError as error:
            return [Finding(False, f"{self.describe()}: {error.what}", error.hint)]

    def close(self) -> None:
        """Close the sessions that wait for their next use."""
        self._server.close()

    def _tables(self, session: Session) -> list[str]:
        sql = f"""SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = {literal(self.settings.schema_name)} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT c.relispartition ORDER BY c.relname COLLATE "C" """  # noqa: S608
        names = [name for (name,) in session.rows(sql)]
        return [name for name in names if not name.startswith(HIDDEN_PREFIX)]

    def _server_found(self, session: Session) -> list[Finding]:
        asked = ("server_version_num", "server_version")
        settings = ", ".join(f"current_setting({literal(name)})" for name in asked)
        sql = f"SELECT {settings}, pg_is_in_recovery()"
        number, version, standby = session.rows(sql)[0]
        new = int(number) >= _OLDEST
        findings = [
            Finding(
                new,
                f"{self.name}: PostgreSQL {version}",
                None if new else "13 is the oldest that is known to work",
            )
        ]
        if standby:
            findings.append(Finding(True, "a standby: it can be read, not written"))
        names = self._tables(session)
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        findings.append(
            Finding(True, f"{counted(len(names), 'table')}: {listed}" if names else "no tables yet")
        )
        return findings

    def _rights_found(self, session: Session) -> list[Finding]:
        schema = self.settings.schema_name
        there = session.rows(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(schema)}")  # noqa: S608
        ((role, database),) = session.rows("SELECT current_user::text, current_database()::text")
        words = {"schema": quoted(schema), "role": quoted(role), "database": quoted(database)}
        findings = []
        for right, (test, grant) in _RIGHTS.items():
            checked = test if there else "has_database_privilege(current_database(), 'CREATE')"
            if not there and right == "make temporary tables":
                checked = test
            ((holds,),) = session.rows(f"SELECT {checked.format(name=literal(schema))}")
            what = f"{role} {'may' if holds else 'may not'} {right} in {schema}"
            needed = right == "read tables"
            findings.append(
                Finding(bool(holds) or not needed, what, None if holds else grant.format(**words))
            )
        findings.append(
            Finding(
                True,
                f"least role of a source: USAGE on schema {words['schema']}, SELECT on its tables; "
                "of a sink also CREATE on the schema, TEMPORARY on the database, and to own its tables",
            )
        )
        return findings
