"""Loads that find most of their rows stored already: the target is read once instead of row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from levada.batches import Batch
from levada.bson import Documents
from levada.connectors.base import Changes, Mode, Write, Written
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.apply import known
from levada.connectors.mongodb.apply.known import Known, Table
from levada.connectors.mongodb.lanes import Lanes

from .applying import OUT, OWNER, Document, apply, stored
from .conftest import batch

N = 12_000
PART = 1_500


def rows(n: int = N, **fields: Any) -> list[Document]:
    return [{"k": number, "text": f"row {number}", **fields} for number in range(n)]


def parts(documents: list[Document]) -> list[list[Document]]:
    return [documents[start : start + PART] for start in range(0, len(documents), PART)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the whole target was read; after 3,000 rows at the earliest."""
    seen: list[str] = []
    read = Known.read
    monkeypatch.setattr(known, "LEAST_ROWS", 3_000)

    def counted(self: Known) -> None:
        seen.append("read")
        read(self)

    monkeypatch.setattr(Known, "read", counted)
    put = Lanes.put

    def at_once(self: Lanes[Any], items: list[Any], lane: int | None = None) -> None:
        put(self, items, lane)
        self.settle()

    monkeypatch.setattr(Lanes, "put", at_once)  # else it depends on time how many have been looked up
    return seen


def test_a_load_that_is_stored_already_is_recognised_by_one_look(
    connection: MongoConnection, db: Database[Document], looks: list[str]
) -> None:
    first = apply(connection, *parts(rows()), changes=Changes())
    assert (first.rows, first.unchanged, looks) == (N, 0, [])
    again = apply(connection, *parts(rows()), changes=Changes())
    assert (again.rows, again.replaced, again.unchanged) == (N, N, N)
    assert looks == ["read"]
    assert db["out"].count_documents({}) == N


@pytest.mark.parametrize("changes", [Changes(), Changes(version="k"), Changes(on_null="unset")], ids=str)
def test_changed_and_new_rows_among_known_ones_are_written(
    connection: MongoConnection, db: Database[Document], looks: list[str], changes: Changes
) -> None:
    apply(connection, *parts(rows(e=5)), changes=changes)
    second = rows(N + 500, e=5)
    for number in range(0, N, 11):
        second[number]["text"] = "changed"
    written = apply(connection, *parts(second), changes=changes)
    assert looks == ["read"]
    assert (written.rows, written.replaced) == (N + 500, N)
    assert written.unchanged == N - len(range(0, N, 11))
    found = {row["k"]: row for row in stored(db)}
    assert found == {row["k"]: row for row in second}


def test_a_row_that_was_changed_and_comes_back_as_it_was_is_written_again(
    connection: MongoConnection, db: Database[Document], looks: list[str]
) -> None:
    apply(connection, *parts(rows()), changes=Changes())
    late = N - 5
    back = [{"k": bson.Int64(late), "text": "x"}, {"k": late + 1, "text": "y"}]
    story = [
        *parts(rows(N - 1500)),
        back,
        [rows()[late], {"k": float(late + 1), "text": "z"}],
        [rows()[late + 1]],
    ]
    apply(connection, *story, changes=Changes())
    assert looks == ["read"]
    found = {row["k"]: row for row in stored(db)}
    assert [found[late], found[late + 1]] == [rows()[late], rows()[late + 1]]


def test_what_others_have_changed_is_seen_whenever_they_did(
    connection: MongoConnection, db: Database[Document], mongo: MongoClient[Document], looks: list[str]
) -> None:
    """Before the look: written back. After it, the other's change is the later one and stays."""
    apply(connection, *parts(rows()), changes=Changes())
    db["out"].update_one({"k": N - 1}, {"$set": {"text": "before"}})
    db["out"].delete_one({"k": N - 2})
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",)))
    for part in parts(rows()):
        writer.write(batch(*part))
        if looks == ["read"]:
            looks.append("changed")
            db["out"].update_one({"k": N - 3}, {"$set": {"text": "after"}})
    written = writer.commit(None)
    assert looks == ["read", "changed"]
    assert (written.rows, written.unchanged) == (N, N - 2)
    found = {row["k"]: row["text"] for row in stored(db)}
    assert found[N - 3] == "after"
    assert [found[N - 1], found[N - 2]] == [f"row {N - 1}", f"row {N - 2}"]
    assert len(found) == N == db["out"].count_documents({})


