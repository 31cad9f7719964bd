"""Random Arrow batches: every kind of the lattice, nested, and Arrow's other types."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

LABEL = b"levada.bson"
INT64 = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        '"',
        "a,b",
        "a\r\nb",
        "null",
        "007",
        "1e5",
        "NaN",
        "{",
        '{"$oid":"x"}',
        "\ufeff",
        "\t",
        "'",
        "\\",
    ]
)
HEX = st.binary(min_size=12, max_size=12).map(bytes.hex)


def _labelled(kind: str, arrow: pa.DataType) -> pa.Field:
    return pa.field("", arrow, metadata={LABEL: kind.encode()})


def _variant() -> st.SearchStrategy[str]:
    scalars = st.sampled_from(
        ['"text"', "true", '{"$numberInt":"7"}', '{"$numberLong":"5000000000"}', '{"$numberDouble":"0.5"}']
    ) | TEXT.map(lambda text: json.dumps(text, ensure_ascii=False))
    nested = st.lists(scalars, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
    members = scalars.map(lambda text: f'{{"a":{text}}}')
    return scalars | nested | members | TEXT | st.sampled_from(["1", "1.0", " true", '{"b": 1}', "1e400"])


def _decimals(scale: int) -> tuple[pa.Field, st.SearchStrategy[Any]]:
    field = pa.field("", pa.decimal128(38, scale), metadata={LABEL: b"decimal", b"levada.digits": b"9"})
    digits = st.integers(-(10**38) + 1, 10**38 - 1) | st.integers(-200, 200)
    return field, digits.map(lambda value: Decimal(value).scaleb(-scale, _wide()))


def _wide() -> Any:
    from decimal import Context

    return Context(prec=60)


def _counts(arrow: pa.DataType, low: int = -(2**63), high: int = 2**63 - 1) -> tuple[pa.Field, Any]:
    near = st.integers(max(low, -(10**13)), min(high, 4 * 10**12))
    return pa.field("", arrow), near | st.integers(low, high)


KINDS: list[tuple[pa.Field, st.SearchStrategy[Any]]] = [
    (pa.field("", pa.null()), st.none()),
    (pa.field("", pa.bool_()), st.booleans()),
    (pa.field("", pa.int32()), st.integers(-(2**31), 2**31 - 1)),
    (pa.field("", pa.int64()), INT64),
    (pa.field("", pa.float64()), st.floats()),
    (pa.field("", pa.string()), TEXT),
    (pa.field("", pa.binary()), st.binary(max_size=6)),
    (_labelled("binary:80", pa.binary()), st.binary(max_size=6)),
    (_labelled("objectId", pa.string()), HEX),
    (_labelled("uuid", pa.string()), st.uuids().map(str)),
    (_labelled("javascript", pa.string()), TEXT),
    (_labelled("symbol", pa.string()), TEXT),
    (_labelled("timestamp", pa.int64()), INT64),
    (_labelled("variant", pa.string()), _variant()),
    (_labelled("date", pa.timestamp("ms", "UTC")), _counts(pa.timestamp("ms", "UTC"))[1]),
    *(_decimals(scale) for scale in (0, 2, 9, 38)),
]
OTHERS: list[tuple[pa.Field, st.SearchStrategy[Any]]] = [
    (pa.field("", pa.int8()), st.integers(-128, 127)),
    (pa.field("", pa.uint16()), st.integers(0, 2**16 - 1)),
    (pa.field("", pa.uint32()), st.integers(0, 2**32 - 1)),
    (pa.field("", pa.uint64()), st.integers(0, 2**64 - 1)),
    (pa.field("", pa.float32()), st.floats(width=32)),
    (pa.field("", pa.large_string()), TEXT),
    _counts(pa.timestamp("s", "UTC"), -(10**11), 10**11),
    _counts(pa.timestamp("us", "UTC")),
    _counts(pa.timestamp("ns", "UTC")),
    _counts(pa.timestamp("us")),
    _counts(pa.date32(), -(2**31), 2**31 - 1),
    _counts(pa.time64("us"), 0, 86_400 * 10**6 - 1),
    _counts(pa.time32("s"), 0, 86_399),
    _counts(pa.duration("ms")),
]


@st.composite
def fields(draw: st.DrawFn, kinds: Any, depth: int = 2) -> tuple[pa.Field, st.SearchStrategy[Any]]:
    """A field without a name, and its values: Python's own, counts for times."""
    shape = draw(st.sampled_from(["scalar"] * 5 + ["struct", "list"])) if depth else "scalar"
    if shape == "scalar":
        return draw(st.sampled_from(kinds))
    if shape == "list":
        inner, values = draw(fields(kinds, depth - 1))
        return pa.field("", pa.list_(inner.with_name("item"))), st.lists(st.none() | values, max_size=3)
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    children = [draw(fields(kinds, depth - 1)) for _ in names]
    kind = pa.struct([field.with_name(name) for name, (field, _) in zip(names, children, strict=True)])
    members = {name: st.none() | values for name, (_, values) in zip(names, children, strict=True)}
    return pa.field("", kind), st.fixed_dictionaries(members)


def array(values: list[Any], field: pa.Field) -> pa.Array:
    """Python values, counts for times, as a column."""
    kind = field.type
    nulls = pa.array([value is None for value in values], pa.bool_())
    if pa.types.is_struct(kind):
        if not kind.num_fields:
            return pa.array(values, kind)
        children = [array([v and v[child.name] for v in values], child) for child in kind]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=nulls)
    if pa.types.is_list(kind):
        edges = [0]
        for value in values:
            edges.append(edges[-1] + len(value or ()))
        flat = array([item for value in values for item in value or ()], kind.value_field)
        return pa.ListArray.from_arrays(pa.array(edges, pa.int32()), flat, type=kind, mask=nulls)
    if pa.types.is_temporal(kind):
        width = pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64()
        return pa.array(values, width).view(kind)
    return pa.array(values, kind)


@st.composite
def batches(draw: st.DrawFn, *, others: bool = False, rows: int = 6) -> pa.RecordBatch:
    """A batch of one to four columns."""
    kinds = [*KINDS, *OTHERS] if others else KINDS
    names = draw(
        st.lists(
            NAMES.filter(lambda name: not name.startswith("_levada_")), min_size=1, max_size=4, unique=True
        )
    )
    count = draw(st.integers(1, rows))
    columns, schema = [], []
    for name in names:
        field, values = draw(fields(kinds))
        drawn = draw(st.lists(st.none() | values, min_size=count, max_size=count))
        columns.append(array(drawn, field))
        schema.append(field.with_name(name))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(schema))


def plain(column: pa.Array) -> list[Any]:
    """Comparable values: floats by their bits (any NaN is one), times as counts."""
    kind = column.type
    if pa.types.is_struct(kind):
        children = [plain(column.field(at)) for at in range(kind.num_fields)]
        rows = zip(*children, strict=True) if children else iter([()] * len(column))
        return [
            tuple(row) if there else None
            for there, row in zip(column.is_valid().to_pylist(), rows, strict=True)
        ]
    if pa.types.is_list(kind):
        return [plain(column[at].values) if column[at].is_valid else None for at in range(len(column))]
    if pa.types.is_temporal(kind):
        width = pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64()
        return column.view(width).to_pylist()
    if pa.types.is_floating(kind):
        return [None if v is None else _bits(v) for v in column.to_pylist()]
    return column.to_pylist()


def _bits(value: float) -> bytes | str:
    return "NaN" if value != value else struct.pack("<d", value)
