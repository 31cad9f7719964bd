"""CSV -> batches: split by pyarrow, typed by a known schema or by what every cell of the file allows."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from levada.batches import Rejected
from levada.connectors.files.columns import Bad, parsed
from levada.connectors.files.inference import Guess
from levada.connectors.files.readers import BLOCK, Rows, Source
from levada.errors import ConfigError

_LARGEST_BLOCK = 1 << 30


class CsvReader:
    """CSV with a header: RFC 4180, with any delimiter, line ends CRLF or LF.

    A cell that is empty and not quoted is null.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names = self._header()
        self._found: pa.Schema | None = None

    def schema(self) -> pa.Schema:
        """By the schema beside the file, else the settings, else by every value of the column."""
        if self._found is None:
            noted = {field.name: field for field in self._source.noted or []}
            known = {**self._source.given, **noted}
            guesses = {name: Guess() for name in self._names if name not in known}
            for table, _ in self._texts() if guesses else ():
                for name, guess in guesses.items():
                    guess.see(table.column(name))
            fields = [known.get(name) or guesses[name].field(name) for name in self._names]
            self._found = pa.schema(fields)
        return self._found

    def rows(self, columns: list[str]) -> Iterator[Rows]:
        schema = self.schema()
        for table, split in self._texts():
            bad: Bad = {}
            found = {}
            for field in schema:
                found[field.name], refused = parsed(table.column(field.name), field)
                for row, why in refused.items():
                    bad.setdefault(row, f"column {field.name}: {why}")
            rejected = [*split.rejected, *self._refused(table, split, bad)]
            wanted = pa.schema([schema.field(name) for name in columns])
            batch = pa.RecordBatch.from_arrays([found[name] for name in columns], schema=wanted)
            if bad:
                batch = batch.take(pa.array([r for r in range(len(batch)) if r not in bad], pa.int64()))
            yield batch, tuple(rejected)

    def _refused(self, table: pa.RecordBatch, split: _Split, bad: Bad) -> Iterator[Rejected]:
        delimiter = self._source.form.settings.delimiter
        for row, why in sorted(bad.items()):
            raw = delimiter.join(value or "" for value in table.slice(row, 1).to_pylist()[0].values())
            yield self._source.rejected(raw.encode(), int(split.lines[row]), why)

    def _header(self) -> list[str]:
        with closing(_Counted(self._source.stream())) as stream:
            try:
                names: list[str] = _open(stream, self._source, None, BLOCK, None).schema.names
            except pa.ArrowInvalid:  # a header and nothing else, or nothing at all
                names = self._only_line()
            except (OSError, UnicodeError) as error:
                raise self._source.unreadable(error) from error
        twins = [name for name, times in Counter(names).items() if times > 1]
        if twins:
            raise ConfigError(
                f"two columns are named {twins[0]!r}", where=self._source.where, hint="rename one in the file"
            )
        return names

    def _only_line(self) -> list[str]:
        with self._source.stream() as stream:
            text = bytes(stream.read(BLOCK)) + b"\n\n"
        if not text.strip():
            return []
        file = pa.BufferReader(text)
        return list(_open(file, self._source, None, len(text) + 1, None).schema.names)

    def _texts(self) -> Iterator[tuple[pa.RecordBatch, _Split]]:
        """The file's cells as text."""
        block, done = BLOCK, 0
        told: set[str] = set()
        while True:
            splitter = _Splitter(self._source, self._names, done)
            try:
                for table, split in splitter.run(block):
                    done += len(table)
                    split.rejected = [each for each in split.rejected if each.reason not in told]
                    told.update(each.reason for each in split.rejected)
                    yield table, split
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or block >= _LARGEST_BLOCK:
                    raise self._source.unreadable(error) from error
                block *= 4
            except (OSError, UnicodeError) as error:
                raise self._source.unreadable(error) from error
            else:
                return


class _Counted:
    """A stream that counts the quotes that pass.

    The parser reads ahead on a thread of its own, also when nobody wants the rest: closing waits for it.
    """

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.closed = False
        self.quotes = 0

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            block: bytes = b"" if self.closed else self._stream.read(size)
        self.quotes += block.count(b'"')
        return block

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self._stream.close()


class _Split:
    """Which line each row of a batch began at, and the lines that were no rows."""

    def __init__(self, lines: Any, rejected: list[Rejected]) -> None:
        self.lines = lines
        self.rejected = rejected


