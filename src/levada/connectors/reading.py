"""What sources of stored tables share: projection, conditions, batches and the watermark they reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from levada.batches import Batch
from levada.connectors import feeding
from levada.connectors.base import Query, Table
from levada.connectors.complaints import told
from levada.connectors.sqltext import watermark
from levada.errors import ConfigError, Fatal
from levada.positions import Position
from levada.types.layout import from_stored
from levada.types.names import stored_name

#: Options of every DuckDB connection: nothing is fetched from the network behind the user's back.
#: Nor does a table that is missing become the Python variable of its name in the calling code.
OFFLINE = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}

#: Names no column of a source.
_ROW = "_levada_row"


def refuse_mongodb(query: Query, where: str) -> None:
    """Refuse what only a MongoDB source understands.

    Raises:
        ConfigError: the query has a filter, a pipeline, or asks for whole documents.
    """
    if query.filter or query.pipeline or query.canonical:
        raise ConfigError(
            "`filter`, `pipeline` and canonical documents are for MongoDB sources",
            where=where,
            hint="use `where:`, a SQL condition",
        )


def projected(schema: pa.Schema, columns: Sequence[str], where: str) -> pa.Schema:
    """The wanted columns in the wanted order; all of them where none are named.

    Args:
        columns: by the names they have here, or by their original ones.

    Raises:
        ConfigError: there is no such column, or a name can mean two.
    """
    if not columns:
        return schema
    columns = [named(schema, name, where) for name in columns]
    absent = [name for name in columns if name not in schema.names]
    if absent:
        known = ", ".join(schema.names)
        raise ConfigError(f"there is no column {absent[0]!r}", where=where, hint=f"the columns are {known}")
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


def named(schema: pa.Schema, name: str, where: str) -> str:
    """The name that a column has here, given that one or its original one.

    Raises:
        ConfigError: it can mean two.
    """
    try:
        return stored_name(schema, name)
    except ConfigError as error:
        raise error.located(where) from error


def timed(table: Table, schema: pa.Schema) -> Table:
    """The table with its time column as a schema names it."""
    if table.time is None:
        return table
    return replace(table, time=named(schema, table.time, str(table)))


def time_column(table: Table, schema: pa.Schema) -> str:
    """The column that says which window a row belongs to.

    Raises:
        ConfigError: the table names none, or one it does not have.
    """
    if table.time is None:
        raise ConfigError("a window needs a time column", where=str(table), hint="set `time:` of the table")
    name: str = projected(schema, (table.time,), str(table)).names[0]
    return name


def named_in(condition: str, columns: Sequence[str], where: str) -> set[str]:
    """The columns that a SQL condition names; names are matched as DuckDB does, without case.

    Raises:
        ConfigError: it is no SQL condition.
    """
    parts = {part for path in paths_in(condition, where) for part in path}
    return {name for name in columns if name.lower() in parts}


def paths_in(condition: str, where: str) -> set[tuple[str, ...]]:
    """The columns and members that a SQL condition names, as the parts of their names in lower case.

    Raises:
        ConfigError: it is no SQL condition.
    """
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(condition, dialect="duckdb", into=exp.Condition)
    except sqlglot.errors.SqlglotError as error:
        raise bad_condition(condition, str(error), where) from error
    return {tuple(part.name.lower() for part in column.parts) for column in tree.find_all(exp.Column)}


def filtered(
    reader: pa.RecordBatchReader, condition: str, where: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The rows for which a SQL condition holds, evaluated by DuckDB as they stream by.

    Raises:
        ConfigError: the condition does not fit the rows.
    """
    import duckdb

    options = {**OFFLINE, "enable_external_access": False}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        connection.register("source", feeding.reader(reader.schema, reader))
        try:
            rows = connection.sql(f"SELECT * FROM source WHERE ({condition}\n)")  # noqa: S608
            yield from rows.to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            what, hint = told(error)
            raise bad_condition(condition, what, where, hint) from error


def chosen(batch: pa.RecordBatch, condition: str, named_columns: Sequence[str], where: str) -> pa.RecordBatch:
    """The rows of a batch for which a SQL condition holds.

    DuckDB sees the columns that it names and gives row numbers back: no value passes it.

    Args:
        named_columns: see `named_in`.

    Raises:
        ConfigError: the condition does not fit the rows.
    """
    if not len(batch):
        return batch
    numbered = batch.select(named_columns).append_column(_ROW, pa.array(range(len(batch)), pa.int64()))
    reader = pa.RecordBatchReader.from_batches(numbered.schema, [numbered])
    found = [part.column(_ROW) for part in filtered(reader, condition, where, len(batch))]
    rows = pa.chunked_array(found, pa.int64()).combine_chunks()
    return batch.take(rows) if len(rows) < len(batch) else batch


