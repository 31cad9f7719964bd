"""Writes a table of files: rows are spooled, written as drafts, and get their names at the commit."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from levada.batches import CANONICAL, Batch, Rejected
from levada.connectors.base import Changes, Mode, Write, WritePlan, Written
from levada.connectors.committed import Committed
from levada.connectors.files.beside import Record
from levada.connectors.files.formats import Format, by_name
from levada.connectors.files.output import Output
from levada.connectors.files.readers import ParquetReader, widened
from levada.connectors.files.source import reader_of
from levada.connectors.files.stores import Entry
from levada.connectors.files.table import FilesTable, Part
from levada.connectors.spool import Spool
from levada.connectors.writes import OWNER_TAG, WINDOW_TAG
from levada.errors import ConfigError
from levada.observe import counted
from levada.positions import Position
from levada.types.names import Renaming, originals

_REPLACED = "data"


class FilesSink:
    """Writes into one table.

    Args:
        table: where to.
        folder: where batches may be kept until the commit.
    """

    def __init__(self, table: FilesTable, folder: Path | None) -> None:
        self._table = table
        self._folder = folder

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        record = self._table.beside.record(owner)
        return record.position if record else None

    def open(self, write: Write) -> FilesWriter:
        """Start a write.

        Raises:
            ConfigError: files can't be written in that mode, or the table is a pattern.
        """
        self._check(write)
        return FilesWriter(self._table, write, self._folder)

    def plan(self, write: Write) -> WritePlan:
        """What a write would do, looking only.

        Raises:
            ConfigError: files can't be written in that mode, or the table is a pattern.
        """
        self._check(write)
        return Commit(self._table, write, Spool(self._folder), None).plan()

    def _check(self, write: Write) -> None:
        where = str(write.table)
        if write.mode not in (Mode.APPEND, Mode.REPLACE):
            raise ConfigError(
                f"files can't be written with mode {write.mode}",
                where=where,
                hint="use append or replace, or a lake: it changes rows in place",
            )
        if write.changes != Changes():
            raise ConfigError(
                "files take no operation, version, merge or on_null", where=where, hint="leave them out"
            )
        if self._table.pattern:
            raise ConfigError(
                "a pattern of files can only be read", where=where, hint="name one file, or a folder"
            )


class FilesWriter:
    """Takes the batches of one write."""

    def __init__(self, table: FilesTable, write: Write, folder: Path | None) -> None:
        self._table = table
        self._write = write
        self._spool = Spool(folder)
        self._renaming = Renaming(originals)

    def write(self, batch: Batch) -> None:
        """Keep a batch until the commit.

        Raises:
            ConfigError: two columns have the same name, or documents have no columns for this format.
        """
        if batch.canonical and self._table.form.format is not Format.EJSON:
            raise ConfigError(
                "whole documents can only be written as Extended JSON",
                where=str(self._write.table),
                hint="write typed columns, or name the file .ejson",
            )
        data = self._renaming.of(batch.data)  # a file takes any name
        carried = [name for name in (OWNER_TAG, WINDOW_TAG) if name in data.schema.names]
        data = data.drop_columns(carried) if carried else data
        twins = [name for name, times in Counter(data.schema.names).items() if times > 1]
        if twins:
            raise ConfigError(
                f"two columns are named {twins[0]!r}",
                where=str(self._write.table),
                hint="leave one out with `columns:`",
            )
        self._spool.add(data)

    def commit(self, position: Position | None) -> Written:
        """Write the files, name them, remove those they replace, then store the position.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            ConfigError: the table is one file that this write may not replace.
            Retriable, Fatal: the files can't be written.
        """
        try:
            return Commit(self._table, self._write, self._spool, position).run()
        finally:
            self._spool.close()

    def abort(self) -> None:
        self._spool.close()


class Commit:
    """The commit of one write.

    Args:
        position: stored behind the data; None or sequence 0 (an ad-hoc copy) stores none.
    """

    def __init__(self, table: FilesTable, write: Write, spool: Spool, position: Position | None) -> None:
        self._table, self._write, self._spool = table, write, spool
        self._position = position if position and position.sequence else None
        self._beside = table.beside

    def run(self) -> Written:
        self._guard()
        old = self._replaced()
        counted = self._count(old)
        schema = self._schema(old)
        output = Output(self._table, self._stem, self._guard)
        rejected = self._fill(output, schema) if schema is not None and self._writes_files else []
        new = output.names()
        for entry in old:
            if entry.path not in new:
                self._table.store.remove(entry.path)
                self._beside.forget(entry.name)
        self._record(output)
        return Written(output.rows, counted, output.bytes, tuple(rejected))

    def plan(self) -> WritePlan:
        """What the commit would do, looking only."""
        old = self._replaced()
        form = self._table.form.format.value
        if self._write.mode is Mode.REPLACE:
            how = f"write new {form} files, then remove the old ones"
            readers = "the old rows and the new ones for a moment, between the last new file and the old ones"
        elif self._table.single:
            how, readers = f"write one {form} file", "nothing, then the whole file"
        else:
            how, readers = f"add {form} files to the folder", "file by file"
        there = len(self._table.entries())
        notes = [
            f"{self._write.table} has {counted(there, 'file')}"
            if there
            else f"{self._write.table} would be created"
        ]
        if old and self._write.mode is Mode.APPEND:
            notes.append(f"{counted(len(old), 'file')} of the same step and window removed first")
        return WritePlan(how, readers, tuple(notes))

    @property
    def _writes_files(self) -> bool:
        """An append of nothing makes no file."""
        return bool(self._spool.rows) or self._write.mode is Mode.REPLACE

    @property
    def _window(self) -> str | None:
        window = self._write.window
        return str(window) if window and self._write.mode is Mode.APPEND else None

    @property
    def _stem(self) -> str:
        """What the names of the write's files begin with, without number and extension."""
        if self._write.mode is Mode.REPLACE:
            return _REPLACED
        window = self._write.window
        if window is None:
            return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(6)}"
        owner = hashlib.sha256(self._write.owner.encode()).hexdigest()[:12]
        return f"{_compact(window.start)}-{_compact(window.end)}-{owner}"

    def _guard(self) -> None:
        record = self._beside.record(self._write.owner)
        if record is not None:
            sequence = record.position.sequence if record.position else 0
            Committed(record.epoch or 0, sequence).then(self._write, self._position)

    def _replaced(self) -> list[Entry]:
        """The files that give way to this write."""
        entries = self._table.entries()
        if self._write.mode is Mode.REPLACE:
            self._refuse_strangers(entries)
            return entries
        if self._table.single:
            self._refuse_other(entries)
            return entries
        if self._window is None:
            return []
        return [entry for entry in entries if entry.name.rpartition("-")[0] == self._stem]

    def _refuse_strangers(self, entries: list[Entry]) -> None:
        """A folder is replaced with all its files; one that is no table's says it was not meant."""
        strange = [entry for entry in entries if by_name(entry.name)[0] is None]
        if strange and not self._table.single:
            raise ConfigError(
                f"the folder holds {strange[0].name}, which replacing the table would remove",
                where=self._table.uri,
                hint="move it, or write into a folder of the table's own",
            )

    def _refuse_other(self, entries: list[Entry]) -> None:
        """A table of one file takes one append; only the same one may do it again."""
        if not entries:
            return
        record = self._beside.record(self._write.owner)
        again = record and record.window and (record.window, record.bytes) == (self._window, entries[0].size)
        if not again:
            raise ConfigError(
                f"the file {self._table.table.name!r} is there already",
                where=self._table.uri,
                hint="use mode replace, or a folder, which takes a file from every append",
            )

    def _count(self, entries: list[Entry]) -> int:
        parts = self._table.parts() if entries else []
        return sum(self._rows_of(part) for part in parts if part.entry in entries)

    def _rows_of(self, part: Part) -> int:
        """Rows of a file as far as that is known without reading it."""
        if part.form.format is Format.PARQUET:
            reader = reader_of(self._table, part)
            assert isinstance(reader, ParquetReader)
            return reader.count()
        noted = self._beside.schema(part.entry)
        return noted[1] if noted else 0

    def _schema(self, old: list[Entry]) -> pa.Schema | None:
        """The schema of the rows; without any, of those they replace."""
        if self._spool.schema is not None:
            return self._spool.schema
        if self._table.form.format is Format.EJSON:
            return CANONICAL
        parts = [part for part in self._table.parts() if part.entry in old] if old else []
        return widened([reader_of(self._table, part).schema() for part in parts]) if parts else None

    def _fill(self, output: Output, schema: pa.Schema) -> list[Rejected]:
        rejected: list[Rejected] = []
        with output:
            output.open(schema)
            for batch in self._batches(schema):
                rejected += output.write(batch)
            self._claim(output)
            output.publish()
        return rejected

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        yield from self._spool.batches(schema)

    def _claim(self, output: Output) -> None:
        """Say before the file has its name whose append it is, for the case that this is killed."""
        if self._table.single and self._window is not None:
            known = self._beside.record(self._write.owner)
            position = known.position if known else None
            epoch = known.epoch if known else None
            size = output.finished()
            self._beside.put_record(self._write.owner, Record(epoch, position, self._window, size))

    def _record(self, output: Output) -> None:
        fence = self._write.fence
        if self._position or fence:
            size = output.bytes if self._table.single else None
            epoch = fence.epoch if fence else None
            known = self._beside.record(self._write.owner)
            position = self._position or (known.position if known else None)
            self._beside.put_record(self._write.owner, Record(epoch, position, self._window, size))


def _compact(moment: datetime) -> str:
    fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"
