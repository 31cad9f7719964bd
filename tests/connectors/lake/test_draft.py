"""Files written ahead of the commit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.lake import draft as drafts
from levada.connectors.lake import storing
from levada.errors import ConfigError
from levada.types.kinds import BSON
from levada.windows import Window

from .conftest import DAY, Lake, items
from .drafts import BY_DAY, numbered, opened, parquet_files


def test_rows_are_on_disk_before_the_commit_and_seen_by_no_reader(lake: Lake, small: None) -> None:
    lake.write(items(0))
    before = len(parquet_files(lake))
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.APPEND, "p/s"))
    writer.write(Batch(items(*range(1, 101))))
    writer._draft.finish()
    assert len(parquet_files(lake)) > before
    assert lake.rows("k") == ["k0"]
    writer.commit(None)
    assert len(lake.rows("k")) == 101


def test_a_write_given_up_leaves_no_files(lake: Lake, small: None) -> None:
    lake.write(items(0))
    before = parquet_files(lake)
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.APPEND, "p/s"))
    writer.write(Batch(items(*range(1, 101))))
    writer.abort()
    assert parquet_files(lake) == before


def test_row_groups_are_exact_whatever_the_batches(lake: Lake, small: None) -> None:
    lake.write(*(items(*range(at, at + 7)) for at in range(0, 105, 7)))
    footers = [pq.read_metadata(file) for file in parquet_files(lake)]
    groups = [footer.row_group(at).num_rows for footer in footers for at in range(footer.num_row_groups)]
    assert sorted(groups) == [5, *[10] * 10]


def test_a_type_that_widens_after_files_were_written_loses_nothing(lake: Lake, small: None) -> None:
    decimals = pa.array([Decimal("1.5"), Decimal("2.25")], pa.decimal128(38, 2))
    wide = items(30, 31).append_column("n", decimals)
    lake.write(items(*range(25), n=pa.scalar(7, pa.int32())), wide, items(40, m="new"))
    rows = {row["k"]: row for row in lake.read().to_pylist()}
    assert len(rows) == 28
    assert rows["k3"]["n"] == Decimal(7)
    assert rows["k31"]["n"] == Decimal("2.25")
    assert rows["k40"]["m"] == "new"
    assert rows["k40"]["n"] is None
    stored = pa.table(lake.delta().scan())  # what every other reader sees
    assert sorted(str(value) for value in stored["n"].to_pylist() if value) == sorted(
        ["7.00"] * 25 + ["1.50", "2.25"]
    )


def test_files_of_large_rows_are_read_again_a_row_group_at_a_time(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "ROW_GROUP_BYTES", 1_000)
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.APPEND, "p/s"))
    for key in range(9):
        writer.write(Batch(items(key, s="x" * 400)))
    [file] = writer._draft.finish()
    footer = pq.read_metadata(lake.folder / "lake" / "items" / file.path)
    groups = [footer.row_group(at).num_rows for at in range(footer.num_row_groups)]
    assert len(groups) > 2
    assert [len(rows) for rows in file.rows_of(writer._draft._files, 10**6)] == groups
    writer.abort()


def test_a_text_that_becomes_a_variant_is_written_again_as_one(lake: Lake, small: None) -> None:
    label = pa.field("v", pa.string(), metadata={BSON: b"variant"})
    variant = items(30).append_column(label, pa.array(['{"$oid":"5f5f5f5f5f5f5f5f5f5f5f5f"}']))
    lake.write(items(*range(20), v="plain"), variant)
    assert set(lake.rows("v")) == {'"plain"', '{"$oid":"5f5f5f5f5f5f5f5f5f5f5f5f"}'}


def test_partitions_are_files_of_their_own_also_by_the_time_of_an_object_id(lake: Lake) -> None:
    label = pa.field("_id", pa.string(), metadata={BSON: b"objectId"})
    made = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (1, 1, 2, 3)]
    ids = pa.array([f"{int(moment.timestamp()):08x}" + "0" * 16 for moment in made] + [None])
    batch = pa.record_batch([ids], schema=pa.schema([label]))
    table = Table("lake", "items", partition_by=("day(_id)",))
    lake.write(batch, table=table)
    days = {file.parent.name: pq.read_metadata(file).num_rows for file in parquet_files(lake)}
    assert days == {
        "day=2026-11-01": 2,
        "day=2026-11-02": 1,
        "day=2026-11-03": 1,
        "day=__HIVE_DEFAULT_PARTITION__": 1,
    }
    assert lake.read(table=table).schema.names == ["_id"]
    assert lake.read(table=table).num_rows == 5


def test_times_beyond_the_calendar_count_to_its_first_or_last_day(lake: Lake) -> None:
    moments = [-62_135_596_800_001, 253_402_300_800_000, -(9 * 10**15), 9 * 10**15, 0, None]
    rows = pa.record_batch({"k": list("abcdef"), "t": pa.array(moments, pa.timestamp("ms", "UTC"))})
    lake.write(rows, table=BY_DAY)
    folders = {"day=0001-01-01", "day=9999-12-31", "day=1970-01-01", "day=__HIVE_DEFAULT_PARTITION__"}
    assert {file.parent.name for file in parquet_files(lake)} == folders
    found = lake.read(table=BY_DAY)
    assert dict(zip(found["k"].to_pylist(), found["t"].cast(pa.int64()).to_pylist(), strict=True)) == dict(
        zip("abcdef", moments, strict=True)
    )
    usual = Window(datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
    assert lake.read(table=BY_DAY, window=usual)["k"].to_pylist() == ["e"]
    lake.connection.delete_before(BY_DAY, "t", datetime(1900, 1, 1, tzinfo=UTC))
    assert sorted(lake.read(table=BY_DAY)["k"].to_pylist()) == ["b", "d", "e", "f"]


def test_another_column_whose_days_are_the_partitions_is_refused(lake: Lake) -> None:
    lake.write(items(0), table=BY_DAY)
    other = replace(BY_DAY, partition_by=("day(u)",))
    with pytest.raises(ConfigError, match=r"partitioned by day\(t\), not by day\(u\)"):
        lake.write(items(1, u=DAY.start), table=other)
    assert lake.rows("k") == ["k0"]
    lake.write(items(1, u=DAY.start), table=other, mode=Mode.REPLACE)
    assert lake.rows("k") == ["k1"]


def test_replacing_with_more_columns_is_one_step_for_readers(lake: Lake) -> None:
    lake.write(items(*range(5)))
    lake.write(items(7, 8, n=1), mode=Mode.REPLACE)
    assert lake.rows("k", "n") == [("k7", 1), ("k8", 1)]
    lake.write(items(9), mode=Mode.REPLACE)  # a column less
    assert lake.read().schema.names == ["k", "t"]
    assert lake.rows("k") == ["k9"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.text(max_size=40),
            st.none() | st.integers(-(2**53), 2**53),
            st.none() | st.floats(),
            st.none() | st.decimals(-(10**20), 10**20, places=3),
            st.none() | st.binary(max_size=3),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 59),
)
def test_statistics_never_hide_a_row(tmp_path_factory: pytest.TempPathFactory, rows: Any, pick: int) -> None:
    """A reader that skips files by their statistics finds what a reader of everything finds."""
    lake = Lake(tmp_path_factory.mktemp("lake"))
    numbers, texts, moments, floats, decimals, binaries = zip(*rows, strict=True)
    batch = pa.record_batch(
        {
            "n": pa.array(numbers, pa.int64()),
            "s": pa.array(texts, pa.string()),
            "t": pa.array(moments, pa.timestamp("ms", "UTC")),
            "f": pa.array(floats, pa.float64()),
            "d": pa.array(decimals, pa.decimal128(38, 3)),
            "b": pa.array(binaries, pa.binary()),
        }
    )
    half = len(rows) // 2
    for part in (batch.slice(0, half), batch.slice(half)):
        lake.write(part)
    picked = batch.slice(pick % len(rows), 1)
    number, text, moment = numbers[pick % len(rows)], texts[pick % len(rows)], moments[pick % len(rows)]
    if number is not None:
        assert _found(lake, f"n = {number}", "n") == [n for n in numbers if n == number]
        assert len(_found(lake, f"n >= {number}", "n")) == sum(n is not None and n >= number for n in numbers)
    if text is not None and "\x00" not in text:
        quoted = text.replace("'", "''")
        assert _found(lake, f"s = '{quoted}'", "s") == [s for s in texts if s == text]
    if moment is not None and 0 <= moment < 2**40:
        stamp = datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        assert len(_found(lake, f"t = timestamp '{stamp}'", "t")) == moments.count(moment)
    found, everything = lake.delta().to_pyarrow_dataset(), pa.Table.from_batches([batch])
    for name in "nsfdb":
        value = picked.column(name)[0]
        for holds in (pc.equal, pc.greater_equal, pc.less_equal):
            selected = found.to_table(filter=holds(pc.field(name), value))
            assert len(selected) == len(everything.filter(holds(pc.field(name), value)))


def test_a_reader_by_file_bounds_finds_rows_by_any_column(lake: Lake) -> None:
    """deltalake's pyarrow dataset skips files by bounds that are absent."""
    rows = pa.record_batch(
        {
            "k": ["k0", "k1", "k2"],
            "f": [0.5, float("nan"), float("inf")],
            "d": pa.array(
                [Decimal("-0.5"), Decimal("0.1"), Decimal("99999999999999999999.9")], pa.decimal128(38, 1)
            ),
            "s": ["\U0001f600" * 33, "z" * 33, "\U0010ffff" * 40],
            "b": [b"x", b"y", b"z"],
            "y": [True, False, None],
        }
    )
    for row in range(3):
        lake.write(rows.slice(row, 1))
    found = lake.delta().to_pyarrow_dataset()
    for name in rows.schema.names:
        for row, value in enumerate(rows.column(name).to_pylist()):
            if value is not None and value == value:  # and is not NaN
                assert found.to_table(filter=pc.field(name) == value)["k"].to_pylist() == [f"k{row}"]


