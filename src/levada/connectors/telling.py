"""What a SQL condition says of rows as they stream by, evaluated by DuckDB.

Whole documents are decoded for it, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import duckdb
import pyarrow as pa
from bson import encode

from levada.batches import Batch
from levada.bson import Decoder, Documents, from_canonical, to_canonical
from levada.connectors import complaints
from levada.connectors.feeding import uncut
from levada.connectors.reading import OFFLINE, bad_condition, paths_in


def told(
    batches: Iterable[Batch], condition: str, operation: str, column: str, where: str
) -> Iterator[Batch]:
    """The batches with the operation of each row, where the condition holds; null elsewhere.

    Args:
        batches: of typed rows, or of whole documents.
        condition: SQL; a column that a batch has not is null.
        operation: see `levada.connectors.base.OPERATIONS`.
        column: the name of the new column; of whole documents that of a new field, the first one.
        where: what to name in an error.

    Raises:
        ConfigError: it does not fit the rows.
    """
    names = {path[0] for path in paths_in(condition, where)}
    options = {**OFFLINE, "enable_external_access": False}
    decoder = Decoder()
    with duckdb.connect(config=options) as connection:
        connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        for read in batches:
            batch, data = _decoded(read, decoder) if read.canonical else (read, read.data)
            absent = names - {name.lower() for name in data.schema.names}
            rows = pa.Table.from_batches([uncut(data)])
            for name in sorted(absent):
                rows = rows.append_column(name, pa.nulls(len(rows)))
            connection.register("rows", rows)
            try:
                sql = f"select case when ({condition}\n) then $1 end as o from rows"  # noqa: S608
                found = connection.sql(sql, params=[operation]).to_arrow_table().column(0)
            except duckdb.Error as error:
                raise bad_condition(condition, complaints.told(error)[0], where) from error
            operations = found.cast(pa.string()).combine_chunks()
            if batch.canonical:
                yield replace(batch, data=_marked(batch.data, column, operations))
            else:
                yield replace(batch, data=data.append_column(column, operations))


def _decoded(batch: Batch, decoder: Decoder) -> tuple[Batch, pa.RecordBatch]:
    """Whole documents without those that can't be decoded, and their typed rows."""
    documents = from_canonical(batch.data)
    data, rejected = decoder.decode(documents)
    if rejected:
        bad = {one.raw for one in rejected}
        documents = Documents.from_list([one for one in documents.slices() if one not in bad])
        batch = replace(batch, data=to_canonical(documents), rejected=(*batch.rejected, *rejected))
    return batch, data


def _marked(documents: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """Whole documents with a field in front, where there is a value."""
    marked = [
        document if value is None else _with(encode({name: value})[4:-1], document)
        for document, value in zip(from_canonical(documents).slices(), values.to_pylist(), strict=True)
    ]
    return to_canonical(Documents.from_list(marked))


def _with(element: bytes, document: bytes) -> bytes:
    return (len(document) + len(element)).to_bytes(4, "little") + element + document[4:]
