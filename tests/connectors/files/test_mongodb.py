"""Collections -> files -> collections, by `levada copy`."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

import levada

Document = dict[str, Any]
WHEN = datetime(2026, 11, 23, 5, 6, 7, 89000, tzinfo=UTC)
TYPED: list[Document] = [
    {
        "_id": ObjectId(),
        "text": 'ação, "✓"\n',
        "whole": n,
        "long": Int64(2**53 + n),
        "share": n / 3,
        "price": Decimal128(f"{n}.25"),
        "at": WHEN,
        "flag": bool(n % 2),
        "nested": {"city": "Funchal", "zip": [n, n + 1]},
        "items": [{"sku": f"s{i}", "quantity": i, "at": WHEN} for i in range(n % 3)],
        "bytes": Binary(b"\x00\xff", 0),
        "uuid": Binary(bytes(range(16)), 4),
    }
    for n in range(50)
]


def element(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + b"v\0" + value


def raw(*elements: bytes) -> RawBSONDocument:
    body = b"".join([b"\x07_id\0" + ObjectId().binary, *elements])
    return RawBSONDocument(struct.pack("<i", len(body) + 5) + body + b"\0")


EVERY: list[Any] = [
    *(
        {"_id": ObjectId(), "v": value}
        for value in (1, Int64(1), 1.0, -0.0, float("inf"), None, "x", b"b", True)
    ),
    *({"_id": ObjectId(), "v": Decimal128(text)} for text in ("1.50", "NaN", "-0", "1E+6000", "-Infinity")),
    *({"_id": ObjectId(), "v": Binary(bytes(16), subtype)} for subtype in (2, 3, 4, 5, 128)),
    {"_id": ObjectId(), "v": DatetimeMS(2**62), "w": DatetimeMS(-(2**62))},
    {"_id": ObjectId(), "v": [Regex("^a", "i"), Timestamp(2**32 - 1, 7), MinKey(), MaxKey()]},
    {"_id": ObjectId(), "v": Code("f()"), "w": Code("f()", {"x": {"$oid": 1}})},
    {"_id": ObjectId(), "z": {}, "a": [], "": {"$date": "no date"}, "a.b": {"$numberInt": 1}},
    raw(element(6, b"")),
    raw(element(14, b"\x02\0\0\0s\0")),
    raw(element(12, b"\x03\0\0\0db\0" + bytes(12))),
]


@pytest.fixture
def here(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database]


def url(mongod: str, database: str, collection: str) -> str:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.{collection}?directConnection=true"


def stored(mongod: str, database: str, collection: str) -> list[bytes]:
    with MongoClient(mongod, document_class=RawBSONDocument) as client:
        return sorted(bytes(document.raw) for document in client[database][collection].find())


@pytest.mark.parametrize("extension", ["ejson", "ejson.gz", "ejson.zst"])
def test_documents_of_every_type_come_back_byte_for_byte(
    here: Any, mongod: str, database: str, tmp_path: Path, extension: str
) -> None:
    here.here.insert_many([*TYPED, *EVERY])
    file = f"file://{tmp_path}/t.{extension}"
    done = levada.copy(url(mongod, database, "here"), file)
    assert (done.rows, done.rejected) == (len(TYPED) + len(EVERY), 0)
    done = levada.copy(file, url(mongod, database, "back"))
    assert (done.rows, done.rejected) == (len(TYPED) + len(EVERY), 0)
    assert stored(mongod, database, "back") == stored(mongod, database, "here")


@pytest.mark.parametrize("extension", ["parquet", "csv", "jsonl", "csv.gz", "jsonl.zst", "ejson"])
def test_typed_documents_come_back_from_every_format(
    here: Any, mongod: str, database: str, tmp_path: Path, extension: str
) -> None:
    here.here.insert_many(TYPED)
    file = f"file://{tmp_path}/t.{extension}"
    assert levada.copy(url(mongod, database, "here"), file).rows == len(TYPED)
    assert levada.copy(file, url(mongod, database, "back")).rows == len(TYPED)
    assert list(here.back.find(sort=[("whole", 1)])) == list(here.here.find(sort=[("whole", 1)]))


def test_mixed_types_are_variants_in_text_and_come_back(
    here: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    here.here.insert_many(EVERY)
    for extension in ("csv", "jsonl", "parquet"):
        file = f"file://{tmp_path}/t.{extension}"
        assert levada.copy(url(mongod, database, "here"), file).rejected == 0
        there = levada.read(file).read_all()
        direct = levada.read(url(mongod, database, "here")).read_all()
        assert there.schema.equals(direct.schema, check_metadata=True)
        assert there.equals(direct)


def test_documents_of_the_file_are_typed_for_other_targets(
    here: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    here.here.insert_many(TYPED)
    file = f"file://{tmp_path}/t.ejson"
    levada.copy(url(mongod, database, "here"), file)
    direct = levada.read(url(mongod, database, "here"), where="whole > 45").read_all()
    assert levada.read(file, where="whole > 45").read_all().to_pylist() == direct.to_pylist()
    assert bson.decode(next(iter(stored(mongod, database, "here"))))["_id"]
