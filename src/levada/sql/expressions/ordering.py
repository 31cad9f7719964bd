"""Sort keys: the order of SQL in terms of BSON's.

BSON sorts null and missing first, then numbers with NaN as the least. SQL's NULLs go where the query says,
and NaN is the greatest number. Where the two differ, a rank goes before the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from levada.sql.errors import SqlError
from levada.sql.expression import SortKey
from levada.sql.expressions.table import Emitted
from levada.sql.types import SqlType

#: `{$gte: [x, NEGATIVE]}` is true for every number but NaN, and false for null and missing.
NEGATIVE: Final = float("-inf")
NAN: Final = float("nan")

_UNORDERED: Final = frozenset({"VARIANT", "INTERVAL"})


@dataclass(frozen=True, slots=True)
class Part:
    """What a document is sorted by: an expression and a direction, 1 or -1.

    Args:
        kind: of the key it is, or stands before; ranks are BIGINT-like and can be negated.
        rank: whether it was put before a key.
    """

    value: Emitted
    direction: int
    kind: SqlType
    rank: bool = False


def parts(key: SortKey, value: Emitted) -> list[Part]:
    """A key as what BSON can sort by: the key itself, where needed with a rank before it.

    Args:
        value: the emitted key.
    """
    kind = key.expr.type
    if kind.name in _UNORDERED:
        raise SqlError(f"rows can't be ordered by {kind}")
    direction = -1 if key.descending else 1
    rank = _rank(key, value)
    before = [] if rank is None else [Part(rank, direction, kind, True)]
    sorted_by = {"v": value} if kind.name == "LIST" else value
    return [*before, Part(sorted_by, direction, kind)]


def _rank(key: SortKey, value: Emitted) -> Emitted | None:
    natural = not key.expr.nullable or key.descending != key.nulls_first
    if key.expr.type.name != "DOUBLE":
        return None if natural else {"$lte": [value, None]}
    if natural:
        return {"$eq": [value, NAN]}
    cases = [{"case": {"$gte": [value, NEGATIVE]}, "then": 0}, {"case": {"$gt": [value, None]}, "then": 1}]
    return {"$switch": {"branches": cases, "default": 2}}
