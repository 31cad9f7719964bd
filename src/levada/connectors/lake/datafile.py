"""Parquet files of a table: how they are written, and what the table's log says of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from levada.connectors.lake.statistics import Statistics

#: zstd at its fastest level: about as fast as none, a third of the size.
_COMPRESSION, _LEVEL = "zstd", 1

#: A column of texts that differ this much (distinct values per row) gains nothing from a dictionary.
_DISTINCT = 0.3
_SAMPLE = 8_192
_SMALL = 256  # bytes of a value that may be worth one
_NO_DAY = "__HIVE_DEFAULT_PARTITION__"

#: The values of the generated partition columns, one for each, of one file.
Partition = tuple[date | None, ...]


@dataclass(frozen=True)
class DataFile:
    """A finished file.

    Args:
        path: below the table's folder.
        size: bytes.
        rows: how many.
        partition: partition column -> its value as the log writes it.
        logical: schema of the rows before they were stored.
        stats: JSON.
        modified: ms since 1970.
    """

    path: str
    size: int
    rows: int
    partition: Mapping[str, str | None]
    logical: pa.Schema = field(repr=False, compare=False)
    stats: str = field(repr=False)
    modified: int

    def action(self) -> AddAction:
        """What puts the file into the table."""
        return AddAction(self.path, self.size, self.partition, self.modified, True, self.stats)

    def rows_of(self, files: pyarrow.fs.FileSystem, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Its rows, as stored.

        A thread of its own reads them: in the middle of a commit the driver asks for them on one of its
        threads, from which no object store can be read.
        """
        with (
            ThreadPoolExecutor(1) as reader,
            reader.submit(files.open_input_file, self.path).result() as source,
            reader.submit(pq.ParquetFile, source).result() as parquet,
        ):
            groups = ([group] for group in range(parquet.num_row_groups))  # large rows make small groups
            batches = (
                rows for group in groups for rows in parquet.iter_batches(batch_rows, row_groups=group)
            )
            while (batch := reader.submit(next, batches, None).result()) is not None:
                yield batch


def partition_values(columns: list[str], values: Partition) -> dict[str, str | None]:
    """Partition column -> its value as the log writes it."""
    return {name: None if day is None else day.isoformat() for name, day in zip(columns, values, strict=True)}


def folder_of(columns: list[str], values: Partition) -> str:
    """Where files of a partition go, below the table's folder, with a slash at the end."""
    return "".join(
        f"{name}={_NO_DAY if day is None else day.isoformat()}/"
        for name, day in zip(columns, values, strict=True)
    )


class FileWriter:
    """A file that is being written.

    Args:
        files: of the table's folder.
        path: below it.
        partition: of all its rows.
        logical: schema of the rows before they are stored.
        first: the first row group; says which columns get a dictionary.
    """

    def __init__(
        self,
        files: pyarrow.fs.FileSystem,
        path: str,
        partition: Mapping[str, str | None],
        logical: pa.Schema,
        first: pa.Table,
    ) -> None:
        self._path, self._partition, self._logical = path, partition, logical
        self._stream = files.open_output_stream(path)
        self._files = files
        self._footers: list[pq.FileMetaData] = []
        self._statistics = Statistics()
        self._writer = pq.ParquetWriter(
            self._stream,
            first.schema,
            compression=_COMPRESSION,
            compression_level=_LEVEL,
            use_dictionary=_repetitive(first),
            write_statistics=[f.name for f in first.schema if not pa.types.is_nested(f.type)],
            store_schema=False,
            metadata_collector=self._footers,
        )
        self.size = 0

    def write(self, rows: pa.Table) -> None:
        """Add one row group."""
        self._statistics.saw(rows)
        self._writer.write_table(rows, row_group_size=max(len(rows), 1))
        self.size = self._stream.tell()

    def close(self) -> DataFile:
        """Finish the file; it is removed where that fails."""
        try:
            self._writer.close()
            size = self._stream.tell()
            self._stream.close()
        except BaseException:
            self.abandon()
            raise
        footer = self._footers[0]
        stats = json.dumps(self._statistics.of(footer), ensure_ascii=False)
        now = int(time.time() * 1000)
        return DataFile(self._path, size, footer.num_rows, self._partition, self._logical, stats, now)

    def abandon(self) -> None:
        """Remove what has been written."""
        for end in (self._writer.close, self._stream.close):
            with suppress(OSError, RuntimeError, pa.ArrowException):  # such as a full disk, once more
                end()
        with suppress(OSError):
            self._files.delete_file(self._path)


def _repetitive(rows: pa.Table) -> list[str]:
    """The Parquet columns whose values repeat."""
    sample = rows.slice(0, _SAMPLE).combine_chunks()
    return [
        path
        for column, name in zip(sample.columns, sample.column_names, strict=True)
        for path, values in _leaves(name, pa.concat_arrays(column.chunks) if column.num_chunks else None)
        if values.type not in _NEVER
        and values.nbytes <= _SMALL * len(values)
        and len(values.unique()) <= _DISTINCT * len(values)
    ]


_NEVER = {pa.bool_(), pa.float64(), pa.null()}


def _leaves(path: str, values: pa.Array | None) -> Iterator[tuple[str, pa.Array]]:
    if values is None:
        return
    if pa.types.is_struct(values.type):
        for at, child in enumerate(values.type):
            yield from _leaves(f"{path}.{child.name}", values.field(at))
    elif pa.types.is_list(values.type):
        yield from _leaves(f"{path}.list.element", values.flatten())
    elif not pa.types.is_nested(values.type):
        yield path, values
