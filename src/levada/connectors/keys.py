"""Which keys of one table another one has not: compared by DuckDB, which spills to disk what is too much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.connectors.feeding import reader
from levada.connectors.scratch import scratch
from levada.connectors.spool import Spool
from levada.connectors.sqltext import quoted
from levada.types import kind_of

if TYPE_CHECKING:
    import duckdb

_NUMBER = "levada number"


def missing(target: Spool, source: Spool, key: Sequence[str]) -> tuple[npt.NDArray[np.int64], int]:
    """The rows of the target whose key the source has not.

    Args:
        target, source: rows of the key's columns; their types agree by `comparable`.
        key: names of the columns.

    Returns:
        The rows' numbers in the order they came, and how many rows there are whose key is whole; a row
        without a whole key is nobody's, and never missing.
    """
    same = " and ".join(f"target.{quoted(name)} = source.{quoted(name)}" for name in key)
    whole = " and ".join(f"target.{quoted(name)} is not null" for name in key)
    number = quoted(_NUMBER)
    gone = f"select {number} as n from target anti join source on {same} where {whole} order by n"  # noqa: S608
    with scratch() as connection:
        _load(connection, "target", target)
        _load(connection, "source", source)
        found = np.asarray(connection.sql(gone).fetchnumpy()["n"], np.int64)
        counted = connection.sql(f"select count(*) from target where {whole}").fetchall()  # noqa: S608
    return found, int(counted[0][0])


def comparable(schema: pa.Schema | None) -> pa.Schema:
    """Types under which equal keys are equal: width of integers, unit of times, precision do not count."""
    return pa.schema([field.with_type(_wide(field)) for field in schema or ()])


def _wide(field: pa.Field) -> pa.DataType:
    kind = field.type
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return pa.int64()
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return pa.decimal128(38, kind.scale)
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms"):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.large_string() if kind_of(field) == "variant" else pa.string()
    return kind


def _load(connection: duckdb.DuckDBPyConnection, name: str, spool: Spool) -> None:
    wanted = comparable(spool.schema)
    numbered = pa.schema([*(pa.field(field.name, field.type) for field in wanted), (_NUMBER, pa.int64())])
    connection.register("rows", reader(numbered, _rows(spool, numbered)))
    connection.execute(f"create temp table {name} as select * from rows").fetchall()  # noqa: S608
    connection.unregister("rows")


def _rows(spool: Spool, numbered: pa.Schema) -> Iterator[pa.RecordBatch]:
    first = 0
    assert spool.schema is not None
    for batch in spool.batches(spool.schema):
        columns = [batch.column(field.name).cast(field.type) for field in list(numbered)[:-1]]
        numbers = pa.array(np.arange(first, first + len(batch)))
        first += len(batch)
        yield pa.RecordBatch.from_arrays([*columns, numbers], schema=numbered)
