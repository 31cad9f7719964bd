import json
from decimal import Decimal

import pyarrow as pa
import pytest
from bson import json_util

from levada.errors import Fatal
from levada.types import cast, field_of, widen
from levada.types.kinds import decimal_field

pytestmark = pytest.mark.unit


def batch(field, values):
    return pa.record_batch([pa.array(values, field.type)], schema=pa.schema([field]))


def widened(one, *others):
    schema = one.schema
    for other in others:
        schema = widen(schema, pa.schema([other]))
    return cast(one, schema)


@pytest.mark.parametrize(
    ("field", "values", "other", "expected"),
    [
        (field_of("null", "f"), [None, None], field_of("objectId", "f"), [None, None]),
        (field_of("int32", "f"), [1, None, -(2**31)], field_of("int64", "f"), [1, None, -(2**31)]),
        (field_of("int32", "f"), [2**31 - 1], field_of("double", "f"), [2147483647.0]),
        (field_of("int32", "f"), [7], decimal_field("f", 3, 2), [Decimal("7.00")]),
        (field_of("int64", "f"), [-(2**63)], decimal_field("f", 3, 19), [Decimal(-(2**63))]),
        (decimal_field("f", 3, 1), [Decimal("1.5")], decimal_field("f", 3, 3), [Decimal("1.500")]),
        (
            pa.field("f", pa.list_(pa.null())),
            [[], [None], None],
            pa.field("f", pa.list_(pa.int32())),
            [[], [None], None],
        ),
        (
            pa.field("f", pa.list_(pa.int32())),
            [[1], [], None, [2, None]],
            pa.field("f", pa.list_(pa.int64())),
            [[1], [], None, [2, None]],
        ),
        (
            pa.field("f", pa.struct([pa.field("x", pa.int32())])),
            [{"x": 1}, None, {"x": None}],
            pa.field("f", pa.struct([pa.field("y", pa.string()), pa.field("x", pa.float64())])),
            [{"x": 1.0, "y": None}, None, {"x": None, "y": None}],
        ),
        (
            pa.field("f", pa.struct([])),
            [{}, None],
            pa.field("f", pa.struct([field_of("bool", "x")])),
            [{"x": None}, None],
        ),
        (pa.field("f", pa.float32()), [0.5], field_of("double", "f"), [0.5]),
        (pa.field("f", pa.uint32()), [2**32 - 1], field_of("int64", "f"), [2**32 - 1]),
    ],
)
def test_widening_keeps_every_value(field, values, other, expected):
    out = widened(batch(field, values), other)
    out.validate(full=True)
    assert out.column(0).to_pylist() == expected


def test_a_slice_is_cast_as_itself():
    field = pa.field("f", pa.list_(pa.struct([pa.field("x", pa.int32())])))
    rows = batch(field, [[{"x": 1}], [{"x": 2}, {"x": 3}], [], [{"x": 4}]]).slice(1, 3)
    wider = pa.field("f", pa.list_(pa.struct([pa.field("x", pa.int64())])))
    assert widened(rows, wider).column(0).to_pylist() == [[{"x": 2}, {"x": 3}], [], [{"x": 4}]]
    assert widened(rows, field_of("string", "f")).column(0).to_pylist() == [
        '[{"x":{"$numberInt":"2"}},{"x":{"$numberInt":"3"}}]',
        "[]",
        '[{"x":{"$numberInt":"4"}}]',
    ]


def test_columns_that_a_batch_lacks_are_null():
    out = widened(batch(field_of("int32", "f"), [1]), pa.field("g", pa.list_(pa.string())))
    assert out.to_pylist() == [{"f": 1, "g": None}]


