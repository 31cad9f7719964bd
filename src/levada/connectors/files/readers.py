"""The bytes of one file -> batches, format by format; a line that is no row is set aside with its number."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from levada.batches import Rejected
from levada.bson import Decoder, Documents
from levada.connectors.files import ejson, values
from levada.connectors.files.columns import build
from levada.connectors.files.encoders import SCHEMA_KEY, Form
from levada.connectors.files.formats import Compression
from levada.connectors.files.hollow import hollow, restored
from levada.connectors.files.kinds import textual
from levada.connectors.files.stores import Entry, Store
from levada.connectors.jsontext import exact, loads
from levada.errors import Fatal, LevadaError
from levada.types import widen

BLOCK = 4 * 1024 * 1024
_ROWS = 20_000

Rows = tuple[pa.RecordBatch, tuple[Rejected, ...]]


class Reader(Protocol):
    """Reads one file."""

    def schema(self) -> pa.Schema:
        """The schema of its rows; may read the whole file."""
        ...

    def rows(self, columns: list[str]) -> Iterator[Rows]:
        """Its rows: of these columns, by the schema."""
        ...


@dataclass(frozen=True)
class Source:
    """A file to read.

    Args:
        store, entry, form: where it lies and how it is written.
        noted: the schema kept beside it; None if there is none.
        given: types of columns by the settings.
    """

    store: Store
    entry: Entry
    form: Form
    noted: pa.Schema | None
    given: dict[str, pa.Field]

    @property
    def where(self) -> str:
        return f"{self.store.root}/{self.entry.path}"

    def stream(self) -> pa.NativeFile:
        """Its text, decompressed, in UTF-8."""
        stream = self.store.open(self.entry.path)
        if self.form.compression is not Compression.NONE:
            stream = pa.CompressedInputStream(stream, self.form.compression.value)
        if self.form.settings.encoding != "utf-8":
            return pa.transcoding_input_stream(stream, self.form.settings.encoding, "utf-8")
        return stream

    def lines(self) -> Iterator[list[tuple[int, bytes]]]:
        """Its lines that are not blank, with their numbers from 1, some thousand at a time.

        Raises:
            Fatal: it can't be decompressed, or is in another encoding.
        """
        number, rest, first = 0, b"", True
        try:
            with self.stream() as stream:
                while block := stream.read(BLOCK):
                    *whole, rest = (rest + block).split(b"\n")
                    if first and whole:
                        whole[0] = whole[0].removeprefix(codecs.BOM_UTF8)
                        first = False
                    for at in range(0, len(whole), _ROWS):
                        part = whole[at : at + _ROWS]
                        yield _numbered(part, number + at)
                    number += len(whole)
        except (OSError, UnicodeError) as error:
            raise self.unreadable(error) from error
        yield _numbered([rest.removeprefix(codecs.BOM_UTF8) if first else rest], number)

    def rejected(self, raw: bytes, number: int, why: object) -> Rejected:
        return Rejected(raw, f"{self.entry.path}, line {number}: {why}")

    def unreadable(self, error: Exception) -> LevadaError:
        """The error of a file that can't be read to its end."""
        if known := self.store.fault(self.entry.path, error):
            return known
        if "magic bytes" in str(error):
            return Fatal(
                "it is no Parquet file, or only a part of one",
                where=self.where,
                hint="write it again; a file of another format needs a name that says so",
            )
        return Fatal(
            f"can't read the file: {error}",
            where=self.where,
            hint="check its compression, and `encoding:` of the connection",
        )


def _numbered(lines: list[bytes], before: int) -> list[tuple[int, bytes]]:
    return [(before + at, line) for at, line in enumerate(lines, 1) if line.strip()]


