import datetime as dt
import json
from decimal import Decimal

import bson
import pyarrow as pa
import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from levada.bson import encode
from levada.errors import Fatal
from levada.types import field_of

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("codec")]

UUID = "00112233-4455-6677-8899-aabbccddeeff"
UUID_BYTES = Binary(bytes.fromhex(UUID.replace("-", "")), 4)


def written(array, field=None, **options):
    """What PyMongo reads back of one column named f."""
    array = array if isinstance(array, pa.Array) else pa.array(array, field.type)
    schema = pa.schema([field or pa.field("f", array.type)])
    documents, rejected = encode(pa.record_batch([array], schema=schema), **options)
    assert rejected == ()
    return [bson.decode(raw) for raw in documents.to_pylist()]


def values(*arguments, **options):
    return [doc["f"] for doc in written(*arguments, **options)]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([65535], pa.uint16()), [65535]),
        (pa.array([2**32 - 1], pa.uint32()), [Int64(2**32 - 1)]),
        (pa.array([2**64 - 1, None], pa.uint64()), [Decimal128(str(2**64 - 1)), None]),
        (pa.array([0.5, None], pa.float32()), [0.5, None]),
        (pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([b"a", None], pa.large_binary()), [b"a", None]),
        (pa.array([b"ab", None], pa.binary(2)), [b"ab", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([[1], None, []], pa.large_list(pa.int32())), [[1], None, []]),
        (pa.array([[1, 2], None], pa.list_(pa.int32(), 2)), [[1, 2], None]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())), [{"k": 1}, None]),
        (pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), [Decimal128("1.50"), None]),
        (pa.array([Decimal("1.50")], pa.decimal256(50, 2)), [Decimal128("1.50")]),
        (
            pa.array([Decimal(-(10**37))], pa.decimal128(38, 0)),
            [Decimal128("-1.000000000000000000000000000000000E+37")],
        ),
        (pa.array([{"x": None}, None], pa.struct([("x", pa.int32())])), [{"x": None}, None]),
        (pa.array([{}, None], pa.struct([])), [{}, None]),
        (pa.array([[None, 1], []], pa.list_(pa.int64())), [[None, Int64(1)], []]),
        (pa.array([[[], None], None], pa.list_(pa.list_(pa.null()))), [[[], None], None]),
        (pa.nulls(2), [None, None]),
        (pa.array([True, None, False]), [True, None, False]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_arrow_types_without_labels_have_a_bson_type(array, expected):
    assert values(array) == expected
    assert list(map(type, values(array))) == list(map(type, expected))


@pytest.mark.parametrize(
    "arrow",
    [
        pa.date32(),
        pa.date64(),
        pa.timestamp("s"),
        pa.timestamp("us"),
        pa.timestamp("ns", "UTC"),
        pa.timestamp("ms", "Asia/Tokyo"),
    ],
)
def test_dates_of_every_unit_are_dates(arrow):
    day = dt.datetime(2026, 11, 23)
    (value,) = values(pa.array([day], pa.timestamp("ms")).cast(arrow))
    assert value == day


def test_a_time_finer_than_a_millisecond_rejects_its_row_alone():
    times = pa.array([1_000, 1_001, None, -1_999], pa.timestamp("us", "UTC"))
    batch = pa.record_batch({"n": pa.array([1, 2, 3, 4]), "t": times})
    documents, rejected = encode(batch)
    assert [bson.decode(raw)["n"] for raw in documents.to_pylist()] == [1, 3]
    assert [one.reason for one in rejected] == ["a time finer than 1 ms is no BSON date"] * 2
    assert json.loads(rejected[0].raw)["n"] == {"$numberInt": "2"}


OID = "0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("kind", "good", "bad", "stored"),
    [
        ("objectId", OID, [OID[:-1], OID + "0", OID[:-1] + "g", "", OID[:-2] + "é"], ObjectId(OID)),
        (
            "uuid",
            UUID,
            ["00112233445566778899aabbccddeeff0000", "x" * 36, "00112233-4455-6677-8899-aabbccddeef"],
            UUID_BYTES,
        ),
        (
            "variant",
            '{"$numberLong":"7"}',
            [
                "{",
                "",
                "not json",
                '{"$numberInt":"99999999999"}',
                '{"$oid":"1"}',
                '{"a\\u0000b":1}',
                "[" * 5000,
            ],
            Int64(7),
        ),
    ],
)
def test_a_text_that_is_not_what_its_label_says_rejects_its_row_alone(kind, good, bad, stored):
    rows = [good, None]
    for text in bad:
        rows += [text, good]
    batch = pa.record_batch([pa.array(rows, pa.string())], schema=pa.schema([field_of(kind, "f")]))
    documents, rejected = encode(batch)
    assert [bson.decode(raw)["f"] for raw in documents.to_pylist()] == [stored, None] + [stored] * len(bad)
    assert len(rejected) == len(bad)


