"""The order in which inner joins are done, by what the catalog knows of sizes.

Every chain of inner and cross joins is flattened to its relations and conditions. It starts with the smallest
relation; then comes, each time, the relation whose join is expected to give the fewest rows, those that share
an equality first. (The greedy heuristic of every textbook; estimates are in `estimate.py`.)
"""

from __future__ import annotations

from levada.sql.algebra import Filter, Join, Relation, ids
from levada.sql.expression import Call, Expr, columns, conjunction, conjuncts
from levada.sql.rewrite.estimate import estimated, matches

#: With more relations than this a chain stays as it is written.
MAX_RELATIONS = 12


def ordered(relation: Relation) -> Relation:
    """The relation with its inner joins in a better order; the columns stay the same."""
    if isinstance(relation, Join) and relation.kind in {"inner", "cross"}:
        leaves, conditions = _flat(relation)
        leaves = [ordered(leaf) for leaf in leaves]
        if len(leaves) > 2:
            return _greedy(leaves, conditions)
        condition = conjunction(conditions)
        return Join("inner" if condition else "cross", leaves[0], leaves[1], condition)
    from levada.sql.algebra import inputs, with_inputs

    below = tuple(ordered(one) for one in inputs(relation))
    return with_inputs(relation, below) if below else relation


def _flat(relation: Relation) -> tuple[list[Relation], list[Expr]]:
    if not (isinstance(relation, Join) and relation.kind in {"inner", "cross"}):
        return [relation], []
    left, first = _flat(relation.left)
    right, second = _flat(relation.right)
    own = list(conjuncts(relation.condition))
    return left + right, first + second + own


def _greedy(leaves: list[Relation], conditions: list[Expr]) -> Relation:
    if len(leaves) > MAX_RELATIONS:
        return _as_written(leaves, conditions)
    waiting = sorted(leaves, key=estimated)
    linked = [leaf for leaf in waiting if _linked(ids(leaf), frozenset(), conditions, alone=True)]
    current = (linked or waiting)[0]
    waiting.remove(current)
    while waiting:
        have = ids(current)
        joins = [leaf for leaf in waiting if _linked(ids(leaf), have, conditions)] or waiting
        chosen = min(joins, key=lambda leaf: matches(current, leaf, _between(have, ids(leaf), conditions)))
        waiting.remove(chosen)
        usable = [part for part in conditions if columns(part) <= have | ids(chosen)]
        conditions = [part for part in conditions if part not in usable]
        condition = conjunction(usable)
        current = Join("inner" if condition else "cross", current, chosen, condition)
    rest = conjunction(conditions)
    return Filter(current, rest) if rest is not None else current


def _as_written(leaves: list[Relation], conditions: list[Expr]) -> Relation:
    current = leaves[0]
    for leaf in leaves[1:]:
        usable = [part for part in conditions if columns(part) <= ids(current) | ids(leaf)]
        conditions = [part for part in conditions if part not in usable]
        condition = conjunction(usable)
        current = Join("inner" if condition else "cross", current, leaf, condition)
    rest = conjunction(conditions)
    return Filter(current, rest) if rest is not None else current


def _between(left: frozenset[str], right: frozenset[str], conditions: list[Expr]) -> list[Expr]:
    return [part for part in conditions if columns(part) <= left | right and columns(part) & right]


def _linked(
    mine: frozenset[str], have: frozenset[str], conditions: list[Expr], *, alone: bool = False
) -> bool:
    """Whether an equality links a relation to those already joined (or, `alone`, to any other)."""
    for part in conditions:
        if isinstance(part, Call) and part.name == "=":
            first, second = (columns(arg) for arg in part.args)
            for one, other in ((first, second), (second, first)):
                if one and other and one <= mine and (alone or other <= have) and not other <= mine:
                    return True
    return False
