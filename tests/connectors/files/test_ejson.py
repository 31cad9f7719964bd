"""Documents -> canonical Extended JSON -> documents, byte for byte; PyMongo reads the same."""

from __future__ import annotations

import json
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.batches import CANONICAL, Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.files import FilesConnection
from levada.connectors.files.ejson import document_of, text_of

pytestmark = pytest.mark.unit

TEXT = st.text(max_size=6)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["", "$a", "a.b"]
)
FINITE = st.floats(allow_nan=False)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    FINITE,
    TEXT,
    st.builds(Binary, st.binary(max_size=6), st.sampled_from([0, 2, 3, 4, 5, 128, 255])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.integers(-(2**63), 2**63 - 1).map(bson.DatetimeMS),
    st.builds(Regex, NAME, st.sampled_from(["", "i", "imsx"])),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds("{}E{}".format, st.integers(-(10**34) + 1, 10**34 - 1), st.integers(-60, 60)).map(Decimal128),
    st.sampled_from(
        [Decimal128(text) for text in ("NaN", "Infinity", "-Infinity", "-0", "0E-6000", "1E+6000")]
    ),
    st.builds(Code, TEXT),
    st.builds(Code, TEXT, st.dictionaries(NAME, st.integers(0, 9), max_size=2)),
    st.sampled_from([MinKey(), MaxKey()]),
)
DOCUMENTS = st.dictionaries(
    NAME,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3)
    ),
    max_size=5,
)


def element(tag: int, value: bytes, name: bytes = b"v") -> bytes:
    body = bytes([tag]) + name + b"\0" + value
    return struct.pack("<i", len(body) + 5) + body + b"\0"


@settings(max_examples=300, deadline=None)
@given(document=DOCUMENTS)
def test_a_document_of_any_types_comes_back_byte_for_byte(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    assert document_of(text_of(raw)) == raw


def unwrapped(value: Any) -> Any:
    """The JSON without the marks that keep data like `{"$oid": 1}` from being read as a type."""
    if isinstance(value, list):
        return [unwrapped(each) for each in value]
    if not isinstance(value, dict):
        return value
    inner = value["$literal"] if value.keys() == {"$literal"} else value
    return {name: unwrapped(member) for name, member in inner.items()}


@settings(max_examples=150, deadline=None)
@given(document=DOCUMENTS)
def test_pymongo_writes_the_same_json_but_for_data_that_looks_like_a_type(document: dict[str, Any]) -> None:
    theirs = json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS)
    assert unwrapped(json.loads(text_of(bson.encode(document)))) == json.loads(theirs)


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (6, b"", '{"$undefined":true}'),
        (14, b"\x02\0\0\0s\0", '{"$symbol":"s"}'),
        (12, b"\x03\0\0\0db\0" + bytes(12), '{"$dbPointer":{"$ref":"db","$id":{"$oid":"' + "0" * 24 + '"}}}'),
        (1, struct.pack("<d", math.nan), '{"$numberDouble":"NaN"}'),
        (1, struct.pack("<d", -0.0), '{"$numberDouble":"-0.0"}'),
        (1, struct.pack("<d", 1.0), '{"$numberDouble":"1.0"}'),
        (18, struct.pack("<q", 1), '{"$numberLong":"1"}'),
        (10, b"", "null"),
    ],
)
def test_deprecated_types_and_kinds_of_numbers_keep_their_type(tag: int, value: bytes, text: str) -> None:
    raw = element(tag, value)
    assert text_of(raw) == f'{{"v":{text}}}'
    assert document_of(text_of(raw)) == raw


def test_a_document_that_looks_like_a_type_stays_a_document() -> None:
    raw = bson.encode({"v": {"$oid": "no id"}, "w": {"$date": 1}})
    assert document_of(text_of(raw)) == raw


def connect(folder: str | Path) -> FilesConnection:
    return FilesConnection("files", FilesConnection.settings_model(path=str(folder)), Path(folder))


def canonical(documents: list[bytes]) -> Batch:
    return Batch(pa.record_batch([pa.array(documents, pa.binary())], schema=CANONICAL))


@settings(max_examples=30, deadline=None)
@given(documents=st.lists(DOCUMENTS.map(bson.encode), min_size=1, max_size=5))
def test_a_file_of_documents_is_read_back_byte_for_byte_and_by_pymongo(documents: list[bytes]) -> None:
    table = Table("files", "t.ejson.gz")
    with tempfile.TemporaryDirectory() as folder:
        connection = connect(folder)
        assert connection.keeps_documents(table)
        writer = connection.sink(table).open(Write(table, Mode.REPLACE, "test"))
        writer.write(canonical(documents))
        assert writer.commit(None).rows == len(documents)
        found = connection.source(table, Query(canonical=True)).read(None, None)
        assert [value for batch in found for value in batch.data.column(0).to_pylist()] == documents


def test_a_condition_and_columns_choose_whole_documents(tmp_path: Path) -> None:
    documents = [bson.encode({"n": n, "v": [{"x": n}], "w": "w"}) for n in range(10)]
    table = Table("files", "t.ejson")
    connection = connect(tmp_path)
    writer = connection.sink(table).open(Write(table, Mode.REPLACE, "test"))
    writer.write(canonical(documents))
    writer.commit(None)
    query = Query(columns=("v", "n"), where="n > 6", canonical=True)
    found = [
        value
        for batch in connection.source(table, query).read(None, None)
        for value in batch.data[0].to_pylist()
    ]
    assert found == [bson.encode({"n": n, "v": [{"x": n}]}) for n in (7, 8, 9)]
    read = [
        RawBSONDocument(bson.encode(json_util.loads(line)))
        for line in (tmp_path / "t.ejson").read_text().splitlines()
    ]
    assert [document["n"] for document in read] == list(range(10))


def test_bytes_that_are_no_document_are_set_aside(tmp_path: Path) -> None:
    table = Table("files", "t.ejson")
    good, bad = bson.encode({"a": 1}), b"\x08\0\0\0\x02x\0\0"
    writer = connect(tmp_path).sink(table).open(Write(table, Mode.REPLACE, "test"))
    writer.write(canonical([good, bad]))
    written = writer.commit(None)
    assert written.rows == 1
    assert [rejected.raw for rejected in written.rejected] == [bad]
