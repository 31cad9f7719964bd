"""Upkeep: fewer files, the same rows, and nothing gone that a reader, a version or a copy still needs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write
from levada.connectors.lake import LakeConnection, LakeSettings, compaction, upkeep
from levada.connectors.lake.table import LakeTable, Snapshot
from levada.errors import Fatal, Fenced
from levada.positions import Position
from levada.windows import Window

from ...s3 import S3  # noqa: TID252
from .conftest import DAY, Lake, items

BY_DAY = Table("lake", "items", key=("k",), time="t", partition_by=("day(t)",))
WEEK = timedelta(days=7)


def later(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def data_files(lake: Lake) -> set[str]:
    folder = lake.folder / "lake" / "items"
    return {
        str(file.relative_to(folder)) for file in folder.rglob("*.parquet") if "_delta_log" not in file.parts
    }


def current_files(lake: Lake) -> set[str]:
    return set(pa.table(lake.delta().get_add_actions())["path"].to_pylist())


def at_version(lake: Lake, version: int) -> list[str]:
    return sorted(
        pa.table(DeltaTable(lake.connection.uri(lake.table), version=version).scan())["k"].to_pylist()
    )


def test_only_partitions_with_several_small_files_are_written_again(lake: Lake) -> None:
    lake.write(items(30), table=BY_DAY)
    for key in range(4):
        lake.write(items(key), table=BY_DAY)
    alone = {file for file in current_files(lake) if file.startswith("day=2026-11-24")}
    done = lake.connection.maintain(BY_DAY)
    assert (done.files_before, done.files_after, done.files_removed, done.skipped) == (5, 2, 0, 0)
    assert done.bytes_before > done.bytes_after > 0
    assert alone < current_files(lake)
    assert lake.rows("k") == ["k0", "k1", "k2", "k3", "k30"]
    version = lake.delta().version()
    again = lake.connection.maintain(BY_DAY)
    assert (again.files_before, again.files_after) == (2, 2)
    assert lake.delta().version() == version


def test_large_files_are_left_as_they_are(lake: Lake) -> None:
    for key in range(3):
        lake.write(items(key))
    before = current_files(lake)
    lake.connection.maintain(lake.table, target=10)
    assert current_files(lake) == before


def test_partitions_are_joined_by_several_commits_where_there_is_much(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "GROUP_BYTES", 1)
    timeless = items(9).set_column(1, "t", pa.nulls(1, pa.timestamp("ms", "UTC")))
    for _ in range(2):
        lake.write(items(1, 30, 60), timeless, table=BY_DAY)
    first = lake.delta().version()
    done = lake.connection.maintain(BY_DAY)
    assert (done.files_before, done.files_after) == (8, 4)
    assert lake.delta().version() == first + 5  # the announcement, and one for each partition
    assert lake.rows("k") == sorted(["k1", "k30", "k60", "k9"] * 2)


VALUES = ["a b", "a/b", "%41", "ü", "x=y", "it's", "a%2Fb", "", "_hidden", ".dot", "null", "A", "a:b", None]


@pytest.mark.parametrize("name", ["p", "_p"])
def test_partitions_of_any_text_lose_nothing(lake: Lake, name: str) -> None:
    table = Table("lake", "items", partition_by=(name, "n"))
    values = [value for value in VALUES if value != ""]  # Delta can't tell an empty partition value from null
    for _ in range(2):
        lake.write(pa.record_batch({name: values, "n": range(len(values)), "v": values}), table=table)
    done = lake.connection.maintain(table, keep=timedelta(0))
    assert (done.files_before, done.files_after) == (2 * len(values), len(values))
    lake.connection.maintain(table, keep=timedelta(0), now=later(1))
    assert len(data_files(lake)) == len(values)
    found = lake.read(table=table)[name].to_pylist()
    assert sorted(found, key=str) == sorted(values * 2, key=str)


@pytest.mark.parametrize("kind", [pa.bool_(), pa.float64(), pa.timestamp("us", "UTC"), pa.int32()])
def test_partitions_of_other_types_are_joined(lake: Lake, kind: pa.DataType) -> None:
    table = Table("lake", "items", partition_by=("p",))
    for _ in range(2):
        lake.write(pa.record_batch({"p": pa.array([0, 1, None]).cast(kind), "n": range(3)}), table=table)
    done = lake.connection.maintain(table, keep=timedelta(0))
    assert (done.files_before, done.files_after) == (6, 3)
    assert sorted(lake.read(table=table)["n"].to_pylist()) == [0, 0, 1, 1, 2, 2]


def test_structs_that_grew_and_labels_stay_through_compaction(lake: Lake) -> None:
    label = pa.field("id", pa.string(), metadata={b"levada.bson": b"objectId"})
    for row in ({"a": 1, "l": [{"x": 1}]}, {"b": "y", "l": [{"z": [2.5]}]}):
        lake.write(items(1, s=pa.scalar(row)).append_column(label, pa.array(["0" * 24])))
    before = lake.read()
    lake.connection.maintain(lake.table)
    after = lake.read()
    assert after.schema.equals(before.schema, check_metadata=True)
    assert sorted(after.to_pylist(), key=str) == sorted(before.to_pylist(), key=str)


def test_an_open_scan_sees_every_row_once(lake: Lake) -> None:
    for first in range(0, 1000, 100):
        lake.write(items(*range(first, first + 100)))
    source = lake.connection.source(lake.table, Query(batch_rows=50))
    scan = source.read(None, None)
    seen = next(iter(scan)).data["k"].to_pylist()
    done = lake.connection.maintain(lake.table)
    assert (done.files_before, done.files_after) == (10, 1)
    for batch in scan:
        seen += batch.data["k"].to_pylist()
    assert sorted(seen) == sorted(f"k{key}" for key in range(1000))


def test_versions_within_keep_can_be_read_and_older_ones_are_gone(lake: Lake) -> None:
    lake.write(items(1), mode=Mode.REPLACE)
    old = time.time() - 30 * 86_400  # their file is old, though it was in the table until a moment ago
    for file in data_files(lake):
        os.utime(lake.folder / "lake" / "items" / file, (old, old))
    first = lake.delta().version()
    lake.write(items(2), mode=Mode.REPLACE)
    assert lake.connection.maintain(lake.table, keep=2 * WEEK, now=later(13)).files_removed == 0
    assert at_version(lake, first) == ["k1"]
    assert lake.connection.maintain(lake.table, keep=2 * WEEK, now=later(15)).files_removed == 1
    assert data_files(lake) == current_files(lake)
    assert lake.rows("k") == ["k2"]


def test_the_log_is_cut_by_its_retention_and_every_version_left_is_whole(lake: Lake) -> None:
    for key in range(6):
        lake.write(items(key), position=Position({"": key}, key + 1))
        lake.delta().create_checkpoint()
    log = lake.folder / "lake" / "items" / "_delta_log"
    ago = time.time() - 40 * 86_400
    middle = lake.delta().version() - 3
    for file in log.iterdir():
        if file.name[:20].isdigit() and int(file.name[:20]) <= middle:
            os.utime(file, (ago, ago))
    lake.connection.maintain(lake.table)
    versions = sorted(int(file.stem) for file in log.glob("*.json") if file.stem.isdigit())
    assert versions[0] == middle + 1
    assert [len(at_version(lake, version)) for version in versions[:3]] == [4, 5, 6]
    assert lake.connection.sink(lake.table).position("p/s") == Position({"": 5}, 6)


def test_files_beside_the_data_go_once_nothing_refers_to_them(lake: Lake) -> None:
    for n in range(4):
        lake.write(items(n, **{f"c{n}": n}), position=Position({"": n}, n + 1))
        lake.write(items(n), owner="slow", position=Position({"": n}, 1)) if not n else None
    beside = lake.folder / "lake" / "items" / "_levada"
    (beside / "schemas" / "tmpabcd1234").write_text("a killed process left this")

    def count(folder: str) -> int:
        return sum(file.is_file() for file in (beside / folder).rglob("*"))

    before = lake.read().schema
    assert (count("positions"), count("schemas") > 2) == (5, True)
    lake.connection.maintain(lake.table, keep=timedelta(0))
    assert count("positions") == 5  # a position is written ahead of its commit
    lake.connection.maintain(lake.table, keep=timedelta(0), now=later(1))
    assert (count("positions"), count("schemas")) == (2, 1)
    sink = lake.connection.sink(lake.table)
    assert sink.position("p/s") == Position({"": 3}, 4)
    assert sink.position("slow") == Position({"": 0}, 1)
    assert lake.read().schema.equals(before, check_metadata=True)


KILLED = """
    import os, signal
    from pathlib import Path
    import pyarrow as pa
    from levada.batches import Batch
    from levada.connectors.base import Mode, Table, Write
    from levada.connectors.lake import LakeConnection, LakeSettings, draft
    from levada.positions import Position
    draft.CHECKPOINT_BYTES = 1
    connection = LakeConnection("lake", LakeSettings(path="lake"), Path({folder!r}))
    table = Table("lake", "items", key=("k",), time="t")
    write = Write(table, Mode.APPEND, "copy/a", checkpoints={checkpoints!r})
    writer = connection.sink(table).open(write)
    writer.write(Batch(pa.record_batch({{"k": [f"k{{n}}" for n in range(20)]}}), Position({{"scan": 20}})))
    writer._draft.finish()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_write(lake: Lake, checkpoints: str | None) -> None:
    script = textwrap.dedent(KILLED).format(folder=str(lake.folder), checkpoints=checkpoints)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


