"""Increments that are killed between any two of their commits, while the source goes on changing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from levada.project import Project, load

Document = dict[str, Any]

#: Copies once, and kills itself at the given one of the moments before and after whatever it stores.
VICTIM = """
    import json, os, signal, sys
    from datetime import datetime
    import levada
    from levada.connectors.duckdb.sink import DuckdbWriter
    from levada.connectors.lake.sink import LakeWriter
    from levada.connectors.mongodb.writer import MongoWriter
    from levada.state import Lease, Positions, Watermarks
    from levada.steps.removal import Removal

    root, moments, now, options = sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])

    def passing():
        global moments
        moments -= 1
        if not moments:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(owner, name):
        inner = getattr(owner, name)
        def call(*arguments, **named):
            passing()
            result = inner(*arguments, **named)
            passing()
            return result
        setattr(owner, name, call)

    for owner in (MongoWriter, LakeWriter, DuckdbWriter):
        watch(owner, "commit")
    for owner, name in ((Positions, "announce"), (Positions, "confirm"), (Watermarks, "set")):
        watch(owner, name)
    watch(Removal, "_compare")
    watch(Lease, "release")
    with levada.load(root) as project:
        project.copy("db.src", sys.argv[5], since="at", now=datetime.fromisoformat(now), **options)
