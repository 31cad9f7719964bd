"""Every case of types that has gone wrong somewhere, by name. Expected values are written by hand."""

import datetime as dt
import uuid
from decimal import Decimal

import bson
import numpy as np
import pyarrow as pa
import pytest
from bson import (
    Binary,
    Code,
    DatetimeMS,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

from levada.bson import Decoder, Documents, encode
from levada.errors import Fatal
from levada.types import cast, field_of, kind_of
from levada.types.kinds import decimal_field

from . import bson_values as bv

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("codec")]


def decode(*docs, schema=None):
    """A batch of documents (or raw bytes), all of them sound."""
    raws = [doc if isinstance(doc, bytes) else bson.encode(doc) for doc in docs]
    batch, rejected = Decoder(schema).decode(Documents.from_list(raws))
    batch.validate(full=True)
    assert rejected == ()
    return batch


def column(*values, schema=None):
    """The column of one field with these values, its kind, and what it encodes to."""
    docs = [bson.encode({"f": value}) for value in values]
    batch = decode(*docs, schema=schema)
    assert batch.schema.names == ["f"]
    return batch.column(0), kind_of(batch.schema.field(0)), encode(batch)[0].to_pylist()


def same(*values):
    """Assert that the values return as they were, bit for bit; the column and its kind."""
    data, kind, restored = column(*values)
    assert restored == [bson.encode({"f": value}) for value in values]
    return data, kind


OID = ObjectId("0123456789abcdef01234567")


@pytest.mark.parametrize(
    ("value", "kind", "arrow", "held"),
    [
        (1.5, "double", pa.float64(), 1.5),
        ("a\0b€", "string", pa.string(), "a\0b€"),
        ({"x": 1}, "document", pa.struct([("x", pa.int32())]), {"x": 1}),
        ([1, 2], "array", pa.list_(pa.int32()), [1, 2]),
        (b"\0\xff", "binary", pa.binary(), b"\0\xff"),
        (Binary(b"\1", 5), "binary:05", pa.binary(), b"\1"),
        (Binary(bytes(range(16)), 4), "uuid", pa.string(), str(uuid.UUID(bytes=bytes(range(16))))),
        (OID, "objectId", pa.string(), "0123456789abcdef01234567"),
        (True, "bool", pa.bool_(), True),
        (None, "null", pa.null(), None),
        (Code("f()"), "javascript", pa.string(), "f()"),
        (7, "int32", pa.int32(), 7),
        (Timestamp(1, 2), "timestamp", pa.int64(), 1 << 32 | 2),
        (Int64(7), "int64", pa.int64(), 7),
        (Decimal128("1.50"), "decimal", pa.decimal128(38, 2), Decimal("1.50")),
        (Binary(b"\1", 2), "variant", pa.string(), '{"$binary":{"base64":"AQ==","subType":"02"}}'),
        (Binary(b"\1", 4), "variant", pa.string(), '{"$binary":{"base64":"AQ==","subType":"04"}}'),
        (MinKey(), "variant", pa.string(), '{"$minKey":1}'),
        (MaxKey(), "variant", pa.string(), '{"$maxKey":1}'),
        (
            Regex("^a/", "im"),
            "variant",
            pa.string(),
            '{"$regularExpression":{"pattern":"^a/","options":"im"}}',
        ),
        (Code("f", {"x": True}), "variant", pa.string(), '{"$code":"f","$scope":{"x":true}}'),
    ],
)
def test_each_type_has_its_column_and_returns(value, kind, arrow, held):
    data, got = same(value, None, value)
    assert (got, data.type) == (kind, arrow)
    assert data.to_pylist() == [held, None, held]


@pytest.mark.parametrize(
    ("tag", "value", "kind", "held"),
    [
        (6, b"", "variant", '{"$undefined":true}'),
        (14, bv.raw_string(b"s"), "symbol", "s"),
        (
            12,
            bv.raw_string(b"db.c") + OID.binary,
            "variant",
            '{"$dbPointer":{"$ref":"db.c","$id":{"$oid":"0123456789abcdef01234567"}}}',
        ),
        (11, b"a\0xz\0", "variant", '{"$regularExpression":{"pattern":"a","options":"xz"}}'),
    ],
)
def test_types_that_pymongo_does_not_write_return_too(tag, value, kind, held):
    raw = bv.raw_document((tag, b"f", value))
    batch = decode(raw)
    assert kind_of(batch.schema.field(0)) == kind
    assert batch.column(0).to_pylist() == [held]
    assert encode(batch)[0].to_pylist() == [raw]


