"""Rows of a page as BSON documents, so that they become columns by the same rules as everything else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from levada.bson.restore import value_of
from levada.connectors.jsontext import single
from levada.types.extjson import RESERVED


def document_of(row: dict[str, Any]) -> bytes:
    """The BSON of a row; `{"$date": ...}` is what stands there, not a date.

    Args:
        row: with numbers that have a point or an exponent as `Decimal`.

    Raises:
        ValueError: BSON can't hold it: more than 34 digits, a name with NUL, half a surrogate pair.
    """
    return value_of(embedded(row))[1]


def embedded(value: Any) -> str:
    """A JSON value as Extended JSON that stands for it; numbers that a double would change are decimals."""
    return json.dumps(_member(value), separators=(",", ":"))


def original(value: Any) -> bytes:
    """A JSON value as text again, for the quarantine."""
    return _Text().encode(value).encode()


def _member(value: Any) -> Any:
    if isinstance(value, dict):
        members = {name: _member(member) for name, member in value.items()}
        return members if RESERVED.isdisjoint(members) else {"$literal": members}
    if isinstance(value, list):
        return [_member(member) for member in value]
    return single(value)


class _Text(json.JSONEncoder):
    """Numbers keep their digits as text in quotes: JSON's own encoder knows no decimals."""

    def default(self, o: Any) -> Any:
        return str(o) if isinstance(o, Decimal) else super().default(o)
