"""Rows that the server refuses among thousands of good ones; other writers at the same rows; standalones."""

from __future__ import annotations

import threading
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from levada.batches import Batch
from levada.bson import Documents, to_canonical
from levada.connectors.base import Changes, Fence, Mode, Write
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.apply.lookup import Lookup
from levada.errors import Fatal, Fenced, Retriable
from levada.positions import Position

from .applying import MANY, OPS, OUT, OWNER, Document, apply, filler, stored
from .conftest import Start, batch
from .scan_servers import until


@pytest.mark.parametrize("n", [200, 6_000])
@pytest.mark.parametrize("there", [False, True], ids=["new", "stored"])
def test_what_the_validator_refuses_is_rejected_by_row(
    connection: MongoConnection, db: Database[Document], n: int, there: bool
) -> None:
    db.create_collection("out", validator={"bad": {"$ne": True}})
    if there:
        db["out"].insert_many([{"k": number, "n": 0} for number in range(n)])
    bad = {number for number in range(n) if number % 97 == 5}
    rows = [{"k": number, "n": 1, "bad": number in bad} for number in range(n)]
    written = apply(connection, rows, changes=Changes())
    assert {bson.decode(each.raw)["k"] for each in written.rejected} == bad
    assert all("code 121" in each.reason for each in written.rejected)
    assert (written.rows, written.replaced) == (n - len(bad), (n - len(bad)) * there)
    found = {row["k"]: row["n"] for row in db["out"].find()}
    expected = {number: 0 if number in bad else 1 for number in range(n) if there or number not in bad}
    assert found == expected


@pytest.mark.parametrize("n", [100, MANY])
def test_what_another_unique_index_refuses_is_rejected_by_name(
    connection: MongoConnection, db: Database[Document], n: int
) -> None:
    db["out"].create_index("serial", unique=True, sparse=True)
    db["out"].insert_many([{"k": "x", "serial": 3}, {"k": "y", "serial": -1}, {"k": "z", "serial": -2}])
    rows: list[Document] = [{"k": number, "serial": number} for number in range(n)]
    rows += [{"k": "y", "serial": 3}, {"k": "w", "serial": -2}, {"k": "z", "serial": -3}]
    written = apply(connection, rows, changes=Changes())
    assert {bson.decode(each.raw)["k"] for each in written.rejected} - {"w"} == {3, "y"}
    assert {each.reason for each in written.rejected} == {"duplicate key: serial is stored already"}
    assert db["out"].count_documents({"k": {"$in": ["x", "y", "z"]}}) == 3
    assert db["out"].find_one({"k": "z"}, {"_id": 0}) == {"k": "z", "serial": -3}
    assert db["out"].count_documents({"serial": {"$gte": 0}}) == n


def _deep(levels: int) -> Document:
    value: Document = {}
    for _ in range(levels):
        value = {"a": value}
    return value


#: An index, and a value of the field `x` that it can't take.
_UNINDEXABLE: list[tuple[list[tuple[str, Any]], Any]] = [
    ([("x", "2dsphere")], {"type": "Point", "coordinates": [500, 5]}),
    ([("x", "2dsphere")], "no place"),
    ([("x", "2d")], [500, 5]),
    ([("x", "2d")], [5]),
    ([("x", "2d")], ["a", "b"]),
    ([("x", "hashed")], [1, 2]),
    ([("x.0", 1)], [{"0": 1}]),
    ([("x.a", 1), ("x.b", 1)], {"a": [1], "b": [1]}),
    ([("t", "text")], {}),
    ([("other", 1)], _deep(185)),
]


@pytest.mark.parametrize(("index", "value"), _UNINDEXABLE, ids=str)
def test_what_an_index_can_not_take_is_rejected_by_row(
    connection: MongoConnection, db: Database[Document], index: Any, value: Any
) -> None:
    db["out"].create_index(index)
    db["out"].insert_one({"k": "stored", "n": 0})
    bad = {"t": "text", "language": "no language", "x": value}
    rows = [{"k": "good", "n": 1}, {"k": "new", **bad}, {"k": "stored", **bad}]
    written = apply(connection, rows, changes=Changes())
    assert {bson.decode(each.raw)["k"] for each in written.rejected} == {"new", "stored"}
    assert written.rows == 1
    assert db["out"].find_one({"k": "stored"}, {"_id": 0}) == {"k": "stored", "n": 0}
    assert db["out"].count_documents({}) == 2


