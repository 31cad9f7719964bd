"""A LIMIT that is known above a join or a UNION ALL is said below it, too.

A left join gives at least one row for each row of its left side, so ten rows of it need ten rows of that
side; with an ORDER BY over columns of that side, its first ten.
"""

from __future__ import annotations

from dataclasses import replace

from levada.sql.algebra import (
    Apply,
    Join,
    Limit,
    Project,
    Relation,
    SetOperation,
    Sort,
    ids,
    inputs,
    outputs,
    with_inputs,
)
from levada.sql.expression import Column, Expr, SortKey, columns, transform

Keys = tuple[SortKey, ...]


def limited(relation: Relation) -> Relation:
    """The relation with its limits also where they save work."""
    below = inputs(relation)
    if isinstance(relation, Limit) and relation.count is not None:
        inner = _below(relation.input, relation.count + relation.offset, ())
        return replace(relation, input=limited(inner))
    return with_inputs(relation, tuple(limited(one) for one in below)) if below else relation


def _below(relation: Relation, count: int, keys: Keys) -> Relation:
    """A relation of which only the first rows are needed, in the order of the keys, if there are any."""
    match relation:
        case Sort() if not keys:
            return replace(relation, input=_below(relation.input, count, relation.keys))
        case Project():
            items = dict(relation.items)
            own = tuple(replace(key, expr=_substituted(key.expr, items)) for key in keys)
            return replace(relation, input=_below(relation.input, count, own))
        case Join(kind="left" | "mark") | Apply(kind="left" | "mark" | "scalar"):
            if _about(keys, relation.left):
                return replace(relation, left=_first(relation.left, count, keys))
        case SetOperation(kind="union", all=True):
            sides = []
            for side in (relation.left, relation.right):
                names: dict[str, Expr] = {
                    c.id: o for c, o in zip(relation.header, outputs(side), strict=True)
                }
                own = tuple(replace(key, expr=_substituted(key.expr, names)) for key in keys)
                sides.append(_first(side, count, own))
            return replace(relation, left=sides[0], right=sides[1])
    return relation


def _first(relation: Relation, count: int, keys: Keys) -> Relation:
    inner = _below(relation, count, keys)
    return Limit(Sort(inner, keys) if keys else inner, count)


def _about(keys: Keys, relation: Relation) -> bool:
    own = ids(relation)
    return all(columns(key.expr) <= own for key in keys)


def _substituted(expr: Expr, items: dict[str, Expr]) -> Expr:
    return transform(expr, lambda part: items.get(part.id, part) if isinstance(part, Column) else part)