ODD_DECIMALS = ["NaN", "Infinity", "-Infinity", "-0", "-0.00", "1E+6000", "-1E-6000", "9.99E+6144", "1E-6176"]


@pytest.mark.parametrize("text", ODD_DECIMALS)
def test_a_decimal_that_no_column_holds_makes_a_variant(text):
    data, kind, restored = column(Decimal128(text), Decimal128("2.5"))
    assert kind == "variant"
    assert data[1].as_py() == '{"$numberDecimal":"2.5"}'
    back = [bson.decode(raw)["f"] for raw in restored]
    assert str(back[0]) == str(Decimal128(text))
    assert back[1] == Decimal128("2.5")


def test_34_digits_stay_a_decimal():
    texts = ["123456789012345678901234567890.1234", "-123456789012345678901234567890.1234"]
    data, kind = same(*map(Decimal128, texts))
    assert kind == "decimal"
    assert data.to_pylist() == list(map(Decimal, texts))


def test_the_widest_scale_of_a_column_holds_all_decimals_and_whole_numbers():
    data, kind, restored = column(Decimal128("1.5"), Decimal128("2E+3"), 7, Int64(2**62), Decimal128("0.125"))
    assert (kind, data.type) == ("decimal", pa.decimal128(38, 3))
    assert data.to_pylist() == [Decimal("1.5"), Decimal(2000), Decimal(7), Decimal(2**62), Decimal("0.125")]
    assert bson.decode(restored[3])["f"].to_decimal() == 2**62


def test_digits_seen_before_decide_whether_a_finer_scale_fits():
    decoder = Decoder()
    for text in ("1" * 30, "0." + "1" * 9):
        batch, _ = decoder.decode(Documents.from_list([bson.encode({"f": Decimal128(text)})]))
    assert kind_of(decoder.schema.field(0)) == "variant"
    assert batch.column(0).to_pylist() == ['{"$numberDecimal":"0.111111111"}']


def test_nan_stays_nan_and_minus_zero_keeps_its_sign():
    data, _ = same(float("nan"), -0.0, float("inf"), float("-inf"), 5e-324)
    assert data.null_count == 0
    assert list(map(repr, data.to_pylist())) == ["nan", "-0.0", "inf", "-inf", "5e-324"]


YEAR_10000 = 253402300800000


@pytest.mark.parametrize("milliseconds", [0, -1, -62198755200000, YEAR_10000, 2**63 - 1, -(2**63)])
def test_dates_of_any_year_are_kept_as_milliseconds(milliseconds):
    data, kind = same(DatetimeMS(milliseconds))
    assert (kind, data.type) == ("date", pa.timestamp("ms", "UTC"))
    assert data.cast(pa.int64()).to_pylist() == [milliseconds]


def test_a_date_beyond_a_column_of_microseconds_is_rejected():
    known = pa.schema([pa.field("f", pa.timestamp("us", "UTC"), metadata={b"levada.bson": b"date"})])
    raws = [bson.encode({"f": DatetimeMS(at)}) for at in (2**62, 1500)]
    batch, rejected = Decoder(known).decode(Documents.from_list(raws))
    assert batch.column(0).cast(pa.int64()).to_pylist() == [1_500_000]
    assert [one.raw for one in rejected] == raws[:1]
    assert encode(batch)[0].to_pylist() == raws[1:]


def test_a_timestamp_keeps_seconds_and_increment():
    data, _ = same(Timestamp(2**32 - 1, 1), Timestamp(0, 2**32 - 1))
    assert [(at >> 32 & 0xFFFFFFFF, at & 0xFFFFFFFF) for at in data.to_pylist()] == [
        (2**32 - 1, 1),
        (0, 2**32 - 1),
    ]


def test_regex_options_are_kept():
    same(Regex("x", "ilmsux"), Regex("y", ""))


