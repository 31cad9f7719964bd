"""How much is asked for, kept and read per second."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from pymongo.database import Database

from levada.bson import Documents, Reply
from levada.connectors.base import Query
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.pace import Pace
from levada.connectors.mongodb.shelf import Read, read_ahead
from levada.connectors.mongodb.wire import REPLY_BYTES, Sizes
from levada.errors import Retriable
from levada.observe import Timings

from .scan_servers import ROWS, Document, connect, ids, read, until

MB = 1024 * 1024
NONE = np.zeros(0, np.int64)


def test_replies_have_about_two_megabytes_whatever_the_documents(
    connection: MongoConnection, db: Database[Document]
) -> None:
    sizes = [100] * 2000 + [400_000] * 40 + [3 * MB] * 6 + [15 * MB] * 3 + [100] * 2000
    for at in range(0, len(sizes), 50):
        db["rows"].insert_many(
            [{"_id": at + more, "x": "x" * size} for more, size in enumerate(sizes[at : at + 50])]
        )
    batches = read(connection, Query(canonical=True))
    assert ids(batches) == list(range(len(sizes)))
    largest = max(sizes)
    for batch in batches[1:]:
        assert batch.data.nbytes <= max(8 * REPLY_BYTES, largest + 2 * REPLY_BYTES)
    small = [batch.data.num_rows for batch in batches if batch.data.nbytes < 1000 * batch.data.num_rows]
    assert max(small) > 100  # and they grow again behind large ones


@pytest.mark.unit
def test_the_next_size_follows_the_mean_and_growth_counts_at_once() -> None:
    sizes = Sizes(5000, mean=400, target=2_000_000)
    assert sizes.next == 5000
    sizes.saw(100, 4_000_000)
    assert sizes.next == 50
    sizes.saw(50, 50 * 400)
    assert 50 < sizes.next < 200
    sizes.saw(1, 16_000_000)
    assert sizes.next == 1
    assert Sizes(7).next == 7


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.unit
@pytest.mark.parametrize(
    ("rates", "each"), [((100, None), (50, 1)), ((None, 1000), (50, 500)), ((100, 1e9), (50, 9))]
)
def test_a_pace_lets_a_second_pass_at_once_and_then_keeps_its_rate(
    rates: tuple[float | None, float | None], each: tuple[int, int]
) -> None:
    clock = FakeClock()
    pace = Pace(*rates, clock=clock)
    waited = 0.0
    for _ in range(20):  # ten seconds' worth
        pause = max(0.0, pace.took(*each))
        clock.now += pause
        waited += pause
    assert waited == pytest.approx(9.0)
    clock.now += 60
    assert pace.took(*each) <= 0  # an idle minute gives one second's worth, not sixty
    assert pace.took(*each) <= 0
    assert pace.took(*each) == pytest.approx(0.5)


@pytest.mark.unit
def test_no_pace_never_waits() -> None:
    pace = Pace(clock=FakeClock())
    assert pace.rows is pace.bytes is None
    assert pace.took(10**9, 10**12) <= 0


def test_a_limited_connection_asks_for_a_second_at_most(
    mongod: str, db: Database[Document], tmp_path: Path
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(120)])
    limited = connect(mongod, db.name, tmp_path, max_documents_per_second=100)
    started = time.monotonic()
    batches = read(limited, Query(canonical=True))
    limited.close()
    assert ids(batches) == list(range(120))
    assert [batch.data.num_rows for batch in batches] == [100, 20]
    assert time.monotonic() - started > 0.19  # 120 documents are 0.2 s more than the first second's worth


class Endless:
    """A lane that never ends and counts what it has given."""

    def __init__(self, size: int) -> None:
        self._raw = bytes(size)
        self.given = 0
        self.refreshed = 0

    def reads(self, stop: threading.Event) -> Generator[Read]:
        while True:
            self.given += 1
            yield Read("scan", Reply(1, Documents(self._raw, NONE, NONE), None))

    def keep_alive(self) -> None:
        self.refreshed += 1


@pytest.mark.unit
@pytest.mark.parametrize(("size", "given"), [(10, 5), (3 * MB, 4), (20 * MB, 2)])
def test_what_waits_is_bounded_in_replies_and_in_bytes(size: int, given: int) -> None:
    lane = Endless(size)
    reads = read_ahead([lane], depth=4, limit=10 * MB)
    next(reads)
    until(lambda: lane.refreshed > 1)  # full, and kept alive while it waits
    assert lane.given == given + 1
    reads.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "levada-mongodb-read"]


@pytest.mark.unit
def test_the_first_error_of_any_lane_ends_all_of_them() -> None:
    class Broken(Endless):
        def reads(self, stop: threading.Event) -> Generator[Read]:
            yield from ()
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        for _ in read_ahead([Endless(10), Broken(10)]):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "levada-mongodb-read"]


def test_the_servers_time_is_limited_and_the_limit_is_not_got_around(
    mongod: str, db: Database[Document], tmp_path: Path
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(2000)])
    limited = connect(mongod, db.name, tmp_path, max_time=0.2)
    slow = {
        "$expr": {"$function": {"body": "function() { sleep(5); return true }", "args": [], "lang": "js"}}
    }
    with pytest.raises(Retriable, match="time limit"):
        read(limited, Query(canonical=True, batch_rows=5, filter=slow))
    limited.close()


def test_the_comment_of_a_scan_is_seen_in_current_operations(
    mongod: str, db: Database[Document], tmp_path: Path
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(2000)])
    named = connect(mongod, db.name, tmp_path, comment="nightly copy")
    stages: list[Document] = [
        {"$currentOp": {"idleCursors": True, "allUsers": True}},
        {"$match": {"ns": f"{db.name}.rows", "cursor.originatingCommand.comment": "nightly copy"}},
    ]
    for query in (Query(batch_rows=10), Query(batch_rows=10, pipeline=[{"$match": {}}])):
        batches: Any = named.source(ROWS, query).read(None, None)
        next(batches)
        until(lambda: list(db.client.admin.aggregate(stages)))
        batches.close()
    named.close()


def test_timings_say_where_the_time_went(connection: MongoConnection, db: Database[Document]) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(5000)])
    source: Any = connection.source(ROWS, Query(batch_rows=500))
    list(source.read(None, None))
    assert set(source.timings.seconds) == {"read", "wait", "decode"}
    assert all(seconds > 0 for seconds in source.timings.seconds.values())


@pytest.mark.unit
def test_timings_add_up_by_name_also_when_it_fails() -> None:
    clock = FakeClock()
    timings = Timings(clock)
    for seconds in (1.5, 2.0):
        with timings.spent("read"):
            clock.now += seconds

    def fail() -> None:
        with timings.spent("write"):
            clock.now += 3
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    timings.add("read", 1)
    assert timings.seconds == {"read": 4.5, "write": 3.0}


def test_sixteen_megabytes_are_read_in_every_order(
    connection: MongoConnection, db: Database[Document]
) -> None:
    room = 16 * MB - len(bson.encode({"_id": 1, "x": ""}))
    for number in range(3):
        db["rows"].insert_one({"_id": number, "x": "x" * room})
    for query in (Query(canonical=True), Query(canonical=True, order="id"), Query(canonical=True, lanes=2)):
        assert sorted(ids(read(connection, query))) == [0, 1, 2]
