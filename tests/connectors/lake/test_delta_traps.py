"""What Delta Lake and its driver do by themselves that must not happen to a table of Levada's."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from bson import Decimal128, json_util
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from levada.connectors.base import Mode, Table
from levada.connectors.lake import commit as lake_commit
from levada.connectors.lake.beside import position_app
from levada.connectors.lake.table import LakeTable
from levada.errors import Fatal, Fenced, LevadaError, Retriable
from levada.positions import Position
from levada.types.names import Renaming, originals

from .conftest import DAY, Lake, items


def test_the_log_itself_takes_one_transaction_id_twice(tmp_path: Path) -> None:
    """The reason for the guard; when this fails, the driver has learned it."""
    properties = CommitProperties(app_transactions=[Transaction("a", 1)])
    for _ in range(2):
        write_deltalake(tmp_path, items(1), mode="append", commit_properties=properties)
    assert DeltaTable(tmp_path).count() == 2


def test_a_merge_that_changes_nothing_commits_nothing(tmp_path: Path) -> None:
    """The reason for an append of no rows behind it; when this fails, the driver commits by itself."""
    write_deltalake(tmp_path, pa.table({"k": [1], "v": [5]}))
    table = DeltaTable(tmp_path)
    properties = CommitProperties(app_transactions=[Transaction("a", 1)])
    table.merge(
        pa.table({"k": [1], "v": [4]}), "t.k = s.k", "s", "t", commit_properties=properties
    ).when_matched_update({"v": "s.v"}, "s.v > t.v").execute()
    assert DeltaTable(tmp_path).transaction_version("a") is None


def test_a_merge_fills_new_columns_of_rows_that_its_condition_spares(tmp_path: Path) -> None:
    """The reason why changes with conditions and new columns go another way; fails when mended."""
    write_deltalake(tmp_path, pa.table({"k": [1, 2], "v": [5, 1]}))
    news = pa.table({"k": [1, 2], "v": [4, 2], "n": ["older", "newer"]})
    DeltaTable(tmp_path).merge(news, "t.k = s.k", "s", "t", merge_schema=True).when_matched_update(
        {"v": "s.v", "n": "s.n"}, "s.v > t.v"
    ).execute()
    rows = pa.table(DeltaTable(tmp_path).scan()).to_pylist()
    assert sorted(rows, key=lambda row: row["k"]) == [
        {"k": 1, "v": 5, "n": "older"},
        {"k": 2, "v": 2, "n": "newer"},
    ]


def test_one_sequence_is_stored_once(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": 1}, 1))
    with pytest.raises(Fenced):
        lake.write(items(1), position=Position({"": 1}, 1))
    assert lake.rows("k") == ["k1"]


def test_a_lower_sequence_is_refused(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": 1}, 9))
    with pytest.raises(Fenced):
        lake.write(items(2), position=Position({"": 1}, 8))
    assert lake.rows("k") == ["k1"]


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.REPLACE_WINDOW, Mode.UPSERT])
@pytest.mark.parametrize("first", [True, False])
def test_of_writers_racing_with_one_sequence_exactly_one_lands(lake: Lake, mode: Mode, first: bool) -> None:
    if not first:
        lake.write(items(99, start=DAY.end), owner="seed")
    outcomes = race(
        lambda n: lake.write(items(n), mode=mode, window=_window(mode), position=Position({"": n}, 1)), 4
    )
    landed = [n for n, outcome in outcomes.items() if not isinstance(outcome, Exception)]
    assert len(landed) == 1, outcomes
    assert all(isinstance(o, Fenced) for n, o in outcomes.items() if n not in landed), outcomes
    assert f"k{landed[0]}" in lake.rows("k")
    assert len([k for k in lake.rows("k") if k != "k99"]) == 1
    assert lake.connection.sink(lake.table).position("p/s") == Position({"": landed[0]}, 1)


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE_WINDOW, Mode.UPSERT])
def test_writers_with_stale_handles_look_again_and_land(lake: Lake, mode: Mode) -> None:
    """Overwrites and merges through a handle opened before another commit fail; so do creations."""
    windows = [_shifted(n) for n in range(4)]
    outcomes = race(
        lambda n: lake.write(
            items(1, start=windows[n].start, n=n).set_column(0, "k", pa.array([f"k{n}"])),
            mode=mode,
            owner=f"p/{n}",
            window=windows[n] if mode is Mode.REPLACE_WINDOW else None,
            position=Position({"": n}, 1),
        ),
        4,
    )
    assert not [o for o in outcomes.values() if isinstance(o, Exception)], outcomes
    assert lake.rows("k") == ["k0", "k1", "k2", "k3"]


def test_a_commit_between_look_and_write_is_noticed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.write(items(1), owner="seed")
    original, calls = lake_commit.Commit._count_replaced, []

    def others_first(self: Any, *arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 1:
            lake.write(items(2), owner="other")
        return int(original(self, *arguments))

    monkeypatch.setattr(lake_commit.Commit, "_count_replaced", others_first)
    written = lake.write(items(3), mode=Mode.REPLACE, position=Position({}, 1))
    assert lake.rows("k") == ["k3"]
    assert written.replaced == 2


def test_of_several_creations_one_makes_the_table(lake: Lake) -> None:
    """A creation that tries again lands on top of the table it lost against, with a schema of its own."""
    schema = pa.schema([("k", pa.string())])
    for attempt in range(10):
        table = Table("lake", f"race{attempt}")
        place = LakeTable(table, lake.connection.settings, str(lake.folder / "lake"))
        race(lambda _, place=place: place.create(schema, schema, []), 4)
        assert lake.delta(table).version() == 0


def test_gives_up_after_the_attempts_allowed(
    make_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make_lake(commit_attempts=2)
    lake.write(items(1), owner="seed")
    original, depth = lake_commit.Commit._count_replaced, []

    def others_always_first(self: Any, *arguments: Any) -> int:
        if not depth:
            depth.append(1)
            lake.write(items(2), owner="other")
            depth.clear()
        return int(original(self, *arguments))

    monkeypatch.setattr(lake_commit.Commit, "_count_replaced", others_always_first)
    with pytest.raises(Retriable, match="2 attempts"):
        lake.write(items(3), mode=Mode.REPLACE)
    assert "k3" not in lake.rows("k")


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (pa.scalar(1, pa.int32()), pa.scalar(1.5)),
        (pa.scalar(1, pa.int64()), pa.scalar(1.5)),
        (pa.scalar(1, pa.int32()), pa.scalar("7")),
        (pa.scalar(True), pa.scalar("yes")),
        (pa.scalar({"a": 1}), pa.scalar({"a": 1.5})),
        (pa.scalar([1]), pa.scalar([1.5])),
        (pa.scalar("a"), pa.scalar(1)),
        (
            pa.scalar(Decimal("1.25"), pa.decimal128(38, 2)),
            pa.scalar(Decimal("1.2501"), pa.decimal128(38, 4)),
        ),
        (pa.scalar(1.5), pa.scalar(2**53 + 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.UPSERT, Mode.REPLACE_WINDOW])
def test_a_value_of_another_type_is_never_cast_in_silence(
    lake: Lake, make_lake: Callable[..., Lake], mode: Mode, stored: pa.Scalar, new: pa.Scalar
) -> None:
    lake.write(items(30, x=stored), owner="seed")
    write = {"mode": mode, "window": _window(mode), "position": Position({}, 1)}
    with pytest.raises(Fatal, match="'x'"):
        lake.write(items(2, x=new), **write)
    assert lake.read()["x"].to_pylist() == [stored.as_py()]
    assert lake.connection.sink(lake.table).position("p/s") is None

    rewriting = make_lake(on_type_change="rewrite")
    rewriting.write(items(2, x=new), **write)
    found = {row["k"]: row["x"] for row in rewriting.read().to_pylist()}
    assert {key: _value(x) for key, x in found.items()} == {"k30": stored.as_py(), "k2": new.as_py()}
    assert rewriting.connection.sink(lake.table).position("p/s") == Position({}, 1)


def test_a_narrower_type_joins_the_wider_column(lake: Lake) -> None:
    lake.write(items(1, x=pa.scalar(2**40)))
    lake.write(items(2, x=pa.scalar(7, pa.int32())))
    assert lake.rows("x") == [2**40, 7]
    assert lake.read().schema.field("x").type == pa.int64()


def test_writers_that_add_columns_at_the_same_time_all_land(lake: Lake) -> None:
    lake.write(items(99), owner="seed")
    outcomes = race(lambda n: lake.write(items(n, **{f"c{n}": n}), owner=f"p/{n}"), 4)
    assert not [o for o in outcomes.values() if isinstance(o, Exception)], outcomes
    table = lake.read()
    assert sorted(table.schema.names) == ["c0", "c1", "c2", "c3", "k", "t"]
    for n in range(4):
        assert [v for v in table[f"c{n}"].to_pylist() if v is not None] == [n]


@pytest.mark.parametrize(
    "batch",
    [
        pa.RecordBatch.from_pydict({"name": ["a"], "Name": ["b"]}),
        pa.RecordBatch.from_pydict({"s": [{"a": 1, "A": 2}]}),
        pa.RecordBatch.from_pydict({"s": [[{"b": {"a": 1, "A": 2}}]]}),
    ],
)
def test_names_that_differ_by_case_only_are_told_apart(lake: Lake, batch: pa.RecordBatch) -> None:
    with pytest.raises(Exception, match="Duplicate field name"):
        write_deltalake(str(lake.folder / "plain"), pa.table(batch))  # what the driver says to them
    lake.write(batch)
    read = lake.read().combine_chunks().to_batches()[0]
    assert Renaming(originals).of(read).equals(batch)


def test_a_name_that_differs_by_case_from_a_stored_one_gets_another(lake: Lake) -> None:
    lake.write(items(1, name="a"))
    lake.write(items(2, Name="b"))
    other = next(name for name in lake.read().schema.names if name.startswith("Name__"))
    assert lake.rows("k", "name", other) == [("k1", "a", None), ("k2", None, "b")]


def test_times_beyond_the_store_are_set_aside_and_never_wrapped(lake: Lake) -> None:
    edge = (2**63 - 1) // 1000
    counts = [0, 2**62, -(2**62), edge, edge + 1, -edge, -edge - 1, None]
    times = pa.array(counts, pa.timestamp("ms", "UTC"))
    nested = pa.StructArray.from_arrays([times], names=["at"])
    batch = pa.RecordBatch.from_pydict(
        {"k": [str(i) for i in range(8)], "deep": pa.array([[n] for n in nested])}
    )
    written = lake.write(batch)
    assert written.rows == 4
    assert len(written.rejected) == 4
    assert all(b"deep" in each.raw and "deep" in each.reason for each in written.rejected)
    assert b'"at": 4611686018427387904' in written.rejected[0].raw
    stored = lake.read()["deep"].combine_chunks().flatten().field("at").cast(pa.int64())
    assert sorted(stored.to_pylist(), key=str) == sorted([0, edge, -edge, None], key=str)


def test_nanoseconds_are_kept_or_set_aside_but_not_cut(lake: Lake) -> None:
    batch = pa.RecordBatch.from_pydict({"x": pa.array([1000, 1001], pa.timestamp("ns", "UTC"))})
    written = lake.write(batch)
    assert written.rows == 1
    assert len(written.rejected) == 1
    assert lake.read()["x"].cast(pa.int64()).to_pylist() == [1000]
    assert lake.read().schema == batch.schema


EXIT = """
import sys
from pathlib import Path
import pyarrow as pa
from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.lake import LakeConnection, LakeSettings
lake = LakeConnection("lake", LakeSettings(path="lake"), Path(sys.argv[1]))
table = Table("lake", "items", key=("k",))
for mode in (Mode.REPLACE, Mode.APPEND, Mode.UPSERT):
    writer = lake.sink(table).open(Write(table, mode, "p/s"))
    writer.write(Batch(pa.RecordBatch.from_pydict({"k": list(range(20000))})))
    writer.commit(None)
