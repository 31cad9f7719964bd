"""Stored documents in which a name comes twice, which MongoDB allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from levada.batches import Batch
from levada.bson import Documents, to_canonical
from levada.connectors.base import Changes, Mode, Write
from levada.connectors.mongodb import MongoConnection, MongoSettings

from .applying import OUT, OWNER
from .conftest import Start, replica_set

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def document(*members: tuple[str, Any]) -> bytes:
    """A document of members whose names may repeat."""
    body = b"".join(bson.encode({name: value})[4:-1] for name, value in members)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def store(connection: MongoConnection, raw: bytes) -> None:
    connection.database().command({"insert": OUT.name, "documents": [RawBSONDocument(raw)]})


def apply_raw(connection: MongoConnection, raw: bytes, changes: Changes) -> None:
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, ("k",), changes=changes))
    writer.write(Batch(to_canonical(Documents.from_list([raw]))))
    assert writer.commit(None).rejected == ()


def body(connection: MongoConnection) -> bytes:
    """The only document without its `_id`, which is an ObjectId and the first."""
    (found,) = connection.database().get_collection(OUT.name, codec_options=RAW).find()
    raw = bytes(found.raw)
    return (len(raw) - 17).to_bytes(4, "little") + raw[4 + 17 :]


@pytest.mark.parametrize(
    ("changes", "new", "expected"),
    [
        (Changes(merge="fields"), [("z", 9)], [("k", 1), ("a", 1), ("b", {}), ("a", 2), ("z", 9)]),
        (Changes(merge="fields"), [("a", 9)], [("k", 1), ("a", 9), ("b", {})]),
        (Changes(merge="deep"), [("b", {"c": 1})], [("k", 1), ("a", 1), ("b", {"c": 1}), ("a", 2)]),
        (Changes(merge="fields", on_null="unset"), [("a", None)], [("k", 1), ("b", {})]),
        (Changes(merge="fields", on_null="keep"), [("a", None)], [("k", 1), ("a", 1), ("b", {}), ("a", 2)]),
    ],
    ids=str,
)
def test_a_merge_leaves_a_repeated_name_alone_or_sets_it_once(
    connection: MongoConnection, changes: Changes, new: Any, expected: Any
) -> None:
    store(connection, document(("k", 1), ("a", 1), ("b", {}), ("a", 2)))
    apply_raw(connection, document(("k", 1), *new), changes)
    assert body(connection) == document(*expected)


@pytest.fixture
def alone(start: Start, database: str, tmp_path: Path) -> Any:
    """A connection to a server of the test's own, with transactions: it may not survive."""
    uri = replica_set(start("--replSet", "rs0"))
    settings = MongoSettings.model_validate({"uri": uri, "database": database})
    made = MongoConnection("source", settings, tmp_path)
    yield made
    made.close()


def test_a_server_survives_names_that_come_twice_beside_names_of_operators(alone: MongoConnection) -> None:
    """MongoDB 6.0.5 ends itself where a pipeline gives a document a field twice."""
    plain = [("k", 1), ("$x", 1), ("z", "x" * 100)]
    twice = [("k", 1), ("$x", 1), ("a", 1), ("a", 2), ("z", "x" * 100)]
    store(alone, document(*plain))
    identity = alone.database()[OUT.name].find_one({}, {"_id": 1})
    for members in (twice, plain, [("a", 1), ("$x", 2), ("a", 3), ("k", 1)], twice):
        apply_raw(alone, document(*members), Changes())
        assert body(alone) == document(*members)
    assert alone.database()[OUT.name].find_one({}, {"_id": 1}) == identity
