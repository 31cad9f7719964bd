"""JSON text as it is read, without losing a digit, and the canonical form of a variant."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from levada.bson.elements import Malformed
from levada.bson.restore import value_of
from levada.bson.variant import text_of

_INT64 = range(-(2**63), 2**63)


def loads(text: str) -> Any:
    """A JSON value; numbers with a point or an exponent are decimals.

    Raises:
        ValueError: it is no JSON, or a name appears twice in one object.
    """
    try:
        return json.loads(text, parse_float=Decimal, object_pairs_hook=_no_twins)
    except RecursionError:
        raise ValueError("nested too deep") from None


def canonical(text: str) -> str | None:
    """The canonical Extended JSON of a JSON text, as Levada's variants have it; None where it is none."""
    try:
        return canonical_of(loads(text))
    except ValueError:
        return None


def canonical_of(value: Any) -> str:
    """The canonical Extended JSON of a value from `loads`.

    Raises:
        ValueError: BSON can't hold it.
    """
    tag, data = value_of(exact(value))
    return text_of(data, tag, 0, len(data), 1)


def exact(value: Any) -> str:
    """A value from `loads` as text; a number that doubles and 64-bit integers can't hold is a decimal."""
    return json.dumps(_wrapped(value), ensure_ascii=False, separators=(",", ":"))


def as_double(value: Decimal | int) -> float:
    """The double of this very number.

    Raises:
        ValueError: there is none with so many digits.
    """
    number = float(value)
    if number - number != 0 or Decimal(repr(number)) != value:
        raise ValueError(f"{value} has more digits than a double")
    return number


def single(value: Any) -> Any:
    """A value from `loads` that is no object or array, as Extended JSON: numbers keep all their digits."""
    if isinstance(value, Decimal):
        try:
            return as_double(value)
        except ValueError:
            return {"$numberDecimal": str(value)}
    if isinstance(value, int) and value not in _INT64:
        return {"$numberDecimal": str(value)}
    return value


def _no_twins(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return found


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _wrapped(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_wrapped(member) for member in value]
    return single(value)


__all__ = ["Malformed", "as_double", "canonical", "canonical_of", "exact", "loads", "single"]
