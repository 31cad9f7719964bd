"""Cursors, steps, and rows without a cursor."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from levada.errors import ConfigError, Fatal, LeaseHeld, Retriable
from levada.project import Project
from levada.state import Holder, Lease
from levada.steps.increment import cuts

from .conftest import Clock, Make

Document = dict[str, Any]
START = datetime(2026, 11, 1, tzinfo=UTC)
EMPTY = "steps: {s: {copy: {from: db.src, to: wh.unused}}}"


@pytest.fixture
def source(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database].src


@pytest.fixture
def watermarks(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database].watermarks


def ids(project: Project, address: str) -> list[Any]:
    return sorted(row["_id"] for row in project.read(address).read_all().to_pylist())


@given(
    st.integers(1, 10_000),
    st.integers(1, 100),
    st.sets(st.integers(-1, 10_000)),
)
def test_pieces_follow_each_other_and_cover_everything(length: int, step: int, busy: set[int]) -> None:
    last = START + timedelta(seconds=length)
    ends = cuts(START, last, timedelta(seconds=step), busy)
    assert ends[-1] == last
    assert all(before < after for before, after in zip([START, *ends], ends, strict=False))


@given(st.integers(2, 5_000), st.integers(1, 50), st.data())
def test_no_piece_holds_rows_of_two_steps(length: int, step: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, length - 1), max_size=50))
    busy = {row // step for row in rows}
    ends = cuts(START, START + timedelta(seconds=length), timedelta(seconds=step), busy)
    seconds = [int((end - START).total_seconds()) for end in ends]
    piece_of = {row: next(number for number, end in enumerate(seconds) if row < end) for row in rows}
    for row in rows:
        assert {other // step for other in rows if piece_of[other] == piece_of[row]} == {row // step}


def test_a_copy_by_hand_goes_on_where_the_last_one_was(
    make: Make, clock: Clock, source: Any, watermarks: Any
) -> None:
    project = make(EMPTY)
    source.insert_many([{"_id": n, "at": START, "v": 1} for n in range(5)])
    assert project.copy("db.src", "lake.dst", since="at").rows == 5
    source.update_many({"_id": {"$lt": 2}}, {"$set": {"at": clock.now, "v": 2}})
    source.insert_one({"_id": 9, "at": clock.now, "v": 2})
    assert project.copy("db.src", "lake.dst", since="at").note == "nothing is due yet"
    clock.now += timedelta(hours=1)
    assert project.copy("db.src", "lake.dst", since="at").rows == 3
    rows = {row["_id"]: row["v"] for row in project.read("lake.dst").read_all().to_pylist()}
    assert rows == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 9: 2}
    found = watermarks.find_one({})
    assert found.pop("updated_at")
    job = "copy db.src -> lake.dst"
    assert found == {
        "_id": job,
        "format": 1,
        "job_name": job,
        "last_processed": clock.now - timedelta(minutes=1),
    }


@pytest.mark.parametrize("kind", ["lake", "wh"])
def test_a_cursor_of_whole_days_waits_for_the_end_of_the_day(
    make: Make, clock: Clock, tmp_path: Path, kind: str
) -> None:
    project = make(EMPTY)

    with duckdb.connect(str(tmp_path / "days.duckdb")) as days:
        days.execute("create table src as select 1 as _id, date '2026-11-23' as day")
        days.execute("insert into src values (2, date '2026-11-24')")  # the clock shows 02:00 of that day
        insert_later = "insert into src values (3, date '2026-11-24')"
        copied = []
        for statement in (None, insert_later, None):
            if statement:
                days.execute(statement)
            project.copy(f"file://{exported(days, tmp_path)}", f"{kind}.src", mode="replace")
            copied.append(project.copy(f"{kind}.src", "db.dst", since="day", key=("_id",)).rows)
            clock.now += timedelta(hours=12)
    assert copied == [1, 0, 2]
    assert ids(project, "db.dst") == [1, 2, 3]


def exported(days: duckdb.DuckDBPyConnection, folder: Path) -> Path:
    days.execute(f"copy src to '{folder}/src.parquet'")
    return folder / "src.parquet"


def test_jobs_go_on_by_themselves(make: Make, clock: Clock, source: Any, watermarks: Any) -> None:
    project = make(EMPTY)
    source.insert_one({"_id": 1, "at": START})
    for job in ("a", "b"):
        assert project.copy("db.src", "wh.dst", since="at", job=job, lag="1h").rows == 1
        assert project.copy("db.src", "wh.dst", since="at", job=job, lag="1h").rows == 0
    assert {one["job_name"] for one in watermarks.find()} == {"a", "b"}


def test_thousands_of_rows_of_one_moment_are_never_parted(make: Make, clock: Clock, source: Any) -> None:
    edge = clock.now
    source.insert_many([{"_id": n, "at": edge} for n in range(4_000)])
    source.insert_many([{"_id": -1, "at": edge - timedelta(milliseconds=1)}])
    project = make(EMPTY)
    options = {"since": "at", "mode": "append", "lag": "0s"}
    assert project.copy("db.src", "wh.dst", **options).rows == 1  # [.., edge) has not the edge
    clock.now += timedelta(seconds=1)
    assert project.copy("db.src", "wh.dst", **options).rows == 4_000
    clock.now += timedelta(days=1)
    assert project.copy("db.src", "wh.dst", **options).rows == 0
    assert ids(project, "wh.dst") == list(range(-1, 4_000))


def test_a_stop_between_steps_keeps_what_is_done(
    make: Make, clock: Clock, source: Any, watermarks: Any
) -> None:
    source.insert_many([{"_id": n, "at": START + timedelta(days=n)} for n in range(6)])
    project, stop = make(EMPTY), threading.Event()

    def stop_in_the_third(_rows: int, _size: int) -> None:
        if watermarks.find_one({"last_processed": {"$gte": START + timedelta(days=1)}}):
            stop.set()

    options = {"since": "at", "mode": "append", "step": "1d"}
    with pytest.raises(Retriable) as stopped:
        project.copy("db.src", "wh.dst", **options, stop=stop, progress=stop_in_the_third)
    assert "it goes on behind them" in str(stopped.value)
    kept = len(ids(project, "wh.dst"))
    assert 0 < kept < 6
    assert project.copy("db.src", "wh.dst", **options).rows == 6 - kept
    assert ids(project, "wh.dst") == list(range(6))


def test_steps_lie_where_rows_are(make: Make, source: Any) -> None:
    moments = [datetime(2004, 2, 29, tzinfo=UTC), datetime(2026, 11, 1, 1, tzinfo=UTC), START]
    source.insert_many([{"_id": n, "at": at} for n, at in enumerate(moments)])
    done = make(EMPTY).copy("db.src", "wh.dst", since="at", step="1d")
    assert done.values["steps"] == 2
    assert done.rows == 3


@pytest.mark.parametrize("kind", ["db", "lake", "wh"])
@pytest.mark.parametrize(
    "numbers",
    [[1, 2, 5, 7], [Int64(2**40), Int64(2**40 + 1), Int64(2**41)], [Decimal128("1.50"), Decimal128("2.25")]],
)
def test_numbers_are_cursors(make: Make, source: Any, watermarks: Any, kind: str, numbers: list[Any]) -> None:
    project = make(EMPTY)
    source.insert_many([{"_id": n, "seq": value} for n, value in enumerate(numbers[:-1])])
    options = {"since": "seq", "key": ("_id",)}

    def copied() -> int:
        if kind != "db":
            project.copy("db.src", f"{kind}.src", mode="replace")
        return project.copy(f"{kind}.src", "wh.dst", **options).rows

    assert copied() == len(numbers) - 1
    assert watermarks.find_one({})["last_processed"] == numbers[-2]
    assert copied() == 0
    source.insert_many([{"_id": 50 + n, "seq": numbers[-1]} for n in range(3)])
    assert copied() == 3
    assert watermarks.find_one({})["last_processed"] == numbers[-1]


def test_numbers_are_read_again_within_the_overlap_and_cut_by_the_step(make: Make, source: Any) -> None:
    project = make(EMPTY)
    source.insert_many([{"_id": n, "seq": n} for n in (1, 2, 3, 30, 31)])
    options: dict[str, Any] = {"since": "seq", "step": 10, "overlap": 5}
    first = project.copy("db.src", "wh.dst", **options)
    assert (first.rows, first.values["steps"]) == (5, 2)
    source.insert_many([{"_id": 28, "seq": 28}, {"_id": 32, "seq": 32}])  # 28 was committed late
    assert project.copy("db.src", "wh.dst", **options).rows == 4
    assert ids(project, "wh.dst") == [1, 2, 3, 28, 30, 31, 32]


def test_a_row_committed_later_than_the_lag_is_found_within_the_overlap(
    make: Make, clock: Clock, source: Any
) -> None:
    project = make(EMPTY)
    source.insert_one({"_id": 1, "at": START})
    for job in ("plain", "over"):
        project.copy("db.src", f"wh.{job}", since="at", job=job)
    source.insert_one({"_id": 2, "at": clock.now - timedelta(minutes=30)})
    clock.now += timedelta(hours=1)
    assert project.copy("db.src", "wh.plain", since="at", job="plain").rows == 0
    assert project.copy("db.src", "wh.over", since="at", job="over", overlap="1h").rows == 1
    assert ids(project, "wh.over") == [1, 2]


def test_the_time_of_an_object_id_is_a_cursor_and_other_ids_have_none(
    make: Make, clock: Clock, source: Any, watermarks: Any
) -> None:
    made = [ObjectId.from_datetime(START + timedelta(days=n)) for n in range(3)]
    source.insert_many([{"_id": one} for one in made])
    source.insert_many([{"_id": 7}, {"_id": "seven"}, {"_id": {"a": 7}}])
    project = make(EMPTY)
    first = project.copy("db.src", "db.dst", since="_id", step="1d")
    assert (first.rows, first.values["steps"]) == (6, 3)
    assert first.note is not None
    assert "3 rows without _id read too" in first.note
    source.insert_one({"_id": ObjectId.from_datetime(clock.now + timedelta(seconds=5))})
    clock.now += timedelta(hours=1)
    assert project.copy("db.src", "db.dst", since="_id").rows == 4
    assert watermarks.find_one({})["last_processed"] == clock.now - timedelta(minutes=1)
    collection = source.database.dst
    assert sorted(map(str, collection.distinct("_id"))) == sorted(map(str, source.distinct("_id")))


BARE: list[Document] = [
    {"_id": 10, "at": None},
    {"_id": 11},
    {"_id": 12, "at": "2026-11-02"},
    {"_id": 13, "at": []},
    {"_id": 14, "at": 5},
    {"_id": 15, "at": {"y": 2026}},
    {"_id": 16, "at": [1, "x"]},
]


@pytest.mark.parametrize(
    ("options", "first", "second", "said"),
    [
        ({}, [1, 2, *range(10, 17)], [3, *range(10, 18)], "read too"),
        ({"nulls": "first_run"}, [1, 2, *range(10, 17)], [3], "left out"),
        ({"nulls": "first_run", "mode": "append"}, [1, 2, *range(10, 17)], [3], "left out"),
        ({"nulls": "skip"}, [1, 2], [3], "left out"),
        ({"mode": "append"}, [1, 2], [3], "left out"),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_rows_without_a_cursor_follow_the_rule_and_are_always_told(
    make: Make,
    clock: Clock,
    source: Any,
    options: Document,
    first: list[int],
    second: list[int],
    said: str,
    indexed: bool,
) -> None:
    source.insert_many([{"_id": 1, "at": START}, {"_id": 2, "at": [START, None]}, *BARE])
    if indexed:
        source.create_index("at")
    project = make(EMPTY)
    assert project.copy("db.src", "db.dst", since="at", **options).rows == len(first)
    assert sorted(source.database.dst.distinct("_id")) == first
    source.insert_many([{"_id": 3, "at": clock.now}, {"_id": 17}])
    clock.now += timedelta(hours=1)
    done = project.copy("db.src", "db.dst", since="at", **options)
    assert done.rows == len(second)
    assert f"8 rows without at {said}" in str(done.note)
    assert sorted(source.database.dst.distinct("_id")) == sorted({*first, *second})


def test_rows_without_a_cursor_can_be_an_error(make: Make, source: Any) -> None:
    source.insert_many([{"_id": 1, "at": START}, {"_id": 2}])
    with pytest.raises(Fatal, match="1 row without 'at'"):
        make(EMPTY).copy("db.src", "wh.dst", since="at", nulls="error")


@pytest.mark.parametrize("kind", ["lake", "wh"])
def test_stored_tables_have_rows_without_a_cursor_too(
    make: Make, clock: Clock, source: Any, kind: str
) -> None:
    project = make(EMPTY)
    source.insert_many([{"_id": 1, "at": START}, {"_id": 2, "at": None}])
    project.copy("db.src", f"{kind}.src", mode="replace")
    done = project.copy(f"{kind}.src", "wh.dst", since="at", key=("_id",))
    assert done.rows == 2
    assert "1 row without at read too" in str(done.note)
    clock.now += timedelta(hours=1)
    assert project.copy(f"{kind}.src", "wh.dst", since="at", key=("_id",)).rows == 1


def test_a_source_of_which_no_row_has_a_cursor_is_copied_and_gets_no_watermark(
    make: Make, source: Any, watermarks: Any
) -> None:
    project = make(EMPTY)
    source.insert_many([{"_id": 1}, {"_id": 2, "at": None}])
    assert project.copy("db.src", "wh.dst", since="at").rows == 2
    assert watermarks.find_one({}) is None
    source.insert_one({"_id": 3, "at": START})
    assert project.copy("db.src", "wh.dst", since="at").rows == 3
    assert ids(project, "wh.dst") == [1, 2, 3]


def test_rows_before_the_start_are_told(make: Make, source: Any) -> None:
    source.insert_many([{"_id": 1, "at": datetime(1970, 1, 1)}, {"_id": 2, "at": START}])
    project = make(EMPTY)
    done = project.copy("db.src", "wh.dst", since="at")
    assert done.rows == 1
    assert "1 row from before 2000-01-01 left out" in str(done.note)
    assert project.copy("db.src", "wh.all", since="at", start="1970-01-01").rows == 2


@pytest.mark.parametrize("kind", ["db", "lake", "wh"])
def test_text_is_no_cursor(make: Make, source: Any, kind: str) -> None:
    source.insert_one({"_id": 1, "at": "2026-11-01"})
    project = make(EMPTY)
    if kind != "db":
        project.copy("db.src", f"{kind}.src", mode="replace")
    with pytest.raises(ConfigError, match="can't say what is new"):
        project.copy(f"{kind}.src", "wh.dst", since="at", key=("_id",))


@pytest.mark.parametrize("kind", ["db", "wh", "lake"])
@pytest.mark.parametrize(("since", "start"), [("at", 5), ("n", "2026-01-01")])
@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_start_that_the_column_can_not_be_compared_with_is_refused(
    make: Make, source: Any, kind: str, since: str, start: Any, mode: str
) -> None:
    source.insert_many([{"_id": n, "at": START, "n": n} for n in range(3)])
    project = make(EMPTY)
    if kind != "db":
        project.copy("db.src", f"{kind}.src")
    with pytest.raises(ConfigError, match=f"'{since}' holds (times|numbers)"):
        project.copy(f"{kind}.src", "db.dst", since=since, start=start, mode=mode, key=("_id",))


def test_a_job_that_moved_along_another_kind_of_column_is_refused(make: Make, source: Any) -> None:
    source.insert_many([{"_id": n, "at": START, "n": n} for n in range(3)])
    project = make(EMPTY)
    project.copy("db.src", "lake.dst", since="at", job="mine")
    with pytest.raises(ConfigError, match="the watermark of 'mine' is a time, but 'n' holds numbers"):
        project.copy("db.src", "lake.dst", since="n", job="mine")


@pytest.mark.parametrize("target", ["lake", "wh"])
def test_a_run_of_which_no_row_can_be_stored_does_not_move_on(
    make: Make, source: Any, watermarks: Any, target: str
) -> None:
    source.insert_many([{"_id": n, "at": START, "far": DatetimeMS(2**62)} for n in range(3)])
    project = make(EMPTY)
    with pytest.raises(Fatal, match="all 3 rows were rejected"):
        project.copy("db.src", f"{target}.dst", since="at")
    assert watermarks.find_one({}) is None
    source.update_many({}, {"$unset": {"far": 1}})
    assert project.copy("db.src", f"{target}.dst", since="at").rows == 3


@pytest.mark.parametrize("options", [{"since": "at"}, {"mode": "upsert"}])
def test_a_key_of_one_column_is_its_name(make: Make, source: Any, options: dict[str, str]) -> None:
    source.insert_many([{"_id": n, "at": START, "customer": n} for n in range(3)])
    project = make(EMPTY)
    for _ in range(2):
        project.copy("db.src", "wh.dst", key="customer", **options)
    assert ids(project, "wh.dst") == [0, 1, 2]


def test_what_a_pipeline_selects_is_a_job_of_its_own(make: Make, source: Any) -> None:
    source.insert_many([{"_id": n, "at": START, "n": n} for n in range(5)])
    project = make(EMPTY)
    options = {"since": "at", "mode": "upsert", "key": ("_id",)}
    for condition in ({"n": {"$lt": 2}}, {"n": {"$gte": 2}}):
        project.copy("db.src", "lake.dst", pipeline=[{"$match": condition}], **options)
    assert ids(project, "lake.dst") == [0, 1, 2, 3, 4]


def test_conditions_and_columns_narrow_an_increment(make: Make, clock: Clock, source: Any) -> None:
    source.insert_many([{"_id": n, "at": START, "kind": n % 2, "x": n} for n in range(6)])
    source.insert_many([{"_id": n, "kind": n % 2, "x": n} for n in range(6, 10)])
    project = make(EMPTY)
    done = project.copy("db.src", "wh.dst", since="at", where="kind = 1", columns=("_id", "x"), step="1d")
    assert done.rows == 5
    assert project.read("wh.dst").read_all().column_names == ["_id", "x"]
    assert project.copy("db.src", "wh.two", since="at", filter={"kind": 0}).rows == 5


def test_arrays_become_rows_of_an_increment_step_by_step(make: Make, clock: Clock, source: Any) -> None:
    source.insert_many(
        [{"_id": n, "at": START + timedelta(days=n), "items": [{"x": i} for i in range(n)]} for n in range(4)]
    )
    source.insert_one({"_id": 9, "items": [{"x": 0}]})
    project = make(EMPTY)
    options = {"since": "at", "mode": "append", "explode": "items", "step": "1d", "nulls": "first_run"}
    done = project.copy("db.src", "wh.dst", **options)
    assert (done.rows, done.values["children"], done.values["steps"]) == (5, {"items": 7}, 4)
    clock.now += timedelta(hours=1)
    assert project.copy("db.src", "wh.dst", **options).rows == 0
    assert project.read("wh.dst__items").read_all().num_rows == 7


def test_two_copies_of_one_job_do_not_run_at_once(make: Make, source: Any) -> None:
    source.insert_one({"_id": 1, "at": START})
    project = make(EMPTY)
    lease = Lease(project.store, "copy:feed", Holder.here("other"), 30).acquire()
    with pytest.raises(LeaseHeld):
        project.copy("db.src", "wh.dst", since="at", job="feed")
    lease.release()
    assert project.copy("db.src", "wh.dst", since="at", job="feed").rows == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"step": "1d"}, "needs `since`"),
        ({"since": "at", "mode": "append", "overlap": "1h"}, "only mode upsert stores once"),
        ({"since": "at", "mode": "append", "nulls": "every_run"}, "only mode upsert stores once"),
        ({"since": "at", "mode": "replace"}, "would remove the rest"),
        ({"since": "at", "step": "0s"}, "at least 1, or a second"),
        ({"since": "at", "step": 5}, "is a length of numbers"),
        ({"mode": "append", "version": "v"}, "needs mode upsert"),
        ({"mode": "upsert", "on_null": "keep"}, "nothing is kept of a replaced row"),
        ({"mode": "append", "deletes": "compare"}, "go with mode upsert"),
        ({"mode": "upsert", "deletes": "compare", "where": "x = 1"}, "leaves rows out"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    make: Make, source: Any, options: Document, said: str
) -> None:
    source.insert_one({"_id": 1, "at": START})
    with pytest.raises(ConfigError, match=said):
        make(EMPTY).copy("db.src", "wh.dst", **{"key": ("_id",), **options})


def test_without_a_known_key_an_increment_is_refused(make: Make, source: Any) -> None:
    project = make(EMPTY)
    source.insert_one({"_id": 1, "at": START})
    project.copy("db.src", "lake.src", mode="replace")
    with pytest.raises(ConfigError, match="no key is known") as refused:
        project.copy("lake.src", "wh.dst", since="at")
    assert "--key" in str(refused.value)


def test_a_step_of_a_pipeline_has_the_same_settings(make: Make, clock: Clock, source: Any) -> None:
    source.insert_many([{"_id": n, "at": START + timedelta(days=n)} for n in range(3)])
    source.insert_one({"_id": 9})
    project = make(
        "steps: {s: {copy: {from: db.src, to: lake.dst, mode: upsert, key: _id, since: at, step: 1d, "
        "nulls: first_run, overlap: 2d, start: 2026-11-02, deletes: compare}}}"
    )
    first = project.run("p").steps["s"].values
    assert (first["rows"], first["steps"], first["compared"]) == (3, 2, 3)
    source.delete_one({"_id": 1})
    clock.now += timedelta(hours=1)
    second = project.run("p").steps["s"].values
    assert (second["rows"], second["deleted"], second["compared"]) == (0, 1, 3)
    assert ids(project, "lake.dst") == [2, 9]
