"""Data files written ahead of the commit: rows are on disk as Parquet before the last one has been read.

Rows wait per partition until they fill a row group, which a thread of its own encodes and writes. When the
rows' schema widens, the files written so far are left as they are if the wider table can still read them;
those that it could not are written again at the commit.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs

from levada.connectors.base import Write
from levada.connectors.lake.checkpoints import Checkpoint, Checkpoints
from levada.connectors.lake.datafile import DataFile, FileWriter, Partition, folder_of, partition_values
from levada.connectors.lake.faults import translated
from levada.connectors.lake.plan import Plan, plan
from levada.connectors.lake.table import GENERATED, LakeTable, Snapshot
from levada.connectors.spool import Convert
from levada.errors import Fatal
from levada.observe import Timings
from levada.positions import Position
from levada.types import cast, widen
from levada.types.layout import Change, change, from_stored

ROW_GROUP = 122_880  # rows: what DuckDB scans with one thread
ROW_GROUP_BYTES = 48 * 1024**2  # in memory, where rows are large
FILE_BYTES = 128 * 1024**2
CHECKPOINT_BYTES = 256 * 1024**2  # of rows
BUFFERED = 128 * 1024**2  # bytes of rows that wait for their row group
_OPEN = 32  # files being written at once
_PENDING = 1  # row groups handed to the thread, the one in work left out


@dataclass
class _Buffer:
    """Rows of one partition that wait for their row group."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.rows += len(batch)
        self.bytes += batch.nbytes


