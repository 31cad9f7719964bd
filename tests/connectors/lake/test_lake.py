"""The lake's layout, schemas, errors and upkeep."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.connectors.base import Fence, Mode, Query, Table
from levada.connectors.lake import LakeConnection, LakeSettings
from levada.connectors.lake.beside import Beside
from levada.errors import ConfigError, Fatal, Fenced, PositionLost
from levada.positions import Position

from .conftest import DAY, Lake, items

BY_DAY = Table("lake", "items", key=("k",), time="t", partition_by=("day(t)",))


def test_settings_are_frozen_and_hide_their_secrets() -> None:
    settings = LakeSettings(path="s3://bucket/lake", storage_options={"AWS_SECRET_ACCESS_KEY": "hush"})
    assert "hush" not in repr(settings)
    assert settings.options() == {"AWS_SECRET_ACCESS_KEY": "hush"}
    assert settings.root(Path("/project")) == "s3://bucket/lake"
    with pytest.raises(ValueError, match="frozen"):
        settings.path = "elsewhere"  # type: ignore[misc]
    with pytest.raises(ValueError, match="extra"):
        LakeSettings.model_validate({"path": "lake", "pathh": 1})


def test_opening_a_connection_touches_nothing(tmp_path: Path) -> None:
    connection = LakeConnection("lake", LakeSettings(path="lake"), tmp_path)
    connection.source(BY_DAY, Query())
    connection.sink(BY_DAY)
    connection.close()
    assert list(tmp_path.iterdir()) == []


def test_a_generated_partition_is_hidden_from_readers_and_written_for_every_mode(lake: Lake) -> None:
    lake.write(items(1, 30), table=BY_DAY)
    lake.write(items(2), table=BY_DAY, mode=Mode.REPLACE_WINDOW, window=DAY)
    lake.write(items(30, 31, n=1), table=BY_DAY, mode=Mode.UPSERT)
    assert lake.read(table=BY_DAY).schema.names == ["k", "t", "n"]
    days = pa.table(lake.delta().scan()).select(["k", "day"]).to_pylist()
    assert sorted((row["k"], f"{row['day']}") for row in days) == [
        ("k2", "2026-11-23"),
        ("k30", "2026-11-24"),
        ("k31", "2026-11-24"),
    ]


def test_a_window_reads_the_files_of_its_day_only(lake: Lake) -> None:
    lake.write(items(1, 30, 60), table=BY_DAY)
    for folder in Path(lake.connection.uri(BY_DAY)).glob("day=2026-11-2[45]"):
        for file in folder.glob("*.parquet"):
            file.write_bytes(b"unreadable")
    assert lake.read(table=BY_DAY, window=DAY)["k"].to_pylist() == ["k1"]


def test_a_rewrite_keeps_partitions_generated_columns_and_run_tags(make_lake: Callable[..., Lake]) -> None:
    lake = make_lake(on_type_change="rewrite")
    lake.write(items(1, n=pa.scalar(1, pa.int32())), table=BY_DAY, window=DAY)
    lake.write(items(2, n=2**40), table=BY_DAY, owner="other")
    lake.write(items(3, n=3), table=BY_DAY, window=DAY)
    assert lake.rows("k", "n") == [("k2", 2**40), ("k3", 3)]
    assert lake.delta().metadata().partition_columns == ["day"]
    assert set(pa.table(lake.delta().scan())["day"].to_pylist()) == {DAY.start.date()}


def test_another_partitioning_needs_a_replacement(lake: Lake) -> None:
    lake.write(items(1))
    with pytest.raises(ConfigError, match="partitioned by nothing"):
        lake.write(items(2), table=BY_DAY)
    lake.write(items(2), table=BY_DAY, mode=Mode.REPLACE)
    assert lake.delta().metadata().partition_columns == ["day"]
    lake.write(items(3))
    assert lake.rows("k") == ["k2", "k3"]


@pytest.mark.parametrize("partition", ["month(t)", "day(t", "nope", "day(k)"])
def test_a_partition_that_can_not_be_made_is_refused(lake: Lake, partition: str) -> None:
    table = Table("lake", "items", time="t", partition_by=(partition,))
    with pytest.raises(ConfigError):
        lake.write(items(1), table=table)


def test_a_column_of_the_generated_name_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="'day' of their own"):
        lake.write(items(1, day="monday"), table=BY_DAY)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc", "_delta", "a//b", "a/_b", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(lake: Lake, name: str) -> None:
    with pytest.raises(ConfigError):
        lake.connection.sink(Table("lake", name)).position("p/s")


def test_tables_in_folders_are_listed(lake: Lake) -> None:
    for name in ("raw/items", "raw/deep/er", "plain", "with space", "ünï"):
        lake.write(items(1), table=Table("lake", name))
    assert lake.connection.tables() == ["plain", "raw/deep/er", "raw/items", "with space", "ünï"]


@pytest.mark.parametrize("name", ['quo"te', "it's", "a.b", "a b", "ünï", "a;b", "select", "A", "%41"])
@pytest.mark.parametrize("mode", list(Mode))
def test_hostile_column_names_work_in_every_mode(lake: Lake, mode: Mode, name: str) -> None:
    table = Table("lake", "items", key=(name,), time=f"{name} at")
    batch = items(1, 30).rename_columns([name, table.time or ""])
    for sequence in (1, 2):
        lake.write(batch, mode=Mode.REPLACE, table=table, owner="seed")
        window = DAY if mode in (Mode.APPEND, Mode.REPLACE_WINDOW) else None
        sent = batch.slice(0, 1) if window else batch
        lake.write(sent, mode=mode, table=table, window=window, position=Position({}, sequence))
    found = lake.read(Query(columns=(name,)), table=table, window=DAY)
    assert found.column(0).to_pylist() == (["k1", "k1"] if mode is Mode.APPEND else ["k1"])


def test_columns_without_a_value_wait_for_their_type(lake: Lake) -> None:
    first = pa.RecordBatch.from_pydict(
        {
            "k": ["a"],
            "none": pa.nulls(1),
            "nones": pa.array([[None, None]], pa.list_(pa.null())),
            "empty": pa.array([{}], pa.struct([])),
            "deep": pa.array([{"x": 1, "none": None, "l": []}]),
        }
    )
    lake.write(first)
    assert lake.read().equals(pa.Table.from_batches([first]))
    assert pa.schema(lake.delta().schema().to_arrow()).names == ["k", "nones", "empty", "deep"]
    second = pa.RecordBatch.from_pydict(
        {
            "k": ["b"],
            "none": [7],
            "nones": [["x"]],
            "empty": [{"y": 1.5}],
            "deep": [{"x": 2, "none": "z", "l": [2]}],
        }
    )
    lake.write(second, mode=Mode.UPSERT)
    found = {row["k"]: row for row in lake.read().to_pylist()}
    assert found["b"] == second.to_pylist()[0]
    assert found["a"] == {
        "k": "a",
        "none": None,
        "nones": [None, None],
        "empty": {"y": None},
        "deep": {"x": 1, "none": None, "l": []},
    }


@pytest.mark.parametrize("mode", list(Mode))
def test_structs_and_lists_of_structs_grow_in_every_mode(lake: Lake, mode: Mode) -> None:
    old, new = {"a": 1, "l": [{"x": 1}]}, {"b": "y", "l": [{"z": [2.5]}]}
    lake.write(items(30, s=pa.scalar(old)), owner="seed")
    lake.write(items(1, s=pa.scalar(new)), mode=mode, window=DAY if mode is Mode.REPLACE_WINDOW else None)
    found = {row["k"]: row["s"] for row in lake.read().to_pylist()}
    grown = {"a": None, "b": "y", "l": [{"x": None, "z": [2.5]}]}
    assert found["k1"] == (new if mode is Mode.REPLACE else grown)
    if mode is not Mode.REPLACE:
        assert found["k30"] == {"a": 1, "b": None, "l": [{"x": 1, "z": None}]}


OTHER_TYPES = [1, 1.5, "x", [1], {"a": 1}, {"a": "y", "b": 2}, [{"a": 1}]]


@pytest.mark.parametrize("old", OTHER_TYPES, ids=str)
@pytest.mark.parametrize("new", OTHER_TYPES, ids=str)
def test_a_replacement_may_have_columns_of_other_types(lake: Lake, old: Any, new: Any) -> None:
    lake.write(items(1, v=pa.scalar(old)), mode=Mode.REPLACE)
    lake.write(items(2, v=pa.scalar(new)), mode=Mode.REPLACE)
    assert lake.rows("k", "v") == [("k2", new)]
    assert lake.read().schema.field("v").type == pa.scalar(new).type
    stored = pa.table(lake.delta().scan())["v"]  # what every other reader sees
    assert stored.to_pylist() == [new]


def test_bson_labels_come_back_at_every_depth(lake: Lake) -> None:
    def labelled(name: str, kind: pa.DataType, label: str) -> pa.Field:
        return pa.field(name, kind, metadata={b"levada.bson": label.encode()})

    schema = pa.schema(
        [
            labelled("_id", pa.string(), "objectId"),
            pa.field("ids", pa.list_(labelled("item", pa.string(), "objectId"))),
            pa.field("s", pa.struct([labelled("at", pa.timestamp("ms", "UTC"), "date")])),
        ],
        metadata={b"levada.mode": b"typed"},
    )
    row = {"_id": "0" * 24, "ids": ["1" * 24], "s": {"at": DAY.start}}
    batch = pa.RecordBatch.from_pylist([row], schema)
    lake.write(batch)
    lake.write(batch)
    assert lake.read().schema.equals(schema, check_metadata=True)


def test_the_last_of_rows_with_one_key_wins(lake: Lake) -> None:
    lake.write(items(1, n=0))
    written = lake.write(items(1, 2, 1, n=pa.array([1, 2, 3])), items(2, n=4), mode=Mode.UPSERT)
    assert written.rows == 2
    assert lake.rows("k", "n") == [("k1", 3), ("k2", 4)]


def test_rows_that_a_run_could_not_find_again_are_set_aside(lake: Lake) -> None:
    keyless = items(1, 2).set_column(0, "k", pa.array([None, "k2"]))
    written = lake.write(keyless, mode=Mode.UPSERT)
    assert (written.rows, [each.reason for each in written.rejected]) == (1, ["key k is null"])
    outside = lake.write(items(23, 24), mode=Mode.REPLACE_WINDOW, window=DAY)
    assert (outside.rows, len(outside.rejected)) == (1, 1)
    assert b'"k": "k24"' in outside.rejected[0].raw


def test_a_key_that_the_rows_lack_is_refused(lake: Lake) -> None:
    table = Table("lake", "items", key=("nope",))
    with pytest.raises(ConfigError, match="'nope'"):
        lake.write(items(1), mode=Mode.UPSERT, table=table)


def test_many_rows_go_through_the_disk(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.connectors.spool.MEMORY", 10_000)
    (lake.folder / ".levada").mkdir()
    connection = LakeConnection("lake", LakeSettings(path="lake"), lake.folder)
    lake.connection = connection
    batches = [items(*range(i * 500, i * 500 + 500), **({"x": i} if i % 2 else {})) for i in range(8)]
    lake.write(*batches, *batches, mode=Mode.UPSERT)
    assert sorted(lake.rows("k")) == sorted(f"k{i}" for i in range(4000))
    assert list((lake.folder / ".levada/tmp").iterdir()) == []


def test_pruning_removes_older_rows_and_keeps_timeless_ones(lake: Lake) -> None:
    lake.write(items(0, 1, 30), items(9).set_column(1, "t", pa.nulls(1, pa.timestamp("ms", "UTC"))))
    prune = lake.connection.delete_before
    assert prune(lake.table, "t", DAY.start + timedelta(hours=1)) == 1
    assert lake.rows("k") == ["k1", "k30", "k9"]
    assert prune(lake.table, "t", DAY.end, Fence(5)) == 1
    with pytest.raises(Fenced):
        prune(lake.table, "t", DAY.end + timedelta(9), Fence(4))
    with pytest.raises(ConfigError):
        prune(lake.table, "k", DAY.end)
    assert prune(Table("lake", "nope"), "t", DAY.end) == 0


def test_a_position_announced_but_not_committed_does_not_count(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": "first"}, 1))
    beside = Beside(lake.connection.uri(lake.table), {})
    beside.put_position("p/s", Position({"": "announced"}, 2), nonce=7)
    assert lake.connection.sink(lake.table).position("p/s") == Position({"": "first"}, 1)


def test_a_lost_position_file_is_not_taken_for_a_fresh_start(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": "first"}, 1))
    for file in Path(lake.connection.uri(lake.table)).glob("_levada/positions/*/*.json"):
        file.unlink()
    with pytest.raises(PositionLost):
        lake.connection.sink(lake.table).position("p/s")


def test_old_position_files_are_cleared_away(lake: Lake) -> None:
    for n in range(1, 20):
        lake.write(items(1), mode=Mode.REPLACE, position=Position({"": n}, n))
    files = list(Path(lake.connection.uri(lake.table)).glob("_levada/positions/*/*.json"))
    assert 0 < len(files) < 10
    assert lake.connection.sink(lake.table).position("p/s") == Position({"": 19}, 19)


def test_files_beside_a_table_work_through_the_drivers_file_system(tmp_path: Path) -> None:
    """The way of object stores, on a folder by its URI."""
    (tmp_path / "items").mkdir()
    beside = Beside(f"file://{tmp_path}/items", {})
    for n in range(1, 9):
        beside.put_position("p/s", Position({"": n}, n), nonce=n)
    beside.forget_positions("p/s", before=9)
    assert beside.position("p/s", 8, 8) == Position({"": 8}, 8)
    assert beside.position("p/s", 1, 1) is None
    beside.forget_positions("never", before=9)
    number = beside.put_schema(items(1).schema)
    assert Beside(f"file://{tmp_path}/items", {}).schema(number) == items(1).schema
    assert Beside(f"file://{tmp_path}/items", {}).schema(1) is None


def test_an_unknown_table_and_an_unknown_column_say_what_there_is(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="no table 'items'"):
        lake.read()
    lake.write(items(1))
    with pytest.raises(ConfigError, match=r"'nope'.*k, t"):
        lake.read(Query(columns=("nope",)))
    with pytest.raises(ConfigError, match="MongoDB"):
        lake.read(Query(filter={"k": 1}))


@pytest.mark.parametrize("where", ["nope = 1", "k =", "k = 1) OR (true", "read_text('/etc/passwd') = k"])
def test_a_condition_that_does_not_fit_is_refused(lake: Lake, where: str) -> None:
    lake.write(items(1))
    with pytest.raises(ConfigError):
        lake.read(Query(where=where))


def test_a_broken_log_is_a_clear_error(lake: Lake) -> None:
    log = Path(lake.connection.uri(lake.table)) / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{broken")
    with pytest.raises(Fatal):
        lake.read()
    assert all(isinstance(finding.what, str) for finding in lake.connection.diagnose())


def test_a_file_in_the_place_of_the_lake_is_a_clear_error(lake: Lake) -> None:
    (lake.folder / "lake").write_text("not a folder")
    with pytest.raises(Fatal):
        lake.write(items(1))
    assert not all(finding.ok for finding in lake.connection.diagnose())


def test_a_read_only_folder_is_fatal_and_says_so(lake: Lake) -> None:
    lake.write(items(1), position=Position({}, 1))
    run_apart(lake, "os.chmod(folder, 0o555)", as_nobody=True, expect="Fatal True")
    assert lake.rows("k") == ["k1"]


def test_a_full_disk_can_be_tried_again_and_leaves_nothing_visible(lake: Lake) -> None:
    lake.write(items(1), position=Position({}, 1))
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    run_apart(lake, limit, as_nobody=False, expect="Retriable True")
    assert lake.rows("k") == ["k1"]
    assert lake.connection.sink(lake.table).position("p/s") == Position({}, 1)
    lake.write(items(2), position=Position({}, 2))
    assert lake.rows("k") == ["k1", "k2"]


APART = """
import os, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from levada.batches import Batch
from levada.connectors.base import Mode, Table, Write
from levada.connectors.lake import LakeConnection, LakeSettings
from levada.errors import Fatal, LevadaError, Retriable
from levada.positions import Position
root = Path(sys.argv[1]); folder = root / "lake" / "items"
lake = LakeConnection("lake", LakeSettings(path="lake"), root)
table = Table("lake", "items")
writer = lake.sink(table).open(Write(table, Mode.APPEND, "p/s"))
writer.write(Batch(pa.RecordBatch.from_pydict({"k": [os.urandom(9).hex() for _ in range(9000)]})))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
%s
try:
    writer.commit(Position({}, 2))
