"""Any batch -> a file -> back, equal in types, labels and values; and other programs read the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings

from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.files import FilesConnection

from .arrow_rows import batches, plain

pytestmark = pytest.mark.unit

TYPED = ["parquet", "csv", "csv.gz", "jsonl", "jsonl.zst"]


def write(folder: Path, name: str, *parts: pa.RecordBatch, **options: object) -> FilesConnection:
    settings_ = FilesConnection.settings_model.model_validate({"path": str(folder), **options})
    connection = FilesConnection("files", settings_, folder)
    table = Table("files", name)
    writer = connection.sink(table).open(Write(table, Mode.REPLACE, "test"))
    for part in parts:
        writer.write(Batch(part))
    written = writer.commit(None)
    assert written.rejected == ()
    assert written.rows == sum(map(len, parts))
    return connection


def read(connection: FilesConnection, name: str, query: Query | None = None) -> pa.Table:
    found = list(connection.source(Table("files", name), query or Query()).read(None, None))
    assert all(batch.rejected == () for batch in found)
    return pa.Table.from_batches([batch.data for batch in found])


def same(found: pa.Table, wanted: pa.RecordBatch) -> None:
    assert found.schema.equals(wanted.schema, check_metadata=True), f"{found.schema}\n{wanted.schema}"
    for name, column in zip(wanted.schema.names, wanted.columns, strict=True):
        assert plain(found.column(name).combine_chunks()) == plain(column), name


@pytest.mark.parametrize("extension", TYPED)
@settings(max_examples=60, deadline=None)
@given(batch=batches())
@example(batch=pa.RecordBatch.from_pylist([{"a": {"n": None, "l": [None, None]}}, {"a": {"l": [None]}}]))
def test_every_kind_comes_back_from_a_file(extension: str, batch: pa.RecordBatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        connection = write(Path(folder), f"t.{extension}", batch)
        same(read(connection, f"t.{extension}"), batch)


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl"])
@settings(max_examples=60, deadline=None)
@given(batch=batches(others=True))
def test_types_that_bson_lacks_come_back_too(extension: str, batch: pa.RecordBatch) -> None:
    with tempfile.TemporaryDirectory() as folder:
        connection = write(Path(folder), f"t.{extension}", batch)
        same(read(connection, f"t.{extension}"), batch)
