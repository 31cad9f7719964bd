"""The table of MySQL's types: what the page says of a declaration is what the code makes of it."""

from __future__ import annotations

import inspect
import re

import pyarrow as pa
import pytest

from levada.errors import Fatal
from levada.types import kind_of, mysql
from levada.types.mysql import Declared, Form, held

pytestmark = pytest.mark.unit

TABLE = re.findall(r"^\|(.*)\|$", inspect.getdoc(mysql) or "", re.MULTILINE)
ROWS = [[cell.strip() for cell in row.split("|")] for row in TABLE[2:]]

#: A declaration as the server shows it -> the row it belongs to, and what that row says.
EXAMPLES = {
    "tinyint(4)": ("tinyint, smallint, mediumint (unsigned too), year", pa.int32()),
    "tinyint(1)": ("tinyint, smallint, mediumint (unsigned too), year", pa.int32()),
    "smallint(5) unsigned": ("tinyint, smallint, mediumint (unsigned too), year", pa.int32()),
    "mediumint(8) unsigned zerofill": ("tinyint, smallint, mediumint (unsigned too), year", pa.int32()),
    "year(4)": ("tinyint, smallint, mediumint (unsigned too), year", pa.int32()),
    "int(11)": ("int", pa.int32()),
    "int unsigned": ("int unsigned", pa.int64()),
    "bigint(20)": ("bigint", pa.int64()),
    "bigint(20) unsigned": ("bigint unsigned, bit(64)", pa.decimal128(20, 0)),
    "bit(64)": ("bigint unsigned, bit(64)", pa.decimal128(20, 0)),
    "bit(1)": ("bit(1)", pa.bool_()),
    "bit(63)": ("bit(2) to bit(63)", pa.int64()),
    "decimal(12,2)": ("decimal(p, s), p up to 38", pa.decimal128(12, 2)),
    "decimal(38,30) unsigned": ("decimal(p, s), p up to 38", pa.decimal128(38, 30)),
    "decimal(39,0)": ("decimal(p, s), p beyond 38", pa.string()),
    "float": ("float", pa.float32()),
    "float(7,4)": ("float", pa.float32()),
    "double unsigned": ("double", pa.float64()),
    "date": ("date", pa.date32()),
    "datetime": ("datetime, timestamp of up to 3 digits", pa.timestamp("ms", "UTC")),
    "timestamp(3)": ("datetime, timestamp of up to 3 digits", pa.timestamp("ms", "UTC")),
    "datetime(4)": ("datetime, timestamp of 4 to 6 digits", pa.timestamp("us", "UTC")),
    "time(6)": ("time", pa.string()),
    "varchar(10)": ("char, varchar, tinytext, text, mediumtext, longtext", pa.string()),
    "enum('a','b (2) unsigned')": ("enum, set", pa.string()),
    "set('x','y')": ("enum, set", pa.string()),
    "json": ("json", pa.string()),
    "uuid": ("uuid", pa.string()),
    "inet6": ("inet4, inet6", pa.string()),
    "varbinary(3)": ("binary, varbinary, tinyblob, blob, mediumblob, longblob", pa.binary()),
    "multipolygon": ("geometry, point and the other shapes", pa.binary()),
    "vector(3)": ("any other type", pa.binary()),
}


def test_every_row_of_the_table_has_an_example() -> None:
    assert {row for row, _ in EXAMPLES.values()} == {row[0] for row in ROWS}


@pytest.mark.parametrize("declaration", EXAMPLES)
def test_a_declaration_becomes_what_its_row_says(declaration: str) -> None:
    row, arrow = EXAMPLES[declaration]
    said = next(cells for cells in ROWS if cells[0] == row)
    field = held("v", Declared.parse(declaration)).field
    assert field.type == arrow
    written = str(arrow).replace("[", "(").replace("]", ")").replace("tz=", "")
    names = {"float": "float32", "double": "float64", "date32(day)": "date32"}
    if pa.types.is_decimal(arrow) and "p, s" in row:
        written = "decimal128(p, s)"
    assert said[1].split(",")[0] == names.get(written, written).split(",")[0]
    label = re.match(r"`(\w+)`", said[2])
    labelled = label is not None and label[1] in ("variant", "uuid")
    assert (kind_of(field) in ("variant", "uuid")) == labelled


def test_a_tinyint_of_one_digit_is_a_bool_where_asked() -> None:
    assert held("v", Declared.parse("tinyint(1)"), tinyint1_is_bool=True).field.type == pa.bool_()
    assert held("v", Declared.parse("tinyint(4)"), tinyint1_is_bool=True).field.type == pa.int32()


def test_what_the_driver_would_round_is_asked_for_as_text() -> None:
    for declaration in ("decimal(12,2)", "decimal(65,30)", "date", "datetime(6)", "timestamp", "time"):
        assert held("v", Declared.parse(declaration)).form is Form.TEXT


def test_what_is_no_type_is_refused() -> None:
    with pytest.raises(Fatal):
        Declared.parse("(3)")