def test_files_of_a_killed_write_go_after_keep(lake: Lake) -> None:
    lake.write(items(50))
    killed_write(lake, None)
    assert len(data_files(lake)) == 2
    assert lake.connection.maintain(lake.table, now=later(6)).files_removed == 0
    assert lake.connection.maintain(lake.table, now=later(8)).files_removed == 1
    assert data_files(lake) == current_files(lake)
    assert lake.rows("k") == ["k50"]


def test_files_of_a_copy_that_can_be_resumed_stay(lake: Lake) -> None:
    lake.write(items(50))
    killed_write(lake, "everything")
    assert lake.connection.maintain(lake.table, keep=timedelta(0), now=later(30)).files_removed == 0
    write = Write(lake.table, Mode.APPEND, "copy/a", checkpoints="everything", resume=True)
    writer = lake.connection.sink(lake.table).open(write)
    assert writer.reached == Position({"scan": 20})
    writer.commit(None)
    assert lake.rows("k") == sorted(["k50", *(f"k{n}" for n in range(20))])


def test_a_copy_killed_after_its_commit_holds_nothing_back(lake: Lake) -> None:
    killed_write(lake, "everything")
    copies = [*lake.folder.glob("lake/items/_levada/copies/*/*.json")]
    stored = copies[0].read_bytes()
    write = Write(lake.table, Mode.APPEND, "copy/a", checkpoints="everything", resume=True)
    lake.connection.sink(lake.table).open(write).commit(None)
    copies[0].write_bytes(stored)  # it was killed before it could remove this
    lake.write(items(1), mode=Mode.REPLACE)
    lake.connection.maintain(lake.table, keep=timedelta(0), now=later(1))
    assert data_files(lake) == current_files(lake)
    assert not copies[0].exists()