def _found(lake: Lake, predicate: str, column: str) -> list[Any]:
    return pa.table(lake.delta().scan(predicate=predicate))[column].to_pylist()


def test_a_replacement_window_without_old_rows_needs_no_second_writing(lake: Lake) -> None:
    lake.write(items(48), table=BY_DAY)
    writer = lake.connection.sink(BY_DAY).open(Write(BY_DAY, Mode.REPLACE_WINDOW, "p/s", (), DAY))
    assert writer._draft is not None
    writer.write(Batch(items(1, 2)))
    lake.write(items(3), table=BY_DAY)  # meanwhile there are old rows
    assert writer.commit(None).replaced == 1
    assert lake.rows("k") == ["k1", "k2", "k48"]


FULL = """
    import os, resource, signal
    import numpy as np, pyarrow as pa
    from pathlib import Path
    from levada.batches import Batch
    from levada.connectors.base import Mode, Table, Write
    from levada.connectors.lake import LakeConnection, LakeSettings, draft
    from levada.errors import ConfigError, Retriable

    draft.ROW_GROUP = 1_000
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    table = Table("lake", "items")
    lake = LakeConnection("lake", LakeSettings(path="lake"), Path({folder!r}))
    writer = lake.sink(table).open(Write(table, Mode.APPEND, "copy/a", checkpoints="everything"))
    rows = pa.record_batch({{"b": [os.urandom(100) for _ in range(1_000)]}})
    try:
        for _ in range({groups}):
            writer.write(Batch(rows))
        writer.commit(None)
    except Retriable as error:
        print(error.hint)
        writer.abort()
"""