except LevadaError as error:
    print([kind.__name__ for kind in (Fatal, Retriable) if isinstance(error, kind)][0], bool(error.hint))
"""


def run_apart(lake: Lake, limit: str, *, as_nobody: bool, expect: str) -> None:
    """Write in a process of its own, under a limit."""
    drop = "os.setegid(65534); os.seteuid(65534)" if as_nobody and os.geteuid() == 0 else ""
    done = subprocess.run(
        [sys.executable, "-c", APART % f"{limit}\n{drop}", str(lake.folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.strip() == expect, done.stderr
    (lake.folder / "lake/items").chmod(0o755)


def test_diagnosis_says_where_how_much_room_and_which_rights(lake: Lake) -> None:
    lake.write(items(1))
    text = " ".join(finding.what for finding in lake.connection.diagnose())
    for part in ("deltalake", "can be written", "GB free", "1 table: items", "rights needed"):
        assert part in text


def test_an_unreachable_object_store_is_reported_and_not_raised(tmp_path: Path) -> None:
    options = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "AWS_REGION": "x",
        "max_retries": "0",
        "retry_timeout": "1s",
    }
    settings = LakeSettings.model_validate({"path": "s3://bucket/lake", "storage_options": options})
    findings = LakeConnection("lake", settings, tmp_path).diagnose()
    assert not findings[-1].ok
    assert "hush" not in str(findings)