def test_int32_and_int64_widen_to_int64():
    data, kind, _ = column(1, Int64(2**40), None)
    assert (kind, data.to_pylist()) == ("int64", [1, 2**40, None])


def test_int32_and_double_widen_to_double():
    data, kind, _ = column(1, 2.5)
    assert (kind, data.to_pylist()) == ("double", [1.0, 2.5])


def test_int64_and_double_become_a_variant_whatever_their_values():
    data, kind, restored = column(Int64(2**53 + 1), 0.5)
    assert kind == "variant"
    assert data.to_pylist() == ['{"$numberLong":"9007199254740993"}', '{"$numberDouble":"0.5"}']
    assert [bson.decode(raw)["f"] for raw in restored] == [2**53 + 1, 0.5]


def test_scalar_array_object_null_and_missing_in_one_field_return():
    docs = [{"f": value} for value in (1, [1, "x", None, {}], {"a": [], "b": "x"}, None, [], {})] + [{}]
    batch = decode(*docs)
    assert batch.column(0).to_pylist() == [
        '{"$numberInt":"1"}',
        '[{"$numberInt":"1"},"x",null,{}]',
        '{"a":[],"b":"x"}',
        None,
        "[]",
        "{}",
        None,
    ]
    assert [bson.decode(raw) for raw in encode(batch, omit_nulls=True)[0].to_pylist()] == [
        {} if doc == {"f": None} else doc for doc in docs
    ]


def test_a_field_that_became_a_variant_stays_one():
    decoder = Decoder()
    for docs in ([{"f": "x"}], [{"f": 1}], [{"f": "y"}]):
        batch, _ = decoder.decode(Documents.from_list([bson.encode(doc) for doc in docs]))
    assert batch.column(0).to_pylist() == ['"y"']
    assert bson.decode(encode(batch)[0][0].as_py()) == {"f": "y"}


def test_later_batches_widen_and_earlier_ones_are_cast():
    decoder = Decoder()
    batches = [
        decoder.decode(Documents.from_list([bson.encode(doc)]))[0]
        for doc in ({"a": 1, "s": {"x": 1}}, {"b": [1], "a": 2.5}, {"s": {"y": "z"}, "b": [Int64(2)]}, {})
    ]
    table = pa.Table.from_batches([cast(batch, decoder.schema) for batch in batches])
    assert table.to_pylist() == [
        {"a": 1.0, "s": {"x": 1, "y": None}, "b": None},
        {"a": 2.5, "s": None, "b": [1]},
        {"a": None, "s": {"x": None, "y": "z"}, "b": [2]},
        {"a": None, "s": None, "b": None},
    ]


@pytest.mark.parametrize("first", [[], None, [None], {}])
def test_the_type_of_an_empty_first_value_is_settled_later(first):
    full = {"x": 1} if isinstance(first, dict) else [1]
    decoder = Decoder()
    early, _ = decoder.decode(Documents.from_list([bson.encode({"f": first})]))
    decoder.decode(Documents.from_list([bson.encode({"f": full})]))
    late = cast(early, decoder.schema)
    assert late.column(0).type == decode({"f": full}).column(0).type
    assert late.column(0).to_pylist() == [{"x": None} if first == {} else first]


def test_empty_array_empty_document_and_null_are_told_apart():
    same([], None, [None], [[]], [[], None, []])
    data, _, _ = column({}, None, {"x": {}})
    assert data.to_pylist() == [{"x": None}, None, {"x": {}}]


def test_nested_optional_arrays_stay_with_their_rows():
    docs = [
        {"n": at, "a": [{"n": at, "b": [at] * (at % 3)} if at % 5 else {"n": at} for _ in range(at % 4)]}
        for at in range(300)
    ]
    for doc in docs[::7]:
        del doc["a"]
    rows = decode(*docs).to_pylist()
    for doc, row in zip(docs, rows, strict=True):
        assert row["n"] == doc["n"]
        expected = doc.get("a")
        assert row["a"] == (expected and [{"n": one["n"], "b": one.get("b")} for one in expected])


NAMES = ["_id", "", ".", "a.b", "$x", "$", "op", "ns", "Name", "name", "€", "n" * 10_000, "n" * 33, "n" * 32]