@pytest.mark.parametrize("groups", [2, 9])
def test_a_full_disk_is_named_and_nothing_stays_on_it(lake: Lake, groups: int) -> None:
    script = textwrap.dedent(FULL).format(folder=str(lake.folder), groups=groups)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("free some space, then run again\n", "")
    assert parquet_files(lake) == []


def in_the_day(lake: Lake) -> list[str]:
    source = lake.connection.source(BY_DAY, Query())
    return sorted(key for batch in source.read(DAY, None) for key in batch.data.column("k").to_pylist())


def test_rows_get_their_day_where_the_table_was_made_meanwhile_by_days(lake: Lake, small: None) -> None:
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.APPEND, "p/s"))
    writer.write(Batch(items(*range(12))))
    lake.write(items(12), table=BY_DAY)
    writer.commit(None)
    assert in_the_day(lake) == sorted(f"k{key}" for key in range(13))


def test_rows_of_a_checkpoint_get_their_day_where_the_copy_is_resumed_with_one(
    lake: Lake, small: None
) -> None:
    first = opened(lake)
    first.write(numbered(0, 12))
    first.abort()
    second = opened(lake, resume=True, table=BY_DAY)
    second.write(numbered(12, 14))
    second.commit(None)
    assert in_the_day(lake) == sorted(f"k{key}" for key in range(14))


