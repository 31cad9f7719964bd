"""One write per mode over the same stored rows, and a plain model of what it must leave behind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Changes, Connection, Fence, Mode, Query, Table, Write, Written
from levada.positions import Position
from levada.windows import Window

Row = dict[str, Any]

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
TABLE = Table("endpoint", "items", key=("k",), time="t")
OWNER = "daily/items"
SCHEMA = pa.schema(
    [
        pa.field("k", pa.string()),
        pa.field("t", pa.timestamp("ms", "UTC"), metadata={b"levada.bson": b"date"}),
        pa.field("n", pa.int32()),
        pa.field("s", pa.struct([pa.field("city", pa.string()), pa.field("l", pa.list_(pa.int64()))])),
    ]
)
COLUMNS = tuple(SCHEMA.names)


def row(key: int, hour: float, n: int) -> Row:
    """A row `hour` hours after the day's start."""
    nested = None if key % 5 == 0 else {"city": f"c{key % 3}", "l": [key, None] if key % 2 else []}
    return {"k": f"k{key}", "t": DAY.start + timedelta(hours=hour), "n": n if key % 7 else None, "s": nested}


#: Three days, both edges of the middle one included.
STORED = [
    *(row(i, i - 24, 1) for i in range(72)),
    row(100, 23.9999, 1),
]


@dataclass(frozen=True)
class Job:
    """One write: what the runner asks of a sink.

    Args:
        mode: of the write.
        parts: its batches' rows.
        sequence: of its position.
        epoch: of its lease.
        schema: of its batches.
        changes: what its rows do to stored ones.
    """

    mode: Mode
    parts: tuple[tuple[Row, ...], ...]
    sequence: int = 1
    epoch: int | None = None
    schema: pa.Schema = SCHEMA
    changes: Changes = field(default_factory=Changes)

    @property
    def rows(self) -> list[Row]:
        return [row for part in self.parts for row in part]

    def write(self) -> Write:
        windowed = self.mode in (Mode.APPEND, Mode.REPLACE_WINDOW)
        fence = None if self.epoch is None else Fence(self.epoch)
        window = DAY if windowed else None
        return Write(TABLE, self.mode, OWNER, ("k",), window, fence, self.changes)

    def batches(self) -> Iterable[Batch]:
        for part in self.parts:
            yield Batch(pa.RecordBatch.from_pylist(list(part), self.schema))

    @property
    def position(self) -> Position:
        return Position({"": {"$date": "2026-11-24T00:00:00Z"}, "lane": self.sequence}, self.sequence)

    def again(self) -> Job:
        """The same write by a later run."""
        return replace(self, sequence=self.sequence + 1)


def job(mode: Mode, parts: int = 3) -> Job:
    """A write of the mode: some keys and times are stored already, some come twice."""
    rows = [row(i % 41 + 20, (i * 7 % 240) / 10, 2 + i) for i in range(60)]
    if mode is not Mode.UPSERT:
        rows = [{**each, "k": f"{each['k']}-{i}"} for i, each in enumerate(rows)]
    size = len(rows) // parts
    return Job(mode, tuple(tuple(rows[i : i + size]) for i in range(0, len(rows), size)))


def deleting(parts: int = 3) -> Job:
    """An upsert that deletes every third of its rows, some of them before and behind others of their key."""
    work = job(Mode.UPSERT, parts)
    operations = ("delete", None, "upsert")
    marked = tuple(
        tuple({**each, "op": operations[number % 3]} for number, each in enumerate(part))
        for part in work.parts
    )
    schema = SCHEMA.append(pa.field("op", pa.string()))
    return replace(work, parts=marked, schema=schema, changes=Changes(operation="op"))


def expected(stored: list[Row], mode: Mode, rows: list[Row]) -> list[Row]:
    """What the first write of these rows leaves behind."""
    if mode is Mode.APPEND:
        return [*stored, *rows]
    if mode is Mode.REPLACE:
        return rows
    if mode is Mode.REPLACE_WINDOW:
        return [*(each for each in stored if each["t"] not in DAY), *rows]
    found = {each["k"]: each for each in stored}
    for each in rows:
        if each.get("op") == "delete":
            found.pop(each["k"], None)
        else:
            found[each["k"]] = {name: each[name] for name in each if name != "op"}
    return list(found.values())


def store(connection: Connection, rows: list[Row] = STORED, schema: pa.Schema = SCHEMA) -> None:
    """Put rows into the table, by another owner."""
    writer = connection.sink(TABLE).open(Write(TABLE, Mode.REPLACE, "seed"))
    writer.write(Batch(pa.RecordBatch.from_pylist(rows, schema)))
    writer.commit(None)


def content(connection: Connection, columns: tuple[str, ...] = COLUMNS) -> list[Row]:
    """The table's rows in a fixed order."""
    batches = connection.source(TABLE, Query(columns=columns)).read(None, None)
    return ordered(row for batch in batches for row in batch.data.to_pylist())


def ordered(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda each: (str(each.get("k")), str(each.get("t")), str(each.get("n"))))


def deliver(connection: Connection, work: Job, at: Callable[[str], None] = lambda _: None) -> Written | None:
    """Write as the runner does: not at all where the position says it is done."""
    sink = connection.sink(TABLE)
    done = sink.position(OWNER)
    if done and done.sequence >= work.sequence:
        return None
    writer = sink.open(work.write())
    for number, batch in enumerate(work.batches()):
        writer.write(batch)
        at(f"batch {number}")
    at("before commit")
    written = writer.commit(work.position)
    at("after commit")
    return written


def points(mode: Mode, seed: int, during: int = 2, commit: float = 0.04) -> list[tuple[str, float]]:
    """Where to die: each kind of place, and seeded moments of the commit.

    Args:
        mode, seed: of the chance.
        during: how many moments.
        commit: seconds that a commit takes.
    """
    chance = random.Random(f"{mode}-{seed}")
    places = [f"batch {chance.randrange(3)}", "before commit", "after commit"]
    return [
        *((place, 0.0) for place in places),
        *(("during commit", chance.uniform(0, commit)) for _ in range(during)),
    ]
