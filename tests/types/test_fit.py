"""Values of asked-for types: what Arrow, `decimal` and `struct` say of them, value by value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.types import KINDS, field_of, kind_of, widen
from levada.types.fit import TYPES, Fitted, Unfit, fit, kind_named
from levada.types.kinds import BSON

pytestmark = pytest.mark.unit

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


def fitted(values: Any, kind: str, arrow: pa.DataType | None = None, **options: Any) -> Fitted:
    column = pa.array(values, arrow)
    return fit(column, pa.field("x", column.type), kind, **options)


def taken(found: Fitted) -> list[Any]:
    """The values, with `...` where one was not taken."""
    return [... if row in found.bad else value for row, value in enumerate(found.column.to_pylist())]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), arrow=st.sampled_from(INTEGERS))
def test_integers_are_taken_where_the_range_holds_them(data: st.DataObject, arrow: pa.DataType) -> None:
    signed = str(arrow).startswith("int")
    low, high = (
        (-(2 ** (arrow.bit_width - 1)), 2 ** (arrow.bit_width - 1)) if signed else (0, 2**arrow.bit_width)
    )
    values = data.draw(st.lists(st.one_of(st.none(), st.integers(low, high - 1)), max_size=9))
    for kind, bits in (("int32", 32), ("int64", 64)):
        found = fitted(values, kind, arrow)
        exact = [
            value if value is None or -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else ...
            for value in values
        ]
        assert taken(found) == exact
        assert kind_of(found.field) == kind
    doubles = [value if value is None or (int(float(value)) == value) else ... for value in values]
    assert taken(fitted(values, "double", arrow)) == [
        ... if value is not None and value is not ... and value >= 2**63 else value for value in doubles
    ]
    assert taken(fitted(values, "decimal", arrow)) == [
        value if value is None else Decimal(value) for value in values
    ]


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70).map(float)), max_size=9)
)
def test_doubles_become_whole_numbers_where_they_are_such_and_decimals_by_their_shortest_text(
    values: Any,
) -> None:
    whole = [
        value
        if value is None
        else (int(value) if value == value and abs(value) < 2**64 and int(value) == value else ...)
        for value in values
    ]
    wanted = [one if one is None or one is ... or -(2**63) <= one < 2**63 else ... for one in whole]
    assert taken(fitted(values, "int64", pa.float64())) == wanted
    finite = [None if value is None else Decimal(repr(value)) for value in values]
    found = fitted(values, "decimal", pa.float64())
    numbers = [_number(value) for value in taken(found)]
    assert numbers == [value if value is None or value.is_finite() else ... for value in finite]


def _number(value: Any) -> Any:
    """A decimal, also one that is held as Extended JSON."""
    return Decimal(value.split('"')[3]) if isinstance(value, str) else value


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.decimals(-(10**18), 10**18, places=5), max_size=9),
    scale=st.integers(5, 12),
)
def test_decimals_become_doubles_that_give_the_same_number_back(values: Any, scale: int) -> None:
    found = taken(fitted(values, "double", pa.decimal128(38, scale)))
    for value, double in zip(values, found, strict=True):
        same = Decimal(repr(float(value))) == value
        assert double == (float(value) if same else ...)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("0", {"int32": 0, "int64": 0, "double": 0.0, "decimal": Decimal(0)}),
        ("-12", {"int32": -12, "int64": -12, "double": -12.0, "decimal": Decimal(-12)}),
        ("2147483648", {"int32": ..., "int64": 2**31, "double": 2.0**31, "decimal": Decimal(2**31)}),
        ("007", {"int32": ..., "int64": ..., "double": ..., "decimal": ...}),
        ("+5", {"int32": ..., "int64": ..., "double": ..., "decimal": ...}),
        (" 5", {"int32": ..., "int64": ..., "double": ..., "decimal": ...}),
        ("5\n", {"int32": ..., "int64": ..., "double": ..., "decimal": ...}),
        ("", {"int32": ..., "int64": ..., "double": ..., "decimal": ...}),
        ("0.10", {"int64": ..., "double": 0.1, "decimal": Decimal("0.10")}),
        ("1e3", {"int64": ..., "double": 1000.0, "decimal": Decimal("1E+3")}),
        ("1e999", {"double": ..., "decimal": Decimal("1E+999")}),
        ("1e9999", {"double": ..., "decimal": ...}),
        ("NaN", {"double": ..., "decimal": ...}),
        ("9" * 35, {"int64": ..., "double": ..., "decimal": ...}),
        ("٣", {"int64": ..., "double": ..., "decimal": ...}),
        ("true", {"bool": True, "int64": ...}),
        ("True", {"bool": ...}),
        ("65a1b2c3d4e5f60718293a4b", {"objectId": "65a1b2c3d4e5f60718293a4b", "uuid": ...}),
        ("65a1b2c3d4e5f60718293a4b\n", {"objectId": ...}),
        ("65a1b2c3d4e5f60718293a4g", {"objectId": ...}),
        ("00112233-4455-6677-8899-aabbccddeeff", {"uuid": "00112233-4455-6677-8899-aabbccddeeff"}),
        ("00112233445566778899aabbccddeeff", {"uuid": ...}),
    ],
)
def test_texts_are_taken_only_as_what_they_say_to_the_last_character(
    text: str, kinds: dict[str, Any]
) -> None:
    for kind, wanted in kinds.items():
        assert [_number(value) if kind == "decimal" else value for value in taken(fitted([text], kind))] == [
            wanted
        ]


def test_times_are_dates_to_the_millisecond_in_utc() -> None:
    moments = [datetime(1926, 1, 1, 0, 0, 0, 5_000), datetime(2026, 1, 1, 0, 0, 0, 5_001), None]
    found = fitted(moments, "date", pa.timestamp("us"))
    assert taken(found) == [datetime(1926, 1, 1, 0, 0, 0, 5_000, UTC), ..., None]
    cut = fitted([*moments, datetime(1926, 1, 1, 0, 0, 0, 5_999)], "date", pa.timestamp("us"), truncate=True)
    assert taken(cut) == [
        datetime(1926, 1, 1, 0, 0, 0, 5_000, UTC),
        datetime(2026, 1, 1, 0, 0, 0, 5_000, UTC),
        None,
        datetime(1926, 1, 1, 0, 0, 0, 5_000, UTC),
    ]
    zoned = pa.timestamp("s", "Europe/Lisbon")
    assert taken(fitted([datetime(2026, 7, 1, tzinfo=UTC)], "date", zoned)) == [
        datetime(2026, 7, 1, tzinfo=UTC)
    ]
    assert taken(fitted([date(2026, 7, 1)], "date")) == [datetime(2026, 7, 1, tzinfo=UTC)]


@settings(max_examples=100, deadline=None)
@given(moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), hours=st.integers(-12, 14))
def test_texts_of_times_are_read_as_pythons_calendar_reads_them(moment: datetime, hours: int) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02d}:00"
    texts = [moment.isoformat(), moment.isoformat(" ") + zone, moment.isoformat() + "Z", f"{moment:%Y-%m-%d}"]
    found = taken(fitted([text.rjust(10, "0") for text in texts], "date"))
    here, midnight = (
        moment.replace(tzinfo=UTC),
        moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC),
    )
    assert found == [here, here - timedelta(hours=hours), here, midnight]


@pytest.mark.parametrize(
    "text", ["2026-13-01", "2026-02-30", "24.11.2026", "2026-11-24T25:00", "now", "2026"]
)
def test_texts_that_are_no_times_are_not_taken(text: str) -> None:
    assert taken(fitted([text, "2026-11-24"], "date")) == [..., datetime(2026, 11, 24, tzinfo=UTC)]


@pytest.mark.parametrize("kind", sorted(set(TYPES.values())))
def test_null_columns_can_be_of_any_type_and_every_result_is_of_the_kind(kind: str) -> None:
    for column in (pa.nulls(2), pa.array([None, None], KINDS[kind].arrow or pa.decimal128(5, 2))):
        found = fit(column, pa.field("x", column.type), kind)
        assert found.column.to_pylist() == [None, None]
        assert kind_of(found.field) == kind
        assert found.field.type == found.column.type
        assert widen(pa.schema([found.field]), pa.schema([found.field])) == pa.schema([found.field])


@pytest.mark.parametrize(
    ("values", "kind"),
    [([True], "date"), ([1], "date"), ([1.5], "bool"), ([b"x"], "string"), ([[1]], "string")],
)
def test_pairs_that_no_value_goes_through_are_refused(values: Any, kind: str) -> None:
    with pytest.raises(Unfit, match="can't become"):
        fitted(values, kind)


MIXED = [
    ("true", True),
    ('{"$numberInt":"5"}', 5),
    ('{"$numberLong":"1099511627776"}', 2**40),
    ('{"$numberDouble":"2.5"}', 2.5),
    ('{"$numberDecimal":"0.10"}', Decimal("0.10")),
    ('"7"', "7"),
    ('"65a1b2c3d4e5f60718293a4b"', "65a1b2c3d4e5f60718293a4b"),
    ('{"$oid":"65a1b2c3d4e5f60718293a4c"}', "65a1b2c3d4e5f60718293a4c"),
    ('{"$date":{"$numberLong":"5"}}', datetime(1970, 1, 1, 0, 0, 0, 5_000, UTC)),
    (
        '{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}',
        "00112233-4455-6677-8899-aabbccddeeff",
    ),
    ('{"$binary":{"base64":"AAE=","subType":"00"}}', b"\x00\x01"),
    ('{"$numberDecimal":"123456789012345678901234"}', Decimal(123456789012345678901234)),
    ('{"a":{"$numberInt":"5"}}', ...),
    ("[]", ...),
    ('{"$numberDouble":"NaN"}', float("nan")),
    (None, None),
]


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("int32", {1: 5, 5: 7}),
        ("int64", {1: 5, 2: 2**40, 5: 7}),
        ("double", {1: 5.0, 2: 2.0**40, 3: 2.5, 4: 0.1, 5: 7.0}),
        (
            "decimal",
            {1: Decimal(5), 2: Decimal(2**40), 3: Decimal("2.5"), 4: Decimal("0.1"), 5: Decimal(7)}
            | {11: Decimal(123456789012345678901234)},
        ),
        ("bool", {0: True}),
        ("objectId", {6: MIXED[6][1], 7: MIXED[7][1]}),
        ("date", {8: MIXED[8][1]}),
        ("uuid", {9: MIXED[9][1]}),
        ("binary", {10: b"\x00\x01"}),
    ],
)
def test_values_of_several_types_are_taken_as_their_own_types_are(kind: str, rows: dict[int, Any]) -> None:
    found = fit(pa.array([text for text, _ in MIXED]), field_of("variant", "x"), kind)
    values = taken(found)
    if kind == "double":
        assert str(values.pop(14)) == "nan"
        values.insert(14, ...)
    assert values == [None if row == 15 else rows.get(row, ...) for row in range(len(MIXED))]
    assert kind_of(found.field) == kind
    assert found.field.type == found.column.type


def test_other_metadata_stays_and_labels_are_replaced() -> None:
    field = pa.field("x", pa.string(), metadata={BSON: b"objectId", b"mine": b"1"})
    found = fit(pa.array(["a"]), field, "string")
    assert found.field.metadata == {BSON: b"string", b"mine": b"1"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("object_id", "objectId"),
        ("int", "int32"),
        ("binary:80", "binary:80"),
        ("binary:8", None),
        ("binary:04", None),
    ],
)
def test_types_have_these_names(name: str, kind: str | None) -> None:
    assert kind_named(name) == kind
