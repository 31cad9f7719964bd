"""Random tables through every pair of ends: what arrives behind the second is what went into the first."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import Connection, Mode, Query, Table, Write
from levada.types.names import Renaming, originals

from .endpoints import ENDPOINTS, Endpoint

#: Ends that store and give rows; those on S3 are the same code over another store.
ENDS = [name for name in sorted(ENDPOINTS) if not name.endswith("-s3")]
PAIRS = [f"{first}>{second}" for first in ENDS for second in ENDS]

Row = dict[str, Any]

_NUMBERS = count()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_FIRST, _LAST = (
    int((moment - _EPOCH).total_seconds() * 1000)
    for moment in (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
)

#: Types that every end holds without loss, and their values.
PLAIN: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): _TEXTS,
    pa.binary(): st.binary(max_size=6),
    pa.decimal128(34, 4): st.integers(-(10**34) + 1, 10**34 - 1).map(lambda n: Decimal(f"{n}e-4")),
    pa.timestamp("ms", "UTC"): st.integers(_FIRST, _LAST).map(lambda ms: _EPOCH + timedelta(milliseconds=ms)),
}


def _types() -> st.SearchStrategy[pa.DataType]:
    fields = st.dictionaries(
        st.sampled_from(["x", "y", "Y", "ö"]), st.deferred(_types), min_size=1, max_size=2
    )
    return st.one_of(
        st.sampled_from(list(PLAIN)),
        st.sampled_from(list(PLAIN)),
        st.deferred(_types).map(pa.list_),
        fields.map(lambda found: pa.struct(list(found.items()))),
    )


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_list(kind):
        found = st.lists(_values(kind.value_type), max_size=3)
    elif pa.types.is_struct(kind):
        found = st.fixed_dictionaries({field.name: _values(field.type) for field in kind})
    else:
        found = PLAIN[kind]
    return st.none() | found


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """A table of up to five columns and some rows, in one or two batches."""
    names = st.sampled_from([*string.ascii_letters, "ä", "a b", "ключ", "x-1", "select"])
    kinds = draw(st.dictionaries(names.filter(lambda name: name not in "kK"), _types(), max_size=5))
    schema = pa.schema([("k", pa.int64()), *kinds.items()])
    values = {name: _values(kind) for name, kind in kinds.items()}
    rows = draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=8))
    return pa.Table.from_pylist([{"k": number, **row} for number, row in enumerate(rows)], schema)


def put(connection: Connection, table: Table, batches: list[pa.RecordBatch]) -> None:
    writer = connection.sink(table).open(Write(table, Mode.REPLACE, "seed"))
    for batch in batches:
        writer.write(Batch(batch))
    assert writer.commit(None).rejected == ()


def got(connection: Connection, table: Table) -> list[pa.RecordBatch]:
    return [batch.data for batch in connection.source(table, Query()).read(None, None)]


def plain(batches: list[pa.RecordBatch], schema: pa.Schema) -> list[Row]:
    """Rows by their original names; what an end leaves out where it is null is null."""
    renaming = Renaming(originals)
    rows = [row for batch in batches for row in renaming.of(batch).to_pylist()]
    kind = pa.struct(list(schema))
    return sorted((_filled(row, kind) for row in rows), key=lambda row: row["k"])


def _filled(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: _filled(value.get(field.name), field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_filled(item, kind.value_type) for item in value]
    # -0.0 is another number than 0.0, whatever == says
    return (value, str(value)) if isinstance(value, float) else value


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Endpoint, Endpoint]:
    first, second = request.param.split(">")
    roots = tmp_path / "first", tmp_path / "second"
    for root in roots:
        root.mkdir()
    return ENDPOINTS[first](request, roots[0]), ENDPOINTS[second](request, roots[1])


def _comes_back(pair: tuple[Endpoint, Endpoint], table: pa.Table) -> None:
    number = next(_NUMBERS)
    there, behind = Table("endpoint", f"there{number}"), Table("endpoint", f"behind{number}")
    wanted = plain(table.to_batches(), table.schema)
    with pair[0].open() as first, pair[1].open() as second:
        put(first, there, table.to_batches(max_chunksize=5))
        between = got(first, there)
        assert plain(between, table.schema) == wanted
        put(second, behind, between)
        assert plain(got(second, behind), table.schema) == wanted


def _profile(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
    )


@pytest.mark.parametrize("pair", PAIRS, indirect=True)
@given(table=tables())
@_profile(3)
def test_random_tables_come_back_through_two_ends(pair: tuple[Endpoint, Endpoint], table: pa.Table) -> None:
    _comes_back(pair, table)


@pytest.mark.nightly
@pytest.mark.parametrize("pair", PAIRS, indirect=True)
@given(table=tables())
@_profile(150)
def test_many_random_tables_come_back_through_two_ends(
    pair: tuple[Endpoint, Endpoint], table: pa.Table
) -> None:
    _comes_back(pair, table)
