"""Rows that other writers change without a pause while they are written."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient, client_session_shared

from levada.connectors.base import Changes
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.apply.lookup import Lookup
from levada.errors import Retriable

from .applying import MANY, Document, apply
from .conftest import Start, replica_set

ROWS = 2_000


@contextmanager
def crowd(uri: str, database: str) -> Iterator[Counter[int]]:
    """Three writers that count `hits` up in random rows; yields how often in which, complete at the end."""
    stop, counted = threading.Event(), [Counter[int]() for _ in range(3)]
    hits = Counter[int]()

    def hit(seed: int) -> None:
        chance = random.Random(seed)
        with MongoClient[Document](uri) as client:
            while not stop.is_set():
                k = chance.randrange(ROWS)
                client[database]["out"].update_one({"k": k}, {"$inc": {"hits": 1}})
                counted[seed][k] += 1

    threads = [threading.Thread(target=hit, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield hits
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for one in counted:
            hits.update(one)


def check(connection: MongoConnection, uri: str, others: int) -> None:
    """Three loads end while others write, and nothing of either is lost."""
    out = connection.database()["out"]
    out.create_index("k", unique=True)
    out.insert_many([{"k": k, "n": 0} for k in range(ROWS)])
    rest = [{"k": -k - 1, "n": 0} for k in range(others)]
    with crowd(uri, connection.database().name) as hits:
        for turn in range(1, 4):
            rows = [{"k": k, "n": turn} for k in range(ROWS)]
            written = apply(connection, rows + rest, changes=Changes(merge="fields"))
            assert written.rejected == ()
            assert written.rows == ROWS + others
    found = {row["k"]: row for row in out.find()}
    assert len(found) == out.count_documents({}) == ROWS + others
    assert {row["n"] for k, row in found.items() if k >= 0} == {3}
    assert {k: row["hits"] for k, row in found.items() if "hits" in row} == hits
    assert sum(hits.values()) > 100


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_a_crowd_at_the_same_rows_holds_no_write_up(
    connection: MongoConnection, mongod: str, others: int
) -> None:
    check(connection, mongod, others)


def test_a_crowd_holds_no_write_up_without_transactions_either(
    start: Start, database: str, tmp_path: Any
) -> None:
    uri = f"mongodb://{start()}"
    settings = MongoSettings.model_validate({"uri": uri, "database": database})
    connection = MongoConnection("source", settings, tmp_path)
    check(connection, uri, 0)
    connection.close()


def test_a_row_that_another_transaction_holds_is_told_as_that(
    connection: MongoConnection, mongod: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_session_shared, "_WITH_TRANSACTION_RETRY_TIME_LIMIT", 1)
    out = connection.database()["out"]
    out.create_index("k", unique=True)
    out.insert_one({"k": 1, "n": 0})
    with (
        MongoClient[Document](mongod) as other,
        other.start_session() as session,
        session.start_transaction(),
    ):
        other[out.database.name]["out"].update_one({"k": 1}, {"$set": {"n": 5}}, session=session)
        with pytest.raises(Retriable, match="another writer was at the same document"):
            apply(connection, [{"k": 1, "n": 1}, {"k": 2, "n": 1}], changes=Changes())
        session.abort_transaction()
    assert apply(connection, [{"k": 1, "n": 1}, {"k": 2, "n": 1}], changes=Changes()).rejected == ()
    assert {row["k"]: row["n"] for row in out.find()} == {1: 1, 2: 1}


def test_a_transaction_that_lives_too_long_is_done_in_parts(
    start: Start, database: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives a transaction a second, and looking at a row takes a millisecond."""
    uri = replica_set(start("--replSet", "rs0", "--setParameter", "transactionLifetimeLimitSeconds=1"))
    settings = MongoSettings.model_validate({"uri": uri, "database": database})
    connection = MongoConnection("source", settings, tmp_path)
    out = connection.database()["out"]
    out.create_index("k", unique=True)
    out.insert_one({"k": 0, "n": 0})
    look = Lookup.find

    def slowly(self: Lookup, keys: Any, session: Any) -> Any:
        time.sleep(0.001 * len(keys))
        return look(self, keys, session)

    monkeypatch.setattr(Lookup, "find", slowly)
    written = apply(connection, [{"k": k, "n": 1} for k in range(1_900)], changes=Changes(merge="fields"))
    assert (written.rows, written.rejected) == (1_900, ())
    assert out.count_documents({"n": 1}) == 1_900
    connection.close()