def test_another_time_column_moves_rows_to_other_days(lake: Lake, small: None) -> None:
    lake.write(items(1), table=BY_DAY)
    writer = lake.connection.sink(BY_DAY).open(Write(BY_DAY, Mode.APPEND, "p/s"))
    late = pa.array([DAY.end] * 3, pa.timestamp("ms", "UTC"))
    writer.write(Batch(items(2, 3, 4).append_column("u", late)))
    writer._draft.finish()
    by_another = replace(BY_DAY, time="u", partition_by=("day(u)",))
    lake.write(items(9).append_column("u", late[:1]), table=by_another, mode=Mode.REPLACE)
    writer.commit(None)
    days = {row["k"]: str(row["day"]) for row in pa.table(lake.delta().scan()).to_pylist()}
    assert days == dict.fromkeys(["k2", "k3", "k4", "k9"], "2026-11-24")


def test_a_table_that_lost_columns_meanwhile_takes_the_rows(lake: Lake, small: None) -> None:
    lake.write(items(1, extra="x"))
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.APPEND, "p/s"))
    writer.write(Batch(items(*range(2, 14))))
    lake.write(items(1), mode=Mode.REPLACE)
    writer.commit(None)
    assert lake.read().schema.names == ["k", "t"]
    assert len(lake.rows("k")) == 13


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE])
@pytest.mark.parametrize("spooled", [False, True])
def test_a_commit_whose_answer_is_lost_is_neither_repeated_nor_removed(
    make_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch, mode: Mode, spooled: bool
) -> None:
    lake = make_lake(commit_attempts=2)
    lake.write(items(0))
    name = "write_deltalake" if spooled else "create_write_transaction"
    place: Any = storing if spooled else DeltaTable
    real = getattr(place, name)

    def answer_lost(*args: Any, **options: Any) -> None:
        real(*args, **options)
        raise CommitFailedError("the answer was lost")

    monkeypatch.setattr(place, name, answer_lost)
    if spooled:
        monkeypatch.setattr("levada.connectors.lake.sink.LakeSink._draft", lambda *_: None)
    written = lake.write(items(1, 2, 3), mode=mode)
    assert written.rows == 3
    assert lake.rows("k") == ["k0", "k1", "k2", "k3"][mode is Mode.REPLACE :]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_times_without_a_zone_are_found_wherever_the_program_runs(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        naive = pa.array(
            [DAY.start.replace(tzinfo=None, hour=hour) for hour in (0, 20, 23)], pa.timestamp("ms")
        )
        lake.write(pa.record_batch({"k": ["a", "b", "c"], "t": naive}))
        assert len(_found(lake, "t >= timestamp '2026-11-23 20:00:00'", "k")) == 2
        assert in_the_day(lake) == ["a", "b", "c"]
    finally:
        monkeypatch.undo()
        time.tzset()
