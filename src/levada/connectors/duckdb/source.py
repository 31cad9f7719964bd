"""Reads a DuckDB table or view as a stream of record batches."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.connectors.duckdb.catalog import Catalog, Stored
from levada.connectors.duckdb.database import Database, translated
from levada.connectors.reading import (
    Watermark,
    marked,
    one_select,
    projected,
    refuse_mongodb,
    restored,
    slices,
    time_column,
    timed,
)
from levada.connectors.sqltext import beyond, quoted, within
from levada.errors import ConfigError
from levada.positions import Position
from levada.types.layout import readable_schema
from levada.windows import Window

_WIDE = ("HUGEINT", "UHUGEINT")


class DuckdbSource:
    """Reads one table or view.

    Args:
        database: where it lies.
        table: of the project.
        query: what of it.
    """

    def __init__(self, database: Database, table: Table, query: Query) -> None:
        self._database = database
        self._table = table
        self._query = query

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, newer than `after`; the last one carries the highest watermark.

        Raises:
            ConfigError: no such table or column, or a condition that is no SQL.
        """
        refuse_mongodb(self._query, str(self._table))
        mark = Watermark(self._table.time)
        yield from marked(self._rows(window, after, mark), mark)

    def _rows(
        self, window: Window | None, after: Position | None, mark: Watermark
    ) -> Iterator[pa.RecordBatch]:
        where = str(self._table)
        with translated(where), self._database.cursor() as cursor:
            catalog = Catalog(cursor, self._database.settings.schema_name)
            rows = catalog.name(self._table.name) if self._query.sql is None else self._selected(cursor)
            stored = catalog.table(self._table.name) if self._query.sql is None else _result(cursor, rows)
            if stored is None:
                self._check_written(catalog)
                return
            table = timed(self._table, stored.logical)
            mark.column = table.time
            schema = projected(stored.logical, self._query.columns, where)
            condition = self._condition(stored, table, window, after)
            listed = _listed(stored, {*schema.names, table.time})
            sql = f"SELECT {listed} FROM {rows} AS q WHERE {condition}"  # noqa: S608
            for batch in cursor.sql(sql).to_arrow_reader(self._query.batch_rows):
                mark.see(batch)
                for part in slices(batch, self._query.batch_rows):
                    yield restored(part, schema, where)

    def _selected(self, cursor: duckdb.DuckDBPyConnection) -> str:
        """The query in place of the table; sums of integers are 64 bits wide, as elsewhere."""
        assert self._query.sql is not None
        rows = f"({one_select(self._query.sql, 'duckdb', str(self._table))}\n)"  # a comment ends there
        found = cursor.sql(f"SELECT * FROM {rows} AS q LIMIT 0")  # noqa: S608
        wide = [
            quoted(name) for name, kind in zip(found.columns, found.types, strict=True) if str(kind) in _WIDE
        ]
        narrowed = ", ".join(f"CAST({name} AS BIGINT) AS {name}" for name in wide)
        return f"(SELECT * REPLACE ({narrowed}) FROM {rows} AS q)" if wide else rows  # noqa: S608

    def _condition(self, stored: Stored, table: Table, window: Window | None, after: Position | None) -> str:
        parts = [self._query.where and f"{self._query.where}\n"]
        if window:
            parts.append(_within(stored, table, window))
        if after:
            parts.append(beyond(table.time, after))
        return " AND ".join(f"({part})" for part in parts if part) or "true"

    def _check_written(self, catalog: Catalog) -> None:
        if not catalog.written(self._table.name):
            raise ConfigError(
                f"there is no table {self._table.name!r} in the database",
                where=self._database.file,
                hint="`levada doctor` lists the tables; a pipeline creates one with its first write",
            )


def _result(cursor: duckdb.DuckDBPyConnection, rows: str) -> Stored:
    """The columns of a query, in the types that DuckDB gives them."""
    schema = cursor.sql(f"SELECT * FROM {rows} AS q LIMIT 0").to_arrow_table().schema  # noqa: S608
    return Stored(readable_schema(pa.schema([]), schema), schema)


def _listed(stored: Stored, wanted: set[str | None]) -> str:
    """The columns to select; rows of no column still count."""
    columns = [column for column in stored.stored.names if column in wanted] or stored.stored.names[:1]
    return ", ".join(map(quoted, columns))


def _within(stored: Stored, table: Table, window: Window) -> str:
    time = time_column(table, stored.logical)
    if time not in stored.stored.names:  # known, but never had a value
        return "false"
    return within(time, stored.stored.field(time).type, window)
