"""Types of columns as settings name them."""

from __future__ import annotations

import re

import pyarrow as pa

from levada.types import KINDS, field_of
from levada.types.kinds import PRECISION, decimal_field

_DECIMAL = re.compile(r"decimal\((?:(\d+),\s*)?(\d+)\)")
_NAMED = {name for name, kind in KINDS.items() if kind.arrow is not None and name != "null"}


def column_field(name: str, kind: str) -> pa.Field:
    """The field of a type written in settings: a kind such as `int64`, `day`, `decimal(scale)`.

    Raises:
        ValueError: there is no such type.
    """
    if kind == "day":
        return pa.field(name, pa.date32())
    if kind in _NAMED:
        return field_of(kind, name)
    found = _DECIMAL.fullmatch(kind)
    precision, scale = (int(found[1] or PRECISION), int(found[2])) if found else (0, 0)
    if not found or not scale <= precision <= PRECISION:
        valid = ", ".join(sorted([*_NAMED, "day", "decimal(scale)", "decimal(precision, scale)"]))
        raise ValueError(f"column {name!r} has the unknown type {kind!r}; valid: {valid}")
    return decimal_field(name, precision - scale, scale)