class Draft:
    """Rows of one write as files of the table that no reader sees yet.

    Args:
        table: where to.
        write: in mode append, replace or replace_window.
        snapshot: the table as it is; None if there is none.
        checkpoints: kept as the source's position moves on; the rows up to the last one are taken up.
    """

    def __init__(
        self,
        table: LakeTable,
        write: Write,
        snapshot: Snapshot | None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._table, self._write, self._snapshot = table, write, snapshot
        self.checkpoints = checkpoints
        self._planned: Plan | None = None
        self._buffers: dict[Partition, _Buffer] = {}
        self._buffered = 0
        self._thread = ThreadPoolExecutor(1, "levada-lake-write")
        self._pending: deque[Future[None]] = deque()
        self._open: dict[Partition, FileWriter] = {}
        self._writing: Plan | None = None  # of the open files
        self._kept = self._committed = False
        self._rejected = 0
        self._since = 0  # bytes since the last checkpoint
        self._position: Position | None = None
        self.timings = Timings()
        self.done: list[DataFile] = []
        self.schema: pa.Schema | None = None
        self.rows = 0
        self.bytes = 0
        self._go_back()

    @property
    def position(self) -> Position | None:
        """Of the last checkpoint."""
        held = self.checkpoints.held if self.checkpoints else []
        return held[-1].position if held else None

    def reached(self, position: Position | None, rejected: int) -> None:
        """Everything the source has before this position was added; sometimes makes it a checkpoint.

        Args:
            position: None where the source has none behind this batch.
            rejected: records of this batch that could not be read or stored.
        """
        self._rejected += rejected
        if self.checkpoints is None or position is None:
            return
        self._position = self._position.merge(position) if self._position else position
        if self._since >= CHECKPOINT_BYTES:
            known = {file.path for kept in self.checkpoints.held for file in kept.files}
            files = tuple(file for file in self.finish() if file.path not in known)
            assert self.schema is not None
            self.checkpoints.add(Checkpoint(self._position, files, self.schema, self._rejected))
            self._since = self._rejected = 0

    def rewind(self) -> bool:
        """Drop the rows behind the last checkpoint, or that one too if there are none; whether any were."""
        if self.checkpoints is None:
            return False
        if not self._since:
            if not self.checkpoints.held:
                return False
            self.checkpoints.drop_last()
        self._go_back()
        return True

    def _go_back(self) -> None:
        """To the last checkpoint."""
        held = self.checkpoints.held if self.checkpoints else []
        kept = [file for checkpoint in held for file in checkpoint.files]
        self._abandon(except_for=kept)
        self.done = kept
        self.schema = held[-1].schema if held else None
        self.rows, self.bytes = sum(file.rows for file in kept), sum(file.size for file in kept)
        self._position, self._planned = self.position, None
        self._since = self._rejected = 0

    def _abandon(self, except_for: Sequence[DataFile] = ()) -> None:
        """Drop rows that wait, and files but for these."""
        self._settle(0, heed=False)
        self._buffers, self._buffered = {}, 0
        for writer in self._open.values():
            writer.abandon()
        self._open, self._writing = {}, None
        kept = {file.path for file in except_for}
        self._table.beside.remove_files(file.path for file in self.done if file.path not in kept)

    @cached_property
    def _files(self) -> pyarrow.fs.FileSystem:
        with translated(self._table.uri):
            return self._table.beside.files()

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep rows; the draft's schema widens to hold them.

        Raises:
            Fatal: the table refuses such rows.
            Retriable: they could not be written.
        """
        wider = batch.schema if self.schema is None else widen(self.schema, batch.schema)
        if wider is not self.schema:
            self.schema, self._planned = wider, None
        if not len(batch):
            return
        self.rows += len(batch)
        self.bytes += batch.nbytes
        self._since += batch.nbytes
        for partition, part in _parts(batch, self._plan()):
            buffer = self._buffers.setdefault(partition, _Buffer())
            buffer.add(part)
            self._buffered += part.nbytes
            while buffer.rows >= ROW_GROUP or buffer.bytes >= ROW_GROUP_BYTES:
                buffer = self._encode(partition, ROW_GROUP)
        while self._buffered > BUFFERED:
            largest = max(self._buffers, key=lambda partition: self._buffers[partition].bytes)
            self._encode(largest, ROW_GROUP)

    def finish(self) -> list[DataFile]:
        """Write what waits, and close all files."""
        for partition in list(self._buffers):
            while self._buffers[partition].rows:
                self._encode(partition, ROW_GROUP)
        self._do(self._close_all)
        self._settle(0)
        return self.done

    def refuse_lost(self) -> None:
        """Look whether all files are still there: a table that refers to one that is gone can't be read.

        Raises:
            Fatal: one is not.
        """
        sizes = self._table.beside.sizes([file.path for file in self.done])
        lost = [file for file, size in zip(self.done, sizes, strict=True) if file.size != size]
        if lost:
            raise Fatal(
                f"{len(lost)} files of this copy were removed or changed before they could be committed",
                where=self._table.uri,
                hint="another process copied the same, or cleaned up: nothing was written; copy again",
            )

    def fitting(self, planned: Plan) -> list[DataFile]:
        """The files that hold all rows as this plan stores them; those that don't fit are written again."""
        self.finish()
        unfit = [file for file in self.done if not _belongs(file, planned)]
        if unfit:
            self.done = [file for file in self.done if file not in unfit]
            for file in unfit:
                for batch in file.rows_of(self._files, ROW_GROUP):
                    rows = planned.rows(_kept(from_stored(batch, _visible(file.logical)), planned.logical))
                    for partition, part in _parts(rows, planned):
                        self._do(self._append, partition, [part], planned)
                self._do(self._close_all)
                self._settle(0)
            self._table.beside.remove_files(file.path for file in unfit)
        return self.done

    def batches(self, schema: pa.Schema, convert: Convert = cast) -> Iterator[pa.RecordBatch]:
        """All rows, brought into `schema`."""
        for file in self.finish():
            for batch in file.rows_of(self._files, ROW_GROUP):
                yield convert(_kept(from_stored(batch, _visible(file.logical)), schema), schema)

    def keep(self, kept: bool = True) -> None:
        """Whether the files stay when the draft is closed: the table may refer to them."""
        self._kept = kept

    def committed(self) -> None:
        """The rows are in the table, by these files or by others; there is nothing to resume."""
        self._committed = True

    def close(self) -> None:
        """Stop the thread; remove the files unless they were kept, or are needed to resume."""
        try:
            if not self._kept:
                held = self.checkpoints.held if self.checkpoints and not self._committed else []
                self._abandon([file for checkpoint in held for file in checkpoint.files])
            if self.checkpoints:
                (self.checkpoints.remove if self._committed else self.checkpoints.release)()
        finally:
            self._thread.shutdown()

    def _plan(self) -> Plan:
        if self._planned is None:
            policy = self._table.settings.on_type_change
            self._planned = plan(self._write, self.schema, self._snapshot, policy)
        return self._planned

    def _encode(self, partition: Partition, rows: int) -> _Buffer:
        """Hand a row group of one partition to the thread; returns what still waits."""
        buffer = self._buffers[partition]
        taken, left = _split(buffer, rows)
        self._buffered -= buffer.bytes - left.bytes
        self._buffers[partition] = left
        self._do(self._append, partition, taken, self._plan())
        return left

    def _do(self, work: Any, *args: Any) -> None:
        self._settle(_PENDING)
        self._pending.append(self._thread.submit(work, *args))

    def _settle(self, left: int, *, heed: bool = True) -> None:
        """Wait until no more than so many row groups are under way."""
        while len(self._pending) > left:
            done = self._pending.popleft()
            if heed:
                done.result()
            else:
                done.exception()

    def _append(self, partition: Partition, batches: list[pa.RecordBatch], planned: Plan) -> None:
        """On the thread: encode rows and write them as one row group."""
        with translated(self._table.uri):
            with self.timings.spent("encode"):
                rows = [planned.encoded(planned.rows(batch)) for batch in batches]
                group = pa.Table.from_batches(rows).drop_columns(planned.partitions)
            if self._writing is not planned:
                if self._writing and not _continues(self._writing, planned):
                    self._close_all()
                self._writing = planned
            writer = self._open.get(partition) or self._opened(partition, planned, group)
            with self.timings.spent("write"):
                writer.write(group)
            if writer.size >= FILE_BYTES:
                self.done.append(self._open.pop(partition).close())

    def _opened(self, partition: Partition, planned: Plan, first: pa.Table) -> FileWriter:
        if len(self._open) >= _OPEN:
            self.done.append(self._open.pop(next(iter(self._open))).close())
        folder = folder_of(planned.partitions, partition)
        if folder:
            self._files.create_dir(folder.rstrip("/"), recursive=True)
        path = f"{folder}part-{uuid.uuid4()}.parquet"
        values = partition_values(planned.partitions, partition)
        writer = FileWriter(self._files, path, values, planned.noted, first)
        self._open[partition] = writer
        return writer

    def _close_all(self) -> None:
        with translated(self._table.uri):
            while self._open:
                _, writer = self._open.popitem()
                self.done.append(writer.close())


def _split(buffer: _Buffer, rows: int) -> tuple[list[pa.RecordBatch], _Buffer]:
    """The first batches, up to so many rows and the bytes of a row group, and what is left."""
    taken: list[pa.RecordBatch] = []
    left = _Buffer()
    room, space = rows, ROW_GROUP_BYTES
    for batch in buffer.batches:
        if room <= 0 or space <= 0:
            left.add(batch)
            continue
        head = batch.slice(0, room)
        taken.append(head)
        room, space = room - len(head), space - head.nbytes
        if len(head) < len(batch):
            left.add(batch.slice(len(head)))
    return taken, left


def _parts(batch: pa.RecordBatch, planned: Plan) -> Iterator[tuple[Partition, pa.RecordBatch]]:
    """The rows of each partition, in the order they came."""
    if not planned.partitions:
        yield (), batch
        return
    days = planned.day_of(batch)
    for day in days.unique().to_pylist():
        mask = pc.is_null(days) if day is None else pc.fill_null(pc.equal(days, pa.scalar(day)), False)
        yield (day,), batch if pc.all(mask).as_py() else batch.filter(mask)


def _kept(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows without columns that the table had when they were written, and has no more: they are null."""
    known = set(schema.names)
    gone = [name for name in batch.schema.names if name not in known]
    return batch.drop_columns(gone) if gone else batch


def _belongs(file: DataFile, planned: Plan) -> bool:
    """Whether a file can be put into the table as it is."""
    days = (planned.noted.metadata or {}).get(GENERATED)
    layout = (
        list(file.partition) == planned.partitions and (file.logical.metadata or {}).get(GENERATED) == days
    )
    return layout and _fits(file.logical, planned.logical)


def _fits(written: pa.Schema, wanted: pa.Schema) -> bool:
    """Whether rows stored by one schema are read by the other as what they are."""
    known = set(wanted.names)
    return all(old.name in known and change(old, wanted.field(old.name)) <= Change.GROW for old in written)


def _continues(before: Plan, now: Plan) -> bool:
    """Whether files begun by one plan can take rows of the other."""
    return bool(before.stored == now.stored) and _fits(before.logical, now.logical)


def _visible(logical: pa.Schema) -> pa.Schema:
    return logical.with_metadata(None)
