"""Values of several types in one column, taken apart by type so that each can be asked for another one.

They are held as canonical Extended JSON (`levada.types.extjson`). Values that no other type is made of
(documents, arrays, patterns, ...) are of the sort None.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from levada.types.kinds import UTC_MS, field_of

#: Sort -> the field that holds its values.
FIELDS: Final[dict[str, pa.Field]] = {
    "bool": field_of("bool", ""),
    "int64": field_of("int64", ""),
    "double": field_of("double", ""),
    "number": field_of("string", ""),  # a decimal, as text: its digits need no column of one scale
    "string": field_of("string", ""),
    "objectId": field_of("objectId", ""),
    "uuid": field_of("uuid", ""),
    "binary": field_of("binary", ""),
    "date": pa.field("", UTC_MS),
}


def apart(column: pa.Array) -> dict[str, pa.Array]:
    """Sort -> its values, null in the rows of others.

    Args:
        column: canonical Extended JSON.
    """
    values: dict[str, list[Any]] = {}
    for row, text in enumerate(column.to_pylist()):
        sort, value = (None, None) if text is None else _read(text)
        if sort is not None:
            values.setdefault(sort, [None] * len(column))[row] = value
    return {sort: pa.array(found, FIELDS[sort].type) for sort, found in values.items()}


def _read(text: str) -> tuple[str | None, Any]:
    try:
        value = json.loads(text)
        if isinstance(value, dict) and len(value) == 1:
            name, inner = next(iter(value.items()))
            return _WRAPPED[name](inner) if name in _WRAPPED else (None, None)
        return _PLAIN.get(type(value)), value
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None, None


_PLAIN: dict[type, str] = {str: "string", bool: "bool", int: "int64", float: "double"}


def _binary(inner: dict[str, str]) -> tuple[str | None, Any]:
    raw = base64.b64decode(inner["base64"], validate=True)
    if inner["subType"] == "04" and len(raw) == 16:
        return "uuid", str(UUID(bytes=raw))
    return ("binary", raw) if inner["subType"] == "00" else (None, None)


_WRAPPED: dict[str, Callable[[Any], tuple[str | None, Any]]] = {
    "$numberInt": lambda inner: ("int64", int(inner)),
    "$numberLong": lambda inner: ("int64", int(inner)),
    "$numberDouble": lambda inner: ("double", float(inner)),
    "$numberDecimal": lambda inner: ("number", str(inner)),
    "$oid": lambda inner: ("objectId", str(inner)),
    "$date": lambda inner: ("date", int(inner["$numberLong"])),
    "$code": lambda inner: ("string", str(inner)),
    "$symbol": lambda inner: ("string", str(inner)),
    "$binary": _binary,
}
