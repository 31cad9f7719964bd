"""Writes a PostgreSQL table: batches are staged, then stored with their position in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.connectors.base import Changes, Mode, Write, WritePlan, Written
from levada.connectors.feeding import Feed
from levada.connectors.keyed import Keyed
from levada.connectors.postgres.applying import ROWS, apply, upsert, waiting
from levada.connectors.postgres.catalog import Catalog, Column, Place, Stored
from levada.connectors.postgres.columns import Columns, plan
from levada.connectors.postgres.faults import driver_error, state_of, translate
from levada.connectors.postgres.session import Server, Session
from levada.connectors.postgres.wire import refused, wire_of
from levada.connectors.rounds import Applied
from levada.connectors.sqltext import quoted
from levada.connectors.staging import Staging
from levada.connectors.writes import check_write, key_of, named, replaced, tag_schema, tags
from levada.errors import ConfigError, LevadaError, Retriable
from levada.positions import Position
from levada.types.layout import HIDDEN_PREFIX

#: Mode -> how it is done, what readers see.
_HOW = {
    Mode.APPEND: ("copy the rows in", "all new rows at once, when the transaction is committed"),
    Mode.REPLACE: ("delete all rows, copy the new ones in", "the old rows, then the new ones"),
    Mode.REPLACE_WINDOW: ("delete the window, copy its rows in", "the old window, then the new one"),
    Mode.UPSERT: ("copy into a temporary table, then update and insert by key", "all changes at once"),
}


class PostgresSink:
    """Writes into one table.

    Args:
        server: where it lies.
        table: its name.
        folder: where batches may be kept until the commit.
    """

    def __init__(self, server: Server, table: str, folder: Path | None) -> None:
        self._server = server
        self._place = Place.of(table, server.settings.schema_name)
        self._folder = folder

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        with self._server.session() as session:
            session.begin("READ ONLY")
            return Catalog(session, self._place.schema).committed(owner, self._place.table).last

    def open(self, write: Write) -> PostgresWriter:
        """Start a write.

        Raises:
            ConfigError: the write lacks what its mode needs.
        """
        check_write(write)
        if self._place.table.startswith(HIDDEN_PREFIX):
            raise ConfigError(
                f"names that begin with {HIDDEN_PREFIX} are Levada's own",
                where=str(write.table),
                hint="choose another name for the table",
            )
        staging = Staging(write, self._folder, target="postgres", known=self._known, refused=refused)
        return PostgresWriter(self._server, self._place, staging)

    def plan(self, write: Write) -> WritePlan:
        """What a write would do.

        Raises:
            ConfigError: the write lacks what its mode needs.
        """
        check_write(write)
        how, readers = _HOW[write.mode]
        with self._server.session(str(write.table)) as session:
            session.begin("READ ONLY")
            catalog = Catalog(session, self._place.schema)
            stored = catalog.table(self._place.table)
            notes = [] if stored else [f"{self._place.sql} is made"]
            if write.mode is Mode.UPSERT:
                key = key_of(named(write, stored.logical) if stored else write)
                if not stored or not catalog.unique_on(self._place.table, key):
                    notes.append(f"{unique_index(self._place, key)} is run first")
            elif stored and write.mode is not Mode.APPEND:
                refused = "refused where rows give way: they would take others along by "
                notes += [refused + name for name in catalog.followers(self._place.table)]
        return WritePlan(how, readers, tuple(notes))

    def _known(self) -> pa.Schema | None:
        """The table's logical schema; None if there is none."""
        with self._server.session() as session:
            session.begin("READ ONLY")
            stored = Catalog(session, self._place.schema).table(self._place.table)
        return stored.logical if stored else None


