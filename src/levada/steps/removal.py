"""Rows of a target whose key the source has no more: found by comparing all keys, removed by one write.

The keys of the target are read first, then those of the source: a row that another program adds to both in
between is in neither list of rows to remove. What can still happen meanwhile:

| In the source, while keys are read | then |
|---|---|
| a row is added | the target has not got it yet, so it can't be removed |
| a row is removed before its key would have been read | it is removed from the target |
| a row is removed after that | the next comparison removes it |
| a row is removed, and added again under its key | perhaps removed now; its new cursor brings it back |

A row whose key is changed while a scan runs may be hidden from a scan that is not `consistent`; where that
happens, the next increment brings it back only if its cursor moved too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Changes, Mode, Query, Table, Write
from levada.connectors.reading import OFFLINE, bad_condition
from levada.connectors.spool import Spool
from levada.connectors.sqltext import quoted
from levada.errors import ConfigError, Fatal
from levada.steps.base import StepContext
from levada.steps.delivery import Delivery, Target
from levada.types import kind_of

OPERATION = "levada_operation"
_MEMORY = "512MB"
_ROWS = 50_000


def told(batches: Iterable[Batch], condition: str, where: str) -> Iterator[Batch]:
    """The batches with the operation of each row: `delete` where the condition holds.

    Args:
        batches: of typed rows.
        condition: SQL; a column that a batch has not is null.
        where: what to name in an error.

    Raises:
        ConfigError: it does not fit the rows.
    """
    options = {**OFFLINE, "enable_external_access": False}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        for batch in batches:
            yield replace(batch, data=_told(connection, batch.data, condition, where))


def _told(
    connection: duckdb.DuckDBPyConnection, data: pa.RecordBatch, condition: str, where: str
) -> pa.RecordBatch:
    if not data.num_rows:
        return data
    rows = data
    for name in columns_of(condition, where) - {name.lower() for name in data.schema.names}:
        rows = rows.append_column(name, pa.nulls(len(data)))
    connection.register("rows", pa.Table.from_batches([rows]))
    try:
        sql = f"select case when ({condition}\n) then 'delete' end as o from rows"  # noqa: S608
        found = connection.sql(sql).to_arrow_table().column(0).cast(pa.string())
    except duckdb.Error as error:
        raise bad_condition(condition, str(error), where) from error
    return data.append_column(OPERATION, found.combine_chunks())


def columns_of(condition: str, where: str) -> set[str]:
    """The columns that a SQL condition names, in lower case.

    Raises:
        ConfigError: it is no SQL condition.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(condition, dialect="duckdb", into=exp.Condition)
    except sqlglot.errors.SqlglotError as error:
        raise bad_condition(condition, str(error), where) from error
    return {column.parts[0].name.lower() for column in tree.find_all(exp.Column)}


@dataclass(frozen=True)
class Removed:
    """What a comparison did.

    Args:
        rows: removed from the target.
        compared: keys that the target had.
    """

    rows: int
    compared: int


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
                self._remove(target, gone)
        return Removed(len(gone), target.rows)

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

    def _compare(self, target: Spool, source: Spool) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The numbers of the target's rows that the source has not."""
        if not source.rows:
            raise self._refused(f"{self._source} has no rows, so all of {self._target} would be removed")
        mine, theirs = _comparable(target.schema), _comparable(source.schema)
        for name in self._key:
            if mine.field(name).type != theirs.field(name).type:
                raise ConfigError(
                    f"the key {name!r} is {_said(target, name)} in {self._target}, but {_said(source, name)} "
                    f"in {self._source}, so no rows can be told to be gone",
                    hint="copy once with mode replace, or leave out `deletes`",
                )
        with tempfile.TemporaryDirectory() as folder, duckdb.connect(config=_options(folder)) as connection:
            _load(connection, "target", target, mine)
            _load(connection, "source", source, theirs)
            gone = _missing(connection, self._key)
        if len(gone) == target.rows:
            raise self._refused(f"{self._source} has none of the {target.rows:,} keys of {self._target}")
        return gone

    def _remove(self, target: Spool, gone: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        changes = Changes(operation=OPERATION)
        delivery = Delivery(self._context, Target(self._target, Mode.UPSERT, self._key, changes=changes))
        delivery.deliver(_deletes(target, gone), delivery.start())

    def _refused(self, what: str) -> Fatal:
        return Fatal(what, hint="if it is right, copy once with mode replace; nothing was removed")


def _deletes(target: Spool, gone: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[Batch]:
    assert target.schema is not None
    begin = 0
    for keys in target.batches(target.schema):
        end = begin + len(keys)
        chosen = gone[(gone >= begin) & (gone < end)] - begin
        begin = end
        if len(chosen):
            operation = pa.array(["delete"] * len(chosen), pa.string())
            yield Batch(keys.take(pa.array(chosen)).append_column(OPERATION, operation))


def _comparable(schema: pa.Schema | None) -> pa.Schema:
    """Types under which equal keys are equal: the width of integers and the unit of times don't count."""
    assert schema is not None
    return pa.schema([field.with_type(_wide(field)) for field in schema])


def _wide(field: pa.Field) -> pa.DataType:
    kind = field.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return pa.int64()
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms"):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.large_string() if kind_of(field) == "variant" else pa.string()
    return kind


def _said(spool: Spool, name: str) -> str:
    assert spool.schema is not None
    return kind_of(spool.schema.field(name))


def _options(folder: str) -> dict[str, str | bool]:
    return {**OFFLINE, "temp_directory": folder, "memory_limit": _MEMORY}


def _load(connection: duckdb.DuckDBPyConnection, name: str, spool: Spool, schema: pa.Schema) -> None:
    first = 0

    def rows() -> Iterator[pa.RecordBatch]:
        nonlocal first
        assert spool.schema is not None
        for batch in spool.batches(spool.schema):
            columns = [cast_to(batch.column(field.name), field.type) for field in schema]
            numbers = pa.array(np.arange(first, first + len(batch)))
            first += len(batch)
            yield pa.RecordBatch.from_arrays([*columns, numbers], schema=whole)

    whole = pa.schema(
        [*(pa.field(field.name, field.type) for field in schema), pa.field(_NUMBER, pa.int64())]
    )
    connection.register("rows", pa.RecordBatchReader.from_batches(whole, rows()))
    connection.execute(f"create temp table {name} as select * from rows").fetchall()  # noqa: S608
    connection.unregister("rows")


_NUMBER = "levada number"


def cast_to(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values if values.type == kind else values.cast(kind)


def _missing(
    connection: duckdb.DuckDBPyConnection, key: tuple[str, ...]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows without a whole key are nobody's, and stay."""
    same = " and ".join(f"target.{quoted(name)} = source.{quoted(name)}" for name in key)
    whole = " and ".join(f"target.{quoted(name)} is not null" for name in key)
    sql = f"select {quoted(_NUMBER)} as n from target anti join source on {same} where {whole} order by n"  # noqa: S608
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = connection.sql(sql).fetchnumpy()["n"]
    return np.asarray(found, np.int64)