rows = sum(b.data.num_rows for b in lake.source(table, Query(where="k >= 0")).read(None, None))
assert rows == 40000, rows
unfinished = lake.source(table, Query(batch_rows=100)).read(None, None)
next(unfinished)
filtered = lake.source(table, Query(where="k > 1", batch_rows=100)).read(None, None)
next(filtered)
"""


def test_the_process_ends_well_after_use(tmp_path: Path) -> None:
    """Reading through the driver's own tables aborted processes at their end; streams do not."""
    for _ in range(10):
        done = subprocess.run(
            [sys.executable, "-c", EXIT, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_positions_survive_vacuum_checkpoints_and_log_cleanup(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": "token"}, 1), owner="slow/step")
    for n in range(12):
        lake.write(items(n, n=n), mode=Mode.REPLACE, position=Position({"": n}, n + 1))
    lake.delta().create_checkpoint()
    lake.delta().cleanup_metadata()
    for json_file in sorted((lake.folder / "lake/items/_delta_log").glob("*.json"))[:-1]:
        json_file.unlink()  # a log that was cleaned up starts at its checkpoint
    removed = lake.connection.maintain(lake.table, keep=timedelta(0)).files_removed
    assert removed > 0
    sink = lake.connection.sink(lake.table)
    assert sink.position("slow/step") == Position({"": "token"}, 1)
    assert sink.position("p/s") == Position({"": 11}, 12)
    assert lake.rows("k", "n") == [("k11", 11)]
    assert lake.read().schema.field("t").type == pa.timestamp("ms", "UTC")


def test_vacuum_leaves_what_young_versions_need(lake: Lake) -> None:
    lake.write(items(1), mode=Mode.REPLACE)
    lake.write(items(2), mode=Mode.REPLACE)
    assert lake.connection.maintain(lake.table).files_removed == 0
    old = lake.delta()
    old.load_as_version(old.version() - 1)
    assert pa.table(old.scan())["k"].to_pylist() == ["k1"]


def test_small_files_are_joined_without_losing_the_position(lake: Lake) -> None:
    for n in range(5):
        lake.write(items(n), position=Position({"": n}, n + 1))
    done = lake.connection.maintain(lake.table)
    assert (done.files_before, done.files_after) == (5, 1)
    assert lake.rows("k") == ["k0", "k1", "k2", "k3", "k4"]
    assert lake.connection.sink(lake.table).position("p/s") == Position({"": 4}, 5)


def test_other_programs_read_plain_parquet_by_day(lake: Lake) -> None:
    table = lake.table.__class__("lake", "items", key=("k",), time="t", partition_by=("day(t)",))
    lake.write(items(1, 30), items(0).set_column(1, "t", pa.nulls(1, pa.timestamp("ms", "UTC"))), table=table)
    folder = Path(lake.connection.uri(table))
    assert {entry.name for entry in folder.iterdir() if entry.name.startswith("day=")} == {
        "day=2026-11-23",
        "day=2026-11-24",
        "day=__HIVE_DEFAULT_PARTITION__",
    }
    files = [str(uri).removeprefix("file://") for uri in lake.delta().file_uris()]
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT k, t = '2026-11-24T06:00:00Z', day::VARCHAR "
            "FROM read_parquet(?, hive_partitioning = true) ORDER BY k",
            [files],
        ).fetchall()
    assert [row[0] for row in found] == ["k0", "k1", "k30"]
    assert found[2] == ("k30", True, "2026-11-24")


def test_a_table_written_by_another_program_is_read_and_appended_to(lake: Lake) -> None:
    uri = lake.connection.uri(lake.table)
    foreign = items(1, n=pa.scalar(5, pa.int16()), naive=pa.scalar(7, pa.timestamp("us")))
    write_deltalake(uri, foreign, mode="append")
    assert lake.read().schema.field("t").type == pa.timestamp("us", "UTC")
    lake.write(items(2, n=pa.scalar(6, pa.int16())), position=Position({}, 1))
    assert lake.rows("k", "n") == [("k1", 5), ("k2", 6)]


def test_a_column_added_by_another_program_is_read_and_kept(lake: Lake) -> None:
    lake.write(items(1))
    write_deltalake(lake.delta(), items(2, extra=5), mode="append", schema_mode="merge")
    lake.write(items(3))
    assert lake.rows("k", "extra") == [("k1", None), ("k2", 5), ("k3", None)]
    assert lake.read().schema.field("t").type == pa.timestamp("ms", "UTC")


def test_the_sequence_is_a_transaction_id_of_the_log(lake: Lake) -> None:
    lake.write(items(1), position=Position({"": "x"}, 41))
    assert lake.delta().transaction_version(position_app("p/s")) == 41


def race(call: Callable[[int], Any], writers: int) -> dict[int, Any]:
    """Start all at once; the result or the error of each."""
    outcomes: dict[int, Any] = {}
    barrier = threading.Barrier(writers)

    def run(n: int) -> None:
        barrier.wait()
        try:
            outcomes[n] = call(n)
        except LevadaError as error:
            outcomes[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _window(mode: Mode) -> Any:
    return DAY if mode is Mode.REPLACE_WINDOW else None


def _shifted(days: int) -> Any:
    return DAY.__class__(DAY.start + timedelta(days), DAY.end + timedelta(days))


def _value(stored: Any) -> Any:
    """What was stored, where a part of it became a variant: text in canonical Extended JSON."""
    if isinstance(stored, dict):
        return {name: _value(each) for name, each in stored.items()}
    if isinstance(stored, list):
        return [_value(each) for each in stored]
    try:
        found = json_util.loads(stored) if isinstance(stored, str) else stored
    except ValueError:
        return stored
    return found.to_decimal() if isinstance(found, Decimal128) else found