class ParquetReader:
    """Parquet, by the schema in its metadata where Levada wrote it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def schema(self) -> pa.Schema:
        with self._open() as file:
            return self._logical(file.schema_arrow)

    def rows(self, columns: list[str]) -> Iterator[Rows]:
        with self._open() as file:
            schema = self._logical(file.schema_arrow)
            fields = [schema.field(name) for name in columns]
            wanted = pa.schema(fields, metadata=schema.metadata)
            for batch in self._batches(file, columns):
                found = [restored(batch.column(field.name), field) for field in fields]
                yield _batch(found, wanted, len(batch)), ()

    def _batches(self, file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from file.iter_batches(batch_size=_ROWS, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise self._source.unreadable(error) from error

    def count(self) -> int:
        with self._open() as file:
            return int(file.metadata.num_rows)

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._source.store.open(self._source.entry.path))
        except (pa.ArrowException, OSError) as error:
            raise self._source.unreadable(error) from error

    def _logical(self, stored: pa.Schema) -> pa.Schema:
        metadata = dict(stored.metadata or {})
        kept = metadata.pop(SCHEMA_KEY, None)
        if kept is not None:
            return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept)))
        return pa.schema([hollow(field) for field in stored], metadata=metadata or None)


class JsonlReader:
    """JSON Lines: by a known schema, else by what BSON makes of the objects."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: pa.Schema | None = source.noted

    def schema(self) -> pa.Schema:
        if self._found is None:
            self._found = _decoded_schema(self._source, _relaxed, self._source.given)
        return self._found

    def rows(self, columns: list[str]) -> Iterator[Rows]:
        schema = self.schema()
        if self._source.noted is None and not self._source.given:
            yield from _decoded(self._source, _relaxed, schema, columns)
            return
        converters = {field.name: values.converter(textual(field)) for field in schema}
        for lines in self._source.lines():
            yield self._converted(lines, schema, converters, columns)

    def _converted(
        self,
        lines: list[tuple[int, bytes]],
        schema: pa.Schema,
        converters: dict[str, values.Convert],
        columns: list[str],
    ) -> Rows:
        kept, found, rejected = [], [], []
        for number, line in lines:
            try:
                found.append(values.row(_object(line), converters))
                kept.append((number, line))
            except (ValueError, RecursionError) as error:
                rejected.append(self._source.rejected(line, number, error))
        arrays, bad = build(found, list(schema))
        rejected += [self._source.rejected(kept[row][1], kept[row][0], why) for row, why in bad.items()]
        batch = (
            pa.RecordBatch.from_arrays(arrays, schema=schema) if arrays else _batch([], schema, len(found))
        )
        return _without(batch, set(bad)).select(columns), tuple(rejected)


class EjsonReader:
    """Canonical (or relaxed) Extended JSON: documents as a MongoDB collection has them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: pa.Schema | None = None

    def schema(self) -> pa.Schema:
        if self._found is None:
            self._found = _decoded_schema(self._source, ejson.document_of, {})
        return self._found

    def rows(self, columns: list[str]) -> Iterator[Rows]:
        return _decoded(self._source, ejson.document_of, self.schema(), columns)

    def documents(self) -> Iterator[tuple[Documents, tuple[Rejected, ...]]]:
        """Whole documents."""
        return _documents(self._source, ejson.document_of)


def _relaxed(line: str) -> bytes:
    return ejson.document_of(exact(loads(line)))


def _documents(
    source: Source, convert: Callable[[str], bytes]
) -> Iterator[tuple[Documents, tuple[Rejected, ...]]]:
    for lines in source.lines():
        found: list[bytes] = []
        rejected: list[Rejected] = []
        for number, line in lines:
            try:
                found.append(convert(line.decode()))
            except (ValueError, RecursionError) as error:
                rejected.append(source.rejected(line, number, error))
        yield Documents.from_list(found), tuple(rejected)


def _decoded(
    source: Source, convert: Callable[[str], bytes], schema: pa.Schema, columns: list[str]
) -> Iterator[Rows]:
    decoder = Decoder(schema)
    for documents, rejected in _documents(source, convert):
        batch, bad = decoder.decode(documents)
        yield batch.select(columns), (*rejected, *bad)


def _decoded_schema(source: Source, convert: Callable[[str], bytes], given: dict[str, pa.Field]) -> pa.Schema:
    decoder = Decoder()
    for documents, _ in _documents(source, convert):
        decoder.decode(documents)
    return pa.schema([given.get(field.name, field) for field in decoder.schema])


def _object(line: bytes) -> dict[str, Any]:
    value = loads(line.decode())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - told like other bad lines
    return value


def _batch(columns: list[pa.Array], schema: pa.Schema, rows: int) -> pa.RecordBatch:
    if columns:
        return pa.RecordBatch.from_arrays(columns, schema=schema)
    hollow_rows = pa.array([{}] * rows, pa.struct([]))
    return pa.RecordBatch.from_struct_array(hollow_rows)


def _without(batch: pa.RecordBatch, rows: set[int]) -> pa.RecordBatch:
    if not rows:
        return batch
    return batch.take(pa.array([row for row in range(len(batch)) if row not in rows], pa.int64()))


def widened(schemas: list[pa.Schema]) -> pa.Schema:
    """The least schema that holds the rows of all files."""
    found: Any = None
    for schema in schemas:
        found = schema if found is None else widen(found, schema)
    return pa.schema([]) if found is None else found
