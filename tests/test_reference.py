"""Reference pages say what the code says: their tables are the code's own."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import bson
import pyarrow as pa
import pytest
from bson import Binary, Code, DatetimeMS, Decimal128, Int64, ObjectId, Regex, Timestamp

from levada.bson import Decoder, Documents
from levada.connectors.base import Mode
from levada.types import kinds, lattice
from levada.types.kinds import BSON

from .conformance.endpoints import REFUSED

pytestmark = pytest.mark.unit

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


def table_of(module: ModuleType) -> list[str]:
    return ROW.findall(inspect.getdoc(module) or "")


@pytest.mark.parametrize(
    "module",
    [
        kinds,
        *map(
            import_module,
            ("levada.bson.encode", "levada.types.fit", "levada.types.mysql", "levada.types.postgres"),
        ),
    ],
)
def test_the_types_page_has_every_row_of_the_code(module: ModuleType) -> None:
    rows = table_of(module)
    assert len(rows) > 5
    page = (REFERENCE / "types.md").read_text()
    assert not [row for row in rows if f"| {row} |" not in page]


def test_the_page_of_postgres_has_the_json_of_the_code() -> None:
    rows = table_of(import_module("levada.connectors.postgres.documents"))
    assert len(rows) > 5
    page = (REFERENCE / "connectors" / "postgres.md").read_text()
    assert not [row for row in rows if f"| {row} |" not in page]


def test_the_types_page_has_the_rules_of_widening() -> None:
    page = " ".join((REFERENCE / "types.md").read_text().split())
    rules = (inspect.getdoc(lattice) or "").split("- ")[1:]
    assert len(rules) > 3
    assert not [rule for rule in rules if " ".join(rule.split()) not in page]


#: What a row of the types page says -> a value of that BSON type.
EXAMPLES = {
    "double": 0.5,
    "string": "x",
    "binary, subtype 0": b"x",
    "binary, subtype n (except 2, 4)": Binary(b"x", 128),
    "UUID (binary, subtype 4, 16 bytes)": Binary(bytes(16), 4),
    "ObjectId": ObjectId(),
    "bool": True,
    "date": DatetimeMS(0),
    "JavaScript code": Code("f"),
    "int32, int64": Int64(1),
    "timestamp": Timestamp(1, 1),
    "Decimal128": Decimal128("1.5"),
    "regex, code with scope, DBPointer, undefined, minKey, maxKey": Regex("a"),
    "old binary (subtype 2), UUID of another length": Binary(b"x", 2),
    "Decimal128 NaN, infinity, -0, beyond 38 digits": Decimal128("NaN"),
}
LABELS = {"binary:n": "binary:80"}


@pytest.mark.parametrize("what", EXAMPLES)
def test_a_row_of_the_types_page_is_what_decoding_does(what: str) -> None:
    cells = next(row for row in table_of(kinds) if row.startswith(f"{what} |")).split("|")
    raw = bson.encode({"v": EXAMPLES[what]})
    field = Decoder().decode(Documents.from_list([raw]))[0].schema.field("v")
    label = (field.metadata or {}).get(BSON, b"").decode()
    said = re.findall(r"`([^`]*)`", cells[2])
    assert label == (LABELS.get(said[0], said[0]) if said else "")
    assert arrow_name(field.type) in cells[1]


def arrow_name(arrow: pa.DataType) -> str:
    """As the page writes it."""
    if pa.types.is_decimal(arrow):
        return "decimal128"
    names = {pa.float64(): "float64", kinds.UTC_MS: "timestamp(ms, UTC)"}
    return names.get(arrow, str(arrow))


def test_the_write_modes_page_says_what_is_refused() -> None:
    page = (REFERENCE / "write-modes.md").read_text().partition("\n## ")[0]
    heads, *rows = [
        [cell.strip() for cell in row.split("|")] for row in ROW.findall(page) if "---" not in row
    ]
    said = {
        (head.lower(), row[0].strip("`"))
        for row in rows
        for head, cell in zip(heads, row, strict=True)
        if cell == "refused"
    }
    names = {head.lower() for head in heads}
    assert said == {(name, mode.value) for name, modes in REFUSED.items() if name in names for mode in modes}
    assert [row[0].strip("`") for row in rows] == [mode.value for mode in Mode]
