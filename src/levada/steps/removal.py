"""Rows of a target whose key the source has no more: found by comparing all keys, removed by one write.

The keys of the target are read first, then those of the source: a row that another program adds to both in
between is in neither list of rows to remove. What can still happen meanwhile:

| In the source, while keys are read | then |
|---|---|
| a row is added | the target has not got it yet, so it can't be removed |
| a row is removed before its key would have been read | it is removed from the target |
| a row is removed after that | the next comparison removes it |
| a row is removed, and added again under its key | perhaps removed now; its new cursor brings it back |

A scan that is not `consistent` may miss a row that is moved while it runs, and a secondary may lag: where the
source can be asked for single keys, those that seem to be gone are looked up once more. Elsewhere such a row
comes back with its next new cursor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Changes, Mode, Query, Table, Write
from levada.connectors.keys import comparable, missing
from levada.connectors.spool import Spool
from levada.errors import ConfigError, Fatal
from levada.steps.base import StepContext
from levada.steps.delivery import Delivered, Delivery, Target
from levada.types import kind_of

OPERATION = "levada_operation"
_ROWS = 50_000


@dataclass(frozen=True)
class Removed:
    """What a comparison did.

    Args:
        rows: removed from the target.
        compared: keys that the target had.
        quarantined: keys by which the target removes nothing, since several of its rows have them.
    """

    rows: int
    compared: int
    quarantined: int = 0


class Removal:
    """Compares the keys of two tables.

    Args:
        context: of the step.
        source: the table that is right.
        write: what the copy wrote: its table loses rows.
        sql: the query that the source is, where it is no table.
    """

    def __init__(self, context: StepContext, source: Table, write: Write, sql: str | None = None) -> None:
        self._context = context
        self._source = source
        self._target = write.table
        self._key = write.key
        self._sql = sql

    def run(self) -> Removed:
        """Remove the rows that are gone.

        Raises:
            ConfigError: the keys of both tables are of different types.
            Fatal: the source has no row, or none that the target has: that is rather a mistake.
        """
        with closing(Spool()) as target, closing(Spool()) as source:
            self._read_target(target)
            if not target.rows:
                return Removed(0, 0)
            self._read(self._source, Query(self._key, sql=self._sql), source)
            gone = self._compare(target, source)
            if len(gone):
                gone = self._still(target, source, gone)
            if not len(gone):
                return Removed(0, target.rows)
            done = self._remove(target, gone)
            return Removed(done.written.deleted, target.rows, done.quarantined)

    def _still(self, target: Spool, source: Spool, gone: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those that are gone at a second look, where the source can be asked for single keys."""
        connection: Any = self._context.tables.connection(self._source.connection)
        if self._sql is not None or not hasattr(connection, "holds"):
            return gone
        parts = []
        for numbers, keys in _chosen(target, gone):
            self._context.check_stop()
            parts.append(numbers[~connection.holds(self._source, _labelled(keys, source))])
        return np.concatenate(parts)

    def _read_target(self, spool: Spool) -> None:
        """The target's keys: none if there is no table, because there was nothing yet to copy."""
        try:
            self._read(self._target, Query(self._key), spool)
        except ConfigError:
            source = self._context.tables.connection(self._source.connection)
            query = Query(self._key, sql=self._sql, batch_rows=1)
            if any(len(batch.data) for batch in source.source(self._source, query).read(None, None)):
                raise

    def _read(self, table: Table, query: Query, spool: Spool) -> None:
        connection = self._context.tables.connection(table.connection)
        for batch in connection.source(table, replace(query, batch_rows=_ROWS)).read(None, None):
            self._context.check_stop()
            if batch.rejected:
                raise self._refused(f"the key of a row of {table} can't be read: {batch.rejected[0].reason}")
            spool.add(batch.data.rename_columns(list(self._key)) if len(batch.data) else batch.data)

    def _compare(self, target: Spool, source: Spool) -> npt.NDArray[np.int64]:
        """The numbers of the target's rows that the source has not."""
        if not source.rows:
            raise self._refused(f"{self._source} has no rows, so all of {self._target} would be removed")
        self._refuse_collation(target)
        mine, theirs = comparable(target.schema), comparable(source.schema)
        for name in self._key:
            if mine.field(name).type != theirs.field(name).type:
                raise ConfigError(
                    f"the key {name!r} is {_kind(target, name)} in {self._target}, but {_kind(source, name)} "
                    f"in {self._source}, so no rows can be told to be gone",
                    hint="copy once with mode replace, or leave out `deletes`",
                )
        gone, whole = missing(target, source, self._key)
        if len(gone) == whole:
            raise self._refused(f"{self._source} has none of the {whole:,} keys of {self._target}")
        return gone

    def _refuse_collation(self, target: Spool) -> None:
        """Refuse to compare texts that the target tells apart in another way than by their bytes."""
        schema = comparable(target.schema)
        texts = [name for name in self._key if pa.types.is_string(schema.field(name).type)]
        sink = self._context.tables.connection(self._target.connection).sink(self._target)
        if texts and getattr(sink, "collation", None):
            raise ConfigError(
                f"{self._target} has a collation, by which keys such as {texts[0]!r} can't be compared here",
                hint="leave out `deletes: compare`; `delete_where` removes rows by a condition",
            )

    def _remove(self, target: Spool, gone: npt.NDArray[np.int64]) -> Delivered:
        changes = Changes(operation=OPERATION)
        delivery = Delivery(self._context, Target(self._target, Mode.UPSERT, self._key, changes=changes))
        return delivery.deliver((_deletes(keys) for _, keys in _chosen(target, gone)), delivery.start())

    def _refused(self, what: str) -> Fatal:
        return Fatal(what, hint="if it is right, copy once with mode replace; nothing was removed")


def _chosen(
    spool: Spool, numbers: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    """The rows of these numbers, batch by batch."""
    assert spool.schema is not None
    begin = 0
    for rows in spool.batches(spool.schema):
        end = begin + len(rows)
        chosen = numbers[(numbers >= begin) & (numbers < end)]
        if len(chosen):
            yield chosen, rows.take(pa.array(chosen - begin))
        begin = end


def _deletes(keys: pa.RecordBatch) -> Batch:
    return Batch(keys.append_column(OPERATION, pa.array(["delete"] * len(keys), pa.string())))


def _labelled(keys: pa.RecordBatch, source: Spool) -> pa.RecordBatch:
    """Keys of the target in the types of the source; numbers keep their width."""
    assert source.schema is not None
    fields, columns = [], []
    for name in keys.schema.names:
        field, column = source.schema.field(name), keys.column(name)
        if not pa.types.is_integer(field.type) and not pa.types.is_decimal(field.type):
            column = column.cast(field.type, safe=False)
        fields.append(field.with_type(column.type))
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _kind(spool: Spool, name: str) -> str:
    assert spool.schema is not None
    return kind_of(spool.schema.field(name))