"""

LAG = timedelta(minutes=1)
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


class World:
    """A source that changes, and knows what must have been copied of it."""

    def __init__(self, collection: Any, seed: int, *, bare: bool = True) -> None:
        self._collection = collection
        self._chance = random.Random(seed)
        self._bare = bare
        self.now = BEGIN + timedelta(days=2)
        self.rows: dict[int, Document] = {}

    def add(self, count: int, earliest: datetime) -> None:
        """New rows, many of one moment, from `earliest` on; some without a time."""
        moments = [earliest + (self.now - earliest) * self._chance.random() for _ in range(3)]
        for _ in range(count):
            at: Any = self._chance.choice([*moments, self.now])
            if self._bare and self._chance.random() < 0.1:
                at = self._chance.choice([None, "2026-11-01", 7])
            self._put({"_id": len(self.rows) + 1, "at": at, "v": 0})

    def change(self, count: int) -> None:
        """Some rows get a new version, a little late but within the lag; some go."""
        for number in self._chance.sample(sorted(self.rows), min(count, len(self.rows))):
            if self.rows[number].get("gone"):
                continue
            if self._chance.random() < 0.3:
                self._collection.delete_one({"_id": number})
                self.rows[number]["gone"] = True
            else:
                late = LAG * self._chance.random() * 0.9
                self._put({"_id": number, "at": self.now - late, "v": self.rows[number]["v"] + 1})

    def _put(self, row: Document) -> None:
        if isinstance(row["at"], datetime):
            row["at"] = row["at"].replace(microsecond=row["at"].microsecond // 1000 * 1000)
        self._collection.replace_one({"_id": row["_id"]}, row, upsert=True)
        self.rows[row["_id"]] = row

    def check(self, found: dict[int, Document], *, final: bool) -> None:
        """Rows that were due as they are, none that is gone, of younger ones at most an earlier version."""
        there = {number: row for number, row in self.rows.items() if not row.get("gone")}
        assert found.keys() <= there.keys()
        for number, row in there.items():
            if final or not isinstance(row["at"], datetime) or row["at"] < self.now - LAG:
                assert found[number]["v"] == row["v"]
            elif number in found:
                assert found[number]["v"] < row["v"]


@pytest.fixture
def project(tmp_path: Path, mongod: str, database: str) -> Project:
    (tmp_path / "levada.yml").write_text(
        "format: 1\nname: test\nconnections:\n"
        f"  db: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
        "  wh: {type: duckdb, path: wh.duckdb}\n  lake: {type: lake, path: lake}\n"
        f"state: {{connection: db, database: {database}}}\n"
    )
    return load(tmp_path, env={})


def killed(project: Project, now: datetime, target: str, options: Document, moment: int) -> bool:
    """Run the copy in a process of its own; whether it was killed at that moment."""
    script = textwrap.dedent(VICTIM)
    arguments = [str(project.root), str(moment), now.isoformat(), json.dumps(options), target]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def stored(project: Project, target: str) -> dict[int, Document]:
    with load(project.root, env={}) as opened:
        return {row["_id"]: row for row in opened.read(target).read_all().to_pylist()}


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(3, id="short"),
        pytest.param(40, id="long", marks=[pytest.mark.nightly, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("target", ["db.dst", "lake.dst", "wh.dst"])
def test_an_upsert_that_is_killed_again_and_again_ends_like_an_undisturbed_one(
    project: Project, mongo: MongoClient[Document], database: str, target: str, rounds: int
) -> None:
    seed = int(os.environ.get("LEVADA_SEED", random.randrange(10**6)))
    sys.stdout.write(f"LEVADA_SEED={seed}\n")
    chance = random.Random(seed)
    world = World(mongo[database].src, seed)
    world.add(60, BEGIN)
    options = {"mode": "upsert", "key": ["_id"], "step": "6h", "deletes": "compare"}
    kills = 0
    for _ in range(rounds):
        while killed(project, world.now, target, options, chance.randrange(1, 40 if kills else 6)):
            kills += 1
            world.now += timedelta(minutes=10)
            world.change(3)
        world.check(stored(project, target), final=False)
        before = world.now
        world.now += timedelta(hours=chance.choice([1, 24]))
        world.add(20, before)
        world.change(10)
    assert kills
    world.now += timedelta(days=1)
    assert not killed(project, world.now, target, options, 10**9)
    world.check(stored(project, target), final=True)
    [watermark] = mongo[database].watermarks.find()
    assert watermark["job_name"] == f"copy db.src -> {target}"
    assert watermark["last_processed"] == world.now - LAG


@pytest.mark.parametrize("target", ["db.dst", "lake.dst", "wh.dst"])
def test_an_append_that_is_killed_again_and_again_has_every_row_once(
    project: Project, mongo: MongoClient[Document], database: str, target: str
) -> None:
    seed = int(os.environ.get("LEVADA_SEED", random.randrange(10**6)))
    sys.stdout.write(f"LEVADA_SEED={seed}\n")
    chance = random.Random(seed)
    world = World(mongo[database].src, seed, bare=False)
    world.add(60, BEGIN)
    options = {"mode": "append", "step": "6h", "job": "feed"}
    for _ in range(3):
        while killed(project, world.now, target, options, chance.randrange(1, 30)):
            world.now += timedelta(minutes=10)
            world.add(5, world.now - LAG * 0.9)
        with load(project.root, env={}) as opened:
            rows = [row["_id"] for row in opened.read(target).read_all().to_pylist()]
        assert sorted(rows) == [n for n, row in world.rows.items() if row["at"] < world.now - LAG]
        world.now += timedelta(hours=3)
        world.add(20, world.now - timedelta(hours=2))


def test_children_of_an_append_that_is_killed_again_and_again_are_there_once(
    project: Project, mongo: MongoClient[Document], database: str
) -> None:
    seed = int(os.environ.get("LEVADA_SEED", random.randrange(10**6)))
    sys.stdout.write(f"LEVADA_SEED={seed}\n")
    chance = random.Random(seed)
    world = World(mongo[database].src, seed, bare=False)
    world.add(40, BEGIN)
    mongo[database].src.update_many({}, {"$set": {"items": [1, 2]}})
    options = {"mode": "append", "step": "6h", "explode": "items"}
    kills = 0
    for _ in range(2):
        while killed(project, world.now, "wh.dst", options, chance.randrange(1, 40 if kills else 6)):
            kills += 1
            world.now += timedelta(minutes=10)
        with load(project.root, env={}) as opened:
            parents = [row["_id"] for row in opened.read("wh.dst").read_all().to_pylist()]
            children = [row["_id"] for row in opened.read("wh.dst__items").read_all().to_pylist()]
        assert sorted(parents) == [n for n, row in world.rows.items() if row["at"] < world.now - LAG]
        assert sorted(children) == sorted([*parents, *parents])
        world.now += timedelta(hours=30)
        world.add(20, world.now - timedelta(hours=29))
        mongo[database].src.update_many({}, {"$set": {"items": [1, 2]}})
    assert kills