@pytest.mark.parametrize("others", [0, MANY], ids=["at once", "streamed"])
def test_of_the_changes_of_one_key_only_the_refused_ones_are_rejected(
    connection: MongoConnection, db: Database[Document], others: int
) -> None:
    db.create_collection("out", validator={"n": {"$lt": 100_000}})
    rows = [
        {"k": "a", "n": 1, "x": 1},
        {"k": "a", "n": 100_001},
        {"k": "a", "n": 2, "y": 2},
        {"k": "b", "n": 100_002},
        {"k": "c", "n": 3},
        {"k": "c", "n": 100_003},
        {"k": "c", "n": 100_004},
    ]
    written = apply(connection, [*filler(others), *rows], changes=Changes(merge="fields"))
    found = {row["k"]: row for row in stored(db) if row["k"] in "abc"}
    assert found == {"a": {"k": "a", "n": 2, "x": 1, "y": 2}, "c": {"k": "c", "n": 3}}
    # a refused value that a later change has overwritten was never stored
    refused = sorted(bson.decode(each.raw)["n"] for each in written.rejected)
    assert refused == [100_002, 100_003, 100_004]


def test_sixteen_megabytes_pass_and_what_a_merge_makes_larger_is_rejected(
    connection: MongoConnection, db: Database[Document]
) -> None:
    room = 16 * 1024 * 1024 - len(bson.encode({"_id": 1, "k": 1, "x": ""}))
    db["out"].insert_many([{"_id": number, "k": number, "x": "x" * room} for number in (1, 2)])
    rows: list[Document] = [{"k": 0, "y": 0}, {"k": 1, "y": 1}, {"k": 2, "x": "y" * room}, {"k": 3, "y": 3}]
    written = apply(connection, rows, changes=Changes(merge="fields"))
    assert [bson.decode(each.raw)["k"] for each in written.rejected] == [1]
    assert "larger than 16777216 bytes" in written.rejected[0].reason
    assert written.rows == 3
    assert {row["k"]: row.get("x", "")[:1] for row in db["out"].find()} == {0: "", 1: "x", 2: "y", 3: ""}
    again = apply(connection, rows[2:], changes=Changes())
    assert again.rejected == ()
    assert (again.rows, again.unchanged) == (2, 2)


def test_malformed_rows_are_rejected(connection: MongoConnection, db: Database[Document]) -> None:
    good = bson.encode({"k": 1, "s": "text"})
    broken = good.replace(b"\x05\0\0\0text", b"\xff\0\0\0text")
    keyless = bson.encode({"s": "text", "k": 2}).replace(b"\x05\0\0\0text", b"\xff\0\0\0text")
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",)))
    writer.write(Batch(to_canonical(Documents.from_list([good, keyless, broken]))))
    try:
        written = writer.commit(None)
    finally:
        writer.abort()
    assert any("malformed" in each.reason for each in written.rejected)
    assert stored(db) == [{"k": 1, "s": "text"}]


@pytest.mark.parametrize("merge", ["replace", "fields"])
def test_another_writer_at_the_same_rows_loses_nothing_and_doubles_nothing(
    connection: MongoConnection, db: Database[Document], mongo: MongoClient[Document], merge: Any
) -> None:
    """The other one counts `hits` up in rows that come and go; every row ends as one of the two orders."""
    n, stop = 3_000, threading.Event()
    db["out"].create_index("k", unique=True)
    db["out"].insert_many([{"k": number, "n": 0} for number in range(0, n, 2)])
    hits: dict[int, int] = {}

    def race() -> None:
        other = mongo[db.name]["out"]
        for number in range(10**9):
            if stop.is_set():
                return
            k = number * 7 % n
            other.update_one({"k": k}, {"$inc": {"hits": 1}}, upsert=True)
            hits[k] = hits.get(k, 0) + 1

    racer = threading.Thread(target=race)
    racer.start()
    try:
        for turn in range(1, 4):
            rows = [{"k": number, "n": turn} for number in range(n)]
            written = apply(connection, rows, changes=Changes(merge=merge))
            assert written.rejected == ()
            assert written.rows == n
    finally:
        stop.set()
        racer.join()
    assert len(hits) > 5
    found = {row["k"]: row for row in db["out"].find()}
    assert len(found) == db["out"].count_documents({}) == n
    assert {row["n"] for row in found.values()} == {3}
    counted = {k: row["hits"] for k, row in found.items() if "hits" in row}
    if merge == "fields":
        assert counted == hits
    else:
        assert all(0 < counted[k] <= hits[k] for k in counted)