UPKEEP = """
    import sys
    from datetime import timedelta
    from pathlib import Path
    from levada.connectors.base import Table
    from levada.connectors.lake import LakeConnection, LakeSettings
    connection = LakeConnection("lake", LakeSettings(path="lake"), Path({folder!r}))
    table = Table("lake", "items", key=("k",), time="t", partition_by=("day(t)",))
    sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
    connection.maintain(table, keep=timedelta(0))
"""


def maintaining(lake: Lake) -> subprocess.Popen[str]:
    """Another process that begins its upkeep when it is sent a line."""
    script = textwrap.dedent(UPKEEP).format(folder=str(lake.folder))
    started = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout
    assert started.stdout.readline() == "ready\n"
    return started


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> int:
    with process:
        return process.wait(60)


def fragmented(lake: Lake, files: int = 12) -> list[str]:
    for first in range(0, files * 50, 50):
        lake.write(items(*range(first, first + 50)), table=BY_DAY)
    return lake.rows("k")


def test_two_at_once_do_no_harm(lake: Lake) -> None:
    rows = fragmented(lake)
    both = [maintaining(lake), maintaining(lake)]
    for process in both:
        begin(process)
    assert [ended(process) for process in both] == [0, 0]
    assert lake.rows("k") == rows
    lake.connection.maintain(BY_DAY, keep=timedelta(0), now=later(1))
    assert lake.rows("k") == rows
    assert data_files(lake) == current_files(lake)


@pytest.mark.parametrize("seed", range(4))
def test_an_upkeep_that_is_killed_loses_nothing(lake: Lake, seed: int) -> None:
    rows = fragmented(lake)
    process = maintaining(lake)
    begin(process)
    time.sleep(random.Random(seed).uniform(0, 0.15))  # the moment of death, not a wait for something
    process.kill()
    assert ended(process) in (0, -signal.SIGKILL)
    assert lake.rows("k") == rows
    lake.connection.maintain(BY_DAY, keep=timedelta(0), now=later(1))
    assert lake.rows("k") == rows
    assert data_files(lake) == current_files(lake)


