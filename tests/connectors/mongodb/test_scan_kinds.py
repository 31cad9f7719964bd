"""Kinds of collections, and ranges of `_id` read at once."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from levada.batches import Batch
from levada.connectors.base import Estimate, Query, Table
from levada.connectors.mongodb import MongoConnection, identity
from levada.connectors.mongodb.namespace import Facts, look
from levada.connectors.mongodb.plan import choose, edges
from levada.errors import ConfigError
from levada.positions import Position

from .scan_servers import ROWS, Document, documents, every_id, ids, kill_cursors, read

ORDERS = {
    "any": Query(canonical=True, batch_rows=5, resumable=True),
    "id": Query(canonical=True, batch_rows=5, resumable=True, order="id"),
    "lanes": Query(canonical=True, batch_rows=5, resumable=True, lanes=3),
}


def all_of(batches: list[Batch]) -> list[bytes]:
    return [document for batch in batches for document in documents(batch)]


def continues_everywhere(connection: MongoConnection, query: Query, wanted: list[bytes]) -> None:
    """Every document is read once, and what follows each position is what had not been read before it."""
    batches = read(connection, query)
    assert sorted(all_of(batches)) == sorted(wanted)
    for at, batch in enumerate(batches):
        assert batch.position is not None
        rest = read(connection, query, Position.from_json(batch.position.to_json()))
        assert sorted(all_of(rest)) == sorted(set(wanted) - set(all_of(batches[: at + 1])))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "options",
    [
        {"collation": {"locale": "de", "strength": 2}},
        {"collation": {"locale": "en", "numericOrdering": True}},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
        {"clusteredIndex": {"key": {"_id": 1}, "unique": True}, "collation": {"locale": "fr", "strength": 1}},
    ],
    ids=["ignores case", "orders numbers in strings", "clustered", "clustered with a collation"],
)
def test_ids_of_every_type_in_every_kind_of_collection(
    connection: MongoConnection, db: Database[Document], options: dict[str, Any], order: str
) -> None:
    db.create_collection("rows", **options)
    words = ["b", "Ç", "ß1", "a10", "a9", "Z", "10", "9", "Apfel", "äpfel2", "zz"]
    unindexable = 14 if "collation" in options else None  # the server refuses symbols there
    stored = [document for document in every_id() if document[4] != unindexable]
    stored += [bson.encode({"_id": word}) for word in words]
    random.Random(7).shuffle(stored)
    for document in stored:
        db["rows"].insert_one(RawBSONDocument(document))
    continues_everywhere(connection, ORDERS[order], stored)


def test_a_clustered_collection_goes_on_after_lost_cursors(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db.create_collection("rows", clusteredIndex={"key": {"_id": 1}, "unique": True})
    db["rows"].insert_many([{"_id": number} for number in range(2000)])
    batches = connection.source(ROWS, Query(canonical=True, batch_rows=10)).read(None, None)
    seen = ids([next(batches)])
    assert kill_cursors(db) == 1
    assert seen + ids(batches) == list(range(2000))


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_lanes_cover_every_type_and_an_open_end(
    connection: MongoConnection, db: Database[Document], lanes: int
) -> None:
    numbers = [bson.encode({"_id": number / 2}) for number in range(-300, 300, 7)]
    stored = every_id() + numbers
    db["rows"].insert_many([RawBSONDocument(document) for document in stored])
    query = Query(canonical=True, batch_rows=3, lanes=lanes)
    assert sorted(all_of(read(connection, query))) == sorted(stored)


def test_lanes_cut_a_collection_into_about_equal_ranges(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(10_000)])
    cuts = [bson.decode(key)["_id"] for key in edges(connection.client, db.name, "rows", 4)]
    assert len(cuts) == 3
    sizes = [high - low for low, high in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    assert sum(sizes) == 10_000
    assert min(sizes) > 1500


def test_lanes_go_on_by_themselves_after_lost_cursors(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["rows"].insert_many([{"_id": number} for number in range(4000)])
    batches = connection.source(ROWS, Query(canonical=True, batch_rows=10, lanes=3)).read(None, None)
    seen = ids([next(batches)])
    for _ in range(3):
        assert kill_cursors(db) >= 1
        for _ in range(30):
            seen += ids([next(batches)])
    seen += ids(batches)
    assert len(seen) == 4000
    assert set(seen) == set(range(4000))


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_collections_with_next_to_nothing_in_them(
    connection: MongoConnection, db: Database[Document], count: int, lanes: int
) -> None:
    db.create_collection("rows")
    for number in range(count):
        db["rows"].insert_one({"_id": number})
    query = Query(canonical=True, lanes=lanes, resumable=True)
    assert sorted(ids(read(connection, query))) == list(range(count))


def test_a_missing_collection_is_empty(connection: MongoConnection) -> None:
    for query in (Query(), Query(resumable=True), Query(order="id"), Query(lanes=2), Query(consistent=True)):
        assert read(connection, query) == []


def test_a_capped_collection_that_overtakes_the_scan_goes_on_with_what_is_left(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db.create_collection("rows", capped=True, size=64 * 1024)
    pad = "x" * 100
    db["rows"].insert_many([{"_id": number, "pad": pad} for number in range(400)])
    batches = connection.source(ROWS, Query(canonical=True, batch_rows=10)).read(None, None)
    seen = ids([next(batches)])
    kill_cursors(db)
    db["rows"].insert_many([{"_id": 1000 + number, "pad": pad} for number in range(2000)])
    left = [document["_id"] for document in db["rows"].find()]
    seen += ids(batches)
    assert len(seen) == len(set(seen))
    assert seen[-len(left) :] == left


def test_a_time_series_is_read_but_in_no_order_of_its_own(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db.create_collection("rows", timeseries={"timeField": "at", "metaField": "m"})
    start = datetime(2026, 11, 1, tzinfo=UTC)
    db["rows"].insert_many(
        [{"_id": number, "at": start + timedelta(hours=number), "m": number % 3} for number in range(500)]
    )
    batches = read(connection, Query(canonical=True, batch_rows=50, resumable=True))
    assert sorted(ids(batches)) == list(range(500))
    assert {batch.position for batch in batches} == {None}
    assert len(ids(read(connection, Query(canonical=True, consistent=True)))) == 500
    with pytest.raises(ConfigError, match="order of _id"):
        read(connection, Query(lanes=2))


def test_estimates_come_from_the_statistics_and_only_without_conditions(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["rows"].insert_many([{"_id": number, "x": "y" * 100} for number in range(50)])
    size = len(bson.encode({"_id": 1, "x": "y" * 100}))
    source: Any = connection.source(ROWS, Query())
    assert source.estimated() == Estimate(50, size)
    assert connection.source(ROWS, Query(filter={"x": 1})).estimated() == Estimate()  # type: ignore[attr-defined]
    missing: Any = connection.source(Table("source", "nothing"), Query())
    assert missing.estimated() == Estimate(0)


COLLECTION = Facts("collection", "h:1", "file", "00", wire=17, replica_set=True)


def _choose(query: Query, facts: Facts = COLLECTION, *, tracked: bool = False, indexed: bool = False) -> str:
    return choose(query, facts, tracked=tracked, indexed=lambda: indexed)


@pytest.mark.parametrize(
    ("query", "facts", "kind"),
    [
        (Query(), COLLECTION, "natural"),
        (Query(resumable=True), COLLECTION, "natural"),
        (Query(order="id"), COLLECTION, "id"),
        (Query(lanes=2), COLLECTION, "id"),
        (Query(), Facts("collection", uuid="00", router=True, wire=17), "id"),
        (Query(), Facts("collection", "h:1", "file", "00", wire=8), "id"),
        (Query(), Facts("collection", "h:1", "file", "00", wire=17, clustered=True), "id"),
        (Query(resumable=True), Facts("collection", "h:1", None, "00", wire=17), "id"),
        (Query(), Facts("view"), "whole"),
        (Query(), Facts("timeseries"), "whole"),
        (Query(), Facts("unknown"), "whole"),
        (Query(pipeline=({"$match": {}},)), COLLECTION, "whole"),
    ],
)
def test_the_order_follows_from_the_query_and_the_collection(query: Query, facts: Facts, kind: str) -> None:
    assert _choose(query, facts) == kind


def test_an_index_is_used_unless_the_scan_shall_be_resumable() -> None:
    assert _choose(Query(filter={"a": 1}), indexed=True) == "whole"
    assert _choose(Query(filter={"a": 1}, resumable=True), indexed=True) == "natural"
    assert _choose(Query(), tracked=True) == "whole"


def test_the_files_of_a_collection_are_told_apart(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["rows"].insert_one({"_id": 1})
    first = look(connection.reader(), db.name, "rows")
    assert first == look(connection.reader(), db.name, "rows")
    assert (first.kind, first.documents, first.tokens) == ("collection", 1, True)
    db["rows"].drop()
    db["rows"].insert_one({"_id": 1})
    second = look(connection.reader(), db.name, "rows")
    assert first.file != second.file
    assert first.uuid != second.uuid


@pytest.mark.unit
@pytest.mark.parametrize("document", every_id())
def test_an_id_is_taken_out_and_written_without_loss(document: bytes) -> None:
    longer = bson.encode({"before": 1})[4:-1] + document[4:-1] + bson.encode({"after": 1})[4:]
    key = identity.id_of((len(longer) + 4).to_bytes(4, "little") + longer)
    assert key == document
    assert identity.parsed(json.loads(json.dumps(identity.written(key)))) == key
