"""Aggregates over the rows of any source, computed by DuckDB as they stream by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.complaints import told
from levada.connectors.feeding import reader
from levada.connectors.reading import OFFLINE
from levada.errors import ConfigError, Fatal, LevadaError
from levada.types import cast


def totals(batches: Iterable[Batch], columns: Sequence[str], sql: str) -> list[Mapping[str, Any]]:
    """Run one aggregating SELECT over the relation `rows`.

    Args:
        batches: of one read; their schema may not widen.
        columns: those the SELECT names; one that no row has reads as NULL.
        sql: the SELECT; it scans `rows` once.

    Raises:
        ConfigError: the SELECT does not fit the rows.
    """
    fault: list[LevadaError] = []
    iterator = iter(batches)
    first = next(iterator, None)
    schema = first.data.schema if first else pa.schema([])
    missing = [name for name in columns if name.split(".")[0] not in schema.names]
    schema = pa.schema([*schema, *(pa.field(name.split(".")[0], pa.null()) for name in missing)])

    def stream() -> Iterator[pa.RecordBatch]:
        try:
            for batch in (first, *iterator) if first else ():
                yield cast(batch.data, schema)
        except LevadaError as error:
            fault.append(error)
            raise

    with duckdb.connect(config={**OFFLINE, "enable_external_access": False}) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        connection.register("rows", reader(schema, stream()))
        try:
            found: list[Mapping[str, Any]] = connection.sql(sql).to_arrow_table().to_pylist()
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if fault:
                raise fault[0] from error
            kind = ConfigError if isinstance(error, duckdb.BinderException) else Fatal
            what, hint = told(error)
            raise kind(f"can't evaluate the checks: {what}", hint=hint) from error
    return found