def test_a_decimal_of_more_than_34_digits_rejects_its_row_alone():
    data = pa.array([Decimal("1" * 35), Decimal(2), Decimal("1" * 34 + "0")], pa.decimal128(38, 0))
    documents, rejected = encode(pa.record_batch({"f": data}))
    kept = [bson.decode(raw)["f"].to_decimal() for raw in documents.to_pylist()]
    assert kept == [2, Decimal("1" * 34 + "0")]
    assert [json.loads(one.raw)["f"] for one in rejected] == [{"$numberDecimal": "1" * 35}]


def test_what_bson_has_no_type_for_rejects_its_row_alone():
    batch = pa.record_batch({"n": pa.array([1, 2]), "f": pa.array([dt.time(1, 2), None], pa.time64("us"))})
    documents, rejected = encode(batch)
    assert [bson.decode(raw) for raw in documents.to_pylist()] == [{"n": 2, "f": None}]
    assert "time64" in rejected[0].reason


def test_a_map_that_has_a_key_twice_rejects_its_row_alone():
    data = pa.array([[("k", 1), ("k", 2)], [("k", 3)]], pa.map_(pa.string(), pa.int32()))
    documents, rejected = encode(pa.record_batch({"f": data}))
    assert [bson.decode(raw) for raw in documents.to_pylist()] == [{"f": {"k": 3}}]
    assert len(rejected) == 1


def test_a_bad_value_deep_inside_rejects_its_row():
    inner = pa.struct([field_of("objectId", "id")])
    field = pa.field("f", pa.list_(pa.field("item", inner)))
    rows = [[{"id": OID}], [], None, [{"id": OID}, None, {"id": "bad"}], [{"id": None}]]
    documents, rejected = encode(pa.record_batch([pa.array(rows, field.type)], schema=pa.schema([field])))
    oid = ObjectId(OID)
    assert [bson.decode(raw)["f"] for raw in documents.to_pylist()] == [
        [{"id": oid}],
        [],
        None,
        [{"id": None}],
    ]
    assert len(rejected) == 1


def test_nulls_are_written_or_left_out_at_every_level_but_in_arrays():
    arrow = pa.struct([("x", pa.int32()), ("l", pa.list_(pa.int32()))])
    rows = pa.array([{"x": None, "l": [None]}, None, {"x": 1, "l": None}], arrow)
    assert values(rows) == [{"x": None, "l": [None]}, None, {"x": 1, "l": None}]
    assert written(rows, omit_nulls=True) == [{"f": {"l": [None]}}, {}, {"f": {"x": 1}}]


def test_a_slice_is_encoded_as_itself():
    arrow = pa.struct(
        [("x", pa.string()), ("l", pa.list_(pa.int32())), ("d", pa.decimal128(38, 1)), ("b", pa.bool_())]
    )
    rows = [{"x": str(at), "l": [at] * at, "d": Decimal(at), "b": at % 2 == 0} for at in range(12)]
    batch = pa.record_batch({"f": pa.array(rows, arrow), "n": pa.array(range(12))}).slice(3, 5)
    read = [bson.decode(raw) for raw in encode(batch)[0].to_pylist()]
    assert read == [
        {"f": {**row, "d": Decimal128(f"{row['d']}.0")}, "n": at} for at, row in list(enumerate(rows))[3:8]
    ]


def test_fields_keep_the_order_of_the_columns():
    batch = pa.record_batch({"b": pa.array([1]), "a": pa.array(["x"]), "": pa.array([None])})
    assert list(bson.decode(encode(batch)[0][0].as_py())) == ["b", "a", ""]


def test_no_rows_are_no_documents():
    documents, rejected = encode(pa.record_batch({"f": pa.array([], pa.int32())}))
    assert (documents.to_pylist(), rejected) == ([], ())


def test_no_columns_are_empty_documents():
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert [bson.decode(raw) for raw in encode(batch)[0].to_pylist()] == [{}, {}]


@pytest.mark.parametrize(
    ("columns", "message"),
    [([("a", pa.int32()), ("a", pa.int32())], "'a' appears twice"), ([("a\0b", pa.int32())], "NUL")],
)
def test_refuses_names_that_bson_cannot_store(columns, message):
    schema = pa.schema(columns)
    batch = pa.record_batch([pa.array([1], pa.int32())] * len(columns), schema=schema)
    with pytest.raises(Fatal, match=message):
        encode(batch)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("2.5", 2.5),
        ("5000000000", Int64(5_000_000_000)),
        ('{"$date":"1970-01-01T00:00:01Z"}', dt.datetime(1970, 1, 1, 0, 0, 1)),
        (
            '{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}',
            UUID_BYTES,
        ),
        ('{"$oid":"0123456789abcdef01234567","x":1}', {"$oid": "0123456789abcdef01234567", "x": 1}),
    ],
)
def test_relaxed_extended_json_is_read_too(text, expected):
    assert values(pa.array([text]), field_of("variant", "f")) == [expected]
