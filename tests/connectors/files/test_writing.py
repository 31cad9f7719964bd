"""What is written, as other programs read it; and that nothing half-written is ever seen."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import levada
from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write
from levada.connectors.files import FilesConnection
from levada.connectors.files.formats import COMPRESSIONS, EXTENSIONS, by_name
from levada.errors import ConfigError, Fatal, Fenced
from levada.positions import Position
from levada.windows import Window

pytestmark = pytest.mark.unit

WHEN = datetime(2026, 11, 23, 5, 6, 7, 89000, tzinfo=UTC)
START = datetime(2026, 11, 23, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("text", pa.string()),
        ("price", pa.decimal128(38, 2)),
        ("at", pa.timestamp("ms", "UTC")),
        ("share", pa.float64()),
        ("flag", pa.bool_()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("city", pa.string()), ("zip", pa.int32())])),
    ]
)
ROWS: list[dict[str, Any]] = [
    {
        "id": 2**53 + 1,
        "text": 'say "hi", Zoë\nor not',
        "price": Decimal("12345678901234567890123456789012345.50"),
        "at": WHEN,
        "share": 0.1,
        "flag": True,
        "tags": ["a,b", 'c"d', None],
        "place": {"city": "Funchal", "zip": 9000},
    },
    {
        "id": 2,
        "text": "",
        "price": Decimal("1.00"),
        "at": None,
        "share": 1e300,
        "flag": False,
        "tags": [],
        "place": None,
    },
    {
        "id": 3,
        "text": None,
        "price": None,
        "at": WHEN,
        "share": -0.0,
        "flag": None,
        "tags": None,
        "place": {"city": None, "zip": None},
    },
]


def connect(folder: Path, **options: Any) -> FilesConnection:
    settings = FilesConnection.settings_model.model_validate({"path": str(folder), **options})
    return FilesConnection("files", settings, folder)


def put(
    connection: FilesConnection,
    name: str,
    rows: Any = None,
    mode: Mode = Mode.REPLACE,
    owner: str = "test",
    window: Window | None = None,
    schema: pa.Schema = SCHEMA,
    sequence: int = 0,
    epoch: int | None = None,
) -> Any:
    table = Table("files", name)
    fence = None if epoch is None else Fence(epoch)
    writer = connection.sink(table).open(Write(table, mode, owner, window=window, fence=fence))
    for part in [ROWS] if rows is None else rows:
        writer.write(
            Batch(part if isinstance(part, pa.RecordBatch) else pa.RecordBatch.from_pylist(part, schema))
        )
    return writer.commit(Position({"": sequence}, sequence) if sequence else None)


def numbers(*parts: range) -> Iterator[pa.RecordBatch]:
    for part in parts:
        yield pa.record_batch({"id": pa.array(part, pa.int64())})


def ids(connection: FilesConnection, name: str) -> list[int]:
    batches = connection.source(Table("files", name), Query(columns=("id",))).read(None, None)
    return [value for batch in batches for value in batch.data.column("id").to_pylist()]


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def test_csv_is_rfc_4180_and_python_reads_it(tmp_path: Path) -> None:
    put(connect(tmp_path), "t.csv")
    raw = (tmp_path / "t.csv").read_bytes()
    assert raw.endswith(b"\r\n")
    with (tmp_path / "t.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found[0] == {
        "id": "9007199254740993",
        "text": 'say "hi", Zoë\nor not',
        "price": "12345678901234567890123456789012345.50",
        "at": "2026-11-23T05:06:07.089Z",
        "share": "0.1",
        "flag": "true",
        "tags": '["a,b","c\\"d",null]',
        "place": '{"city":"Funchal","zip":{"$numberInt":"9000"}}',
    }
    assert b'2,"",1.00,,1e+300,false,[],\r\n' in raw
    assert b"3,,,2026-11-23T05:06:07.089Z,-0.0,,,{}\r\n" in raw


def test_duckdb_reads_csv_json_and_parquet(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    for name in ("t.csv", "t.jsonl", "t.jsonl.zst", "t.jsonl.gz", "t.parquet"):
        put(connection, name)
    asked = 'SELECT id, text, CAST("at" AS TIMESTAMPTZ) AS "at", share FROM {} ORDER BY id'
    wanted = [
        (row["id"], row["text"], row["at"], row["share"]) for row in sorted(ROWS, key=lambda row: row["id"])
    ]
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for reader in (
            f"read_csv('{tmp_path}/t.csv', nullstr='', allow_quoted_nulls=false)",
            f"read_parquet('{tmp_path}/t.parquet')",
        ):
            found = database.sql(asked.format(reader)).to_arrow_table().to_pylist()
            assert [tuple(row.values()) for row in found] == wanted


def test_json_lines_are_plain_where_that_is_exact(tmp_path: Path) -> None:
    put(connect(tmp_path), "t.jsonl")
    first, second, third = map(json.loads, (tmp_path / "t.jsonl").read_text().splitlines())
    assert first == {
        "id": 2**53 + 1,
        "text": 'say "hi", Zoë\nor not',
        "price": {"$numberDecimal": "12345678901234567890123456789012345.50"},
        "at": "2026-11-23T05:06:07.089Z",
        "share": 0.1,
        "flag": True,
        "tags": ["a,b", 'c"d', None],
        "place": {"city": "Funchal", "zip": 9000},
    }
    assert (second["text"], second["place"], second["tags"]) == ("", None, [])
    assert (third["text"], third["place"]) == (None, {"city": None, "zip": None})


def test_parquet_has_row_groups_of_exactly_so_many_rows_in_zstd(tmp_path: Path) -> None:
    connection = connect(tmp_path, row_group_rows=1000)
    put(connection, "t.parquet", numbers(range(700), range(700, 2600), range(2600, 2601)))
    footer = pq.ParquetFile(tmp_path / "t.parquet").metadata
    assert [footer.row_group(at).num_rows for at in range(footer.num_row_groups)] == [1000, 1000, 601]
    assert footer.row_group(0).column(0).compression == "ZSTD"
    assert connect(tmp_path).settings.row_group_rows == 122_880
    assert ids(connection, "t.parquet") == list(range(2601))


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "ejson"])
def test_a_folder_gets_new_files_as_they_grow(tmp_path: Path, kind: str) -> None:
    connection = connect(tmp_path, format=kind, file_bytes=20_000, row_group_rows=2_000)
    put(connection, "t", numbers(range(10_000), range(10_000, 20_000)))
    files = visible(tmp_path / "t")
    assert len(files) > 2
    assert files == [f"data-{number:04d}.{kind}" for number in range(len(files))]
    assert ids(connection, "t") == list(range(20_000))
    put(connection, "t", numbers(range(5)))
    assert visible(tmp_path / "t") == [f"data-0000.{kind}"]
    assert ids(connection, "t") == [0, 1, 2, 3, 4]


def test_an_append_of_a_window_is_one_set_of_files_that_running_again_replaces(tmp_path: Path) -> None:
    connection = connect(tmp_path, format="csv", compression="gzip", file_bytes=5_000, row_group_rows=500)
    days = [Window(START + timedelta(days=n), START + timedelta(days=n + 1)) for n in range(2)]
    for day in days:
        put(connection, "t", numbers(range(3000)), Mode.APPEND, window=day)
    many = len(visible(tmp_path / "t"))
    put(connection, "t", numbers(range(3)), Mode.APPEND, window=days[0])
    names = visible(tmp_path / "t")
    assert len(names) == many // 2 + 1
    assert names[0].startswith("20261123T000000Z-20261124T000000Z-")
    assert gzip.decompress((tmp_path / "t" / names[0]).read_bytes()) == b"id\r\n0\r\n1\r\n2\r\n"
    put(connection, "t", numbers(range(1)), Mode.APPEND)
    put(connection, "t", numbers(range(1)), Mode.APPEND)
    assert len(visible(tmp_path / "t")) == len(names) + 2


def test_a_table_of_one_file_takes_one_append_and_the_same_again(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    day = Window(START, START + timedelta(days=1))
    put(connection, "t.csv", numbers(range(3)), Mode.APPEND, window=day, sequence=1)
    put(connection, "t.csv", numbers(range(4)), Mode.APPEND, window=day, sequence=2)
    assert ids(connection, "t.csv") == [0, 1, 2, 3]
    for other in ({"owner": "another"}, {"window": None}):
        with pytest.raises(ConfigError, match="there already"):
            put(connection, "t.csv", numbers(range(5)), Mode.APPEND, **{"window": day, **other})
    assert ids(connection, "t.csv") == [0, 1, 2, 3]


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    odd = pa.record_batch({"x": pa.array([None], pa.month_day_nano_interval())})
    with pytest.raises(Fatal, match="text form"):
        put(connect(tmp_path), "t.csv", [odd])
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_newer_owner_that_comes_while_files_are_written_keeps_its_rows(tmp_path: Path) -> None:
    connection = connect(tmp_path)
    table = Table("files", "t")
    late = connection.sink(table).open(Write(table, Mode.REPLACE, "test", fence=Fence(1)))
    late.write(Batch(next(numbers(range(9)))))
    put(connection, "t", numbers(range(2)), epoch=2)
    with pytest.raises(Fenced):
        late.commit(None)
    assert ids(connection, "t") == [0, 1]


KILLED = """
import os, signal, sys
from pathlib import Path
import pyarrow as pa
from levada.batches import Batch
from levada.connectors.base import Mode, Table, Write
from levada.connectors.files import FilesConnection, stores
folder = Path(sys.argv[1])
def die(self):
    os.kill(os.getpid(), signal.SIGKILL)
