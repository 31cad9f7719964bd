"""JSON becomes typed columns by the lattice; declared columns hold exactly what was sent, or reject it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from levada.errors import ConfigError

from ...rest_server import Api, Fault  # noqa: TID252
from .conftest import Open, read, rows

RESOURCE = {"path": "/list", "paginator": "single"}


def page(api: Api, *texts: str) -> None:
    api.faults.append(Fault(body=f"[{','.join(texts)}]"))


def test_what_json_says_is_what_is_read(api: Api, opened: Open) -> None:
    row = {
        "id": 1,
        "big": 2**40,
        "part": 0.1,
        "yes": True,
        "text": 'čaj 🍵 \u0000 \\ " ',
        "deep": {"a": {"b": [1, 2, {"c": "x"}]}, "empty": {}},
        "list": [1, None, 3],
        "none": None,
    }
    page(api, json.dumps(row), '{"id": 2, "late": "new"}')
    found = rows(read(opened(RESOURCE)))
    deep = {"a": {"b": ['{"$numberInt":"1"}', '{"$numberInt":"2"}', '{"c":"x"}']}, "empty": {}}
    assert found[0] == {**row, "deep": deep, "late": None}
    assert found[1] == {**dict.fromkeys(row), "id": 2, "late": "new"}


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", "2"], pa.int32(), [1, 2]),
        (["1", "9007199254740993"], pa.int64(), [1, 9007199254740993]),
        (["0.1", "1"], pa.float64(), [0.1, 1.0]),
        (["-0.0"], pa.float64(), [-0.0]),
        (["1.10"], pa.float64(), [1.1]),
        (["12345678901234567890"], pa.decimal128(38, 0), [Decimal("12345678901234567890")]),
        (
            ["0.12345678901234567890123"],
            pa.decimal128(38, 23),
            [Decimal("0.12345678901234567890123")],
        ),
        (["1e400"], pa.string(), ['{"$numberDecimal":"1E+400"}']),
        (["1", '"a"'], pa.string(), ['{"$numberInt":"1"}', '"a"']),
        (
            ["9007199254740993", "0.5"],
            pa.string(),
            ['{"$numberLong":"9007199254740993"}', '{"$numberDouble":"0.5"}'],
        ),
    ],
)
def test_numbers_keep_every_digit(
    api: Api, opened: Open, texts: list[str], kind: pa.DataType, values: list[Any]
) -> None:
    page(api, *(f'{{"n": {text}}}' for text in texts))
    (batch,) = read(opened(RESOURCE))
    assert batch.data.schema.field("n").type == kind
    assert batch.rejected == ()
    assert batch.data.column("n").to_pylist() == values


def test_types_only_widen_from_page_to_page(api: Api, opened: Open) -> None:
    pages = [[{"n": 1}], [{"n": 2**40, "m": "x"}], [{"m": None}]]
    resource = {"path": "/cursor", "data": "items", "paginator": {"type": "cursor", "next": "next"}}
    api.faults = [
        Fault(body=json.dumps({"items": items, "next": following}))
        for items, following in zip(pages, ("c1", "c2", None), strict=True)
    ]
    schemas = [batch.data.schema for batch in read(opened(resource))]
    assert [schema.field("n").type for schema in schemas] == [pa.int32(), pa.int64(), pa.int64()]
    assert schemas[2].names == ["n", "m"]


@pytest.mark.parametrize(
    "row",
    [
        {"$date": "2026-01-01T00:00:00Z"},
        {"a": {"$oid": "0123456789abcdef01234567"}},
        {"a": [{"$numberLong": "1"}]},
        {"a": {"$literal": {"b": 1}}},
    ],
)
def test_names_of_extended_json_are_just_names(api: Api, opened: Open, row: dict[str, Any]) -> None:
    page(api, json.dumps(row))
    (batch,) = read(opened(RESOURCE))
    assert batch.rejected == ()
    assert batch.data.to_pylist() == [row]


DECLARED: list[tuple[str, str, Any]] = [
    ("decimal(2)", "12.5", Decimal("12.50")),
    ("decimal(2)", '"12.50"', Decimal("12.50")),
    ("decimal(2)", "7", Decimal("7.00")),
    ("decimal(38, 0)", "9" * 38, Decimal("9" * 38)),
    ("decimal(2)", "1e2", Decimal("100.00")),
    ("int64", '"42"', 42),
    ("int32", "42.0", 42),
    ("int64", str(2**63 - 1), 2**63 - 1),
    ("double", "0.1", 0.1),
    ("double", "3", 3.0),
    ("string", '"0012.50"', "0012.50"),
    ("string", "12.50", "12.50"),
    ("string", "true", "true"),
    ("bool", "false", False),
    ("timestamp", '"2026-11-24T10:00:00.123456+01:00"', datetime(2026, 11, 24, 9, 0, 0, 123456, UTC)),
    ("date", '"2026-11-24T10:00:00.123Z"', datetime(2026, 11, 24, 10, 0, 0, 123000, UTC)),
    ("epoch", "1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ("epoch", "1700000000.25", datetime(2023, 11, 14, 22, 13, 20, 250000, UTC)),
    ("epoch_ms", '"1700000000123"', datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)),
    ("day", '"2026-11-24"', date(2026, 11, 24)),
    ("variant", '{"b": [1.50, null], "a": 1}', '{"a":{"$numberInt":"1"},"b":[{"$numberDouble":"1.5"},null]}'),
    ("uuid", '"0B2C3D4E-0000-4000-8000-000000000001"', "0b2c3d4e-0000-4000-8000-000000000001"),
    ("objectId", '"0123456789ABCDEF01234567"', "0123456789abcdef01234567"),
    ("decimal(2)", "null", None),
]


@pytest.mark.parametrize(("kind", "text", "value"), DECLARED)
def test_a_declared_column_holds_what_was_sent(
    api: Api, opened: Open, kind: str, text: str, value: Any
) -> None:
    page(api, f'{{"a": 1, "x": {text}, "b": 2}}', '{"a": 2}')
    (batch,) = read(opened({**RESOURCE, "columns": {"x": kind}}))
    assert batch.rejected == ()
    assert batch.data.schema.names == ["a", "x", "b"]
    assert batch.data.column("x").to_pylist() == [value, None]


MISFITS = [
    ("decimal(2)", "12.505"),
    ("decimal(2)", '"12,50"'),
    ("decimal(4, 2)", "100"),
    ("decimal(2)", "1e400"),
    ("decimal(2)", "true"),
    ("decimal(2)", '"NaN"'),
    ("int64", str(2**63)),
    ("int32", str(2**31)),
    ("int64", "1.5"),
    ("int64", "1e400"),
    ("int64", '"١٢"'),
    ("double", "9007199254740993"),
    ("double", "1e400"),
    ("bool", "1"),
    ("bool", '"true"'),
    ("string", '{"a": 1}'),
    ("string", '"\\ud800"'),
    ("timestamp", "1700000000"),
    ("timestamp", '"2026-11-24T10:00:00.1234567Z"'),
    ("timestamp", '"2026-02-30T10:00:00Z"'),
    ("date", '"2026-11-24T10:00:00.123456Z"'),
    ("epoch", "1e30"),
    ("epoch", '"soon"'),
    ("epoch", "1700000000.1234567"),
    ("day", '"2026-11-31"'),
    ("day", "20261124"),
    ("uuid", '"x"'),
    ("objectId", '"x"'),
]


@pytest.mark.parametrize(("kind", "text"), MISFITS)
def test_a_value_that_does_not_fit_is_set_aside_with_its_row(
    api: Api, opened: Open, kind: str, text: str
) -> None:
    page(api, '{"a": 1}', f'{{"a": 2, "x": {text}}}', '{"a": 3}')
    (batch,) = read(opened({**RESOURCE, "columns": {"x": kind}}))
    assert [row["a"] for row in batch.data.to_pylist()] == [1, 3]
    (rejected,) = batch.rejected
    assert "page 1, row 2: x: " in rejected.reason
    assert json.loads(rejected.raw)["a"] == 2


BAD = ["3", "null", '["a"]', '{"a": "\\ud800"}', '{"a\\u0000b": 1}', '{"a": 0.%s}' % ("1" * 40)]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("columns", [{}, {"n": "int64"}])
def test_what_can_be_no_row_is_set_aside(api: Api, opened: Open, text: str, columns: dict[str, str]) -> None:
    page(api, '{"n": 1}', text, '{"n": 2}')
    (batch,) = read(opened({**RESOURCE, "columns": columns}))
    assert [row["n"] for row in batch.data.to_pylist()] == [1, 2]
    assert len(batch.rejected) == 1


def test_rows_that_can_not_be_decoded_do_not_shift_declared_columns(api: Api, opened: Open) -> None:
    deep = '{"b": ' * 210 + "1" + "}" * 210
    page(api, '{"n": 1}', f'{{"n": 7, "a": {deep}}}', '{"n": 2}')
    (batch,) = read(opened({**RESOURCE, "columns": {"n": "int64"}}))
    assert batch.data.column("n").to_pylist() == [1, 2]
    assert len(batch.rejected) == 1


def test_rows_only_rejected_are_still_told(api: Api, opened: Open) -> None:
    page(api, "1", "2")
    (batch,) = read(opened(RESOURCE))
    assert (len(batch.data), len(batch.rejected)) == (0, 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_the_encodings_of_json_are_read(api: Api, opened: Open, encoding: str) -> None:
    api.faults = [Fault(raw='[{"a": "čaj"}]'.encode(encoding))]
    assert rows(read(opened(RESOURCE))) == [{"a": "čaj"}]


def test_a_charset_of_the_header_is_believed(api: Api, opened: Open) -> None:
    headers = {"Content-Type": "application/json; charset=iso-8859-1"}
    api.faults = [Fault(raw='[{"a": "café"}]'.encode("iso-8859-1"), headers=headers)]
    assert rows(read(opened(RESOURCE))) == [{"a": "café"}]


def test_columns_and_conditions_choose(api: Api, opened: Open) -> None:
    api.add(*({"id": number, "name": f"n{number}", "x": {"y": number}} for number in range(6)))
    connection = opened(RESOURCE)
    assert rows(read(connection, columns=("name", "id"), where="id >= 4")) == [
        {"name": "n4", "id": 4},
        {"name": "n5", "id": 5},
    ]
    assert [len(batch.data) for batch in read(connection, batch_rows=4)] == [4, 2]
    with pytest.raises(ConfigError, match="no column 'nam'"):
        read(connection, columns=("nam",))
    with pytest.raises(ConfigError, match="condition"):
        read(connection, where="nam = 1")


@pytest.mark.parametrize(("where", "found"), [("id > 5", []), ("x.y = 1", [1]), ("none IS NULL", [1, 2])])
def test_a_page_of_which_a_condition_leaves_no_row_has_none(
    api: Api, opened: Open, where: str, found: list[int]
) -> None:
    page(api, '{"id": 1, "none": null, "x": {"y": 1}}', '{"id": 2, "none": null, "x": {"y": 2}}')
    batches = read(opened(RESOURCE), where=where)
    assert [row["id"] for row in rows(batches)] == found
    assert all(isinstance(batch.data, pa.RecordBatch) for batch in batches)


def test_the_same_row_of_two_pages_counts_once_and_a_changed_one_twice(api: Api, opened: Open) -> None:
    page(api, '{"id": 1, "v": 1}', '{"id": 1, "v": 1}', '{"id": 1, "v": 2}', '{"v": 3}', '{"v": 3}')
    found = rows(read(opened({**RESOURCE, "key": "id"})))
    assert [(row["id"], row["v"]) for row in found] == [(1, 1), (1, 2), (None, 3), (None, 3)]


def test_without_a_key_every_row_counts(api: Api, opened: Open) -> None:
    page(api, '{"id": 1}', '{"id": 1}')
    assert len(rows(read(opened(RESOURCE)))) == 2
