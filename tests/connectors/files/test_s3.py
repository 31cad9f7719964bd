"""Files in an object store, on a server that is reached over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.fs
import pytest

from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.files import FilesConnection
from levada.errors import ConfigError, Fatal, Retriable
from levada.positions import Position

from ...s3 import S3  # noqa: TID252

KINDS = ["parquet", "csv", "csv.gz", "jsonl", "jsonl.zst", "ejson"]


MEANS = {
    "AWS_ACCESS_KEY_ID": "the store does not know the access key",
    "AWS_SECRET_ACCESS_KEY": "the secret does not belong to the access key",
}


@pytest.fixture
def prefix(s3: S3) -> str:
    return s3.prefix()


@pytest.fixture
def connection(s3: S3, prefix: str, tmp_path: Path) -> FilesConnection:
    return connect(s3, prefix, tmp_path)


def connect(s3: S3, prefix: str, root: Path, **options: Any) -> FilesConnection:
    stored = {**s3.options, **options.pop("storage_options", {})}
    settings = {"path": prefix, "storage_options": stored, **options}
    return FilesConnection("far", FilesConnection.settings_model.model_validate(settings), root)


def put(
    connection: FilesConnection, name: str, rows: range, mode: Mode = Mode.REPLACE, sequence: int = 0
) -> None:
    table = Table("far", name)
    writer = connection.sink(table).open(Write(table, mode, "test"))
    for first in range(rows.start, rows.stop, 10_000):
        part = range(first, min(first + 10_000, rows.stop))
        writer.write(Batch(pa.record_batch({"id": pa.array(part), "text": [f"row {i}" for i in part]})))
    writer.commit(Position({"": sequence}, sequence) if sequence else None)


def ids(connection: FilesConnection, name: str) -> list[int]:
    batches = connection.source(Table("far", name), Query(columns=("id",))).read(None, None)
    return [value for batch in batches for value in batch.data.column("id").to_pylist()]


def objects(s3: S3, prefix: str) -> dict[str, int]:
    """Name -> bytes of every object below the prefix, by another client."""
    host = s3.url.removeprefix("http://")
    files = pyarrow.fs.S3FileSystem(
        access_key=s3.key, secret_key=s3.secret, endpoint_override=host, scheme="http", region="us-east-1"
    )
    root = prefix.removeprefix("s3://")
    found = files.get_file_info(pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {entry.path.removeprefix(f"{root}/"): entry.size for entry in found if entry.is_file}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_written_read_and_replaced(connection: FilesConnection, kind: str) -> None:
    put(connection, f"out/t.{kind}", range(30_000))
    assert ids(connection, f"out/t.{kind}") == list(range(30_000))
    with pytest.raises(ConfigError, match="there already"):
        put(connection, f"out/t.{kind}", range(1), Mode.APPEND)
    put(connection, f"out/t.{kind}", range(5), sequence=4)
    assert ids(connection, f"out/t.{kind}") == [0, 1, 2, 3, 4]
    assert connection.sink(Table("far", f"out/t.{kind}")).position("test") == Position({"": 4}, 4)


def test_a_folder_is_rotated_appended_to_and_replaced(s3: S3, prefix: str, tmp_path: Path) -> None:
    connection = connect(s3, prefix, tmp_path, format="csv", file_bytes=100_000, row_group_rows=5_000)
    put(connection, "t", range(40_000))
    put(connection, "t", range(40_000, 40_003), Mode.APPEND)
    assert sorted(ids(connection, "t")) == list(range(40_003))
    names = [name for name in objects(s3, prefix) if "_levada" not in name]
    assert len(names) > 4
    put(connection, "t", range(3))
    assert [name for name in objects(s3, prefix) if "_levada" not in name] == ["t/data-0000.csv"]
    assert ids(connection, "t") == [0, 1, 2]


def test_a_write_that_fails_leaves_no_object(s3: S3, prefix: str, connection: FilesConnection) -> None:
    table = Table("far", "t.csv")
    writer = connection.sink(table).open(Write(table, Mode.REPLACE, "test"))
    many = pa.record_batch({"id": pa.array(range(500_000)), "text": ["x" * 30] * 500_000})
    writer.write(Batch(many))
    writer.write(Batch(pa.record_batch({"odd": pa.array([None], pa.month_day_nano_interval())})))
    with pytest.raises(Fatal, match="text form"):
        writer.commit(None)
    assert objects(s3, prefix) == {}


def test_another_reader_sees_the_bytes(
    s3: S3, prefix: str, connection: FilesConnection, tmp_path: Path
) -> None:
    put(connection, "t.parquet", range(1000))
    host = s3.url.removeprefix("http://")
    files = pyarrow.fs.S3FileSystem(
        access_key=s3.key, secret_key=s3.secret, endpoint_override=host, scheme="http", region="us-east-1"
    )
    with files.open_input_file(f"{prefix.removeprefix('s3://')}/t.parquet") as stored:
        (tmp_path / "t.parquet").write_bytes(stored.read())
    assert duckdb.sql(f"SELECT sum(id) FROM '{tmp_path}/t.parquet'").fetchall() == [(499_500,)]


@pytest.mark.parametrize("option", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_a_wrong_key_is_told_and_never_printed(s3: S3, prefix: str, tmp_path: Path, option: str) -> None:
    wrong = "WRONGWRONGWRONG42"
    connection = connect(s3, prefix, tmp_path, storage_options={option: wrong})
    with pytest.raises(Fatal) as caught:
        put(connection, "t.csv", range(3))
    assert caught.value.what == MEANS[option]
    assert caught.value.hint
    assert "storage_options" in caught.value.hint
    (unreachable,) = [finding for finding in connection.diagnose() if not finding.ok]
    shown = f"{caught.value} {unreachable} {connection.settings!r} {connection.describe()}"
    assert wrong not in shown
    assert s3.secret not in shown


def test_a_bucket_that_is_not_there_and_a_server_that_does_not_answer(
    s3: S3, prefix: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^there is no bucket 'no-such-bucket'; "):
        put(connect(s3, "s3://no-such-bucket/x", tmp_path), "t.csv", range(3))
    closed = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    with pytest.raises(Retriable, match=r"^can't reach the store at 127.0.0.1:1: connection refused; "):
        ids(connect(s3, prefix, tmp_path, storage_options=closed), "t.csv")