def bad_condition(condition: str, reason: str, where: str, hint: str | None = None) -> ConfigError:
    """The error of a SQL condition that can't be used, and why."""
    return ConfigError(
        f"can't use the condition {condition!r}: {reason.splitlines()[0]}",
        where=where,
        hint=hint or "write a SQL condition such as status = 'completed'",
    )


def slices(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    """A batch in parts of at most `rows` rows."""
    for first in range(0, len(batch), rows):
        yield batch.slice(first, rows)


def restored(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Stored rows in their logical types.

    Raises:
        Fatal: another program stored a value that the column's logical type can't hold.
    """
    try:
        return from_stored(batch, schema)
    except pa.ArrowInvalid as error:
        raise Fatal(
            f"a stored value does not fit its column's type: {error}",
            where=where,
            hint="another program wrote it; mend it there, or write the table anew with mode replace",
        ) from error


def one_select(sql: str, dialect: str, where: str) -> str:
    """SQL that only reads: one query, without a semicolon and what follows it.

    Args:
        dialect: as sqlglot calls it.

    Raises:
        ConfigError: it can't be parsed, or is anything else.
    """
    import sqlglot

    try:
        statements = sqlglot.parse(sql, dialect=dialect)
        tokens = sqlglot.tokenize(sql, dialect=dialect)
    except sqlglot.errors.SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"can't parse the SQL: {reason}", where=where) from error
    statements = [one for one in statements if one and not isinstance(one, sqlglot.exp.Semicolon)]
    if len(statements) != 1 or not isinstance(statements[0], sqlglot.exp.Query):
        raise ConfigError("`sql` is not one SELECT", where=where, hint="the copy says where the rows go")
    writing = sqlglot.exp.DML, sqlglot.exp.DDL, sqlglot.exp.Into
    if any(not isinstance(found, sqlglot.exp.Query) for found in statements[0].find_all(*writing)):
        raise ConfigError("`sql` may only read", where=where, hint="write one SELECT")
    ends = [token.start for token in tokens if token.token_type is sqlglot.tokens.TokenType.SEMICOLON]
    return sql[: ends[0]].strip() if ends else sql.strip()


class Watermark:
    """The highest value of a column seen; times behind the year 9999 don't count, no row would follow them.

    Args:
        column: its name; None watches nothing.
    """

    def __init__(self, column: str | None) -> None:
        self.column = column
        self._highest: pa.Scalar | None = None

    def see(self, batch: pa.RecordBatch) -> None:
        if self.column not in batch.schema.names:
            return
        highest = _highest(batch.column(self.column))
        known = self._highest
        if highest.is_valid and (known is None or pc.greater(highest, known).as_py()):
            self._highest = highest

    @property
    def position(self) -> Position | None:
        return None if self._highest is None else Position({"": watermark(self._highest.as_py())})


def _highest(column: pa.Array) -> pa.Scalar:
    """The highest value; of times the highest that Python's calendar has."""
    if pa.types.is_date32(column.type):
        return _highest(column.cast(pa.timestamp("s"))).cast(pa.date32())
    highest = pc.max(column)
    if not pa.types.is_timestamp(column.type) or column.type.unit == "ns" or not highest.is_valid:
        return highest
    first, last = (end.cast(column.type) for end in _CALENDAR)
    inside = pc.and_(pc.greater_equal(column, first), pc.less(column, last))
    within: bool = first.value <= highest.value < last.value
    return highest if within else pc.max(column.filter(inside))


#: From the year 1 up to the year 10000.
_CALENDAR = tuple(pa.scalar(end, pa.timestamp("s", "UTC")) for end in (-62_135_596_800, 253_402_300_800))


def marked(batches: Iterator[pa.RecordBatch], mark: Watermark) -> Iterator[Batch]:
    """Batches of rows in no particular order: only with the last one is the highest watermark safe."""
    last: pa.RecordBatch | None = None
    for batch in batches:
        if last is not None:
            yield Batch(last)
        last = batch
    if last is not None:
        yield Batch(last, mark.position)
