"""Record batches of every type and label, with nulls, nesting and values that do not fit."""

from decimal import Context, Decimal

import pyarrow as pa
from bson import json_util
from hypothesis import strategies as st

from levada.types import field_of

from . import bson_values as bv

int32s, int64s = bv.int32s, bv.int64s
texts = st.text(max_size=6)

#: Extended JSON by hand, in odd spellings, and what is none.
SPELLINGS = [
    *("{", "", "nul", "null x", "[1,]", '{"a":1,}', '"\\ud800"', '"\\ud83d\\ude00"', "01", "-", "1."),
    *(' [ 1 , 2.5e3 , -0 , -0.0 , "a\\/\\u00e9\\n" , {"a" : null } ] ', "NaN", "-Infinity", "1e999"),
    *("9223372036854775807", "9223372036854775808", '{"$numberLong":"-9223372036854775808"}'),
    *('{"$numberInt":" 7"}', '{"$numberInt":"1_0"}', '{"$numberInt":7}', '{"$numberInt":"2147483648"}'),
    *('{"$numberDouble":"-0.0"}', '{"$numberDouble":"nan"}', '{"$numberDouble":"inf"}'),
    *('{"$numberDouble":"1e-320"}', '{"$numberDouble":"Infinity"}', '{"$numberDouble":".5"}'),
    *('{"$numberDecimal":"1E+6144"}', '{"$numberDecimal":"1E+6145"}', '{"$numberDecimal":"1E-6177"}'),
    *('{"$numberDecimal":"10E-6177"}', '{"$numberDecimal":"-0E+9999"}', '{"$numberDecimal":"sNaN"}'),
    *('{"$numberDecimal":"-NaN"}', '{"$numberDecimal":".5"}', '{"$numberDecimal":"5."}'),
    *('{"$numberDecimal":"' + "9" * 34 + '"}', '{"$numberDecimal":"' + "9" * 35 + '"}'),
    *('{"$numberDecimal":"' + "1" + "0" * 40 + '"}', '{"$numberDecimal":"+1.50e+2"}'),
    *('{"$oid":"0123456789ABCDEFabcdef01"}', '{"$oid":"01"}', '{"$oid":7}', '{"$oid":"' + "é" * 12 + '"}'),
    *('{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}', '{"$uuid":"00112233445566778899aabbccddeeff"}'),
    *('{"$binary":{"base64":"AQ==","subType":"2"}}', '{"$binary":{"base64":"AR==","subType":"00"}}'),
    *('{"$binary":{"base64":"A","subType":"00"}}', '{"$binary":{"base64":"","subType":"fff"}}'),
    *('{"$binary":{"subType":"80","base64":"AQID"}}', '{"$binary":{"base64":"AQ==","subType":"1","x":1}}'),
    *('{"$code":"f","$scope":{"$literal":{"$oid":"x"}}}', '{"$scope":{"a":{"$oid":"x"}},"$code":"f"}'),
    *('{"$code":"f","$scope":1}', '{"$symbol":"s"}', '{"$undefined":true}', '{"$minKey":2}'),
    *('{"$timestamp":{"t":4294967295,"i":0}}', '{"$timestamp":{"t":-1,"i":0}}', '{"$timestamp":1}'),
    *('{"$regularExpression":{"pattern":"a\\u0000","options":""}}', '{"$regularExpression":{}}'),
    *('{"$dbPointer":{"$ref":"c","$id":{"$oid":"0123456789abcdef01234567"}}}', '{"$dbPointer":{}}'),
    *('{"$date":"2026-11-23T00:00:00Z"}', '{"$date":{"$numberLong":"-1"}}', '{"$date":{"a":1}}'),
    *('{"$literal":{"$oid":"x"}}', '{"$literal":1}', '{"$foo":1}', '{"$oid":"x","b":1}', '{"a\\u0000":1}'),
    *('{"a":1,"b":2,"a":3}', "[" * 150 + "]" * 150, "[" * 300 + "]" * 300, "\ufeff1", "\u00a01"),
    '{"many":' + str({f"k{at}": at for at in range(30)}).replace("'", '"') + "}",
]

