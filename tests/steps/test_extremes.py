"""Documents at MongoDB's limits on their way to the lake: nothing lost, memory bounded, one schema."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import MongoClient

import levada

from ..lacking import need_native  # noqa: TID252

COPY = """
import json, pathlib, sys, levada
done = levada.copy(sys.argv[1], sys.argv[2], mode="replace")
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps([done.rows, int(status["VmHWM"].split()[0]) // 1024]))
"""

TEXT, WHOLE = "string", "int64"
VARIANT = ("string", "variant")

#: Kind by kind: how the documentation of types says that it is held, and values that drift within it.
KINDS: dict[str, tuple[Any, list[Any]]] = {
    "null": (("null", ""), [None, None]),
    "int32": (("int32", ""), [0, 1, -1, 2**31 - 1, -(2**31), 77]),
    "int64": ((WHOLE, ""), [Int64(0), Int64(1), Int64(2**40), Int64(2**63 - 1), Int64(-(2**63))]),
    "double": (("double", ""), [0.5, -0.0, 3.0, 1e300, 5e-324, math.nan, math.inf, -math.inf]),
    "decimal": (
        ("decimal128(38, 3)", "decimal"),
        [*map(Decimal128, ("0", "1.5", "-0.25", "100", "1E+3", "7.125", "99999999999999999999999999999999"))],
    ),
    "text": ((TEXT, ""), ["", "x", "1", "null", "\u00fc\U0001f600", "a\0b", "y" * 5000]),
    "bool": (("bool", ""), [True, False]),
    "objectId": ((TEXT, "objectId"), [ObjectId(digit * 24) for digit in "05af"]),
    "date": (
        ("timestamp[ms, tz=UTC]", "date"),
        [DatetimeMS(ms) for ms in (0, -1, 1_795_000_000_123, 2**63 - 1, -(2**63))],
    ),
    "timestamp": ((WHOLE, "timestamp"), [Timestamp(0, 1), Timestamp(1, 2), Timestamp(2**32 - 1, 2**32 - 1)]),
    "bytes": (("binary", ""), [b"", b"bytes", b"\0", bytes(300)]),
    "binary:80": (("binary", "binary:80"), [Binary(b"", 128), Binary(b"own", 128), Binary(bytes(16), 128)]),
    "uuid": ((TEXT, "uuid"), [Binary(bytes([byte] * 16), 4) for byte in (0, 7, 255)]),
    "javascript": ((TEXT, "javascript"), [Code(""), Code("f"), Code("x => x")]),
    "document": (
        {"a": (WHOLE, ""), "b": (TEXT, ""), "c": {"d": ("bool", "")}},
        [{}, {"a": 1}, {"a": Int64(2)}, {"a": None}, {"b": "x"}, {"b": "x", "a": 1}, {"c": {"d": True}}],
    ),
    "array": ([("double", "")], [[], [1], [None], [0.5, 1], [1, None, 2.5]]),
    "arrays": ([[("int32", "")]], [[[1]], [[], [2]], [[3, None]]]),
    "documents": ([{"a": ("int32", ""), "b": (TEXT, "")}], [[{}], [{"a": 1}], [{"b": "x"}, {"a": 2}]]),
    "mixed": ([VARIANT], [[1, "x"], ["y"], [True]]),
    "regex": (VARIANT, [Regex(""), Regex("a"), Regex("b", "i")]),
    "minKey": (VARIANT, [MinKey()]),
    "maxKey": (VARIANT, [MaxKey()]),
    "scoped": (VARIANT, [Code("f", {}), Code("f", {"a": 1})]),
    "oldBinary": (VARIANT, [Binary(b"", 2), Binary(b"old", 2)]),
    "noUuid": (VARIANT, [Binary(b"", 4), Binary(bytes(15), 4)]),
    "noNumber": (VARIANT, [*map(Decimal128, ("NaN", "Infinity", "-Infinity", "-0"))]),
    "tooLarge": (VARIANT, [*map(Decimal128, ("1E+39", "1E+6000", "1E-6000"))]),
    "tooWide": (VARIANT, [*map(Decimal128, ("1E+30", "1E-20"))]),
}

#: Columns with values of several kinds, by the lattice.
JOINED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "int32 int64": ((WHOLE, ""), ("int32", "int64", "null")),
    "int32 double": (("double", ""), ("int32", "double", "null")),
    "int64 double": (VARIANT, ("int64", "double")),
    "int64 decimal": (("decimal128(38, 3)", "decimal"), ("int32", "int64", "decimal")),
    "decimal double": (VARIANT, ("decimal", "double")),
    "text objectId": (VARIANT, ("text", "objectId")),
    "text javascript": (VARIANT, ("text", "javascript")),
    "bool int32": (VARIANT, ("bool", "int32")),
    "int64 timestamp": (VARIANT, ("int64", "timestamp")),
    "date int64": (VARIANT, ("date", "int64")),
    "bytes binary:80": (VARIANT, ("bytes", "binary:80")),
    "document array": (VARIANT, ("document", "array")),
    "array mixed": ([VARIANT], ("array", "mixed")),
    "document null": (KINDS["document"][0], ("document", "null")),
}


def drifting() -> list[dict[str, Any]]:
    """A document for every value: by itself, below a document, in an array, and with other kinds."""
    return [
        {
            "all": value,
            "inner": {"all": value},
            "list": [value],
            kind: value,
            **{name: value for name, (_, members) in JOINED.items() if kind in members},
        }
        for kind, (_, values) in KINDS.items()
        for value in values
    ]


EXPECTED = {
    "_id": ("int32", ""),
    "all": VARIANT,
    "inner": {"all": VARIANT},
    "list": [VARIANT],
    **{name: shape for name, (shape, _) in (KINDS | JOINED).items()},
}


def shape(field: pa.Field) -> Any:
    """Arrow type and label of a column; documents as dicts, arrays as lists."""
    if pa.types.is_struct(field.type):
        return {below.name: shape(below) for below in field.type}
    if pa.types.is_list(field.type):
        return [shape(field.type.value_field)]
    return str(field.type), (field.metadata or {}).get(b"levada.bson", b"").decode()


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


@pytest.fixture
def schema_of(
    mongo: MongoClient[Any], database: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], pa.Schema]:
    """The schema that a codec gives the drifting documents, in the order of this seed."""

    def read(codec: str, seed: int) -> pa.Schema:
        if codec == "native":
            need_native()
        monkeypatch.setenv("LEVADA_CODEC", codec)
        documents = drifting()
        random.Random(seed).shuffle(documents)
        mongo[database]["there"].drop()
        mongo[database]["there"].insert_many([{**one, "_id": at} for at, one in enumerate(documents)])
        return levada.read(address).schema

    return read


@pytest.mark.parametrize("codec", ["reference", "native"])
def test_a_hundred_values_that_drift_give_the_kinds_of_the_lattice_in_any_order(
    schema_of: Callable[[str, int], pa.Schema], codec: str
) -> None:
    assert len(drifting()) >= 100
    for seed in range(6):
        assert {field.name: shape(field) for field in schema_of(codec, seed)} == EXPECTED


def test_both_codecs_give_drifting_values_one_schema(schema_of: Callable[[str, int], pa.Schema]) -> None:
    for seed in range(3):
        by_reference, by_native = schema_of("reference", seed), schema_of("native", seed)
        assert by_native.equals(by_reference, check_metadata=True)
