"""Copies with `since`: every row once, whatever the source, also after a position was lost."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from levada.project import Project
from levada.steps.increment import Increment
from levada.windows import Window

from .conftest import Clock, Make

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
DOCUMENTS = [{"_id": n, "at": START + timedelta(minutes=n)} for n in range(3)]


@pytest.fixture
def source(mongo: MongoClient[dict[str, Any]], database: str) -> Any:
    collection = mongo[database].src
    collection.insert_many(DOCUMENTS)
    return collection


def ids(project: Project, address: str) -> list[int]:
    return sorted(row["_id"] for row in project.read(address).read_all().to_pylist())


def values(project: Project) -> dict[str, Any]:
    run = project.run("p")
    assert run.status == "done", run.error
    return dict(run.steps["s"].values)


@pytest.mark.parametrize("kind", ["db", "lake", "wh"])
def test_the_newest_row_of_a_run_is_not_read_again_by_the_next(
    make: Make, clock: Clock, source: Any, kind: str
) -> None:
    project = make(f"steps: {{s: {{copy: {{from: {kind}.src, to: wh.dst, mode: append, since: at}}}}}}")
    if kind != "db":
        project.copy("db.src", f"{kind}.src", mode="replace")
    assert values(project)["rows"] == 3
    clock.now += timedelta(hours=1)
    assert values(project)["rows"] == 0
    assert ids(project, "wh.dst") == [0, 1, 2]


@pytest.mark.parametrize("policy", ["restart", "trust_sink"])
def test_a_removed_table_is_filled_from_the_beginning(
    make: Make, clock: Clock, source: Any, policy: str
) -> None:
    project = make("steps: {s: {copy: {from: db.src, to: lake.dst, mode: upsert, key: [_id], since: at}}}")
    assert values(project)["rows"] == 3
    shutil.rmtree(project.root / "lake" / "dst")
    clock.now += timedelta(hours=1)
    lost = project.run("p")
    assert lost.error is not None
    assert lost.error["exit_code"] == 4
    assert project.run("p", on_lost=policy).status == "done"
    assert ids(project, "lake.dst") == [0, 1, 2]


def test_a_first_run_starts_at_the_watermark_of_its_job(
    make: Make, mongo: MongoClient[dict[str, Any]], database: str, source: Any
) -> None:
    mongo[database].watermarks.insert_one({"job_name": "feed", "last_processed": DOCUMENTS[1]["at"]})
    project = make("steps: {s: {copy: {from: db.src, to: wh.dst, since: at, job: feed}}}")
    assert values(project)["rows"] == 2
    [watermark] = mongo[database].watermarks.find({"job_name": "feed"})  # one document, as it was
    assert watermark["last_processed"] > DOCUMENTS[1]["at"]


def test_in_a_pipeline_with_windows_an_increment_adds_to_the_window(
    make: Make, clock: Clock, source: Any
) -> None:
    project = make("window: day\nsteps: {s: {copy: {from: db.src, to: wh.dst, mode: append, since: at}}}")
    assert values(project)["rows"] == 3
    source.insert_one({"_id": 9, "at": clock.now})
    clock.now += timedelta(hours=1)
    assert values(project)["rows"] == 1
    assert ids(project, "wh.dst") == [0, 1, 2, 9]


def test_rows_younger_than_the_lag_are_left_to_a_later_run(make: Make, clock: Clock, source: Any) -> None:
    lagging = "steps: {{s: {{copy: {{from: db.src, to: wh.dst, since: at, lag: {}}}}}}}"
    assert values(make(lagging.format("1m")))["rows"] == 3
    source.insert_one({"_id": 9, "at": clock.now - timedelta(minutes=1)})
    clock.now += timedelta(minutes=30)
    for _ in range(3):
        project = make(lagging.format("1h"))
        assert values(project)["rows"] == 0
    clock.now += timedelta(hours=1)
    assert values(project)["rows"] == 1


@pytest.mark.parametrize(
    "step",
    [
        "copy: {from: db.src, to: wh.dst, window: true}",
        "check: {table: db.src, window: true, rules: [row_count: {min: 1}]}",
    ],
)
def test_a_window_that_the_pipeline_has_not_is_refused(make: Make, source: Any, step: str) -> None:
    run = make(f"steps: {{s: {{{step}}}}}", "{db.src: {time: at}}").run("p")
    assert run.error is not None
    assert run.error["exit_code"] == 2


def test_copies_by_hand_of_one_window_replace_their_own_rows_only(
    make: Make, mongo: MongoClient[dict[str, Any]], database: str, source: Any
) -> None:
    mongo[database].other.insert_one({"_id": 7, "at": START})
    project = make("steps: {s: {copy: {from: db.src, to: wh.dst}}}")
    options: dict[str, Any] = {"window": Window.parse("2026-11-23"), "time_column": "at"}
    for _ in range(2):
        project.copy("db.src", "wh.all", where="_id = 0", **options)
        project.copy("db.src", "wh.all", where="_id = 1", **options)
        project.copy("db.other", "wh.all", **options)
    assert ids(project, "wh.all") == [0, 1, 7]


@pytest.mark.parametrize("policy", ["restart", "trust_sink"])
def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(
    make: Make, clock: Clock, source: Any, policy: str
) -> None:
    project = make("steps: {s: {copy: {from: db.src, to: db.dst, mode: upsert, key: [_id], since: at}}}")
    assert values(project)["rows"] == 3
    target = source.database["dst"]
    target.drop()
    target.create_index("at")  # as an application does when it starts
    clock.now += timedelta(hours=1)
    source.insert_one({"_id": 7, "at": clock.now - timedelta(minutes=5)})
    lost = project.run("p")
    assert lost.error is not None
    assert lost.error["exit_code"] == 4
    assert "made anew" in str(lost.error)
    run = project.run("p", on_lost=policy)
    assert run.status == "done", run.error
    assert ids(project, "db.dst") == ([0, 1, 2, 7] if policy == "restart" else [7])
    clock.now += timedelta(hours=1)
    assert values(project)["rows"] == 0


@pytest.mark.parametrize("policy", ["fail", "restart", "trust_sink"])
def test_a_table_that_is_made_anew_between_two_steps_is_noticed_there(
    make: Make, source: Any, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    keep, target = Increment.keep, source.database["dst"]

    def keep_and_remove(increment: Increment, reached: Any) -> None:
        keep(increment, reached)
        if target.count_documents({}) == 2:
            target.drop()
            target.create_index("at")

    monkeypatch.setattr(Increment, "keep", keep_and_remove)
    copy = "{from: db.src, to: db.dst, mode: upsert, key: [_id], since: at, step: 1m}"
    project = make(f"steps: {{s: {{copy: {copy}, retries: {{attempts: 0}}}}}}")
    run = project.run("p", on_lost=policy)
    monkeypatch.setattr(Increment, "keep", keep)
    if policy == "fail":
        assert run.error is not None
        assert run.error["exit_code"] == 4
        assert ids(project, "db.dst") == []
    elif policy == "trust_sink":
        assert ids(project, "db.dst") == [2]
    else:
        assert run.error is not None
        assert run.error["retriable"]
        assert project.run("p", on_lost=policy).status == "done"
        assert ids(project, "db.dst") == [0, 1, 2]


def test_an_increment_goes_on_in_a_table_that_a_copy_has_replaced(
    make: Make, clock: Clock, source: Any
) -> None:
    project = make("steps: {s: {copy: {from: db.src, to: db.dst, mode: upsert, key: [_id], since: at}}}")
    assert values(project)["rows"] == 3
    assert project.copy("db.src", "db.dst", mode="replace").rows == 3
    clock.now += timedelta(hours=1)
    source.insert_one({"_id": 7, "at": clock.now - timedelta(minutes=5)})
    assert values(project)["rows"] == 1
    assert ids(project, "db.dst") == [0, 1, 2, 7]