variants = st.one_of(
    bv.values.map(lambda value: json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)),
    st.sampled_from(SPELLINGS),
)
object_ids = st.one_of(st.binary(min_size=12, max_size=12).map(bytes.hex), st.text("0aF", max_size=25))
uuids = st.one_of(st.uuids().map(str), st.uuids().map(lambda value: str(value).upper()), texts)


def decimals(scale):
    return st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(n).scaleb(-scale, _WIDE))


_WIDE = Context(prec=60)


def whole(bits, signed=True):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


def _plain(arrow, values):
    return st.just((pa.field("", arrow), values))


def _kind(kind, values):
    return st.just((field_of(kind, ""), values))


#: A field without its name, and the strategy of its values.
scalars = st.one_of(
    _plain(pa.null(), st.none()),
    _plain(pa.bool_(), st.booleans()),
    *(_plain(getattr(pa, f"int{bits}")(), whole(bits)) for bits in (8, 16, 32, 64)),
    *(_plain(getattr(pa, f"uint{bits}")(), whole(bits, signed=False)) for bits in (8, 16, 32, 64)),
    *(_plain(getattr(pa, f"float{bits}")(), st.floats(width=bits)) for bits in (16, 32, 64)),
    *(_plain(arrow, texts) for arrow in (pa.string(), pa.large_string(), pa.string_view())),
    *(_plain(arrow, st.binary(max_size=5)) for arrow in (pa.binary(), pa.large_binary())),
    _plain(pa.binary(3), st.binary(min_size=3, max_size=3)),
    _plain(pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b"])),
    *(_plain(pa.decimal128(38, scale), decimals(scale)) for scale in (0, 2, 37)),
    *(_plain(pa.decimal128(38, scale), st.integers(-999, 999).map(Decimal)) for scale in (0, 2, 20)),
    _plain(pa.decimal256(50, 1), st.integers(-999, 999).map(Decimal)),
    _plain(pa.date32(), whole(20)),
    _plain(pa.date64(), whole(20).map(lambda days: days * 86_400_000)),
    *(
        _plain(pa.timestamp(unit, zone), whole(40))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC")
    ),
    _plain(pa.timestamp("us", "UTC"), whole(40).map(lambda value: value * 1_000)),
    _plain(pa.time32("ms"), st.integers(0, 1_000)),
    *(_kind(kind, texts) for kind in ("javascript", "symbol")),
    _kind("timestamp", int64s),
    _kind("date", int64s),
    _kind("binary:05", st.binary(max_size=5)),
    _kind("objectId", object_ids),
    _kind("uuid", uuids),
    _kind("variant", variants),
)


def _nullable(values):
    return st.one_of(st.none(), values, values)


def _list(inner):
    field, values = inner
    item = field.with_name("item")
    pair = st.tuples(_nullable(values), _nullable(values)).map(list)
    return st.sampled_from(
        [
            (pa.field("", pa.list_(item)), st.lists(_nullable(values), max_size=12)),
            (pa.field("", pa.large_list(item)), st.lists(_nullable(values), max_size=3)),
            (pa.field("", pa.list_(item, 2)), pair),
        ]
    )


def _struct(members):
    fields = [field.with_name(name) for name, (field, _) in members.items()]
    values = {name: _nullable(inner) for name, (_, inner) in members.items()}
    return pa.field("", pa.struct(fields)), st.fixed_dictionaries(values)


def nested(inner):
    return st.one_of(
        inner.flatmap(_list),
        st.dictionaries(texts.filter(lambda name: "\0" not in name), inner, max_size=3).map(_struct),
    )


columns = st.recursive(scalars, nested, max_leaves=4)


@st.composite
def batches(draw):
    names = draw(st.lists(st.sampled_from(["a", "b", "", "é", "x.y"]), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(0, 8))
    arrays, fields = [], []
    for name in names:
        field, values = draw(columns)
        cells = draw(st.lists(_nullable(values), min_size=rows, max_size=rows))
        arrays.append(pa.array(cells, field.type))
        fields.append(field.with_name(name))
    batch = pa.record_batch(arrays, schema=pa.schema(fields))
    start = draw(st.integers(0, rows))
    return batch.slice(start, draw(st.integers(0, rows - start)))