def test_writers_in_every_mode_go_on_meanwhile(lake: Lake) -> None:
    fragmented(lake, files=4)
    ended_writers = threading.Event()
    table = BY_DAY

    def write(mode: Mode, owner: str, hour: int) -> None:
        for n in range(8):
            window = DAY if mode is Mode.REPLACE_WINDOW else None
            other = Lake(lake.folder)
            rows = items(hour, hour + 1, n=n) if mode is not Mode.APPEND else items(1000 + n, n=n)
            other.write(
                rows, mode=mode, owner=owner, window=window, table=table, position=Position({}, n + 1)
            )

    def upkeep() -> int:
        times = 0
        while not ended_writers.is_set():
            Lake(lake.folder).connection.maintain(table)
            times += 1
        return times

    with ThreadPoolExecutor(4) as threads:
        tending = threads.submit(upkeep)
        writers = [
            threads.submit(write, Mode.APPEND, "a", 0),
            threads.submit(write, Mode.REPLACE_WINDOW, "w", 3),
            threads.submit(write, Mode.UPSERT, "u", 500),
        ]
        for writer in writers:
            writer.exception(120)
        ended_writers.set()
        assert [writer.exception() for writer in writers] == [None, None, None]
        assert tending.result() > 0
    stayed = [f"k{key}" for key in range(24, 200)]
    assert lake.rows("k") == sorted(
        [*stayed, "k3", "k4", "k500", "k501", *(f"k{1000 + n}" for n in range(8))]
    )


class Raced(LakeTable):
    """A place where someone else commits right behind every look at the table."""

    race: Any = None

    def snapshot(self) -> Snapshot | None:
        found = super().snapshot()
        if self.race:
            self.race()
        return found


