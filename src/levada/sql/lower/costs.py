"""What a join costs: by an index of the right, or by reading and grouping both sides.

Measured in microseconds on MongoDB 6.0. Rows are counted on the safe side: a chain of lookups that was meant
for a few rows and gets many is the one plan that is slow beyond all others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from levada.sql.algebra import Aggregate, Filter, Join, Limit, Relation, Scan, inputs
from levada.sql.expression import Expr, columns
from levada.sql.lower.keys import Condition
from levada.sql.rewrite.estimate import estimated, selectivity

#: To look a row up, to take one match from the index; to group a row, to read one.
LOOK_UP, MATCH, GROUP, READ = 10.0, 3.0, 4.0, 0.5

#: Bytes of one key's rows that one `$push` is trusted with; the server stops at 100 MB.
_PUSHED = 32e6

#: No filter is trusted to leave less than this share of the rows.
_LEAST = 0.02


def looked_up(left: Relation, right: Relation, key: Expr, path: str) -> float | None:
    """Rows of the left, if to look them up costs less than to group both sides; None: it does not.

    Args:
        key: of the left.
        path: the right's field that is looked up.
    """
    if any(scan.table.rows is None for side in (left, right) for scan in scans(side)):
        return None
    rows, base = most(left), sum(_base(scan) for scan in scans(right))
    matches = rows * _fanout(left, right, key, path, base)
    by_index = rows * LOOK_UP + matches * MATCH
    by_group = (rows + estimated(right)) * GROUP + base * READ
    return rows if by_index < by_group else None


def most(relation: Relation) -> float:
    """Rows of a relation, rather too many than too few."""
    match relation:
        case Scan():
            return max(
                1.0, _base(relation) * max(_LEAST, selectivity(relation.condition)), estimated(relation)
            )
        case Filter():
            return max(1.0, most(relation.input) * max(_LEAST, selectivity(relation.condition)))
        case Join() if relation.kind in {"semi", "anti", "mark"}:
            return most(relation.left)
        case Join() if relation.condition is not None:
            return max(most(relation.left), most(relation.right), estimated(relation))
        case Aggregate() | Limit():
            return estimated(relation)
    below = inputs(relation)
    return most(below[0]) if len(below) == 1 else estimated(relation)


def _fanout(left: Relation, right: Relation, key: Expr, path: str, base: float) -> float:
    """Matches of one row: the right's rows over the values that the key may have."""
    for scan in scans(right):
        if path == "_id" or any(
            index.unique and len(index.keys) == 1 and index.keys[0][0] == path for index in scan.table.indexes
        ):
            return 1.0
    own = columns(key)
    values = [_base(scan) for scan in scans(left) if own & {name for name, _ in scan.fields}]
    return max(1.0, base / min(values)) if values else 10.0


def width(count: int) -> float:
    """Bytes of a row with so many columns, as `$push` keeps it."""
    return 80.0 + 40.0 * count


def shares(parts: Condition, bytes_: float) -> int:
    """In how many shares the left's rows of one key must be grouped to stay below what `$push` may keep.

    Args:
        bytes_: of one of the left's rows.
    """
    return max(1, math.ceil(_per_key(parts) * bytes_ / _PUSHED))


def heavier(parts: Condition, other: Condition) -> bool:
    """Whether the left has more rows of one key than the left of another, and too many to push them."""
    mine = _per_key(parts)
    return mine > _per_key(other) and mine * width(4) > _PUSHED


def _per_key(parts: Condition) -> float:
    keys = [min(_values(parts.left, pair.left), _values(parts.right, pair.right)) for pair in parts.pairs]
    return most(parts.left) / max([1.0, *keys])


def _values(relation: Relation, key: Expr) -> float:
    """About how many values a key has: the rows of its table, at most."""
    own = columns(key)
    return min((_base(s) for s in scans(relation) if own & {name for name, _ in s.fields}), default=1e4)


def _base(scan: Scan) -> float:
    return float(max(scan.table.rows or 0, 1))


def scans(relation: Relation) -> Iterator[Scan]:
    """The scans of a relation."""
    if isinstance(relation, Scan):
        yield relation
    for below in inputs(relation):
        yield from scans(below)