def test_a_writer_that_was_overtaken_changes_nothing_more(
    connection: MongoConnection, db: Database[Document]
) -> None:
    sink = connection.sink(OUT)
    old = sink.open(Write(OUT, Mode.UPSERT, OWNER, ("k",), fence=Fence(1), changes=OPS))
    old.write(batch(*filler()))
    new = sink.open(Write(OUT, Mode.UPSERT, OWNER, ("k",), fence=Fence(2), changes=OPS))
    before = stored(db)

    def go_on() -> None:
        for _ in range(20):
            old.write(batch(*[{**row, "n": -1, "op": "upsert"} for row in filler()]))
        old.commit(None)

    with pytest.raises(Fenced):
        go_on()
    old.abort()
    assert stored(db) == before
    new.abort()


@pytest.fixture
def standalone(start: Start, database: str, tmp_path: Any) -> Any:
    settings = MongoSettings.model_validate({"uri": f"mongodb://{start()}", "database": database})
    made = MongoConnection("source", settings, tmp_path)
    yield made
    made.close()


def test_a_server_without_transactions_ends_the_same(standalone: MongoConnection) -> None:
    db = standalone.database()
    db.create_collection("out", validator={"bad": {"$ne": True}})
    db["out"].create_index("serial", unique=True, sparse=True)
    rows: list[Document] = [{"k": number, "v": 1, "serial": number} for number in range(MANY)]
    rows[7]["bad"] = rows[2100]["bad"] = True
    first = apply(standalone, rows, changes=Changes(version="v"))
    assert (first.rows, len(first.rejected)) == (MANY - 2, 2)
    changes = [
        {"op": "delete", "k": 1, "v": 1},
        {"op": "upsert", "k": 2, "v": 0},
        {"op": "update", "k": 3, "v": 2, "serial": 3, "x": 1},
        {"op": "insert", "k": 4, "v": 9},
        {"op": "upsert", "k": "new", "v": 1, "serial": 5},
        {"op": "upsert", "k": "newer", "v": 1, "serial": -5},
    ]
    second = apply(standalone, changes, changes=Changes(operation="op", version="v"))
    assert (second.deleted, second.older, second.rows) == (1, 1, 2)
    assert [each.reason for each in second.rejected] == ["duplicate key: serial is stored already"]
    assert db["out"].count_documents({}) == MANY - 2 - 1 + 1
    assert db["out"].find_one({"k": 3}, {"_id": 0}) == {"k": 3, "v": 2, "serial": 3, "x": 1}
    assert db["out"].find_one({"k": 2})["v"] == 1  # type: ignore[index]


@pytest.mark.parametrize("changes", [Changes(merge="fields"), Changes(version="v"), Changes()], ids=str)
def test_without_transactions_a_row_that_moved_is_looked_at_again(
    standalone: MongoConnection, monkeypatch: pytest.MonkeyPatch, changes: Changes
) -> None:
    """Another writer comes between the look and the write."""
    db = standalone.database()
    db["out"].create_index("k", unique=True)
    db["out"].insert_one({"k": 1, "v": 1, "n": 0})
    look, meanwhile = Lookup.find, iter([{"v": 5, "other": 1}])

    def find(self: Lookup, keys: Any, session: Any) -> Any:
        found = look(self, keys, session)
        for change in meanwhile:
            db["out"].update_one({"k": 1}, {"$set": change})
        return found

    monkeypatch.setattr(Lookup, "find", find)
    apply(standalone, [{"k": 1, "v": 2, "n": 1}], changes=changes)
    (row,) = stored(db)
    expected = {
        "fields": {"k": 1, "v": 2, "n": 1, "other": 1},
        "version": {"k": 1, "v": 5, "n": 0, "other": 1},
        "replace": {"k": 1, "v": 2, "n": 1},
    }
    assert row == expected["version" if changes.version else changes.merge]


