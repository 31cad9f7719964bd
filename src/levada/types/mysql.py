"""The column types of MySQL and MariaDB, one table: declared type -> Arrow type.

| MySQL, MariaDB | Arrow | Note |
|---|---|---|
| tinyint, smallint, mediumint (unsigned too), year | int32 | `tinyint1: bool` makes tinyint(1) a bool |
| int | int32 | |
| int unsigned | int64 | |
| bigint | int64 | |
| bigint unsigned, bit(64) | decimal128(20, 0) | |
| bit(1) | bool | |
| bit(2) to bit(63) | int64 | |
| decimal(p, s), p up to 38 | decimal128(p, s) | digit for digit |
| decimal(p, s), p beyond 38 | string, canonical Extended JSON | `variant`; never rounded |
| float | float32 | the bits, not the six digits that the server prints |
| double | float64 | |
| date | date32 | what is no date goes to the column beside it |
| datetime, timestamp of up to 3 digits | timestamp(ms, UTC) | datetime by the connection's `timezone` |
| datetime, timestamp of 4 to 6 digits | timestamp(us, UTC) | likewise |
| time | string | -838:59:59 to 838:59:59, as the server prints it |
| char, varchar, tinytext, text, mediumtext, longtext | string | from any character set |
| enum, set | string | the names; of a set, joined by commas |
| json | string | the text |
| uuid | string | `uuid` |
| inet4, inet6 | string | |
| binary, varbinary, tinyblob, blob, mediumblob, longblob | binary | |
| geometry, point and the other shapes | binary | as stored: four bytes of SRID, then WKB |
| any other type | binary | its bytes |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa

from levada.errors import Fatal
from levada.types.kinds import PRECISION, field_of

_DECLARATION = re.compile(r"^\s*([a-z]\w*)(?:\s*\(([\d,\s]*)\))?(.*)$", re.IGNORECASE | re.DOTALL)
_BIT_WIDTH = 64
_MS_DIGITS = 3


class Form(StrEnum):
    """How the server is asked for a value, `{}` being the column.

    A cast of more than `max_allowed_packet` is null, so values that can be large are taken without one.
    """

    PLAIN = "{}"
    TEXT = "CAST({} AS CHAR)"
    BITS = "CAST({} AS UNSIGNED)"
    LONG_TEXT = "CONVERT({} USING utf8mb4)"
    BYTES = "CAST({} AS BINARY)"


@dataclass(frozen=True)
class Declared:
    """A column's type as the server shows it.

    Args:
        base: its name, in lower case.
        numbers: what stands in its brackets, where these are numbers.
        unsigned: whether it says so.
    """

    base: str
    numbers: tuple[int, ...] = ()
    unsigned: bool = False

    @classmethod
    def parse(cls, text: str) -> Declared:
        """Read `decimal(12,2) unsigned`, as in `SHOW COLUMNS`.

        Raises:
            Fatal: it is no type.
        """
        found = _DECLARATION.match(text)
        if found is None:
            raise Fatal(f"can't read the column type {text!r}", hint="report it with the server's version")
        base, inside, rest = found.groups()
        numbers = tuple(int(part) for part in (inside or "").split(",") if part.strip())
        return cls(base.lower(), numbers, "unsigned" in rest.lower().split())


@dataclass(frozen=True)
class Held:
    """How a column is read and held.

    Args:
        field: what it becomes.
        form: how its values are asked for.
    """

    field: pa.Field
    form: Form


def held(name: str, declared: Declared, *, tinyint1_is_bool: bool = False) -> Held:
    """The Arrow field of a declared column; the table above."""
    if tinyint1_is_bool and (declared.base, declared.numbers) == ("tinyint", (1,)):
        return Held(pa.field(name, pa.bool_()), Form.PLAIN)
    return _TABLE.get(declared.base, _BYTES)(name, declared)


def _plain(arrow: pa.DataType, form: Form = Form.PLAIN) -> Callable[[str, Declared], Held]:
    return lambda name, _: Held(pa.field(name, arrow), form)


def _int(name: str, declared: Declared) -> Held:
    return Held(pa.field(name, pa.int64() if declared.unsigned else pa.int32()), Form.PLAIN)


def _bigint(name: str, declared: Declared) -> Held:
    return Held(pa.field(name, pa.decimal128(20, 0) if declared.unsigned else pa.int64()), Form.PLAIN)


def _bit(name: str, declared: Declared) -> Held:
    width = declared.numbers[0] if declared.numbers else 1
    wide = pa.decimal128(20, 0) if width == _BIT_WIDTH else pa.int64()
    return Held(pa.field(name, pa.bool_() if width == 1 else wide), Form.BITS)


def _decimal(name: str, declared: Declared) -> Held:
    precision, scale = (*declared.numbers, *(10, 0)[len(declared.numbers) :])
    if precision > PRECISION:
        return Held(field_of("variant", name), Form.TEXT)
    return Held(pa.field(name, pa.decimal128(precision, scale)), Form.TEXT)


def _moment(name: str, declared: Declared) -> Held:
    digits = declared.numbers[0] if declared.numbers else 0
    return Held(pa.field(name, pa.timestamp("ms" if digits <= _MS_DIGITS else "us", "UTC")), Form.TEXT)


_STRING = _plain(pa.string())
_PRINTED = _plain(pa.string(), Form.TEXT)
_BYTES = _plain(pa.binary(), Form.BYTES)
_LONG_BYTES = _plain(pa.binary())
_SMALL = _plain(pa.int32())

_TABLE: Final[Mapping[str, Callable[[str, Declared], Held]]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "year"), _SMALL),
    "int": _int,
    "bigint": _bigint,
    "bit": _bit,
    "decimal": _decimal,
    "float": _plain(pa.float32()),
    "double": _plain(pa.float64()),
    "date": _plain(pa.date32(), Form.TEXT),
    **dict.fromkeys(("datetime", "timestamp"), _moment),
    "time": _PRINTED,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), _STRING),
    **dict.fromkeys(("enum", "set"), _STRING),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), _LONG_BYTES),
    "json": _plain(pa.string(), Form.LONG_TEXT),
    **dict.fromkeys(("inet4", "inet6"), _PRINTED),
    "uuid": lambda name, _: Held(field_of("uuid", name), Form.TEXT),
}
