"""What Levada keeps beside the tables of a database: logical schemas and positions.

| Table | Row |
|---|---|
| `_levada_tables` | `target`, `format`, `logical` (the Arrow schema of the rows, BSON types included) |
| `_levada_positions` | `owner`, `target`, `epoch`, `sequence`, `position` (JSON), `updated_at` |

Both lie in the schema of the tables; `target` is the table's name. They change in the transaction that
changes the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from levada.connectors.base import Write
from levada.connectors.committed import FORMAT, Committed, logical_of
from levada.connectors.duckdb.database import run
from levada.connectors.sqltext import quoted
from levada.positions import Position
from levada.types.layout import readable_schema

_TABLES = """CREATE TABLE IF NOT EXISTS {schema}._levada_tables (
    target VARCHAR PRIMARY KEY, format INTEGER NOT NULL, logical BLOB NOT NULL)"""
_POSITIONS = """CREATE TABLE IF NOT EXISTS {schema}._levada_positions (
    owner VARCHAR, target VARCHAR, epoch BIGINT NOT NULL, sequence BIGINT NOT NULL, position VARCHAR,
    updated_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (owner, target))"""


@dataclass(frozen=True)
class Stored:
    """A table as it is now.

    Args:
        logical: visible columns in their logical types.
        stored: all columns, as DuckDB hands them out.
    """

    logical: pa.Schema
    stored: pa.Schema


class Catalog:
    """Levada's tables in one schema, seen by one cursor.

    Args:
        cursor: in a transaction where it writes.
        schema: the schema's name.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, schema: str) -> None:
        self._cursor = cursor
        self._schema = quoted(schema)

    def create(self) -> None:
        """Create schema and tables where they are missing."""
        run(self._cursor, f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        for statement in (_TABLES, _POSITIONS):
            run(self._cursor, statement.format(schema=self._schema))

    def name(self, target: str) -> str:
        """The table's name in SQL."""
        return f"{self._schema}.{quoted(target)}"

    def table(self, target: str) -> Stored | None:
        """A table; None if there is none."""
        try:
            stored = self._cursor.sql(f"SELECT * FROM {self.name(target)} LIMIT 0").to_arrow_table().schema  # noqa: S608
        except duckdb.CatalogException:
            return None
        return Stored(readable_schema(self._logical(target), stored), stored)

    def written(self, target: str) -> bool:
        """Whether someone committed into the table, be it no rows and no columns."""
        sql = f"SELECT 1 FROM {self._schema}._levada_positions WHERE target = ? LIMIT 1"  # noqa: S608
        return bool(self._rows(sql, [target]))

    def note(self, target: str, logical: pa.Schema) -> None:
        """Keep the logical schema."""
        sql = f"INSERT OR REPLACE INTO {self._schema}._levada_tables VALUES (?, ?, ?)"  # noqa: S608
        run(self._cursor, sql, [target, FORMAT, logical.serialize().to_pybytes()])

    def committed(self, owner: str, target: str) -> Committed:
        sql = f"SELECT epoch, sequence, position FROM {self._schema}._levada_positions WHERE owner = ? AND target = ?"  # noqa: S608, E501
        rows = self._rows(sql, [owner, target])
        return Committed(*rows[0]) if rows else Committed()

    def advance(self, write: Write, position: Position | None) -> None:
        """Store position and epoch, if they are newer than what is there.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is there already.
        """
        owner, target = write.owner, write.table.name
        known = self.committed(owner, target)
        after = known.then(write, position)
        if after == known and write.fence is None:
            return
        sql = f"INSERT OR REPLACE INTO {self._schema}._levada_positions VALUES (?, ?, ?, ?, ?, now())"  # noqa: S608
        run(self._cursor, sql, [owner, target, after.epoch, after.sequence, after.position])

    def _logical(self, target: str) -> pa.Schema:
        sql = f"SELECT format, logical FROM {self._schema}._levada_tables WHERE target = ?"  # noqa: S608
        rows = self._rows(sql, [target])
        return logical_of(target, *rows[0]) if rows else pa.schema([])

    def _rows(self, sql: str, parameters: list[str]) -> list[Any]:
        """Rows of one of Levada's tables; none where it was never created."""
        try:
            return run(self._cursor, sql, list(parameters))
        except duckdb.CatalogException:
            return []