UUID = '{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}'
VARIANTS = [
    (field_of("int32", "f"), 5, '{"$numberInt":"5"}'),
    (field_of("int64", "f"), 5, '{"$numberInt":"5"}'),
    (field_of("int64", "f"), 2**31, '{"$numberLong":"2147483648"}'),
    (field_of("double", "f"), 5.0, '{"$numberInt":"5"}'),
    (field_of("double", "f"), -0.0, '{"$numberDouble":"-0.0"}'),
    (field_of("double", "f"), 1e300, '{"$numberDouble":"1e+300"}'),
    (field_of("double", "f"), float("nan"), '{"$numberDouble":"NaN"}'),
    (field_of("double", "f"), float("-inf"), '{"$numberDouble":"-Infinity"}'),
    (decimal_field("f", 3, 2), Decimal("5.00"), '{"$numberInt":"5"}'),
    (decimal_field("f", 3, 2), Decimal("5.50"), '{"$numberDecimal":"5.5"}'),
    (decimal_field("f", 30, 0), Decimal(10**25), '{"$numberDecimal":"1E+25"}'),
    (field_of("string", "f"), 'a"\\\n€😀', '"a\\"\\\\\\n€😀"'),
    (field_of("bool", "f"), True, "true"),
    (field_of("date", "f"), -1, '{"$date":{"$numberLong":"-1"}}'),
    (field_of("objectId", "f"), "0" * 24, '{"$oid":"000000000000000000000000"}'),
    (field_of("uuid", "f"), "00112233-4455-6677-8899-aabbccddeeff", UUID),
    (field_of("binary", "f"), b"\0\xff", '{"$binary":{"base64":"AP8=","subType":"00"}}'),
    (field_of("binary:80", "f"), b"\1", '{"$binary":{"base64":"AQ==","subType":"80"}}'),
    (field_of("timestamp", "f"), -1, '{"$timestamp":{"t":4294967295,"i":4294967295}}'),
    (field_of("javascript", "f"), "f()", '{"$code":"f()"}'),
    (field_of("symbol", "f"), "s", '{"$symbol":"s"}'),
]


@pytest.mark.parametrize(("field", "value", "text"), VARIANTS)
def test_variants_are_canonical_extended_json(field, value, text):
    column = (
        pa.array([value], field.type)
        if field.type != pa.timestamp("ms", "UTC")
        else pa.array([value]).cast(field.type)
    )
    one = pa.record_batch([column], schema=pa.schema([field]))
    written = widened(one, field_of("bool", "f"), field_of("string", "f")).column(0)[0].as_py()
    assert written == text
    if field.metadata != {b"levada.bson": b"symbol"}:  # PyMongo writes symbols as plain strings
        options = json_util.CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=1)
        again = json_util.dumps(json_util.loads(written, json_options=options), json_options=options)
        assert json.loads(again) == json.loads(written)


def test_members_of_a_variant_are_sorted_without_nulls():
    field = pa.field("f", pa.struct([field_of("string", "b"), field_of("int32", "a"), field_of("bool", "c")]))
    out = widened(batch(field, [{"b": "x", "a": 1, "c": None}, None, {}]), field_of("string", "f"))
    assert out.column(0).to_pylist() == ['{"a":{"$numberInt":"1"},"b":"x"}', None, "{}"]


def test_a_document_that_looks_like_extended_json_is_marked_as_data():
    field = pa.field("f", pa.struct([field_of("string", "$oid")]))
    out = widened(batch(field, [{"$oid": "x"}, {"$oid": None}]), field_of("string", "f"))
    assert out.column(0).to_pylist() == ['{"$literal":{"$oid":"x"}}', "{}"]


def test_variants_stay_as_they_are():
    out = widened(batch(field_of("variant", "f"), ['"x"']), field_of("string", "f"))
    assert out.column(0).to_pylist() == ['"x"']


def test_the_way_up_does_not_matter():
    start = batch(field_of("int32", "f"), [1, None, -7])
    top = field_of("string", "f")
    directly = widened(start, top)
    for between in (field_of("int64", "f"), field_of("double", "f"), decimal_field("f", 2, 3)):
        assert widened(widened(start, between), top).equals(directly)


@pytest.mark.parametrize(
    ("field", "values", "target"),
    [
        (field_of("int64", "f"), [1], field_of("double", "f")),
        (field_of("double", "f"), [1.5], field_of("int32", "f")),
        (field_of("string", "f"), ["x"], field_of("objectId", "f")),
        (field_of("variant", "f"), ['"x"'], field_of("string", "f")),
        (decimal_field("f", 36, 0), [Decimal(10**35)], decimal_field("f", 2, 10)),
        (pa.field("f", pa.struct([field_of("int32", "x")])), [{"x": 1}], pa.field("f", pa.struct([]))),
        (pa.field("f", pa.time64("us")), [1], field_of("variant", "f")),
        (pa.field("f", pa.timestamp("us", "UTC")), [1], field_of("variant", "f")),
    ],
)
def test_refuses_what_would_change_a_value(field, values, target):
    with pytest.raises(Fatal, match="'f'"):
        cast(batch(field, values), pa.schema([target]))


def test_refuses_to_lose_a_column():
    with pytest.raises(Fatal, match="not in the wider schema"):
        cast(batch(field_of("int32", "f"), [1]), pa.schema([field_of("int32", "g")]))