def test_partitions_that_others_keep_replacing_are_skipped(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_PAUSE", 0)
    for key in range(3):
        lake.write(items(key))
    place = Raced(lake.table, lake.connection.settings, str(lake.folder / "lake"))

    def replace_all() -> None:
        lake.write(items(1, 2), mode=Mode.REPLACE)
        lake.write(items(3))

    place.race = replace_all
    assert compaction.compact(place) == 1
    assert lake.rows("k") == ["k1", "k2", "k3"]


def test_of_two_compactions_of_the_same_files_one_fails(lake: Lake) -> None:
    for key in range(4):
        lake.write(items(key))
    place = LakeTable(lake.table, lake.connection.settings, str(lake.folder / "lake"))
    slow = Raced(lake.table, lake.connection.settings, str(lake.folder / "lake"))
    slow.race = lambda: compaction.compact(place)
    assert compaction.compact(slow) in (0, 1)
    assert lake.rows("k") == ["k0", "k1", "k2", "k3"]


def test_rows_doubled_by_a_program_that_does_not_announce_itself_are_not_passed_over(lake: Lake) -> None:
    """The driver alone lets two compactions of the same files pass."""
    for key in range(4):
        lake.write(items(key))
    place = Raced(lake.table, lake.connection.settings, str(lake.folder / "lake"))
    looks: list[int] = []

    def race() -> None:
        looks.append(1)
        if len(looks) == 3:  # behind the look at the files, and the announcement
            lake.delta().optimize.compact()

    place.race = race
    with pytest.raises(Fatal, match="rows are there twice since version 7"):
        compaction.compact(place)
    lake.delta().restore(6)
    assert lake.rows("k") == ["k0", "k1", "k2", "k3"]


def test_a_table_that_is_not_there_needs_nothing(lake: Lake) -> None:
    assert lake.connection.maintain(Table("lake", "nope")) == upkeep.Upkeep()
    assert not (lake.folder / "lake").exists()


def test_upkeep_on_an_object_store(s3: S3, tmp_path: Path) -> None:
    chosen = {"path": s3.prefix(), "storage_options": s3.options}
    connection = LakeConnection("lake", LakeSettings.model_validate(chosen), tmp_path)
    for n in range(4):
        writer = connection.sink(BY_DAY).open(Write(BY_DAY, Mode.APPEND, "p/s"))
        writer.write(Batch(items(n, 30 + n)))
        writer.commit(Position({"": n}, n + 1))
    done = connection.maintain(BY_DAY)
    assert (done.files_before, done.files_after, done.files_removed) == (8, 2, 0)
    assert connection.maintain(BY_DAY, keep=timedelta(0), now=later(1)).files_removed >= 8
    batches = connection.source(BY_DAY, Query(columns=("k",))).read(None, None)
    assert sorted(k for batch in batches for k in batch.data["k"].to_pylist()) == sorted(
        f"k{n}" for n in (0, 1, 2, 3, 30, 31, 32, 33)
    )
    assert connection.sink(BY_DAY).position("p/s") == Position({"": 3}, 4)


def test_pruning_whole_days_looks_into_no_file_and_rewrites_none(lake: Lake) -> None:
    lake.write(items(1, 2, 30, 60), table=BY_DAY)
    untouched = {file for file in current_files(lake) if "2026-11-25" in file}
    for day in ("2026-11-23", "2026-11-24"):
        for file in (lake.folder / "lake" / "items" / f"day={day}").glob("*.parquet"):
            file.write_bytes(b"unreadable")
    assert lake.connection.delete_before(BY_DAY, "t", DAY.end + timedelta(days=1)) == 3
    assert current_files(lake) == untouched
    assert lake.rows("k") == ["k60"]


def test_pruning_within_a_day_rewrites_that_day_only(lake: Lake) -> None:
    timeless = items(9).set_column(1, "t", pa.nulls(1, pa.timestamp("ms", "UTC")))
    lake.write(items(1, 20, 30, 40, 60), timeless, table=BY_DAY)
    kept = {file for file in current_files(lake) if "2026-11-25" in file or "HIVE" in file}
    fence = Fence(5)
    assert lake.connection.delete_before(BY_DAY, "t", DAY.start + timedelta(hours=31), fence) == 3
    assert lake.rows("k") == ["k40", "k60", "k9"]
    assert kept < current_files(lake)
    with pytest.raises(Fenced):
        lake.connection.delete_before(BY_DAY, "t", DAY.end + timedelta(days=1), Fence(4))
    version = lake.delta().version()
    assert lake.connection.delete_before(BY_DAY, "t", DAY.start + timedelta(hours=31)) == 0
    assert lake.delta().version() == version


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 95), max_size=30), st.integers(0, 100 * 60), st.booleans())
def test_pruning_removes_what_is_older_to_the_minute(
    tmp_path_factory: pytest.TempPathFactory, hours: list[int], minutes: int, by_day: bool
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    table = BY_DAY if by_day else lake.table
    cutoff = DAY.start + timedelta(minutes=minutes)
    lake.write(items(200, *hours), table=table)
    removed = lake.connection.delete_before(table, "t", cutoff)
    stay = [hour for hour in [200, *hours] if DAY.start + timedelta(hours=hour) >= cutoff]
    assert removed == len(hours) + 1 - len(stay)
    assert lake.rows("k") == sorted(f"k{hour}" for hour in stay)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "window", "upsert", "replace", "prune", "maintain"]),
        st.lists(st.integers(0, 60), min_size=1, max_size=5),
    ),
    max_size=10,
)


@settings(max_examples=15, deadline=None)
@given(STEPS)
def test_whatever_is_done_in_between_the_rows_stay_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    model: list[tuple[int, int]] = []
    for n, (kind, keys) in enumerate(steps):
        if kind == "maintain":
            lake.connection.maintain(BY_DAY, keep=timedelta(0), now=later(1) if n % 2 else None)
        elif kind == "prune":
            cutoff = DAY.start + timedelta(hours=keys[0])
            lake.connection.delete_before(BY_DAY, "t", cutoff)
            model = [row for row in model if row[0] >= keys[0]]
        else:
            model = _written(lake, model, kind, keys, n)
    found = lake.rows("k", "n") if model else []
    assert found == sorted(((f"k{key}", n) for key, n in model), key=str)


def _written(
    lake: Lake, model: list[tuple[int, int]], kind: str, keys: list[int], n: int
) -> list[tuple[int, int]]:
    if kind == "window":
        keys = [key for key in keys if key < 24]
    if kind == "upsert":
        keys = list(dict.fromkeys(keys))
    modes = {
        "append": Mode.APPEND,
        "window": Mode.REPLACE_WINDOW,
        "upsert": Mode.UPSERT,
        "replace": Mode.REPLACE,
    }
    window: Window | None = DAY if kind == "window" else None
    lake.write(items(*keys, n=n), mode=modes[kind], window=window, table=BY_DAY)
    news = [(key, n) for key in keys]
    if kind == "window":
        model = [row for row in model if row[0] >= 24]
    if kind == "upsert":
        model = [row for row in model if row[0] not in keys]
    return news if kind == "replace" else [*model, *news]
