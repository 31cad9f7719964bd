"""Watermarks at the edges of what a cursor can hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient

from levada.errors import ConfigError, Fatal
from levada.project import Project
from levada.steps.cursor import restored, stored
from levada.steps.increment import IncrementSettings

from .conftest import Clock, Make

Document = dict[str, Any]
EMPTY = "steps: {s: {copy: {from: db.src, to: wh.unused}}}"
KINDS = ["db", "lake", "wh"]


@pytest.fixture
def source(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database].src


@pytest.fixture
def project(make: Make) -> Project:
    return make(EMPTY)


def copied(project: Project, kind: str, **options: Any) -> list[Any]:
    """The `_id`s in the target after an increment from a source of this kind."""
    if kind != "db":
        project.copy("db.src", f"{kind}.src", mode="replace")
    project.copy(f"{kind}.src", "wh.dst", since="n", key="_id", **options)
    return sorted(row["_id"] for row in project.read("wh.dst").read_all().to_pylist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("first", "then"),
    [
        # neighbours that are one double
        ("12345678901234567890123456789.12345", "12345678901234567890123456789.12346"),
        # written with an exponent
        ("1.234567890123456789012E-10", "1.234567890123456789013E-10"),
        ("0.0000001", "0.0000002"),
    ],
)
def test_decimals_are_never_rounded(project: Project, source: Any, kind: str, first: str, then: str) -> None:
    source.insert_one({"_id": 1, "n": Decimal128(first)})
    assert copied(project, kind) == [1]
    source.insert_one({"_id": 2, "n": Decimal128(then)})
    assert copied(project, kind) == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_64_bits_are_cursors(project: Project, source: Any, kind: str) -> None:
    source.insert_many([{"_id": n, "n": Int64(v)} for n, v in enumerate([-(2**63), 0, 2**63 - 2])])
    assert copied(project, kind, step=2**62) == [0, 1, 2]
    source.insert_one({"_id": 3, "n": Int64(2**63 - 1)})
    assert copied(project, kind, step=2**62) == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_integers_above_a_fraction_are_all_copied(
    project: Project, source: Any, mongo: MongoClient[Document], database: str, kind: str
) -> None:
    source.insert_many([{"_id": n, "n": n} for n in (1, 2, 3)])
    mongo[database]["watermarks"].insert_one({"job_name": "j", "last_processed": Decimal128("1.5")})
    assert copied(project, kind, job="j") == [2, 3]


def test_endless_numbers_are_rows_without_a_cursor(project: Project, source: Any) -> None:
    source.insert_many([{"_id": n, "n": v} for n, v in enumerate([float("inf"), float("-inf"), 1.5])])
    assert copied(project, "db", nulls="skip") == [2]
    source.insert_one({"_id": 3, "n": 2.5})
    assert copied(project, "db", nulls="skip") == [2, 3]
    assert copied(project, "db") == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "value",
    ["2026-01-01", True, {"a": 1}, ObjectId(b"0" * 12), float("nan"), float("inf"), Decimal128("NaN")],
    ids=str,
)
def test_a_watermark_that_somebody_broke_is_told(
    project: Project, source: Any, mongo: MongoClient[Document], database: str, value: Any
) -> None:
    source.insert_one({"_id": 1, "n": 1})
    mongo[database]["watermarks"].insert_one({"job_name": "j", "last_processed": value})
    with pytest.raises(ConfigError, match="neither a time nor a number"):
        copied(project, "db", job="j")


def test_a_clock_that_was_wrong_does_not_leave_rows_out_in_silence(
    project: Project, clock: Clock, source: Any
) -> None:
    now = clock.now
    source.insert_one({"_id": 1, "at": now - timedelta(days=1)})
    options: dict[str, Any] = {"since": "at", "key": "_id"}
    clock.now = now + timedelta(days=400)
    project.copy("db.src", "wh.dst", **options)
    clock.now = now
    source.insert_one({"_id": 2, "at": now - timedelta(hours=1)})
    with pytest.raises(Fatal, match="lies in the future"):
        project.copy("db.src", "wh.dst", **options)
    start = (now - timedelta(days=2)).isoformat()
    assert project.copy("db.src", "wh.dst", **options, job="anew", start=start).rows == 2


def test_clocks_of_two_machines_may_differ_a_little(project: Project, clock: Clock, source: Any) -> None:
    source.insert_one({"_id": 1, "at": clock.now - timedelta(days=1)})
    options: dict[str, Any] = {"since": "at", "key": "_id", "lag": "0s"}
    project.copy("db.src", "wh.dst", **options)
    clock.now -= timedelta(minutes=20)
    assert project.copy("db.src", "wh.dst", **options).rows == 0


@pytest.mark.unit
@pytest.mark.parametrize("step", [timedelta(milliseconds=999), timedelta(0), 0, -5])
def test_steps_shorter_than_a_second_are_refused(step: Any) -> None:
    with pytest.raises(ValueError, match="at least 1, or a second"):
        IncrementSettings.model_validate({"since": "at", "step": step})


@pytest.mark.parametrize("kind", KINDS)
def test_steps_need_not_be_whole_seconds(project: Project, clock: Clock, source: Any, kind: str) -> None:
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    source.insert_many([{"_id": n, "n": begin + timedelta(seconds=1.5 * n)} for n in range(8)])
    if kind != "db":
        project.copy("db.src", f"{kind}.src", mode="replace")
    done = project.copy(
        f"{kind}.src", "wh.dst", since="n", key="_id", start=begin.isoformat(), step=timedelta(seconds=1.5)
    )
    assert done.rows == 8
    assert done.values["steps"] > 1
    assert done.values["steps"] <= 8


@pytest.mark.parametrize("name", ["at", "parts.at"])
def test_an_array_that_lies_in_two_intervals_is_not_appended_twice(
    project: Project, clock: Clock, source: Any, name: str
) -> None:
    early, late = clock.now - timedelta(hours=1), clock.now + timedelta(minutes=30)
    several: Any = [early, late] if name == "at" else [{"at": early}, {"at": late}]
    first, _, inner = name.partition(".")
    source.insert_many([{"_id": 1, first: several}, {"_id": 2, first: {inner: early} if inner else early}])
    rows, told = 0, []
    for _ in range(3):
        done = project.copy("db.src", "lake.dst", since=name, mode="append")
        rows += done.rows
        told.append(str(done.note))
        clock.now += timedelta(hours=1)
    assert rows == 1
    assert f"1 row without {name} left out" in told[0]
    assert f"1 row without {name} left out" in told[1]
    assert project.copy("db.src", "wh.dst", since=name, key="_id").rows == 2


@pytest.mark.unit
@pytest.mark.parametrize("microsecond", [0, 1, 29, 524_121, 999_999])
def test_a_watermark_keeps_its_microseconds(microsecond: int) -> None:
    moment = datetime(2026, 3, 1, 17, 49, 9, microsecond, UTC)
    assert restored(stored(moment)) == moment


@pytest.mark.parametrize("step", [None, 2])
@pytest.mark.parametrize("single", [3, "text"])
def test_arrays_of_numbers_are_read_where_one_of_them_is_new(
    project: Project, source: Any, step: int | None, single: Any
) -> None:
    def copied() -> list[int]:
        project.copy("db.src", "db.dst", since="n", nulls="skip", step=step)
        return sorted(row["_id"] for row in source.database["dst"].find())

    source.insert_many([{"_id": 1, "n": [1, 5]}, {"_id": 2, "n": single}])
    source.insert_one({"_id": 3, "n": [7.5, "text", None, float("inf")]})
    kept = [1, 2, 3] if single == 3 else [1, 3]
    assert copied() == kept
    source.insert_many([{"_id": 4, "n": [2, 9]}, {"_id": 5, "n": [3, 4]}])
    assert copied() == [*kept, 4]
    source.insert_one({"_id": 6, "n": 8.5})  # not new: 9 was read
    source.insert_one({"_id": 7, "n": [0, Decimal128("9.5")]})
    assert copied() == [*kept, 4, 7]
