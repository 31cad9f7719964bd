"""What a SQL condition says of rows as they stream by, evaluated by DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import duckdb
import pyarrow as pa

from levada.batches import Batch
from levada.connectors.reading import OFFLINE, bad_condition, paths_in


def told(
    batches: Iterable[Batch], condition: str, operation: str, column: str, where: str
) -> Iterator[Batch]:
    """The batches with the operation of each row, where the condition holds; null elsewhere.

    Args:
        batches: of typed rows.
        condition: SQL; a column that a batch has not is null.
        operation: see `levada.connectors.base.OPERATIONS`.
        column: the name of the new column.
        where: what to name in an error.

    Raises:
        ConfigError: it does not fit the rows.
    """
    names = {path[0] for path in paths_in(condition, where)}
    options = {**OFFLINE, "enable_external_access": False}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        for batch in batches:
            absent = names - {name.lower() for name in batch.data.schema.names}
            rows = pa.Table.from_batches([batch.data])
            for name in sorted(absent):
                rows = rows.append_column(name, pa.nulls(len(rows)))
            connection.register("rows", rows)
            try:
                sql = f"select case when ({condition}\n) then $1 end as o from rows"  # noqa: S608
                found = connection.sql(sql, params=[operation]).to_arrow_table().column(0)
            except duckdb.Error as error:
                raise bad_condition(condition, str(error), where) from error
            operations = found.cast(pa.string()).combine_chunks()
            yield replace(batch, data=batch.data.append_column(column, operations))
