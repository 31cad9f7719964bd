"""Copies to the lake that are killed again and again while others write to the collection."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

import levada

Document = dict[str, Any]

COPY = """
    import sys
    from levada.connectors.lake import draft
    draft.CHECKPOINT_BYTES, draft.ROW_GROUP = {checkpoint}, 20_000
    from levada.cli import main
    sys.argv[1:] = ["copy", {source!r}, {target!r}, "--resume", "--json"]
    main()
"""


def payload(number: int, version: int) -> str:
    """What a document holds in a version; a mixture of two versions shows."""
    return f"{number}:{version}:" + "x" * ((number * 7 + version) % 90)


def document(number: int) -> Document:
    return {"_id": ObjectId(), "n": number, "version": 0, "payload": payload(number, 0)}


class Writers:
    """Threads that update, insert and delete until they are stopped.

    Documents whose number is a multiple of ten may be deleted; those inserted have negative numbers.
    """

    def __init__(self, uri: str, collection: str, ids: list[ObjectId], seed: int) -> None:
        self._uri, self._collection, self._ids, self._seed = uri, collection, ids, seed
        self._stop = threading.Event()
        self.versions: Counter[int] = Counter()
        self.error: BaseException | None = None
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in range(2)]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.error:
            raise self.error

    def _run(self, part: int) -> None:
        chance = random.Random(self._seed + part)
        try:
            with MongoClient[Document](self._uri) as client:
                while not self._stop.is_set():
                    self._write(client["shop"][self._collection], chance, part)
        except BaseException as error:  # noqa: BLE001 - raised where the threads are joined
            self.error = error

    def _write(self, collection: Collection[Document], chance: random.Random, part: int) -> None:
        number = chance.randrange(len(self._ids) // 2) * 2 + part  # no two threads write one document
        if number % 10 == 0 and chance.random() < 0.2:
            collection.delete_one({"_id": self._ids[number]})
        elif chance.random() < 0.05:
            collection.insert_one({**document(-number - 1), "_id": ObjectId()})
        else:
            version = self.versions[number] + 1
            self.versions[number] = version  # before the write: what a reader sees is never newer
            change = {"version": version, "payload": payload(number, version)}
            collection.update_one({"_id": self._ids[number]}, {"$set": change})


def killed_until_done(
    command: list[str], folder: Path, chance: random.Random, most: int, patience: float
) -> int:
    """Start the copy and kill it when it has begun to write, until it ends by itself; how many kills."""
    for kills in range(most + 1):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            if kills < most and _killed(process, folder, chance.uniform(0, patience)):
                continue
            assert process.wait(timeout=300) == 0
            return kills
    raise AssertionError


def _killed(process: subprocess.Popen[bytes], folder: Path, patience: float) -> bool:
    """Kill it once there are more files than now, and a little later; False if it was done before."""
    before = len(list(folder.rglob("*.parquet")))
    while process.poll() is None:
        if len(list(folder.rglob("*.parquet"))) > before:
            time.sleep(patience)
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    return process.wait() == -signal.SIGKILL


def check(rows: list[Document], ids: list[ObjectId], writers: Writers) -> None:
    """Every `_id` that was there throughout exactly once, in a version that there was."""
    seen = Counter(row["_id"] for row in rows)
    throughout = {str(ids[number]) for number in range(len(ids)) if number % 10}
    assert not throughout - seen.keys()
    assert max(seen.values()) == 1
    for row in rows:
        assert row["payload"] == payload(row["n"], row["version"])
        assert row["version"] <= writers.versions[row["n"]]


@pytest.mark.parametrize(
    ("documents", "kills", "patience"),  # seconds that a copy may go on after its first file
    [
        pytest.param(60_000, 4, 0.02, id="short"),
        pytest.param(2_000_000, 30, 0.15, id="long", marks=[pytest.mark.nightly, pytest.mark.timeout(3000)]),
    ],
)
def test_a_copy_killed_again_and_again_misses_and_repeats_nothing(
    mongod: str,
    mongo: MongoClient[Document],
    database: str,
    tmp_path: Path,
    documents: int,
    kills: int,
    patience: float,
) -> None:
    seed = int(os.environ.get("LEVADA_SEED", random.randrange(10**6)))
    sys.stdout.write(f"LEVADA_SEED={seed}\n")
    collection = mongo["shop"][database]
    ids = []
    for start in range(0, documents, 10_000):
        chunk = [document(number) for number in range(start, min(start + 10_000, documents))]
        collection.insert_many(chunk, ordered=False)
        ids += [one["_id"] for one in chunk]
    host = mongod.removeprefix("mongodb://").split("/")[0]
    source = f"mongodb://{host}/shop.{database}?directConnection=true"
    target = f"file://{tmp_path}/lake/copied"
    size = documents * 190 // (kills * 3)
    script = textwrap.dedent(COPY).format(checkpoint=size, source=source, target=target)
    try:
        with Writers(mongod, database, ids, seed) as writers:
            done = killed_until_done(
                [sys.executable, "-c", script], tmp_path / "lake", random.Random(seed), kills, patience
            )
        assert done >= kills // 4
        check(levada.read(target).read_all().to_pylist(), ids, writers)
    finally:
        collection.drop()
