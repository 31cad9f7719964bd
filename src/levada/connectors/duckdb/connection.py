"""A DuckDB database, as source and sink."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import duckdb

from levada.connectors.base import Fence, Finding, Mode, Query, Table, Write
from levada.connectors.duckdb.catalog import Catalog
from levada.connectors.duckdb.database import Database, run, translated
from levada.connectors.duckdb.settings import MEMORY, DuckdbSettings
from levada.connectors.duckdb.sink import DuckdbSink
from levada.connectors.duckdb.source import DuckdbSource
from levada.connectors.reading import projected
from levada.connectors.sqltext import before
from levada.errors import LevadaError
from levada.observe import counted
from levada.types.layout import HIDDEN_PREFIX

_LOW_DISK = 1024**3
_PRUNER = "levada/prune"


class DuckdbConnection:
    """A connection of `type: duckdb`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; relative paths start here, spilled batches go to its `.levada/tmp`.
    """

    kind = "duckdb"
    settings_model = DuckdbSettings
    takes_sql = True  # a query in place of a table

    def __init__(self, name: str, settings: DuckdbSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._database = Database(settings, root)
        self._spool = root / ".levada" / "tmp" if (root / ".levada").is_dir() else None

    def describe(self) -> str:
        """The database's file."""
        return self._database.file

    def source(self, table: Table, query: Query) -> DuckdbSource:
        return DuckdbSource(self._database, table, query)

    def sink(self, table: Table) -> DuckdbSink:
        return DuckdbSink(self._database, table.name, self._spool)

    def delete_before(self, table: Table, column: str, cutoff: datetime, fence: Fence | None = None) -> int:
        """Remove rows whose time lies before the cutoff; rows without a time stay. Returns how many.

        Raises:
            ConfigError: no such column, or it holds no times.
            Fenced: a newer epoch has pruned this table.
        """
        with translated(str(table)), self._database.cursor() as cursor:
            cursor.begin()
            catalog = Catalog(cursor, self.settings.schema_name)
            stored = catalog.table(table.name)
            if stored is None:
                return 0
            column = projected(stored.logical, (column,), str(table)).names[0]
            if column not in stored.stored.names:
                return 0
            catalog.create()
            catalog.advance(Write(table, Mode.APPEND, _PRUNER, fence=fence), None)
            condition = before(column, stored.stored.field(column).type, cutoff)
            removed = run(cursor, f"DELETE FROM {catalog.name(table.name)} WHERE {condition}")  # noqa: S608
            cursor.commit()
            return int(removed[0][0])

    def tables(self) -> list[str]:
        """Names of the tables and views, Levada's own left out.

        Raises:
            Retriable, Fatal: the database can't be opened.
        """
        sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = ? ORDER BY ALL"
        with translated(self._database.file), self._database.cursor() as cursor:
            names = [name for (name,) in run(cursor, sql, [self.settings.schema_name])]
        return [name for name in names if not name.startswith(HIDDEN_PREFIX)]

    def diagnose(self) -> list[Finding]:
        """Version, file, rights, space and tables; never raises."""
        findings = [Finding(True, f"{self.name}: duckdb {duckdb.__version__}")]
        file = self._database.file
        try:
            names = self.tables()
        except LevadaError as error:
            return [*findings, Finding(False, f"{file}: {error.what}", error.hint)]
        findings.append(Finding(True, f"{file} can be read and written by this process alone"))
        if file != MEMORY:
            free = shutil.disk_usage(Path(file).parent).free
            enough = free > _LOW_DISK
            findings.append(
                Finding(enough, f"{free / 1024**3:.1f} GB free", None if enough else "free some space")
            )
        findings.append(
            Finding(True, f"{counted(len(names), 'table')}: {', '.join(names)}" if names else "no tables yet")
        )
        findings.append(Finding(True, "rights needed: read and write the file and its folder"))
        return findings

    def close(self) -> None:
        """Let other processes have the database."""
        self._database.close()