class _Splitter:
    """One pass over the file.

    Args:
        done: rows that an earlier pass has given already.
    """

    def __init__(self, source: Source, names: list[str], done: int) -> None:
        self._source, self._names, self._done = source, names, done
        self._invalid: list[tuple[int, str, str]] = []
        self._ordinal = 2  # the header is the first record
        self._line = 2 + sum(name.count("\n") for name in names)

    def run(self, block: int) -> Iterator[tuple[pa.RecordBatch, _Split]]:
        if not self._names or not self._has_rows():
            return
        with closing(_Counted(self._source.stream())) as counted:
            last: tuple[pa.RecordBatch, _Split] | None = None
            for found in self._batches(counted, block):
                if last is not None:
                    yield last
                last = found
            if last is not None:
                yield self._closed(*last) if counted.quotes % 2 else last

    def _batches(self, stream: Any, block: int) -> Iterator[tuple[pa.RecordBatch, _Split]]:
        for batch in _open(stream, self._source, self._names, block, self._set_aside):
            split = self._located(batch)
            table, undecodable = self._decoded(batch, split)
            skipped, self._done = min(self._done, len(table)), max(0, self._done - len(table))
            if skipped < len(table) or not skipped:
                split.lines = split.lines[skipped:]
                split.rejected += undecodable
                yield table.slice(skipped), split

    def _closed(self, table: pa.RecordBatch, split: _Split) -> tuple[pa.RecordBatch, _Split]:
        """Without the last row where it swallowed the lines behind a quote that nothing closes."""
        values = [] if not len(table) else [column[-1].as_py() or "" for column in table.columns]
        if not any("\n" in value for value in values):
            return table, split
        raw = self._source.form.settings.delimiter.join(values).encode()
        split.rejected.append(self._source.rejected(raw, int(split.lines[-1]), "a quote is never closed"))
        split.lines = split.lines[:-1]
        return table.slice(0, len(table) - 1), split

    def _has_rows(self) -> bool:
        try:
            with closing(_Counted(self._source.stream())) as stream:
                _open(stream, self._source, None, BLOCK, None)
        except pa.ArrowInvalid as error:
            return "straddling" in str(error)
        return True

    def _set_aside(self, row: Any) -> str:
        self._invalid.append(
            (row.number, row.text, f"{row.actual_columns} columns, not {row.expected_columns}")
        )
        return "skip"

    def _located(self, batch: pa.RecordBatch) -> _Split:
        breaks = [0] * len(batch)
        for column in batch.columns:
            if pc.any(pc.match_substring(column, "\n")).as_py():
                counts = pc.count_substring(column, "\n").fill_null(0).to_pylist()
                breaks = [a + b for a, b in zip(breaks, counts, strict=True)]
        lines: list[int] = []
        rejected: list[Rejected] = []
        for extra in breaks:
            rejected += self._before()
            lines.append(self._line)
            self._line += 1 + extra
            self._ordinal += 1
        return _Split(lines, [*rejected, *self._before()])

    def _before(self) -> Iterator[Rejected]:
        """The lines set aside that stand where the next row would."""
        while self._invalid and self._invalid[0][0] <= self._ordinal:
            _, text, why = self._invalid.pop(0)
            yield self._source.rejected(text.encode(), self._line, why)
            self._line += 1 + text.count("\n")
            self._ordinal += 1

    def _decoded(self, batch: pa.RecordBatch, split: _Split) -> tuple[pa.RecordBatch, list[Rejected]]:
        """Bytes as text; rows that are not in the encoding are set aside."""
        names = batch.schema.names
        try:
            return pa.RecordBatch.from_arrays([c.cast(pa.string()) for c in batch.columns], names=names), []
        except pa.ArrowInvalid:
            bad = {
                row for column in batch.columns for row, v in enumerate(column.to_pylist()) if not _utf8(v)
            }
        delimiter = self._source.form.settings.delimiter.encode()
        rejected = []
        for row in sorted(bad):
            raw = delimiter.join(column[row].as_py() or b"" for column in batch.columns)
            rejected.append(self._source.rejected(raw, split.lines[row], "not UTF-8"))
        kept = [row for row in range(len(batch)) if row not in bad]
        split.lines = [split.lines[row] for row in kept]
        good = batch.take(pa.array(kept, pa.int64()))
        return pa.RecordBatch.from_arrays([c.cast(pa.string()) for c in good.columns], names=names), rejected


def _utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _open(stream: Any, source: Source, names: list[str] | None, block: int, invalid: Any) -> Any:
    settings = source.form.settings
    return pyarrow.csv.open_csv(
        stream,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=block),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=settings.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=names is None or len(names) > 1,
            invalid_row_handler=invalid or (lambda _: "skip"),
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names or (), pa.binary()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
