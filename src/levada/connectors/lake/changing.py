"""Keyed changes of a Delta table that one MERGE can't do at once.

The rows that are stored under the keys are brought into DuckDB, the changes are applied to them there, and
what has become of them is stored: by a MERGE, or with the whole table where that is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from levada.connectors.base import Changes
from levada.connectors.feeding import reader
from levada.connectors.folding import DELETE, INSERT, OPERATION, TAKEN, UPSERT
from levada.connectors.keyed import NEW, OLD, Keyed
from levada.connectors.lake.plan import Plan
from levada.connectors.lake.table import Snapshot
from levada.connectors.rounds import Applied, apply
from levada.connectors.scratch import scratch
from levada.connectors.sqltext import quoted
from levada.connectors.staging import Staging
from levada.connectors.writes import key_of
from levada.types.names import SIDE_SUFFIX

if TYPE_CHECKING:
    import duckdb

_BYTE = pa.field(OPERATION, pa.int8())


def keyed(planned: Plan, snapshot: Snapshot | None = None) -> Keyed:
    """What a MERGE of the planned changes does.

    Args:
        snapshot: the table as it is before; None: it has all the columns.
    """
    names = planned.stored.names
    sides = {f"{name}{SIDE_SUFFIX}": name for name in names if f"{name}{SIDE_SUFFIX}" in names}
    stored = frozenset(snapshot.stored.names) if snapshot else None
    write = planned.write
    return Keyed(key_of(write), names, write.changes, stored, with_column={**sides, **planned.days})


def direct(snapshot: Snapshot, planned: Plan, staging: Staging) -> Keyed | None:
    """What the one MERGE does that can apply all changes; None if there is none.

    Where columns are added, a MERGE must change every row that it matches: the driver fills new columns of
    those whose conditions don't hold as well. And no expression chooses between a document with new fields
    and the stored one: they have two types.
    """
    folded, changes = staging.folded, planned.write.changes
    chooses = changes.operation or changes.version or changes.on_null == "keep"
    if not folded.single or (chooses and planned.stored != snapshot.stored):
        return None
    return replace(keyed(planned, snapshot), given=frozenset(folded.columns[int(folded.shapes[0])]))


def changed_rows(planned: Plan, staging: Staging) -> Iterator[pa.RecordBatch]:
    """The changes as they would be stored, and what each does."""
    schema = pa.schema([*planned.stored, *TAKEN])
    for batch, taken in planned.changes(staging):
        yield pa.RecordBatch.from_arrays([*batch.columns, *taken.values()], schema=schema)


@dataclass(frozen=True)
class Outcome:
    """What has become of the rows under the keys of a write.

    Args:
        connection: holds them; open as long as they are needed.
        planned: the write.
        applied: what was done to them.
        doubled: whether a key is stored more than once.
    """

    connection: duckdb.DuckDBPyConnection
    planned: Plan
    applied: Applied
    doubled: bool

    #: The operations of `rows` as a MERGE takes them.
    keyed = Changes(operation=OPERATION)

    @property
    def rows(self) -> pa.RecordBatchReader:
        """The rows to upsert, and the keys to delete, with their `OPERATION`."""
        schema = self.planned.stored.append(_BYTE)
        names, keys = _listed(schema.names[:-1]), _listed(key_of(self.planned.write))
        return self._reader(
            f"SELECT {names}, {UPSERT}::TINYINT AS {OPERATION} FROM stored UNION ALL BY NAME "  # noqa: S608
            f"SELECT {keys}, {DELETE}::TINYINT AS {OPERATION} FROM known ANTI JOIN stored USING ({keys})",
            schema,
        )

    @property
    def stored(self) -> pa.RecordBatchReader:
        """The rows that are there afterwards."""
        return self._reader("FROM stored", self.planned.stored)

    def without_keys(self, kept: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Those of these rows that the write does not touch."""
        keys, schema = _listed(key_of(self.planned.write)), self.planned.stored
        yield from self._reader(f"FROM kept ANTI JOIN changes USING ({keys})", schema, kept)

    def _reader(
        self, sql: str, schema: pa.Schema, kept: Iterable[pa.RecordBatch] = ()
    ) -> pa.RecordBatchReader:
        cursor = self.connection.cursor()
        _register(cursor, "kept", schema, kept)
        found = cursor.sql(sql).to_arrow_reader()
        return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in found))


@contextmanager
def outcome(snapshot: Snapshot, planned: Plan, staging: Staging) -> Iterator[Outcome]:
    """Apply the changes to the rows that are stored under their keys, outside of the table."""
    keys = _listed(key_of(planned.write))
    with scratch(staging.folder) as connection:
        schema = pa.schema([*planned.stored, *TAKEN])
        _register(connection, "news", schema, changed_rows(planned, staging))
        _run(connection, "CREATE TABLE changes AS FROM news")
        _register(connection, "there", planned.stored, planned.kept_rows(snapshot))
        _run(connection, f"CREATE TABLE stored AS FROM there SEMI JOIN changes USING ({keys})")
        _run(connection, f"CREATE TABLE known AS SELECT DISTINCT {keys} FROM stored")  # noqa: S608
        doubled = _count(connection, "stored") > _count(connection, "known")
        fields = keyed(planned)
        applied = apply(
            connection, "stored", "changes", staging.folded, lambda given: replace(fields, given=given)
        )
        yield Outcome(connection, planned, applied, doubled)


def count_older(snapshot: Snapshot, planned: Plan, staging: Staging, merged: Keyed) -> int:
    """How many changes are older than what is stored under their keys."""
    if merged.newer is None or planned.write.changes.version is None:
        return 0
    columns = [*key_of(planned.write), planned.write.changes.version]
    with scratch(staging.folder) as connection:
        narrow = pa.schema([*(planned.stored.field(name) for name in columns), _BYTE])
        news = (batch.select(narrow.names) for batch in changed_rows(planned, staging))
        _register(connection, "news", narrow, news)
        connection.register("there", snapshot.scan(columns))
        found = connection.sql(
            f"SELECT count(*) FROM news AS {NEW} SEMI JOIN there AS {OLD} "  # noqa: S608
            f"ON {merged.match} AND NOT {merged.newer} WHERE {NEW}.{OPERATION} <> {INSERT}"
        ).fetchall()
    return int(found[0][0])


def _register(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, rows: Iterable[pa.RecordBatch]
) -> None:
    connection.register(name, reader(schema, rows))


def _run(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    connection.execute(sql).fetchall()


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
