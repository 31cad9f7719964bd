from functools import reduce

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.types import BSON, DIGITS, KINDS, MAX_FIELDS, field_of, join, kind_of, widen
from levada.types.kinds import decimal_field

pytestmark = pytest.mark.unit

SIMPLE = [name for name, kind in KINDS.items() if kind.arrow is not None]


def wrapped(fields):
    structs = st.lists(st.tuples(st.sampled_from("xyz"), fields), unique_by=lambda one: one[0], max_size=3)
    return st.one_of(
        fields.map(lambda field: pa.field("f", pa.list_(field.with_name("item")))),
        structs.map(lambda pairs: pa.field("f", pa.struct([field.with_name(name) for name, field in pairs]))),
    )


fields = st.recursive(
    st.one_of(
        st.sampled_from([*SIMPLE, "binary:03", "binary:80"]).map(lambda kind: field_of(kind, "f")),
        st.builds(
            lambda digits, scale: decimal_field("f", digits, scale), st.integers(0, 34), st.integers(0, 20)
        ),
        st.sampled_from(
            [
                *(pa.int8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(), pa.large_string()),
                *(pa.date32(), pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.decimal128(12, 4)),
                *(pa.time64("us"), pa.large_binary(), pa.decimal256(60, 30)),
            ]
        ).map(lambda arrow: pa.field("f", arrow)),
    ),
    wrapped,
    max_leaves=6,
)


def shape(field):
    """Type and label of a field, whatever the order of its members."""
    arrow = field.type
    if pa.types.is_struct(arrow):
        return {member.name: shape(member) for member in arrow}
    if pa.types.is_list(arrow):
        return [shape(arrow.value_field)]
    metadata = field.metadata or {}
    return str(arrow), metadata.get(BSON), metadata.get(DIGITS)


@given(st.lists(fields, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_joining_gives_the_same_type_in_any_order(several, random):
    ordered = shape(reduce(join, several))
    shuffled = list(several)
    random.shuffle(shuffled)
    assert shape(reduce(join, shuffled)) == ordered
    assert shape(join(shuffled[0], reduce(join, shuffled[1:]))) == ordered


@given(fields, fields)
def test_a_join_holds_both_and_nothing_above_changes_it(one, other):
    both = join(one, other)
    assert shape(join(both, one)) == shape(both)
    assert shape(join(other, both)) == shape(both)


@pytest.mark.parametrize(
    ("one", "other", "wider"),
    [
        ("null", "objectId", "objectId"),
        ("int32", "int64", "int64"),
        ("int32", "double", "double"),
        ("int64", "double", "variant"),
        ("int32", "string", "variant"),
        ("string", "objectId", "variant"),
        ("uuid", "objectId", "variant"),
        ("string", "symbol", "variant"),
        ("bool", "int32", "variant"),
        ("date", "timestamp", "variant"),
        ("binary", "binary:05", "variant"),
        ("binary:05", "binary:06", "variant"),
        ("variant", "string", "variant"),
    ],
)
def test_the_table_of_joins(one, other, wider):
    assert kind_of(join(field_of(one, "f"), field_of(other, "f"))) == wider
    assert kind_of(join(field_of(other, "f"), field_of(one, "f"))) == wider


def test_decimals_grow_while_38_digits_hold_both():
    price, weight = decimal_field("d", 10, 2), decimal_field("d", 3, 9)
    assert join(price, weight).type == pa.decimal128(38, 9)
    assert kind_of(join(join(price, weight), decimal_field("d", 0, 28))) == "decimal"
    assert kind_of(join(join(price, weight), decimal_field("d", 0, 29))) == "variant"


def test_whole_numbers_become_decimals_of_the_same_scale():
    assert join(field_of("int64", "d"), decimal_field("d", 1, 19)).type == pa.decimal128(38, 19)
    assert kind_of(join(field_of("int64", "d"), decimal_field("d", 1, 20))) == "variant"
    assert join(field_of("int32", "d"), decimal_field("d", 1, 20)).type == pa.decimal128(38, 20)


def test_decimals_from_elsewhere_say_their_digits_by_their_precision():
    joined = join(pa.field("d", pa.decimal128(18, 4)), decimal_field("d", 2, 24))
    assert (joined.type, joined.metadata[DIGITS]) == (pa.decimal128(38, 24), b"14")


def test_a_document_with_too_many_names_is_a_map():
    def members(start, count):
        return pa.field(
            "m", pa.struct([pa.field(f"k{at}", pa.int32()) for at in range(start, start + count)])
        )

    half = MAX_FIELDS // 2
    assert kind_of(join(members(0, half), members(half, half))) == "document"
    assert kind_of(join(members(0, half), members(half, half + 1))) == "variant"


def test_widening_keeps_the_first_order_and_appends_what_is_new():
    a = pa.schema([pa.field("x", pa.int32()), pa.field("y", pa.null())])
    b = pa.schema([pa.field("z", pa.string()), pa.field("y", pa.string()), pa.field("x", pa.int64())])
    wider = widen(a, b)
    assert wider.names == ["x", "y", "z"]
    assert wider.types == [pa.int64(), pa.string(), pa.string()]


def test_widening_makes_a_column_that_one_lacks_nullable():
    a = pa.schema([pa.field("x", pa.int32(), nullable=False)])
    assert widen(a, pa.schema([])).field("x").nullable
    assert not widen(a, a).field("x").nullable


def test_other_metadata_stays():
    a = pa.schema([pa.field("x", pa.int32(), metadata={b"note": b"kept"})], metadata={b"table": b"t"})
    wider = widen(a, pa.schema([field_of("objectId", "x")]))
    assert wider.field("x").metadata == {b"note": b"kept", BSON: b"variant"}
    assert wider.metadata == {b"table": b"t"}


def test_a_label_that_does_not_fit_the_arrow_type_is_ignored():
    assert kind_of(pa.field("x", pa.int32(), metadata={BSON: b"objectId"})) == "int32"
    assert kind_of(pa.field("x", pa.string(), metadata={BSON: b"no such kind"})) == "string"


def test_a_dictionary_is_its_values():
    field = pa.field("x", pa.dictionary(pa.int8(), pa.string()))
    assert kind_of(field) == "string"
    assert join(field, field_of("string", "x")).type == pa.string()
