"""Writes a DuckDB table: batches are staged, then stored with their position in one SQL transaction."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.connectors.base import Changes, Mode, Write, WritePlan, Written
from levada.connectors.duckdb.catalog import Catalog, Stored
from levada.connectors.duckdb.columns import Columns, plan
from levada.connectors.duckdb.database import Database, run, translate, translated
from levada.connectors.duckdb.outlook import outlook
from levada.connectors.feeding import Feed
from levada.connectors.keyed import Keyed, merge
from levada.connectors.rounds import Applied, apply
from levada.connectors.sqltext import quoted
from levada.connectors.staging import Staging, encoded
from levada.connectors.writes import check_write, key_of, replaced, tags
from levada.errors import ConfigError, LevadaError, Retriable
from levada.positions import Position
from levada.types.layout import HIDDEN_PREFIX

_ROWS, _CHANGES = "_levada_rows", "_levada_changes"
_ATTEMPTS = 10


class DuckdbSink:
    """Writes into one table.

    Args:
        database: where it lies.
        table: its name.
        folder: where batches may be kept until the commit.
    """

    def __init__(self, database: Database, table: str, folder: Path | None) -> None:
        self._database = database
        self._table = table
        self._folder = folder

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        with translated(self._database.file), self._database.cursor() as cursor:
            return Catalog(cursor, self._database.settings.schema_name).committed(owner, self._table).last

    def open(self, write: Write) -> DuckdbWriter:
        """Start a write.

        Raises:
            ConfigError: the write lacks what its mode needs.
        """
        self._check(write)
        staging = Staging(write, self._folder, target="duckdb", known=self._known)
        return DuckdbWriter(self._database, staging)

    def plan(self, write: Write) -> WritePlan:
        """What a write would do, looking only.

        Raises:
            ConfigError: the write lacks what its mode needs.
        """
        self._check(write)
        if not self._database.exists:
            return outlook(write, None, 0)
        with translated(self._database.file), self._database.cursor() as cursor:
            catalog = Catalog(cursor, self._database.settings.schema_name)
            stored = catalog.table(self._table)
            counted = f"SELECT count(*) FROM {catalog.name(self._table)}"  # noqa: S608
            return outlook(write, stored, int(run(cursor, counted)[0][0]) if stored else 0)

    @staticmethod
    def _check(write: Write) -> None:
        check_write(write)
        if write.table.name.startswith(HIDDEN_PREFIX):
            raise ConfigError(
                f"names that begin with {HIDDEN_PREFIX} are Levada's own",
                where=str(write.table),
                hint="choose another name for the table",
            )

    def _known(self) -> pa.Schema | None:
        """The table's logical schema; None if there is none."""
        with translated(self._database.file), self._database.cursor() as cursor:
            stored = Catalog(cursor, self._database.settings.schema_name).table(self._table)
        return stored.logical if stored else None


