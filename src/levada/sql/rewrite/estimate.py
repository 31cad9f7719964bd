"""About how many rows a relation gives; rough, and only used to choose between equal plans."""

from __future__ import annotations

from levada.sql.algebra import (
    Aggregate,
    Apply,
    Distinct,
    Filter,
    Join,
    Limit,
    Relation,
    Scan,
    SetOperation,
    Unnest,
    Values,
    inputs,
)
from levada.sql.expression import Call, Column, Expr, columns, conjuncts

#: Rows of a table whose size is not known.
UNKNOWN = 10_000.0

_SELECTIVITY = {
    "=": 0.05,
    "in": 0.15,
    "<>": 0.9,
    "is null": 0.1,
    "is not null": 0.95,
    "like": 0.1,
    "not": 0.7,
    "or": 0.3,
}
_OTHERWISE = 0.33
_GROUPS = 0.2


def estimated(relation: Relation) -> float:  # noqa: PLR0911, C901 - one case per relation
    """Rows of a relation, at least 1."""
    match relation:
        case Scan():
            return _scan(relation)
        case Values():
            return max(1.0, float(len(relation.rows)))
        case Filter():
            return max(1.0, estimated(relation.input) * selectivity(relation.condition))
        case Join():
            return _joined(relation)
        case Apply():
            return estimated(relation.left)
        case Aggregate():
            return max(1.0, estimated(relation.input) * _GROUPS) if relation.groups else 1.0
        case Distinct():
            return max(1.0, estimated(relation.input) * 0.5)
        case Limit():
            rows = estimated(relation.input)
            return rows if relation.count is None else max(1.0, min(rows, float(relation.count)))
        case SetOperation():
            return estimated(relation.left) + estimated(relation.right)
        case Unnest():
            return estimated(relation.input) * 3
    below = inputs(relation)
    return estimated(below[0]) if below else UNKNOWN


def selectivity(condition: Expr | None) -> float:
    """The share of rows for which a condition is true."""
    share = 1.0
    for part in conjuncts(condition):
        share *= _SELECTIVITY.get(part.name, _OTHERWISE) if isinstance(part, Call) else _OTHERWISE
    return share


def matches(left: Relation, right: Relation, conditions: list[Expr]) -> float:
    """Rows of an inner join under these conditions."""
    first, second = estimated(left), estimated(right)
    rows = first * second
    equal: list[Expr] = [part for part in conditions if isinstance(part, Call) and part.name == "="]
    if equal:
        rows /= max(_distinct(left, equal), _distinct(right, equal), 1.0)
    rest = [part for part in conditions if part not in equal]
    for part in rest:
        rows *= selectivity(part)
    return max(1.0, rows)


def _scan(scan: Scan) -> float:
    rows = UNKNOWN if scan.table.rows is None else float(scan.table.rows)
    unique = {index.keys[0][0] for index in scan.table.indexes if index.unique and len(index.keys) == 1}
    names = {name: field.name for name, field in scan.fields}
    for part in conjuncts(scan.condition):
        args = part.args if isinstance(part, Call) and part.name == "=" else ()
        if any(isinstance(arg, Column) and names.get(arg.id) in unique for arg in args):
            return 1.0
    return max(1.0, rows * selectivity(scan.condition))


def _joined(join: Join) -> float:
    left = estimated(join.left)
    if join.kind in {"semi", "anti"}:
        return max(1.0, left * 0.5)
    if join.kind == "mark":
        return left
    rows = matches(join.left, join.right, list(conjuncts(join.condition)))
    if join.kind in {"left", "full"}:
        rows = max(rows, left)
    return max(rows, estimated(join.right)) if join.kind in {"right", "full"} else rows


def _distinct(relation: Relation, equal: list[Expr]) -> float:
    """Distinct values of the columns compared: at most the rows of the table they come from."""
    used = frozenset[str]().union(*(columns(part) for part in equal))
    sizes = [_origin(relation, name) for name in used]
    known = [size for size in sizes if size is not None]
    return max(known, default=estimated(relation))


def _origin(relation: Relation, name: str) -> float | None:
    if isinstance(relation, Scan):
        field = next((field for one, field in relation.fields if one == name), None)
        if field is None:
            return None
        rows = UNKNOWN if relation.table.rows is None else float(relation.table.rows)
        unique = any(i.unique and i.keys == ((field.name, i.keys[0][1]),) for i in relation.table.indexes)
        return rows if unique else rows / 10
    found = [size for one in inputs(relation) if (size := _origin(one, name)) is not None]
    return found[0] if found else None
