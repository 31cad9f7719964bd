"""Type modifiers and names of types as PostgreSQL has them, by its own documentation."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.types.postgres import decimal_of, sql_type

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("modifier", "precision", "scale"),
    # SELECT atttypmod FROM pg_attribute: numeric(p, s) is ((p << 16) | (s & 0x7ff)) + 4
    [
        (((10 << 16) | 2) + 4, 10, 2),
        (((38 << 16) | 0) + 4, 38, 0),
        (((3 << 16) | 5) + 4, 5, 5),
        (((4 << 16) | (-2 & 0x7FF)) + 4, 6, 0),
    ],
)
def test_a_type_modifier_is_a_decimal(modifier: int, precision: int, scale: int) -> None:
    assert decimal_of(modifier) == pa.decimal128(precision, scale)


@pytest.mark.parametrize("modifier", [-1, ((39 << 16) | 2) + 4, ((37 << 16) | (-2 & 0x7FF)) + 4])
def test_no_or_too_much_precision_is_none(modifier: int) -> None:
    assert decimal_of(modifier) is None


@pytest.mark.parametrize(
    ("arrow", "label", "name"),
    [
        (pa.bool_(), "", "boolean"),
        (pa.int8(), "", "smallint"),
        (pa.uint8(), "", "smallint"),
        (pa.uint16(), "", "integer"),
        (pa.uint32(), "", "bigint"),
        (pa.uint64(), "", "numeric(20,0)"),
        (pa.duration("s"), "", "bigint"),
        (pa.float16(), "", "real"),
        (pa.float64(), "", "double precision"),
        (pa.decimal128(12, 3), "", "numeric(12,3)"),
        (pa.decimal256(12, 3), "", "numeric(12,3)"),
        (pa.decimal256(50, 3), "", "text"),
        (pa.large_string(), "", "text"),
        (pa.dictionary(pa.int8(), pa.string()), "", "text"),
        (pa.string(), "objectId", "text"),
        (pa.string(), "variant", "text"),
        (pa.string(), "uuid", "uuid"),
        (pa.binary(3), "", "bytea"),
        (pa.date64(), "", "date"),
        (pa.timestamp("ns", "Asia/Tokyo"), "", "timestamp with time zone"),
        (pa.timestamp("s"), "", "timestamp without time zone"),
        (pa.time32("s"), "", "time without time zone"),
        (pa.struct([("a", pa.int8())]), "", "jsonb"),
        (pa.list_(pa.string()), "", "jsonb"),
        (pa.map_(pa.string(), pa.int8()), "", "jsonb"),
    ],
    ids=str,
)
def test_every_arrow_type_has_a_column(arrow: pa.DataType, label: str, name: str) -> None:
    metadata = {b"levada.bson": label.encode()} if label else None
    assert sql_type(pa.field("x", arrow, metadata=metadata)) == name


def test_a_type_without_a_column_is_none() -> None:
    assert sql_type(pa.field("x", pa.month_day_nano_interval())) is None
