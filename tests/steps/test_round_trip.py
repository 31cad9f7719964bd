"""MongoDB -> lake -> MongoDB on a real server: what comes back is what was there.

In typed mode up to the table of `tests/bson/bson_values.py`; in canonical mode byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

import levada

from ..bson import bson_values as bv  # noqa: TID252

#: The lake counts microseconds in 64 bits; a document with a time beyond is set aside and counted.
MOST_MS = (2**63 - 1) // 1000


def address(mongod: str, database: str, collection: str) -> str:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.{collection}?directConnection=true"


def insert(database: Database[Any], documents: list[bytes]) -> None:
    database["from"].drop()
    database["to"].drop()
    database["from"].insert_many([RawBSONDocument(document) for document in documents])


def by_id(database: Database[Any], name: str) -> dict[Any, bytes]:
    options = bson.CodecOptions(document_class=RawBSONDocument)
    raws = [found.raw for found in database[name].with_options(options).find()]
    return {bv.read(raw)["_id"]: raw for raw in raws}


def too_late(value: Any) -> bool:
    """Whether a value that has a column of its own, or is a part of one, may be a time beyond the lake's."""
    if isinstance(value, dict):
        return any(map(too_late, value.values()))
    if isinstance(value, list):
        return any(map(too_late, value))
    return isinstance(value, DatetimeMS) and abs(int(value)) > MOST_MS


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(st.one_of(bv.documents, bv.plain), min_size=1, max_size=40))
def test_documents_of_any_types_come_back_through_the_lake(
    mongo: MongoClient[Any],
    mongod: str,
    database: str,
    tmp_path_factory: pytest.TempPathFactory,
    documents: Any,
) -> None:
    there = [
        {**{name: value for name, value in document.items() if name != "_id"}, "_id": number}
        for number, document in enumerate([{"safe": 1}, *documents])  # all refused would be an error
    ]
    insert(mongo[database], [bson.encode(document) for document in there])
    lake = f"file://{tmp_path_factory.mktemp('lake')}/copied"
    out = levada.copy(address(mongod, database, "from"), lake, mode="append")
    assert out.rows + out.rejected == len(there)
    assert out.rejected <= sum(map(too_late, there))
    back = levada.copy(lake, address(mongod, database, "to"), mode="append")
    assert (back.rows, back.rejected) == (out.rows, 0)
    before, after = by_id(mongo[database], "from"), by_id(mongo[database], "to")
    assert len(after) == out.rows
    for number, raw in after.items():
        assert bv.alike(bv.read(before[number]), bv.read(raw)), (bv.read(before[number]), bv.read(raw))


def test_a_canonical_copy_returns_every_byte(
    mongo: MongoClient[Any], mongod: str, database: str, tmp_path: Path
) -> None:
    documents = [bson.encode({"_id": at, **random_document(random.Random(at))}) for at in range(2_000)]
    insert(mongo[database], documents)
    levada.copy(address(mongod, database, "from"), f"file://{tmp_path}/all.ejson", mode="replace")
    levada.copy(f"file://{tmp_path}/all.ejson", address(mongod, database, "to"), mode="append")
    assert by_id(mongo[database], "to") == by_id(mongo[database], "from")


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_ten_million_documents_come_back_through_the_lake(
    mongo: MongoClient[Any], mongod: str, database: str, tmp_path: Path
) -> None:
    chance = random.Random(20261123)
    pieces = [[element(name, make(chance)) for _ in range(500)] for name, make in FIELDS.items()]
    total, target = 10_000_000, mongo[database]
    for start in range(0, total, 10_000):
        target["from"].insert_many(
            [RawBSONDocument(pieced(number, pieces, chance)) for number in range(start, start + 10_000)]
        )
    lake = f"file://{tmp_path}/lake/copied"
    assert levada.copy(address(mongod, database, "from"), lake, mode="append").rows == total
    assert levada.copy(lake, address(mongod, database, "to"), mode="append").rows == total
    same: dict[tuple[bytes, bytes], bool] = {}
    compared = 0
    for one, other in zip(in_order(target, "from"), in_order(target, "to"), strict=True):
        compared += 1
        assert one[:17] == other[:17] or bv.read(one)["_id"] == bv.read(other)["_id"]
        pair = (one[17:], other[17:])
        if pair not in same:
            same[pair] = bv.alike(bv.read(one), bv.read(other))
            assert same[pair], (bv.read(one), bv.read(other))
            if len(same) > 100_000:
                same.clear()
    assert compared == total


def in_order(database: Database[Any], name: str) -> Iterator[bytes]:
    options = bson.CodecOptions(document_class=RawBSONDocument)
    return (found.raw for found in database[name].with_options(options).find(sort=[("_id", 1)]))


def pieced(number: int, pieces: list[list[bytes]], chance: random.Random) -> bytes:
    """A document of some of the fields, most of them in their usual order."""
    chosen = [chance.choice(field) for field in pieces if chance.random() < 0.8]
    if chance.random() < 0.05:
        chance.shuffle(chosen)
    body = element("_id", Int64(number)) + b"".join(chosen)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def element(name: str, value: Any) -> bytes:
    return bson.encode({name: value})[4:-1]


def random_document(chance: random.Random) -> dict[str, Any]:
    return {name: make(chance) for name, make in FIELDS.items() if chance.random() < 0.8}


def anything(chance: random.Random) -> Any:
    """A value of any type, mostly of another one than last time."""
    return chance.choice(list(FIELDS.values())[:-1])(chance)


#: Name -> a random value: most fields keep one type, some have two, one has all.
FIELDS: dict[str, Any] = {
    "int": lambda chance: chance.randrange(-(2**31), 2**31),
    "long": lambda chance: Int64(chance.randrange(-(2**63), 2**63)),
    "either": lambda chance: chance.choice([5, Int64(2**40), None]),
    "double": lambda chance: chance.choice([0.1, -0.0, float("inf"), 1e300, chance.random()]),
    "money": lambda chance: Decimal128(f"{chance.randrange(10**9)}.{chance.randrange(100):02d}"),
    "odd": lambda chance: Decimal128(chance.choice(["NaN", "-0", "1E+6000", "Infinity", "1.5"])),
    "text": lambda chance: chance.choice(["", "é", "日本", "x" * 50, "a\0b"]),
    "flag": lambda chance: chance.random() < 0.5,
    "when": lambda chance: DatetimeMS(chance.randrange(-(2**45), 2**45)),
    "id": lambda chance: ObjectId(chance.randbytes(12)),
    "uuid": lambda chance: Binary(chance.randbytes(16), 4),
    "bytes": lambda chance: chance.randbytes(5),
    "own": lambda chance: Binary(chance.randbytes(3), 128),
    "regex": lambda chance: Regex("^a.*", chance.choice(["", "im"])),
    "code": lambda chance: chance.choice([Code("f()"), Code("g", {"x": 1})]),
    "time": lambda chance: Timestamp(chance.randrange(2**32), chance.randrange(2**32)),
    "edge": lambda chance: chance.choice([MinKey(), MaxKey()]),
    "list": lambda chance: [{"n": n, "s": str(n)} for n in range(chance.randrange(4))],
    "inner": lambda chance: {"a": chance.randrange(9), "b": {"c": chance.choice([None, "d"])}},
    "a.b": lambda _: 1,
    "any": anything,
}
