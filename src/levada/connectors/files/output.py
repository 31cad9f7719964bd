"""The files of one write: rotated by size, complete before they get their names."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

import pyarrow as pa

from levada.batches import Rejected
from levada.connectors.files.encoders import Encoder, Refused
from levada.connectors.files.formats import Format
from levada.connectors.files.stores import Draft, Entry
from levada.connectors.files.table import FilesTable

#: Formats whose files don't say the types of their columns.
_UNTYPED = (Format.CSV, Format.JSONL)


class Output:
    """Writes rows into as many files as their size asks for.

    Args:
        table: where to.
        stem: what the names of a folder's files begin with.
        guard: asked before files get their names; raises where they must not.
    """

    def __init__(self, table: FilesTable, stem: str, guard: Callable[[], None]) -> None:
        self._table, self._stem, self._guard = table, stem, guard
        self._form = table.form
        self._schema: pa.Schema | None = None
        self._draft: Draft | None = None
        self._encoder: Encoder | None = None
        self._in_file = 0
        self._waiting: list[tuple[Draft, int]] = []
        self._names: set[str] = set()
        self.rows = 0
        self.bytes = 0

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what has no name yet."""
        drafts = [draft for draft, _ in self._waiting]
        for draft in [*drafts, *([self._draft] if self._draft else [])]:
            draft.discard()
        self._waiting, self._draft, self._encoder = [], None, None

    def open(self, schema: pa.Schema) -> None:
        """Begin the first file."""
        self._schema = schema
        self._begin()

    def write(self, batch: pa.RecordBatch) -> Refused:
        """Write rows; returns those the format can't hold."""
        rejected: list[Rejected] = []
        step = self._form.settings.row_group_rows
        for first in range(0, len(batch), step):
            part = batch.slice(first, step)
            if self._draft is None:
                self._begin()
            assert self._encoder
            assert self._draft
            refused = self._encoder.write(part)
            self._in_file += len(part) - len(refused)
            rejected += refused
            if not self._table.single and self._draft.size >= self._form.settings.file_bytes:
                self._end()
        return rejected

    def finished(self) -> int:
        """End the last file; the bytes of those that wait for their names."""
        self._end()
        return sum(draft.size for draft, _ in self._waiting)

    def publish(self) -> None:
        """Give every file its name.

        Raises:
            Fenced: someone else took over while the files were written.
        """
        self._end()
        self._guard()
        self._publish()

    def names(self) -> set[str]:
        """The paths of the write's files."""
        return self._names

    def _begin(self) -> None:
        beside, assert_schema = self._table.beside, self._schema
        assert assert_schema is not None
        number = len(self._names) + len(self._waiting)
        self._draft = self._table.store.draft(self._path(number), beside.temporary)
        self._encoder = self._form.encoder(self._draft, assert_schema)
        self._in_file = 0

    def _path(self, number: int) -> str:
        if self._table.single:
            return self._table.path
        return f"{self._table.folder}/{self._stem}-{number:04d}.{self._table.extension}"

    def _end(self) -> None:
        if self._draft is None or self._encoder is None:
            return
        self._encoder.close()
        self._waiting.append((self._draft, self._in_file))
        self._draft, self._encoder = None, None
        if not self._table.store.waits and not self._table.single:
            self._guard()
            self._publish()

    def _publish(self) -> None:
        beside = self._table.beside
        while self._waiting:
            draft, rows = self._waiting[0]
            entry = Entry(draft.path, draft.size)
            if self._form.format in _UNTYPED and self._schema is not None:
                beside.put_schema(entry, self._schema, rows)
            draft.publish()
            self._waiting.pop(0)
            if self._form.format in _UNTYPED:
                beside.forget(entry.name, entry.size)
            self._names.add(entry.path)
            self.rows += rows
            self.bytes += entry.size
