"""Any typed table through the sink and back: the same schema, labels included, and the same values."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.postgres import PostgresConnection

from .warehouse import Warehouse

_NUMBERS = count()
_LABEL = b"levada.bson"

#: What PostgreSQL's calendar has, since 1970: days, microseconds.
_DAYS = (-2_440_588, 2_145_042_905)
_MOMENTS = (-210_866_803_200_000_000, 2**63 - 1)

Values = st.SearchStrategy[Any]


def _text() -> Values:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def _integers(arrow: pa.DataType) -> Values:
    bits = arrow.bit_width
    if pa.types.is_unsigned_integer(arrow):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _floats(width: int) -> Values:
    return st.floats(width=width)  # type: ignore[call-overload, no-any-return]


def _moments(unit: str) -> Values:
    per, step = {"s": (10**6, 1), "ms": (10**3, 1), "us": (1, 1), "ns": (1, 1000)}[unit]
    if unit == "ns":
        return st.integers(-(2**63) // step + 1, 2**63 // step - 1).map(lambda value: value * step)
    near = st.integers(0, 2 * 10**15)
    return (near | st.integers(*_MOMENTS)).map(lambda value: value // per)


def _decimals(precision: int, scale: int) -> Values:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda value: Decimal(value).scaleb(-scale))


SCALARS: tuple[tuple[pa.DataType, str | None, Values], ...] = (
    (pa.bool_(), None, st.booleans()),
    *((kind, None, _integers(kind)) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *((kind, None, _integers(kind)) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    (pa.int64(), "timestamp", _integers(pa.int64())),
    (pa.float32(), None, _floats(32)),
    (pa.float64(), None, _floats(64)),
    (pa.decimal128(38, 10), "decimal", _decimals(38, 10)),
    (pa.decimal128(5, 5), None, _decimals(5, 5)),
    (pa.decimal128(12, 0), None, _decimals(12, 0)),
    (pa.string(), None, _text()),
    (pa.large_string(), None, _text()),
    (pa.string(), "objectId", st.binary(min_size=12, max_size=12).map(bytes.hex)),
    (pa.string(), "uuid", st.uuids().map(str)),
    (pa.string(), "variant", st.integers(0, 9).map(lambda value: f'{{"$numberInt":"{value}"}}')),
    (pa.binary(), None, st.binary(max_size=5)),
    (pa.binary(), "binary:80", st.binary(max_size=5)),
    (pa.date32(), None, st.integers(*_DAYS)),
    *((pa.timestamp(unit, "UTC"), "date", _moments(unit)) for unit in ("s", "ms", "us", "ns")),
    *((pa.timestamp(unit), None, _moments(unit)) for unit in ("ms", "us")),
    (pa.time32("ms"), None, st.integers(0, 86_399_999)),
    (pa.time64("us"), None, st.integers(0, 86_399_999_999)),
    (pa.time64("ns"), None, st.integers(0, 86_399_999_999).map(lambda value: value * 1000)),
    (pa.duration("us"), None, _integers(pa.int64())),
    (pa.null(), None, st.none()),
)


def _field(name: str, arrow: pa.DataType, label: str | None) -> pa.Field:
    return pa.field(name, arrow, metadata={_LABEL: label.encode()} if label else None)


def _typed(name: str) -> st.SearchStrategy[tuple[pa.Field, Values]]:
    scalars = st.sampled_from(SCALARS).map(lambda one: (_field(name, one[0], one[1]), one[2]))
    return st.recursive(scalars, lambda inner: _lists(name, inner) | _documents(name), max_leaves=4)


def _lists(name: str, inner: st.SearchStrategy[tuple[pa.Field, Values]]) -> Any:
    return inner.map(
        lambda one: (
            pa.field(name, pa.list_(one[0].with_name("item"))),
            st.none() | st.lists(st.none() | one[1], max_size=3),
        )
    )


def _documents(name: str) -> Any:
    names = st.lists(st.sampled_from(["a", "B", "x y", 'q"', "$date", "ü"]), max_size=3, unique=True)
    members = names.flatmap(
        lambda chosen: st.tuples(
            *(
                st.sampled_from(SCALARS).map(lambda one, n=n: (_field(n, one[0], one[1]), one[2]))
                for n in chosen
            )
        )
    )
    return members.map(
        lambda found: (
            pa.field(name, pa.struct([one for one, _ in found])),
            st.none() | st.fixed_dictionaries({one.name: st.none() | values for one, values in found}),
        )
    )


def _tables() -> Any:
    names = st.lists(
        st.sampled_from(
            ["k", "K", "a.b", "", "select", 'quo"te', "ünï", "x" * 70, "x" * 71, "_levada_x", "ctid", "oid"]
        ),
        min_size=1,
        max_size=4,
        unique=True,
    )
    fields = names.flatmap(lambda chosen: st.tuples(*map(_typed, chosen)))

    def rows(found: Any) -> Any:
        row = st.tuples(*(st.none() | values for _, values in found))
        made = st.lists(row, max_size=5)
        return made.map(lambda given: _batch([one for one, _ in found], given))

    return fields.flatmap(rows)


def _batch(fields: list[pa.Field], rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [pa.array([row[at] for row in rows], one.type) for at, one in enumerate(fields)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def plain(column: pa.Array) -> list[Any]:
    """Values that compare as they are: times as numbers, NaN equal to itself, -0.0 not to 0.0."""
    kind = column.type
    if pa.types.is_struct(kind):
        children = [plain(column.field(at)) for at in range(kind.num_fields)]
        rows = zip(*children, strict=True) if children else iter([()] * len(column))
        return [
            row if there else None for row, there in zip(rows, column.is_valid().to_pylist(), strict=True)
        ]
    if pa.types.is_list(kind):
        return [plain(one.values) if one.is_valid else None for one in column]
    if pa.types.is_temporal(kind):
        return column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_floating(kind):
        return list(map(repr, column.to_pylist()))
    return column.to_pylist()  # type: ignore[no-any-return]


def _comes_back(connection: PostgresConnection, batch: pa.RecordBatch) -> None:
    table = Table("pg", f"any{next(_NUMBERS)}")
    writer = connection.sink(table).open(Write(table, Mode.APPEND, "p/s"))
    writer.write(Batch(batch))
    written = writer.commit(None)
    assert written.rejected == ()
    if all(map(pa.types.is_null, batch.schema.types)):
        return  # a table without columns is none
    read = [found.data for found in connection.source(table, Query()).read(None, None)]
    found = pa.Table.from_batches(read)
    assert [one.type for one in found.schema] == [one.type for one in batch.schema]
    assert [(one.metadata or {}).get(_LABEL) for one in found.schema] == [
        (one.metadata or {}).get(_LABEL) for one in batch.schema
    ]
    for before, after in zip(batch.columns, found.combine_chunks().columns, strict=True):
        assert plain(before) == plain(after.combine_chunks() if after.num_chunks != 1 else after.chunk(0))


def _profile(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=True,
    )


@given(batch=_tables())
@_profile(60)
def test_any_typed_table_comes_back(warehouse: Warehouse, batch: pa.RecordBatch) -> None:
    _comes_back(warehouse.connection, batch)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@given(batch=_tables())
@_profile(2000)
def test_very_many_typed_tables_come_back(warehouse: Warehouse, batch: pa.RecordBatch) -> None:
    _comes_back(warehouse.connection, batch)