class PostgresWriter:
    """Takes the batches of one write."""

    def __init__(self, server: Server, place: Place, staging: Staging) -> None:
        self._server = server
        self._place = place
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
            Retriable, Fatal: the table can't be written; nothing of this write is there.
        """
        try:
            if self._write.mode is Mode.UPSERT:
                self._staging.settle()
            with self._server.session(str(self._write.table)) as session:
                return self._transaction(session, position)
        finally:
            self._staging.close()

    def abort(self) -> None:
        self._staging.close()

    def _transaction(self, session: Session, position: Position | None) -> Written:
        session.begin("ISOLATION LEVEL READ COMMITTED")  # what others committed before the lock is seen
        catalog = Catalog(session, self._place.schema)
        catalog.create()
        catalog.lock(self._place.table)
        catalog.advance(self._write, self._place.table, position)
        gone, done = self._store(session, catalog)
        session.commit()
        return done.written(self._staging, gone)

    def _store(self, session: Session, catalog: Catalog) -> tuple[int, Applied]:
        """Change the table; returns how many rows gave way, and what became of the new ones."""
        before = catalog.table(self._place.table)
        columns = plan(self._write, self._staging.schema, before, self._place)
        gone = self._make_room(session, catalog, columns.write, before)
        columns.apply(session, self._place)
        catalog.note(self._place.table, columns.logical, columns.made)
        after = catalog.table(self._place.table)
        if after is None:
            return gone, Applied()
        if self._write.mode is Mode.UPSERT:
            self._ensure_key(session, catalog, key_of(columns.write), after)
        if not self._staging.rows:
            return gone, Applied()
        rows = _Rows(self._staging, columns, after)
        try:
            emptied, screened = _lacking(columns, before), catalog.screens(self._place.table)
            return gone, self._insert(session, rows, columns, emptied, (before is None, screened))
        except driver_error() as error:
            if isinstance(rows.error, LevadaError):
                raise rows.error from error
            raise self._conflict(error) from error

    def _conflict(self, error: Exception) -> LevadaError:
        found = translate(error, str(self._write.table), self._server.settings.secrets)
        if state_of(error) == "23505" and self._write.mode is Mode.UPSERT:
            return Retriable(
                found.what, where=found.where, hint="another program wrote the same key: run it again"
            )
        return found

    def _make_room(self, session: Session, catalog: Catalog, write: Write, before: Stored | None) -> int:
        if before is None:
            return 0
        condition: str | None = "true"
        if self._write.mode is not Mode.REPLACE:
            fields = [column.field for column in before.columns]
            condition = replaced(write, pa.schema(fields))
        if condition is None:
            return 0
        if followers := catalog.followers(self._place.table):
            raise ConfigError(
                f"rows that give way would take rows of other tables along: {', '.join(followers)}",
                where=str(self._write.table),
                hint="use mode upsert, or take ON DELETE out of the foreign key",
            )
        return session.execute(f"DELETE FROM {self._place.sql} WHERE {condition}")  # noqa: S608

    def _ensure_key(self, session: Session, catalog: Catalog, key: tuple[str, ...], after: Stored) -> None:
        """See to the unique index that an upsert finds its rows by."""
        if any(after.column(name) is None for name in key) or catalog.unique_on(self._place.table, key):
            return
        command = unique_index(self._place, key)
        try:
            session.execute(command)
        except driver_error() as error:
            found = translate(error, str(self._write.table), self._server.settings.secrets)
            raise ConfigError(
                f"the table has no unique index on its key, and none can be made: {found.what}",
                where=str(self._write.table),
                hint=f"mend the stored rows, or have the table's owner run: {command}",
            ) from error

    def _insert(
        self,
        session: Session,
        rows: _Rows,
        columns: Columns,
        emptied: Sequence[Column],
        table_is: tuple[bool, bool],
    ) -> Applied:
        staging, table, (made, screened) = self._staging, self._place.sql, table_is
        keyed = self._write.mode is Mode.UPSERT and not (made and self._write.changes == Changes())
        if not keyed and not screened and not any(wire.cast for wire in rows.wires):
            session.ingest(self._place.schema, self._place.table, rows.sent())
            return Applied(staging.rows)
        session.execute(rows.temporary())
        session.ingest("pg_temp", ROWS, rows.sent())
        names = [wire.column.name for wire in rows.wires]
        if not keyed:
            listed = ", ".join(map(quoted, names))
            source = waiting(rows.wires, ())
            stored = session.execute(
                f"INSERT INTO {table} ({listed}) OVERRIDING SYSTEM VALUE "  # noqa: S608
                f"SELECT {listed} FROM {source} AS r"
            )
            return Applied(stored)
        session.execute(f"ANALYZE pg_temp.{ROWS}")
        both, key = (rows.wires, emptied), key_of(columns.write)
        if self._write.changes == Changes():
            return upsert(session, table, both, key, staging.rows)
        fields = Keyed(key, [*names, *(column.name for column in emptied)], columns.write.changes)
        return apply(session, table, both, staging.folded, lambda given: replace(fields, given=given))


class _Rows(Feed):
    """The rows of a write as they are sent."""

    def __init__(self, staging: Staging, columns: Columns, after: Stored) -> None:
        super().__init__()
        self._staging = staging
        self._columns = columns
        self._tags = tags(staging.write)
        where = str(staging.write.table)
        fields = [*columns.rows, *tag_schema(self._tags)]
        self.wires = [wire_of(_present(after, one.name), one, where) for one in fields]

    def temporary(self) -> str:
        """The statement that makes a table which takes what is sent."""
        listed = [f"{quoted(wire.column.name)} {wire.sent}" for wire in self.wires]
        listed += [f"{name} bigint" for name in self._staging.taken.names]
        return f"CREATE TEMPORARY TABLE {ROWS} ({', '.join(listed)}) ON COMMIT DROP"

    def sent(self) -> pa.RecordBatchReader:
        taken = [(name, pa.int64()) for name in self._staging.taken.names]
        schema = pa.schema([*((wire.column.name, wire.arrow) for wire in self.wires), *taken])
        return self.reader(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for batch, taken in self._staging.changes(self._whole()):
            values: dict[str, pa.Array] = {name: batch.column(name) for name in self._columns.rows.names}
            values |= {name: pa.repeat(value, len(batch)) for name, value in self._tags.items()}
            sent = [wire.encode(values[wire.column.name]) for wire in self.wires]
            sent += [column.cast(pa.int64()) for column in taken.values()]
            yield pa.RecordBatch.from_arrays(sent, schema=schema)

    def _whole(self) -> pa.Schema:
        """What the rows are brought into: the columns sent, and those that never had a value."""
        staged = self._staging.schema or pa.schema([])
        sent = {one.name: one for one in self._columns.rows}
        return pa.schema([sent.get(one.name, one) for one in staged])


def _present(after: Stored, name: str) -> Column:
    column = after.column(name)
    assert column is not None, name
    return column


def _lacking(columns: Columns, before: Stored | None) -> list[Column]:
    """Columns of earlier rows that these rows lack: a row that is replaced whole loses them."""
    if before is None or columns.write.changes.merge != "replace":
        return []
    sent = {*columns.rows.names, *(name for name in key_of(columns.write))}
    tagged = set(tags(columns.write))
    noted = [name for name in before.noted.names if name not in sent | tagged]
    found = [before.column(name) for name in noted]
    return [column for column in found if column is not None and before.owned(column)]


def unique_index(place: Place, key: Sequence[str]) -> str:
    """The statement that makes a key unique."""
    return f"CREATE UNIQUE INDEX ON {place.sql} ({', '.join(map(quoted, key))})"