def test_names_of_any_kind_are_kept():
    doc = {name: at for at, name in enumerate(NAMES)}
    batch = decode(*[doc] * 40, {"$x": 9})
    assert batch.schema.names == NAMES
    assert encode(batch.slice(0, 1))[0].to_pylist() == [bson.encode(doc)]
    assert decode({"f": doc}).column(0).type.names == NAMES


@pytest.mark.parametrize("name", ["$oid", "$numberInt", "$date", "$literal", "$code", "$ref"])
def test_names_that_extended_json_reserves_are_data_in_a_variant(name):
    docs = [{"f": {name: "0" * 24}}, {"f": 1}, {"f": {"$literal": {name: 5}}}]
    batch = decode(*map(bson.encode, docs))
    assert encode(batch)[0].to_pylist() == [bson.encode(doc) for doc in docs]


def test_ids_of_every_type_are_kept():
    ids = [
        OID,
        str(OID),
        1,
        1.5,
        float("nan"),
        {"a": 1},
        b"x",
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        True,
        MinKey(),
    ]
    batch = decode(*({"_id": one} for one in ids))
    assert encode(batch)[0].to_pylist() == [bson.encode({"_id": one}) for one in ids]


def test_16_megabytes_pass():
    doc = {"text": "x" * 8_000_000, "data": b"\0" * 7_000_000, "n": 1}
    assert encode(decode(doc))[0].to_pylist() == [bson.encode(doc)]


def test_100_levels_pass():
    doc = {"leaf": 1}
    for _ in range(99):
        doc = {"d": doc, "l": [1]}
    batch = decode(doc, {"d": None})
    assert bson.decode(encode(batch, omit_nulls=True)[0][0].as_py()) == doc


def test_10_000_distinct_names_are_right():
    docs = [{f"a{at}": at, f"b{at}": str(at)} for at in range(5_000)]
    batch = decode(*docs)
    assert batch.num_columns == 10_000
    assert batch.column(9_998).to_pylist() == [None] * 4_999 + [4_999]
    restored = encode(batch.slice(4_990), omit_nulls=True)[0].to_pylist()
    assert restored == [bson.encode(doc) for doc in docs[4_990:]]


def test_a_document_used_as_a_map_becomes_a_variant():
    docs = [{"m": {f"k{at}": at}} for at in range(1_001)]
    batch = decode(*docs)
    assert kind_of(batch.schema.field(0)) == "variant"
    assert encode(batch)[0].to_pylist() == [bson.encode(doc) for doc in docs]


def test_fields_in_any_order_and_number_are_right():
    import random

    chance = random.Random(3)
    docs = []
    for at in range(400):
        members = [(f"field{name}", at * name) for name in range(20) if chance.random() < 0.5]
        chance.shuffle(members)
        docs.append(dict(members))
    batch = decode(*docs)
    for doc, row in zip(docs, batch.to_pylist(), strict=True):
        assert {name: value for name, value in row.items() if value is not None} == doc


def test_long_arrays_are_right():
    docs = [{"a": list(range(at))} for at in (0, 1, 9, 10, 11, 99, 100, 101, 2_500, 3)] * 3
    assert encode(decode(*docs))[0].to_pylist() == [bson.encode(doc) for doc in docs]


def test_a_known_schema_decides_the_order_and_types_of_columns():
    known = pa.schema([field_of("int64", "n"), field_of("string", "gone"), decimal_field("d", 2, 4)])
    batch = decode({"d": Decimal128("1.5"), "n": 3, "new": True}, schema=known)
    assert batch.schema.names == ["n", "gone", "d", "new"]
    assert batch.to_pylist() == [{"n": 3, "gone": None, "d": Decimal("1.5000"), "new": True}]
    assert batch.column(0).type == pa.int64()


def test_an_empty_batch_has_the_known_columns():
    assert decode().num_rows == 0
    assert decode(schema=pa.schema([field_of("date", "f")])).schema.names == ["f"]


def test_documents_without_fields_are_rows():
    batch = decode({}, {}, {})
    assert (batch.num_rows, batch.num_columns) == (3, 0)


def test_more_than_2_gib_of_documents_are_refused():
    documents = Documents(b"", np.array([0, 2**30]), np.array([2**30, 2**31]))
    with pytest.raises(Fatal, match="more than 2 GiB"):
        Decoder().decode(documents)