@pytest.mark.parametrize("operation", ["upsert", "delete"])
def test_without_transactions_a_row_that_got_another_key_is_left_alone(
    standalone: MongoConnection, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    db = standalone.database()
    db["out"].create_index("k", unique=True)
    db["out"].insert_one({"k": 1, "n": 0})
    look, meanwhile = Lookup.find, iter([{"k": 2}])

    def find(self: Lookup, keys: Any, session: Any) -> Any:
        found = look(self, keys, session)
        for change in meanwhile:
            db["out"].update_one({"k": 1}, {"$set": change})
        return found

    monkeypatch.setattr(Lookup, "find", find)
    apply(standalone, [{"k": 1, "n": 1, "op": operation}])
    assert stored(db) == [{"k": 1, "n": 1}] * (operation == "upsert") + [{"k": 2, "n": 0}]


@pytest.mark.parametrize("there", [0, 1], ids=["empty", "filled"])
@pytest.mark.parametrize("what", ["collection", "index"])
def test_a_target_that_somebody_drops_while_it_is_written_is_no_success(
    connection: MongoConnection, db: Database[Document], what: str, there: int
) -> None:
    db["out"].insert_many([{"k": -1} for _ in range(there)] or [{"k": 0}])
    if not there:
        db["out"].delete_many({})
    sink = connection.sink(OUT)
    writer = sink.open(Write(OUT, Mode.UPSERT, OWNER, ("k",)))
    rows = [{"k": number, "n": 0} for number in range(3_000)]
    writer.write(batch(*rows))
    until(lambda: db["out"].estimated_document_count() > 1_000)
    db.drop_collection("out") if what == "collection" else db["out"].drop_index("k_1")
    writer.write(batch(*({**row, "n": 1} for row in rows)))
    with pytest.raises(Retriable, match="dropped or replaced while"):
        writer.commit(Position({"": 1}, 1))
    writer.abort()
    assert sink.position(OWNER) is None
    db.drop_collection("out")
    assert apply(connection, rows, changes=Changes(), position=Position({"": 1}, 1)).rows == 3_000


@pytest.mark.parametrize(
    ("mode", "what"), [(Mode.UPSERT, "collection"), (Mode.UPSERT, "index"), (Mode.APPEND, "collection")]
)
def test_a_small_write_is_not_committed_to_a_collection_that_was_made_anew(
    connection: MongoConnection, db: Database[Document], mode: Mode, what: str
) -> None:
    db["out"].insert_many([{"k": number} for number in range(3)])
    writer = connection.sink(OUT).open(Write(OUT, mode, OWNER, ("k",)))
    writer.write(batch({"k": 7}))
    if what == "index":
        db["out"].drop_index("k_1")
    else:
        db.drop_collection("out")
        db["out"].create_index("n")
    with pytest.raises(Retriable, match="dropped or replaced while"):
        writer.commit(Position({"": 1}, 1))
    writer.abort()
    assert connection.sink(OUT).position(OWNER) is None
    assert {"k": 7} not in stored(db)


@pytest.mark.parametrize("lane", [-1, 0, 1])
def test_a_fence_of_a_newer_format_is_left_as_it_is(
    connection: MongoConnection, db: Database[Document], lane: int
) -> None:
    newer = {
        "_id": {"owner": OWNER, "table": OUT.name, "lane": lane},
        "format": 2,
        "epoch": 0,
        "something": 1,
    }
    db["_levada_positions"].insert_one(newer)
    with pytest.raises(Fatal, match="has format 2, this Levada reads up to 1"):
        apply(connection, [{"k": 1}], changes=Changes())
    assert db["_levada_positions"].find_one({"_id": newer["_id"]}) == newer
    assert stored(db) == []
