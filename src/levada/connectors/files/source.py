"""Reads a table of files: one after the other, projected, windowed and filtered as they stream by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.connectors.base import Query
from levada.connectors.columntypes import column_field
from levada.connectors.files.delimited import CsvReader
from levada.connectors.files.documents import canonical_batches
from levada.connectors.files.formats import Format
from levada.connectors.files.readers import EjsonReader, JsonlReader, ParquetReader, Reader, Source, widened
from levada.connectors.files.selection import Selection
from levada.connectors.files.table import FilesTable, Part
from levada.connectors.reading import Watermark, named_in, projected, refuse_mongodb, slices, time_column
from levada.positions import Position
from levada.types import cast
from levada.windows import Window

Rows = tuple[pa.RecordBatch, tuple[Rejected, ...]]

_READERS: dict[Format, Callable[[Source], Reader]] = {
    Format.PARQUET: ParquetReader,
    Format.CSV: CsvReader,
    Format.JSONL: JsonlReader,
    Format.EJSON: EjsonReader,
}


class FilesSource:
    """Reads one table.

    Args:
        table: where from.
        query: what of it.
    """

    def __init__(self, table: FilesTable, query: Query) -> None:
        self._table = table
        self._query = query

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, newer than `after`; the last one carries the highest watermark.

        Raises:
            ConfigError: no such table or column, or a condition that is no SQL.
            Fatal: a file can't be read at all.
        """
        table, query = self._table.table, self._query
        exact = query.canonical and all(part.form.format is Format.EJSON for part in self._table.parts())
        refuse_mongodb(Query(filter=query.filter, pipeline=query.pipeline), str(table))
        readers = [reader_of(self._table, part) for part in self._table.parts()]
        if not readers:
            return
        whole = (
            widened([reader.schema() for reader in readers]) if not self._raw(exact, window, after) else None
        )
        mark = Watermark(table.time)
        if whole is None:
            yield from canonical_batches(readers, query)
            return
        if window:
            time_column(table, whole)
        selection = Selection(
            whole,
            window=window,
            after=after,
            time=table.time,
            condition=query.where,
            where=str(table),
        )
        if exact:
            yield from canonical_batches(readers, query, whole, selection)
            return
        schema = projected(whole, query.columns, str(table))
        yield from _marked(self._rows(readers, whole, schema, selection, mark), mark)

    def _raw(self, exact: bool, window: Window | None, after: Position | None) -> bool:
        """Whether whole documents are wanted whatever they hold."""
        return exact and not (window or after or self._query.where)

    def _rows(
        self,
        readers: Sequence[Reader],
        whole: pa.Schema,
        schema: pa.Schema,
        selection: Selection,
        mark: Watermark,
    ) -> Iterator[Rows]:
        needed = self._needed(whole, schema)
        wanted = pa.schema([whole.field(name) for name in needed])
        for reader in readers:
            known = set(reader.schema().names)
            for batch, rejected in reader.rows([name for name in needed if name in known]):
                chosen = selection.of(cast(batch, wanted))
                mark.see(chosen)
                parts = list(slices(chosen, self._query.batch_rows)) or [chosen]
                for at, part in enumerate(parts):
                    yield projection(part, schema), rejected if at == 0 else ()

    def _needed(self, whole: pa.Schema, schema: pa.Schema) -> list[str]:
        """The columns to read: those wanted, the watermark's, and those the condition names."""
        wanted = {*schema.names, self._table.table.time}
        if self._query.where:
            wanted |= named_in(self._query.where, whole.names, str(self._table.table))
        return [name for name in whole.names if name in wanted]


def reader_of(table: FilesTable, part: Part) -> Reader:
    """What reads a file, with what is known of its columns."""
    folder = part.entry.path.rpartition("/")[0]
    noted = None
    if part.form.format in (Format.CSV, Format.JSONL):
        noted = table.beside_of(folder).schema(part.entry)
    given = {
        name: column_field(name, kind)
        for name, kind in table.settings.columns.get(table.table.name, {}).items()
    }
    source = Source(table.store, part.entry, part.form, noted[0] if noted else None, given)
    return _READERS[part.form.format](source)


def projection(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    return pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)


def _marked(rows: Iterator[Rows], mark: Watermark) -> Iterator[Batch]:
    """Batches of rows in no particular order: only with the last one is the highest watermark safe."""
    last: Rows | None = None
    for batch, rejected in rows:
        if not len(batch) and not rejected:
            continue
        if last is not None:
            yield Batch(last[0], None, last[1])
        last = batch, rejected
    if last is not None:
        yield Batch(last[0], mark.position, last[1])