def test_rows_with_ids_of_their_own_are_known_by_everything_else(
    connection: MongoConnection, db: Database[Document], looks: list[str]
) -> None:
    apply(connection, *parts(rows()), changes=Changes())
    ids = {row["k"]: row["_id"] for row in stored(db, ids=True)}
    again = apply(connection, *parts([{"_id": n, **row} for n, row in enumerate(rows())]), changes=Changes())
    assert (again.unchanged, looks) == (N, ["read"])
    assert {row["k"]: row["_id"] for row in stored(db, ids=True)} == ids


def test_where_the_id_is_the_key_it_is_compared_too(
    connection: MongoConnection, db: Database[Document], looks: list[str]
) -> None:
    documents = [{"_id": number, "same": True} for number in range(N)]
    apply(connection, *parts(documents), key=("_id",), changes=Changes())
    more = [*documents, *({"_id": N + number, "same": True} for number in range(100))]
    again = apply(connection, *parts(more), key=("_id",), changes=Changes())
    assert (again.rows, again.unchanged, looks) == (N + 100, N, ["read"])
    assert db["out"].count_documents({}) == N + 100


@pytest.mark.parametrize("changes", [Changes(operation="op"), Changes(merge="fields")], ids=str)
def test_equal_rows_are_looked_up_where_more_than_the_row_matters(
    connection: MongoConnection, db: Database[Document], looks: list[str], changes: Changes
) -> None:
    for _ in range(2):
        written = apply(connection, *parts(rows()), changes=changes)
    assert (written.rows, written.unchanged, looks) == (N, N, [])
    if changes.operation:
        gone = [{**row, "op": "delete"} for row in rows()]
        assert apply(connection, *parts(gone), changes=changes).deleted == N


def test_typed_rows_are_known_too(
    connection: MongoConnection, db: Database[Document], looks: list[str]
) -> None:
    table = pa.table({"k": np.arange(N), "text": [f"row {n}" for n in range(N)]})

    def load() -> Written:
        writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",)))
        for part in table.to_batches(max_chunksize=PART):
            writer.write(Batch(part))
        return writer.commit(None)

    assert [load().unchanged, load().unchanged] == [0, N]
    assert looks == ["read"]


def test_a_look_that_fails_leaves_the_load_to_lookups(
    connection: MongoConnection, db: Database[Document], looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(connection, *parts(rows()), changes=Changes())
    killed: list[int] = []
    replies = known.replies

    def interrupted(*arguments: Any) -> Iterator[Documents]:
        for documents in replies(*arguments):
            yield documents
            if not killed:  # between two replies the cursor is idle
                stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": f"{db.name}.out"}}]
                with db.client.admin.aggregate(stages) as found:
                    killed.extend(each["cursor"]["cursorId"] for each in found if "cursor" in each)
                db.command("killCursors", "out", cursors=killed)

    monkeypatch.setattr(known, "replies", interrupted)
    again = apply(connection, *parts(rows()), changes=Changes())
    assert len(killed) == 1
    assert (again.rows, again.unchanged) == (N, N)
    assert looks == ["read"]


@pytest.mark.unit
def test_a_table_of_digests_finds_what_is_in_it_and_nothing_else() -> None:
    rng = np.random.default_rng(5)
    digests = rng.integers(0, 2**63, (1000, 2)).astype(np.uint64)
    digests[500:600, 0] = digests[:100, 0]  # halves may be equal
    table = Table(digests[:700])
    first = {tuple(row) for row in digests[:700].tolist()}
    found = table.places(digests) >= 0
    assert not (found & [tuple(row) not in first for row in digests.tolist()]).any()
    assert found[100:500].all()
    table.meet(table.places(digests[100:105]))
    table.meet(table.places(digests[100:105]))
    assert table.met == 5
    assert (Table(digests[:0]).places(digests) == -1).all()
