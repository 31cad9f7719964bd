"""Documents at MongoDB's limits on their way to the lake: nothing lost, memory bounded, one schema."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import MongoClient

import levada

from ..lacking import need_native  # noqa: TID252

COPY = """
import json, resource, sys, levada
done = levada.copy(sys.argv[1], sys.argv[2], mode="replace")
print(json.dumps([done.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""

#: A value of each type, and of each way that a type is held.
DRIFTING: list[Any] = [
    1,
    Int64(2**40),
    0.5,
    "text",
    True,
    None,
    {"a": 1},
    [1, "x"],
    ObjectId("5f" * 12),
    DatetimeMS(0),
    Decimal128("1.5"),
    Decimal128("NaN"),
    b"bytes",
    Binary(b"own", 128),
    Binary(bytes(16), 4),
    Regex("a"),
    Code("f"),
    Timestamp(1, 2),
    MinKey(),
    MaxKey(),
]


@pytest.fixture
def address(mongod: str, database: str) -> str:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.there?directConnection=true"


def copied(address: str, target: Path) -> tuple[int, int]:
    """Copy in a process of its own; rows, and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", COPY, address, f"file://{target}"], check=True, capture_output=True, text=True
    )
    rows, peak = json.loads(done.stdout)
    return rows, peak


def insert(mongo: MongoClient[Any], database: str, documents: Iterator[dict[str, Any]]) -> None:
    for document in documents:
        mongo[database]["there"].insert_one(document)


def test_sixteen_megabytes_among_small_ones(
    mongo: MongoClient[Any], database: str, address: str, tmp_path: Path
) -> None:
    largest = 16 * 1024**2 - 64
    texts = {at: chr(97 + at) * largest for at in range(12)}
    insert(
        mongo,
        database,
        ({"_id": at, "s": texts.get(at // 5, "") if at % 5 == 0 else "y"} for at in range(60)),
    )
    rows, peak = copied(address, tmp_path / "lake" / "t")
    assert rows == 60
    assert peak < 900
    found = levada.read(f"file://{tmp_path}/lake/t").read_all().to_pydict()
    lengths = {key: (len(text), text[:1]) for key, text in zip(found["_id"], found["s"], strict=True)}
    assert lengths == {at: (largest, chr(97 + at // 5)) if at % 5 == 0 else (1, "y") for at in range(60)}


def test_a_hundred_levels(mongo: MongoClient[Any], database: str, address: str, tmp_path: Path) -> None:
    document: dict[str, Any] = {"x": 1}
    for _ in range(97):
        document = {"d": document}
    insert(mongo, database, ({"_id": at, **document} for at in range(3)))
    target = f"file://{tmp_path}/lake/t"
    assert levada.copy(address, target).rows == 3
    back = address.replace(".there", ".back")
    assert levada.copy(target, back).rows == 3
    assert list(mongo[database]["back"].find({}, {"_id": 0})) == [document] * 3


def test_ten_thousand_fields(mongo: MongoClient[Any], database: str, address: str, tmp_path: Path) -> None:
    mongo[database]["there"].insert_many(
        [
            {"_id": group, **{f"f{at}": at for at in range(group * 100, group * 100 + 100)}}
            for group in range(100)
        ]
    )
    target = f"file://{tmp_path}/lake/t"
    assert levada.copy(address, target).rows == 100
    table = levada.read(target).read_all()
    assert table.num_columns == 10_001
    assert all(
        table.column(f"f{at}").to_pylist().count(at) == 1 and table.column(f"f{at}").null_count == 99
        for at in range(0, 10_000, 97)
    )


@pytest.mark.parametrize("codec", ["reference", "native"])
def test_types_that_drift_in_any_order_give_one_schema(
    mongo: MongoClient[Any],
    mongod: str,
    database: str,
    address: str,
    codec: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if codec == "native":
        need_native()
    monkeypatch.setenv("LEVADA_CODEC", codec)
    documents = [{"v": value, "inner": {"w": value}, "list": [value]} for value in DRIFTING]
    documents += [{f"only{at}": value} for at, value in enumerate(DRIFTING)]
    schemas = []
    for seed in range(6):
        random.Random(seed).shuffle(documents)
        mongo[database]["there"].drop()
        mongo[database]["there"].insert_many([{**one, "_id": at} for at, one in enumerate(documents)])
        schema = levada.read(address).schema
        schemas.append(sorted(f"{field} {field.metadata}" for field in schema))
    assert all(schema == schemas[0] for schema in schemas)
