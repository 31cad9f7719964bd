"""The engine `duckdb`: a SELECT over any tables of the project, in this process.

Rows stream from the sources through DuckDB to the sink. A schema that widens on the way (a field that first
appears later, an int that becomes a double) can't be streamed: `Widened` is raised, and the caller starts
over with the inputs read whole first.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.complaints import told
from levada.connectors.feeding import reader
from levada.connectors.reading import OFFLINE
from levada.connectors.spool import Spool
from levada.engines.statement import Input, Statement
from levada.errors import ConfigError, Fatal, LevadaError, Retriable
from levada.types import BSON, cast, widen

Reader = Callable[[Input], Iterable[Batch]]

#: DuckDB's integer types that a sink might not have -> what the result is cast to.
_NARROWED = {"HUGEINT": "bigint", "UHUGEINT": "bigint", "UBIGINT": "bigint", "UINTEGER": "bigint"}
_ROWS = 5_000


class Widened(Retriable):
    """A later batch of an input has a wider schema than the first."""


def select(
    statement: Statement,
    read: Reader,
    parameters: Mapping[str, Any],
    *,
    whole: bool = False,
    memory_limit: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Run a SELECT and stream its result.

    Args:
        statement: from `read_statement`.
        read: gives the batches of an input, from the start, each time it is called.
        parameters: values of `$name`.
        whole: read the inputs whole first, instead of streaming them.
        memory_limit: of DuckDB, for example `2GB`; beyond it DuckDB spills to disk.

    Raises:
        Widened: an input's schema widened while it streamed; call again with `whole=True`.
        ConfigError: DuckDB rejects the statement.
        Fatal: it fails on the data (a cast, an overflow, a division by zero).
    """
    inputs = [_Relation(item, read, whole=whole) for item in statement.inputs.values()]
    with (
        tempfile.TemporaryDirectory(prefix="levada-duckdb-") as folder,
        closing(duckdb.connect(":memory:", config={**OFFLINE, "temp_directory": folder})) as connection,
    ):
        try:
            connection.execute("set TimeZone = 'UTC'")
            if memory_limit:
                connection.execute(f"set memory_limit = '{memory_limit}'")
            for relation in inputs:
                relation.register(connection)
            used = {name: parameters[name] for name in statement.parameters}
            origin = _origin_fields(statement, {relation.address: relation.schema for relation in inputs})
            for batch in _result(connection, statement.sql, used):
                yield _restore(batch, origin)
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # a stream's errors come as any of these
            raise _first_fault(inputs) or _translated(error) from error
        finally:
            for relation in inputs:
                relation.close()


class _Relation:
    """An input as DuckDB scans it; remembers the fault of its source, which DuckDB would hide."""

    def __init__(self, item: Input, read: Reader, *, whole: bool) -> None:
        self.alias = item.alias
        self.address = str(item.table)
        self.fault: LevadaError | None = None
        self.schema = pa.schema([])
        self._columns = item.columns
        self._batches = iter(read(item))
        self._whole = whole or item.mentions != 1

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the input known to DuckDB: as a stream, or as a table that can be scanned again."""
        if not self._whole:
            connection.register(self.alias, self._reader())
            return
        spool = Spool()
        try:
            for batch in self._batches:
                spool.add(batch.data)
            self.schema = self._complete(spool.schema or pa.schema([]))
            rows = reader(self.schema, spool.batches(self.schema))
            connection.register("rows", rows)
            connection.execute(f'create temp table "{self.alias}" as select * from rows')  # noqa: S608
            connection.unregister("rows")
        finally:
            spool.close()

    def _reader(self) -> pa.RecordBatchReader:
        first = next((batch for batch in self._batches if batch.data.num_columns), None)
        self.schema = self._complete(first.data.schema if first else pa.schema([]))
        chained = itertools.chain([first] if first else [], self._batches)
        return reader(self.schema, self._stream(chained))

    def close(self) -> None:
        close = getattr(self._batches, "close", None)
        if close:
            close()

    def _stream(self, batches: Iterable[Batch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                if self._complete(widen(self.schema, batch.data.schema)) != self.schema:
                    raise Widened(f"the schema of {self.address} widened while it was read")
                yield cast(batch.data, self.schema)
        except LevadaError as error:
            self.fault = error
            raise

    def _complete(self, schema: pa.Schema) -> pa.Schema:
        """A column that no document has reads as NULL; what is empty has one column, for DuckDB needs one."""
        wanted = self._columns or (frozenset() if len(schema) else {"_id"})
        missing = sorted(wanted.difference(schema.names))
        return pa.schema([*schema, *(pa.field(name, pa.null()) for name in missing)])


def _result(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> Iterator[pa.RecordBatch]:
    relation = connection.sql(sql, params=dict(parameters)) if parameters else connection.sql(sql)
    types = [str(kind) for kind in relation.types]
    if any(kind in _NARROWED for kind in types):
        names = ['"' + name.replace('"', '""') + '"' for name in relation.columns]
        relation = relation.project(
            ", ".join(
                f"cast({name} as {_NARROWED[kind]}) as {name}" if kind in _NARROWED else name
                for name, kind in zip(names, types, strict=True)
            )
        )
    yield from relation.to_arrow_reader(_ROWS)


def _origin_fields(statement: Statement, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Field]:
    found = {}
    for name, (address, column) in statement.origins.items():
        schema = schemas.get(address)
        if schema is not None and column in schema.names:
            field = schema.field(column)
            label = (field.metadata or {}).get(BSON)
            found[name] = pa.field(name, field.type, metadata={BSON: label} if label else None)
    return found


def _restore(batch: pa.RecordBatch, origin: Mapping[str, pa.Field]) -> pa.RecordBatch:
    """Give columns that come unchanged from an input their type and metadata back (ObjectId, ms, ...)."""
    fields = [origin.get(field.name, field) for field in batch.schema]
    columns = []
    for index, (column, field) in enumerate(zip(batch.columns, fields, strict=True)):
        if pa.types.is_null(field.type):
            fields[index] = batch.schema.field(index)
        elif column.type != field.type:
            column = column.cast(field.type)  # noqa: PLW2901
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _first_fault(relations: Iterable[_Relation]) -> LevadaError | None:
    return next((relation.fault for relation in relations if relation.fault), None)


def _translated(error: Exception) -> LevadaError:
    text, advice = told(error)
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        hint = "in a join, write columns as table.column" if "olumn" in text else None
        return ConfigError(f"DuckDB rejects the SQL: {text}", hint=advice or hint)
    if isinstance(error, duckdb.OutOfMemoryException):
        return Fatal(f"DuckDB ran out of memory: {text}", hint="raise `memory_limit`, or select less")
    return Fatal(f"the SQL failed on the data: {text}", hint="`try_cast` turns bad values into NULL")
