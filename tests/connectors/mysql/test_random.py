"""Random tables: what goes in as SQL literals comes out as the values they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.connectors.base import Query

from .conftest import Legacy


def text_literal(value: str) -> str:
    return f"CONVERT(x'{value.encode().hex()}' USING utf8mb4)"


def quoted_literal(value: Any) -> str:
    return f"'{value}'"


def decimals(digits: int, places: int) -> st.SearchStrategy[Decimal]:
    whole = st.integers(-(10**digits) + 1, 10**digits - 1)
    return whole.map(lambda number: Decimal(number).scaleb(-places, Context(prec=80)))


MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)

#: Type -> values, the literal of one, and what must come out.
KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], str], Callable[[Any], Any]]] = {
    "BIGINT": (st.integers(-(2**63), 2**63 - 1), str, lambda value: value),
    "BIGINT UNSIGNED": (st.integers(0, 2**64 - 1), str, Decimal),
    "SMALLINT UNSIGNED": (st.integers(0, 2**16 - 1), str, lambda value: value),
    "BIT(33)": (st.integers(0, 2**33 - 1), str, lambda value: value),
    "DECIMAL(12,2)": (decimals(12, 2), "{:f}".format, lambda value: value),
    "DECIMAL(38,19)": (decimals(38, 19), "{:f}".format, lambda value: value),
    "DOUBLE": (DOUBLES, repr, lambda value: value),
    "VARCHAR(48) CHARACTER SET utf8mb4": (TEXT, text_literal, lambda value: value),
    "LONGTEXT CHARACTER SET utf16": (TEXT, text_literal, lambda value: value),
    "VARBINARY(16)": (st.binary(max_size=16), lambda value: f"x'{value.hex()}'", lambda value: value),
    "DATE": (st.dates(date(1000, 1, 1)), quoted_literal, lambda value: value),
    "DATETIME(6)": (MOMENTS, quoted_literal, lambda value: value.replace(tzinfo=UTC)),
    "BIT(1)": (st.booleans(), lambda value: str(int(value)), lambda value: value),
    "ENUM('', 'a', 'É')": (st.sampled_from(["", "a", "É"]), quoted_literal, lambda value: value),
}
NAMES = st.text(
    st.characters(
        min_codepoint=33, max_codepoint=0xFFFF, exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cn", "Cc"]
    ),
    min_size=1,
    max_size=16,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[list[Any]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    names = draw(
        st.lists(NAMES, min_size=len(kinds), max_size=len(kinds), unique_by=lambda name: ascii(name.lower()))
    )
    columns = [(f"{place}{name}", kind) for place, (name, kind) in enumerate(zip(names, kinds, strict=True))]
    row = st.tuples(*(st.none() | KINDS[kind][0] for kind in kinds)).map(list)
    return columns, draw(st.lists(row, max_size=8))


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return math.copysign(1, found) == math.copysign(1, expected) and found == expected
    return bool(found == expected and type(found) is type(expected))


@pytest.fixture
def example(shop: Legacy) -> Legacy:
    return shop


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_a_random_table_comes_out_as_it_went_in(
    example: Legacy, table: tuple[list[tuple[str, str]], list[list[Any]]]
) -> None:
    columns, rows = table
    listed = ", ".join("`" + name.replace("`", "``") + f"` {kind} NULL" for name, kind in columns)
    statements = [f"DROP TABLE IF EXISTS t; CREATE TABLE t (n INT PRIMARY KEY, {listed})"]
    for place, row in enumerate(rows):
        literals = [
            "NULL" if value is None else KINDS[kind][1](value)
            for value, (_, kind) in zip(row, columns, strict=True)
        ]
        statements.append(f"INSERT INTO t VALUES ({place}, {', '.join(literals)})")
    example.run(";\n".join(statements))
    found = example.read("t", Query(batch_rows=3)).sort_by("n").to_pylist()
    assert len(found) == len(rows)
    for place, (row, values) in enumerate(zip(found, rows, strict=True)):
        assert row.pop("n") == place
        assert list(row) == [name for name, _ in columns]
        for (name, kind), value in zip(columns, values, strict=True):
            expected = None if value is None else KINDS[kind][2](value)
            assert (row[name] is None) if expected is None else same(row[name], expected), (kind, value)
