"""Batches -> the bytes of one file, format by format."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.batches import CANONICAL, Batch, Rejected
from levada.bson import encode, from_canonical
from levada.connectors.files import ejson
from levada.connectors.files.cells import buffer_of, cells, joined, pieces, quoted_cells
from levada.connectors.files.formats import Compression, Format
from levada.connectors.files.hollow import filled, filled_schema
from levada.connectors.files.settings import FilesSettings
from levada.connectors.files.stores import Draft
from levada.types.layout import row_text

#: Key of a Parquet file's metadata: the logical Arrow schema, base64 of its IPC form.
SCHEMA_KEY = b"levada.schema"

Refused = list[Rejected]


class Encoder(Protocol):
    """Writes the rows of one file."""

    def write(self, batch: pa.RecordBatch) -> Refused:
        """Write rows; returns those the format can't hold."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Form:
    """How files are written: format, compression, and what the connection's settings say."""

    format: Format
    compression: Compression
    settings: FilesSettings

    def encoder(self, draft: Draft, schema: pa.Schema) -> Encoder:
        return _ENCODERS[self.format](draft, schema, self)


class _Raw:
    """A draft as the file that pyarrow wants; closing it leaves the draft open."""

    closed = False

    def __init__(self, draft: Draft) -> None:
        self.write = draft.write
        self._draft = draft

    def tell(self) -> int:
        return self._draft.size

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        self.closed = True


class _Output:
    """Text on its way into a draft: encoded and compressed."""

    def __init__(self, draft: Draft, form: Form) -> None:
        self.encoding = form.settings.encoding
        self._encoder = codecs.getincrementalencoder(self.encoding)()
        self._stream: Any = pa.PythonFile(_Raw(draft), mode="w")
        if form.compression is not Compression.NONE:
            self._stream = pa.CompressedOutputStream(self._stream, form.compression.value)

    def lines(self, lines: pa.Array, batch: pa.RecordBatch) -> Refused:
        """Write whole lines; returns the rows that the encoding has no characters for."""
        if self.encoding == "utf-8":
            self._stream.write(buffer_of(lines))
            return []
        refused = []
        for row, line in enumerate(lines.to_pylist()):
            try:
                self._stream.write(self._encoder.encode(line))
            except UnicodeEncodeError as error:
                reason = f"{self.encoding} has no character {error.object[error.start]!r}"
                refused.append(Rejected(row_text(batch, row), reason))
        return refused

    def text(self, text: str) -> None:
        self._stream.write(self._encoder.encode(text))

    def close(self) -> None:
        self._stream.close()


class CsvEncoder:
    """RFC 4180 with a header."""

    def __init__(self, draft: Draft, schema: pa.Schema, form: Form) -> None:
        self._output = _Output(draft, form)
        self._delimiter = form.settings.delimiter
        names = quoted_cells(pa.array(schema.names, pa.string()), self._delimiter)
        self._output.text(self._delimiter.join(names.to_pylist()) + "\r\n")

    def write(self, batch: pa.RecordBatch) -> Refused:
        refused: Refused = []
        for part in pieces(batch):
            columns = [
                quoted_cells(cells(column, field), self._delimiter).fill_null("")
                for column, field in zip(part.columns, part.schema, strict=True)
            ]
            joint = pc.binary_join_element_wise(*columns, self._delimiter)
            refused += self._output.lines(pc.binary_join_element_wise(joint, "\r\n", ""), part)
        return refused

    def close(self) -> None:
        self._output.close()


class JsonlEncoder:
    """One JSON object per line."""

    def __init__(self, draft: Draft, _schema: pa.Schema, form: Form) -> None:
        self._output = _Output(draft, form)

    def write(self, batch: pa.RecordBatch) -> Refused:
        refused: Refused = []
        for part in pieces(batch):
            objects = joined(part.columns, list(part.schema), len(part))
            refused += self._output.lines(pc.binary_join_element_wise(objects, "\n", ""), part)
        return refused

    def close(self) -> None:
        self._output.close()


class EjsonEncoder:
    """One document of canonical Extended JSON per line."""

    def __init__(self, draft: Draft, _schema: pa.Schema, form: Form) -> None:
        self._output = _Output(draft, form)

    def write(self, batch: pa.RecordBatch) -> Refused:
        refused: Refused = []
        documents = batch
        if not Batch(batch).canonical:
            column, bad = encode(batch)
            refused += bad
            documents = pa.record_batch([column], schema=CANONICAL)
        lines, bad_documents = ejson.texts(from_canonical(documents).slices())
        if lines:
            self._output.text("\n".join(lines) + "\n")
        return refused + bad_documents

    def close(self) -> None:
        self._output.close()


class ParquetEncoder:
    """Parquet in zstd, with row groups of exactly so many rows."""

    def __init__(self, draft: Draft, schema: pa.Schema, form: Form) -> None:
        kept = {
            **(schema.metadata or {}),
            SCHEMA_KEY: base64.b64encode(schema.serialize().to_pybytes()),
        }
        self._schema = filled_schema(schema).with_metadata(kept)
        self._rows = form.settings.row_group_rows
        self._held: list[pa.RecordBatch] = []
        self._writer = pq.ParquetWriter(
            pa.PythonFile(_Raw(draft), mode="w"), self._schema, compression="zstd"
        )

    def write(self, batch: pa.RecordBatch) -> Refused:
        self._held.append(filled(batch, self._schema))
        while sum(map(len, self._held)) >= self._rows:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table.slice(0, self._rows), row_group_size=self._rows)
            self._held = table.slice(self._rows).to_batches()
        return []

    def close(self) -> None:
        if sum(map(len, self._held)):
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table, row_group_size=self._rows)
        self._writer.close()


_ENCODERS: dict[Format, Callable[[Draft, pa.Schema, Form], Encoder]] = {
    Format.CSV: CsvEncoder,
    Format.JSONL: JsonlEncoder,
    Format.EJSON: EjsonEncoder,
    Format.PARQUET: ParquetEncoder,
}
