"""`levada copy` and the step `copy`, between real systems."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

import levada
from levada.errors import ConfigError, Fatal, Retriable

from .conftest import Make

Document = dict[str, Any]
WHEN = datetime(2026, 11, 23, 5, 6, 7, 89000, tzinfo=UTC)

TYPED: list[Document] = [
    {
        "_id": ObjectId(),
        "text": "ação ✓",
        "whole": n,
        "long": Int64(2**53 + n),
        "share": n / 3,
        "price": Decimal128(f"{n}.25"),
        "at": WHEN,
        "flag": bool(n % 2),
        "nested": {"city": "Funchal", "zip": [n, n + 1]},
        "items": [{"sku": f"s{i}", "quantity": i} for i in range(n % 3)],
        "bytes": Binary(b"\x00\xff", 0),
        "uuid": Binary(bytes(range(16)), 4),
    }
    for n in range(100)
]
ODD: list[Document] = [
    {"_id": MinKey(), "v": Decimal128("NaN")},
    {"_id": 1, "v": "one"},
    {"_id": "1", "v": {"$oid": "not an id"}},
    {"_id": {"a": 1}, "v": [1, "two", None]},
    {"_id": 2.5, "v": Timestamp(7, 8)},
    {"_id": Int64(2**62), "v": Regex("^a", "i")},
    {"_id": MaxKey(), "": 1, "a.b": 2, "A": 3},
]


@pytest.fixture
def source(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database]


def url(mongod: str, database: str, collection: str) -> str:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.{collection}?directConnection=true"


def stored(collection: Any) -> list[bytes]:
    return sorted(bson.encode(document) for document in collection.find())


@pytest.mark.parametrize("mode", ["append", "replace", "upsert"])
def test_documents_of_every_type_pass_between_collections_byte_for_byte(
    source: Any, mongod: str, database: str, mode: str
) -> None:
    source.here.insert_many([*TYPED, *ODD])
    done = levada.copy(url(mongod, database, "here"), url(mongod, database, "there"), mode=mode, key=("_id",))
    assert (done.rows, done.rejected) == (len(TYPED) + len(ODD), 0)
    assert stored(source.there) == stored(source.here)
    levada.copy(url(mongod, database, "here"), url(mongod, database, "there"), mode=mode, key=("_id",))
    assert stored(source.there) == stored(source.here)


def test_typed_documents_come_back_from_the_lake_as_they_were(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    source.here.insert_many(TYPED)
    lake = f"file://{tmp_path}/lake/things"
    assert levada.copy(url(mongod, database, "here"), lake, mode="replace").rows == len(TYPED)
    assert levada.copy(lake, url(mongod, database, "back"), mode="replace").rows == len(TYPED)
    back = {document["_id"]: document for document in source.back.find()}
    assert back == {document["_id"]: document for document in source.here.find()}
    for document in source.back.find():
        assert isinstance(document["price"], Decimal128)
        assert isinstance(document["_id"], ObjectId)


def test_mixed_types_survive_the_lake_value_by_value(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    mixed = [
        {"_id": n, "v": value} for n, value in enumerate([1, "1", None, [1], {"a": "b"}, ObjectId(), WHEN])
    ]
    source.here.insert_many(mixed)
    lake = f"file://{tmp_path}/lake/mixed"
    assert levada.copy(url(mongod, database, "here"), lake, mode="replace").rejected == 0
    levada.copy(lake, url(mongod, database, "back"), mode="replace")
    assert list(source.back.find().sort("_id", 1)) == list(source.here.find().sort("_id", 1))


def test_a_table_reads_as_an_arrow_stream_whose_schema_holds_every_document(
    source: Any, mongod: str, database: str
) -> None:
    source.here.insert_many([{"_id": n, "a": n} for n in range(6_000)] + [{"_id": 6_000, "late": "x"}])
    reader = levada.read(url(mongod, database, "here"))
    assert set(reader.schema.names) == {"_id", "a", "late"}
    table = pa.RecordBatchReader.from_stream(reader).read_all()
    assert table.num_rows == 6_001
    assert table.column("late").null_count == 6_000


def test_with_a_schema_rows_are_handed_on_before_the_last_is_read(
    source: Any, mongod: str, database: str
) -> None:
    source.here.insert_many([{"_id": n, "a": n} for n in range(60_000)])
    whole = levada.read(url(mongod, database, "here"), where="_id < 10").schema
    reader = levada.read(url(mongod, database, "here"), schema=whole)
    first = reader.read_next_batch()
    assert 0 < len(first) < 60_000
    assert len(first) + reader.read_all().num_rows == 60_000


def test_a_row_that_does_not_fit_the_schema_stops_the_read(source: Any, mongod: str, database: str) -> None:
    source.here.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": "text"}])
    schema = pa.schema([("_id", pa.int32()), ("a", pa.int32())])
    with pytest.raises(Fatal, match="'a' can't be widened"):
        levada.read(url(mongod, database, "here"), schema=schema).read_all()


@pytest.mark.parametrize(
    ("where", "expected"),
    [("a >= 5", {5, 6, 7, 8, 9}), ("b = 'even' and a < 4", {0, 2}), ("b is null", {9})],
)
def test_a_condition_restricts_what_is_read(
    source: Any, mongod: str, database: str, where: str, expected: set[int]
) -> None:
    source.here.insert_many([{"a": n, "b": ["even", "odd"][n % 2]} for n in range(9)] + [{"a": 9}])
    table = levada.read(url(mongod, database, "here"), where=where, columns=("a",)).read_all()
    assert set(table.column("a").to_pylist()) == expected


def test_a_filter_and_a_projection_restrict_what_is_copied(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    source.here.insert_many([{"_id": n, "a": n, "b": n} for n in range(10)])
    lake = f"file://{tmp_path}/lake/some"
    levada.copy(
        url(mongod, database, "here"), lake, mode="replace", filter={"a": {"$lt": 3}}, columns=("_id", "a")
    )
    assert sorted(levada.read(lake).read_all().to_pylist(), key=lambda r: r["a"]) == [
        {"_id": n, "a": n} for n in range(3)
    ]


def test_an_empty_table_copies_to_nothing(source: Any, mongod: str, database: str, tmp_path: Path) -> None:
    source.create_collection("nothing")
    done = levada.copy(url(mongod, database, "nothing"), f"file://{tmp_path}/lake/nothing", mode="replace")
    assert done.rows == 0


def test_a_mistyped_source_does_not_empty_the_table(source: Any, mongod: str, database: str) -> None:
    source.there.insert_one({"_id": 1})
    with pytest.raises(ConfigError, match="no such collection"):
        levada.copy(url(mongod, database, "typo"), url(mongod, database, "there"), mode="replace")
    assert source.there.count_documents({}) == 1


def test_a_copy_of_nothing_that_is_there_says_so(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    for resume in (False, True):
        with pytest.raises(ConfigError, match="no such collection"):
            levada.copy(url(mongod, database, "typo"), f"file://{tmp_path}/t", mode="append", resume=resume)


def test_a_table_is_not_replaced_by_nothing_because_no_row_can_be_stored(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    target = f"file://{tmp_path}/there"
    source.there.insert_one({"_id": 1})
    levada.copy(url(mongod, database, "there"), target, mode="replace")
    source.far.insert_many([{"_id": n, "at": DatetimeMS(2**62)} for n in range(3)])
    with pytest.raises(Fatal, match="all 3 rows were rejected"):
        levada.copy(url(mongod, database, "far"), target, mode="replace")
    assert levada.read(target).read_all()["_id"].to_pylist() == [1]


def left_open(mongo: MongoClient[Document], database: str) -> list[str]:
    """Cursors of a database on the server, and threads that read."""
    stages = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": {"$regex": f"^{database}."}}}]
    cursors = [each["ns"] for each in mongo.admin.aggregate(stages) if "cursor" in each]
    return cursors + [each.name for each in threading.enumerate() if each.name.startswith("levada-")]


@pytest.fixture
def large(source: Any) -> Any:
    """More than is read ahead."""
    source.large.insert_many([{"_id": n, "text": "x" * 2**20} for n in range(30)])
    return source.large


def test_a_copy_that_is_stopped_leaves_no_cursor_and_no_thread(
    large: Any, mongo: MongoClient[Document], mongod: str, database: str, tmp_path: Path
) -> None:
    stop = threading.Event()
    with pytest.raises(Retriable, match="stopped") as held:
        levada.copy(
            url(mongod, database, "large"),
            f"file://{tmp_path}/t",
            stop=stop,
            progress=lambda rows, _: stop.set() if rows else None,
        )
    assert left_open(mongo, database) == []
    assert "--resume" in str(held.value.hint)


def test_a_stream_that_is_not_read_to_its_end_leaves_no_cursor_and_no_thread(
    large: Any, mongo: MongoClient[Document], mongod: str, database: str
) -> None:
    address = url(mongod, database, "large")
    reader = levada.read(address, schema=levada.read(address).schema)
    reader.read_next_batch()
    assert left_open(mongo, database)
    del reader
    assert left_open(mongo, database) == []


@pytest.mark.parametrize(
    "address",
    ["s3://KEY:s3cret@bucket/lake/t", "mongodb://root:s3cret/x@host/db.c", "mongodb://u:s3cret@h:99999/d.c"],
)
def test_an_address_that_can_not_be_read_does_not_show_its_secret(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        levada.copy(address, f"file://{tmp_path}/t", mode="replace")
    assert "s3cret" not in f"{caught.value} {caught.value.where} {caught.value.hint}"


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = "mongodb://127.0.0.1:1/d.c?serverSelectionTimeoutMS=200"
    with pytest.raises(Retriable, match=r"127\.0\.0\.1:1"):
        levada.copy(missing, f"file://{tmp_path}/x", mode="replace")


def test_an_address_without_a_project_is_refused() -> None:
    with pytest.raises(ConfigError, match="shop"):
        levada.read("shop.orders")


def test_a_read_of_a_collection_that_is_not_there_says_so(mongod: str, database: str) -> None:
    with pytest.raises(ConfigError, match="no such collection"):
        levada.read(url(mongod, database, "mistyped"))


@pytest.mark.parametrize("place", ["/tmp/a?b.jsonl", "/tmp/a#b", "s3://bucket/a?b"])
def test_a_path_with_options_is_refused(mongod: str, database: str, place: str) -> None:
    target = place if "://" in place else f"file://{place}"
    with pytest.raises(ConfigError, match="percent-encode"):
        levada.copy(url(mongod, database, "here"), target)


def test_a_copy_in_the_order_of_ids(source: Any, mongod: str, database: str, tmp_path: Path) -> None:
    source.here.insert_many([{"_id": n} for n in (3, "b", 1, ObjectId(), "a", 2)])
    levada.copy(url(mongod, database, "here"), f"file://{tmp_path}/out.ejson", mode="replace", order="id")
    found = [json_util.loads(line)["_id"] for line in (tmp_path / "out.ejson").read_text().splitlines()]
    assert found[:5] == [1, 2, 3, "a", "b"]


def test_documents_stay_exact_where_they_say_what_happens_to_them(
    make: Make, mongo: MongoClient[dict[str, Any]], database: str
) -> None:
    """Typed columns would make an int64 of an int32, and give `{}` the members of its neighbours."""
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    db = mongo.get_database(database, codec_options=raw)
    rows: list[Any] = [
        {"_id": 1, "n": Int64(5), "d": 5.0, "e": {}},
        {"_id": 2, "n": 5, "d": Int64(2**40), "e": {"a": 1}, "x": None},
    ]
    operations: list[Any] = ["upsert", None]
    db["src"].insert_many([{**row, "op": op} for row, op in zip(rows, operations, strict=True)])
    db["src"].insert_one({"_id": 3, "op": "delete"})
    db["dst"].insert_one({"_id": 3})
    project = make("steps: {s: {copy: {from: db.src, to: wh.unused}}}")
    done = project.copy("db.src", "db.dst", mode="upsert", key="_id", operation="op")
    assert done.values["deleted"] == 1
    assert [bytes(row.raw) for row in db["dst"].find().sort("_id")] == list(map(bson.encode, rows))
    with pytest.raises(ConfigError, match="none of the first 3 documents has the field 'opp'"):
        project.copy("db.src", "db.dst", mode="upsert", key="_id", operation="opp")
