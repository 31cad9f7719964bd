from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from levada.batches import Rejected
from levada.errors import ConfigError, Fatal
from levada.positions import Position
from levada.state import (
    DEFAULT_START,
    CheckResults,
    Entry,
    Holder,
    Positions,
    Quarantine,
    Run,
    Runs,
    StepRecord,
    Store,
    Watermarks,
    new_run_id,
)
from levada.windows import Window

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
WINDOW = Window.parse("2026-11-23")


class Seen(CommandListener):
    """Counts inserts."""

    def __init__(self) -> None:
        self.inserts = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.inserts += event.command_name == "insert"

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


@pytest.fixture
def store(mongo: MongoClient[dict[str, Any]], database: str) -> Store:
    return Store(mongo, database)


def run(run_id: str, *, window: Window | None = WINDOW, at: datetime = NOW, status: str = "done") -> Run:
    steps = {"extract": StepRecord("extract", "done", rows=7, values={"rows": 7, "share": 0.5})}
    return Run(run_id, "daily", window, status, at, "plan", Holder.here(run_id), steps)


def test_a_run_comes_back_as_it_was_stored(store: Store) -> None:
    runs = Runs(store)
    runs.start(run("a", status="running"))
    runs.record("a", StepRecord("extract", "done", rows=9, seconds=1.5, tries=2))
    found = runs.get("a")
    assert found.window == WINDOW
    assert found.steps["extract"] == StepRecord("extract", "done", rows=9, seconds=1.5, tries=2)
    assert found.status == "running"
    ended = runs.finish(replace(found, status="done", finished_at=NOW + timedelta(seconds=3)))
    assert runs.get("a") == ended


def test_runs_are_found_by_a_part_of_their_id_if_it_is_the_only_one(store: Store) -> None:
    runs = Runs(store)
    runs.start(run("20261124T020000-aaaaaa"))
    runs.start(run("20261124T030000-bbbbbb"))
    assert runs.get("bbbbbb").id == "20261124T030000-bbbbbb"
    for unknown in ("20261124", "cccccc"):
        with pytest.raises(ConfigError, match="run"):
            runs.get(unknown)


def test_the_newest_run_of_each_window_counts(store: Store) -> None:
    runs = Runs(store)
    days = [Window.parse(f"2026-11-{day}") for day in (21, 22, 23)]
    runs.start(run("old", window=days[0], status="failed"))
    runs.start(run("new", window=days[0], at=NOW + timedelta(hours=1)))
    runs.start(run("other", window=days[2], status="failed"))
    found = runs.by_window("daily", days)
    assert {window: item.id for window, item in found.items()} == {days[0]: "new", days[2]: "other"}
    assert runs.last("daily", days[1]) is None
    assert runs.by_window("daily", []) == {}


def test_a_running_run_whose_process_is_gone_reads_as_interrupted(store: Store) -> None:
    gone = Holder(Holder.here("x").host, 2**22 + 1, "1", "x")
    Runs(store).start(replace(run("x", status="running"), holder=gone))
    assert Runs(store).get("x").status == "interrupted"


def test_state_of_a_newer_format_is_refused(store: Store) -> None:
    Runs(store).start(run("a"))
    store.collection("runs").update_one({"_id": "a"}, {"$set": {"format": 99}})
    with pytest.raises(Fatal, match="format 99"):
        Runs(store).get("a")


def test_ids_sort_by_time_and_differ(store: Store) -> None:
    ids = [new_run_id(NOW + timedelta(seconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert len({new_run_id(NOW) for _ in range(50)}) == 50


def test_positions_are_announced_then_confirmed(store: Store) -> None:
    positions = Positions(store)
    assert positions.entry("daily/x", "shop.t") == Entry(None, 0)
    positions.announce("daily/x", "shop.t", 1)
    assert positions.entry("daily/x", "shop.t") == Entry(None, 1)
    positions.confirm("daily/x", "shop.t", Position({"": 5}, 1))
    assert positions.entry("daily/x", "shop.t") == Entry(Position({"": 5}, 1), 1)
    assert positions.entry("daily/x", "shop.other") == Entry(None, 0)


def test_a_watermark_has_the_fields_of_its_format(store: Store) -> None:
    marks = Watermarks(store)
    assert marks.get("feed") is None
    assert datetime(2000, 1, 1, tzinfo=UTC) == DEFAULT_START
    marks.set("feed", NOW)
    marks.set("feed", NOW + timedelta(hours=1))
    assert marks.get("feed") == NOW + timedelta(hours=1)
    stored = list(store.collection("watermarks").find())
    assert len(stored) == 1
    assert stored[0]["job_name"] == "feed"
    assert {"last_processed", "updated_at"} <= set(stored[0])


def test_rejected_records_keep_their_bytes_and_reason(store: Store) -> None:
    records = [Rejected(b"\x00\xff", "bad length"), Rejected(b"x" * 13_000_000, "too large")]
    assert Quarantine(store).add(records, table="shop.t", run="r", step="s") == 2
    small, large = store.collection("quarantine").find().sort("raw_bytes", 1)
    assert bytes(small["raw"]) == b"\x00\xff"
    assert small["reason"] == "bad length"
    assert large["raw_bytes"] == 13_000_000
    assert Quarantine(store).add([], table="shop.t", run="r", step="s") == 0


def test_many_rejected_records_are_kept_by_few_writes(mongod: str, database: str) -> None:
    """Each write waits for most servers."""
    seen = Seen()
    large = [Rejected(b"x" * 5_000_000, "large")] * 5
    many = [Rejected(b"%d" % number, "small") for number in range(2_500)]
    with MongoClient[dict[str, Any]](mongod, event_listeners=[seen]) as client:
        collection = Store(client, database).collection("quarantine")
        added = Quarantine(Store(client, database)).add(
            iter([*many, *large]), table="shop.t", run="r", step="s"
        )
        assert added == 2_505
        kept = [found["raw"] for found in collection.find({"reason": "small"}, sort=[("_id", 1)])]
        assert kept == [record.raw for record in many]
        assert collection.count_documents({"reason": "large"}) == 5
    assert 3 <= seen.inserts <= 7


def test_check_results_are_kept(store: Store) -> None:
    CheckResults(store).add([{"rule": "row_count", "passed": True}])
    CheckResults(store).add([])
    assert store.collection("check_results").count_documents({"rule": "row_count"}) == 1