stores.LocalDraft.publish = die
settings = FilesConnection.settings_model(path=str(folder), format="jsonl")
connection = FilesConnection("files", settings, folder)
table = Table("files", "t")
writer = connection.sink(table).open(Write(table, Mode.REPLACE, "test"))
writer.write(Batch(pa.record_batch({"id": list(range(1000))})))
writer.commit(None)
"""


def test_a_killed_write_leaves_drafts_only_and_the_next_one_removes_them(tmp_path: Path) -> None:
    connection = connect(tmp_path, format="jsonl")
    put(connection, "t", numbers(range(3)))
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    drafts = list((tmp_path / "t" / "_levada").rglob("*.tmp"))
    assert drafts
    assert visible(tmp_path / "t") == ["data-0000.jsonl"]
    assert ids(connection, "t") == [0, 1, 2]
    put(connection, "t", numbers(range(4)))
    assert ids(connection, "t") == [0, 1, 2, 3]
    assert [file for file in drafts if file.exists()] == []


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a file, not a folder")
    with pytest.raises(Fatal):
        put(connect(tmp_path, format="csv"), "t/x/y")


@pytest.mark.parametrize("name", ["../t.csv", "/t.csv", "_t.csv", "a//b.csv", "a/_b/c.csv"])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="can't be a table"):
        connect(tmp_path).sink(Table("files", name))


def test_a_pattern_is_only_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only be read"):
        put(connect(tmp_path), "*.csv")


def test_addresses_lead_to_files_by_their_extension(tmp_path: Path) -> None:
    from levada.connectors.addresses import FILE

    names = [f"t.{kind}" for kind in EXTENSIONS]
    names += [f"t.{kind}.{packed}" for kind in EXTENSIONS if kind != "parquet" for packed in COMPRESSIONS]
    assert all(FILE.search(name) and by_name(name)[0] for name in names)
    for other in ("t", "t.parquet.gz", "csv", "t.csv.d", "t.gz", ".csv"):
        assert not FILE.search(other), other
        assert by_name(other)[0] is None, other
    (tmp_path / "in.csv").write_text("id,zip\n1,007\n")
    for name in names:
        done = levada.copy(f"file://{tmp_path}/in.csv", f"file://{tmp_path}/out/{name}", mode="replace")
        assert done.rows == 1
        assert levada.read(f"file://{tmp_path}/out/{name}").read_all().to_pylist() == [
            {"id": 1, "zip": "007"}
        ]
    levada.copy(f"file://{tmp_path}/out/*.csv.gz", f"file://{tmp_path}/lake/t")
    assert levada.read(f"file://{tmp_path}/lake/t").read_all().to_pylist() == [{"id": 1, "zip": "007"}]
    assert os.path.isdir(tmp_path / "lake" / "t" / "_delta_log")  # noqa: PTH112


def test_a_folder_with_something_else_in_it_is_not_replaced(tmp_path: Path) -> None:
    connection = connect(tmp_path, format="csv")
    put(connection, "t", numbers(range(3)))
    (tmp_path / "t" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        put(connection, "t", numbers(range(4)))
    assert visible(tmp_path / "t") == ["data-0000.csv", "notes.txt"]