class DuckdbWriter:
    """Takes the batches of one write."""

    def __init__(self, database: Database, staging: Staging) -> None:
        self._database = database
        self._staging = staging
        self._write = staging.write

    @property
    def rejected(self) -> Sequence[Rejected]:
        """Rows that were set aside so far."""
        return self._staging.rejected

    def write(self, batch: Batch) -> None:
        self._staging.add(batch)

    def commit(self, position: Position | None) -> Written:
        """Store rows and position in one transaction.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            Retriable, Fatal: the database can't be written; nothing of this write is there.
        """
        try:
            if self._write.mode is Mode.UPSERT:
                self._staging.settle()
            return self._until_alone(position)
        finally:
            self._staging.close()

    def abort(self) -> None:
        self._staging.close()

    def _until_alone(self, position: Position | None) -> Written:
        """Try again while other threads change the same rows."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
            try:
                with self._database.cursor() as cursor:
                    return self._transaction(cursor, position)
            except (duckdb.TransactionException, duckdb.ConstraintException) as error:
                if attempt == _ATTEMPTS - 1 or not _conflict(error):
                    raise translate(error, str(self._write.table)) from error
            except duckdb.Error as error:
                raise translate(error, str(self._write.table)) from error
        raise Retriable("others kept writing", where=str(self._write.table), hint="run it again")

    def _transaction(self, cursor: duckdb.DuckDBPyConnection, position: Position | None) -> Written:
        cursor.begin()
        try:
            catalog = Catalog(cursor, self._database.settings.schema_name)
            catalog.create()
            catalog.advance(self._write, position)
            gone, done = self._store(cursor, catalog)
            cursor.commit()
        except BaseException:
            _roll_back(cursor)
            raise
        return done.written(self._staging, gone)

    def _store(self, cursor: duckdb.DuckDBPyConnection, catalog: Catalog) -> tuple[int, Applied]:
        """Change the table; returns how many rows gave way, and what became of the new ones."""
        target = self._write.table.name
        before = catalog.table(target)
        columns = plan(self._write, self._staging.schema, before)
        name = catalog.name(target)
        gone = self._make_room(cursor, name, before, columns)
        columns.apply(cursor, name, before)
        catalog.note(target, columns.logical)
        if not self._staging.rows:
            return gone, Applied()
        if self._write.changes != Changes():
            return gone, self._change(cursor, name, columns)
        self._insert(cursor, name, before, columns)
        return gone, Applied(self._staging.rows)

    def _make_room(
        self, cursor: duckdb.DuckDBPyConnection, name: str, before: Stored | None, columns: Columns
    ) -> int:
        if before is None:
            return 0
        if self._write.mode is Mode.REPLACE and columns.anew:
            return int(run(cursor, f"SELECT count(*) FROM {name}")[0][0])  # noqa: S608
        condition = "true" if self._write.mode is Mode.REPLACE else replaced(columns.write, before.stored)
        if condition is None:
            return 0
        return int(run(cursor, f"DELETE FROM {name} WHERE {condition}")[0][0])  # noqa: S608

    def _insert(
        self, cursor: duckdb.DuckDBPyConnection, name: str, before: Stored | None, columns: Columns
    ) -> None:
        names = columns.stored.names
        with self._registered(cursor, columns):
            if self._write.mode is Mode.UPSERT and before is not None:
                run(cursor, merge(name, _ROWS, Keyed(key_of(columns.write), names, Changes())))
            else:
                listed = ", ".join(map(quoted, names))
                run(cursor, f"INSERT INTO {name} ({listed}) SELECT {listed} FROM {_ROWS}")  # noqa: S608

    def _change(self, cursor: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> Applied:
        """Apply changes that depend on what is stored."""
        folded, write = self._staging.folded, columns.write
        fields = Keyed(key_of(write), columns.stored.names, write.changes)
        with self._registered(cursor, columns):
            if folded.single and not write.changes.version:
                return apply(cursor, name, _ROWS, folded, lambda given: replace(fields, given=given))
            run(cursor, f"CREATE TEMP TABLE {_CHANGES} AS FROM {_ROWS}")
        done = apply(cursor, name, _CHANGES, folded, lambda given: replace(fields, given=given))
        run(cursor, f"DROP TABLE {_CHANGES}")
        return done

    @contextmanager
    def _registered(self, cursor: duckdb.DuckDBPyConnection, columns: Columns) -> Iterator[None]:
        """Let SQL read the new rows, once."""
        feed, schema = Feed(), pa.schema([*columns.stored, *self._staging.taken])
        cursor.register(_ROWS, feed.reader(schema, self._rows(columns.logical, schema)))
        try:
            yield
        except duckdb.Error as error:
            if isinstance(feed.error, LevadaError):
                raise feed.error from error
            raise
        cursor.unregister(_ROWS)

    def _rows(self, logical: pa.Schema, stored: pa.Schema) -> Iterator[pa.RecordBatch]:
        values = tags(self._write)
        for batch, taken in self._staging.changes(logical):
            hidden = {name: pa.repeat(value, len(batch)) for name, value in values.items()}
            yield encoded(batch, stored, hidden | taken)


def _conflict(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return "conflict" in text or "_levada_positions" in text or "_levada_tables" in text


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.rollback()
    except duckdb.Error:
        return  # the transaction ended by itself
