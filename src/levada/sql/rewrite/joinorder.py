"""The order in which inner joins are done, by what the catalog knows of sizes.

Every chain of inner and cross joins is flattened to its relations and conditions, and the order with the
fewest intermediate rows is looked for among all that add one relation at a time (Selinger et al., "Access
Path Selection in a Relational Database Management System", 1979); long chains are ordered greedily. What is
equal to the same is equal to each other: `a = b AND b = c` may join `a` with `c`. A semi or anti join above a
chain moves to the one relation it is about, where that has fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from levada.sql.algebra import Filter, Join, Relation, ids, inputs, with_inputs
from levada.sql.expression import Call, Column, Expr, columns, conjunction, conjuncts
from levada.sql.rewrite.estimate import Linking, classes, estimated
from levada.sql.types import BOOLEAN

#: Up to so many relations all orders are looked at; beyond, the next one is always the best next one.
_EXHAUSTIVE = 9

#: Up to so many relations a chain is ordered at all.
_ORDERED = 20


def ordered(relation: Relation) -> Relation:
    """The relation with its inner joins in a better order; the columns stay the same."""
    if isinstance(relation, Join) and relation.kind in {"inner", "cross"}:
        return _chain(relation)
    below = tuple(ordered(one) for one in inputs(relation))
    if below:
        relation = with_inputs(relation, below)
    if isinstance(relation, Join) and relation.kind in {"semi", "anti"}:
        return _lowered(relation)
    return relation


def _lowered(join: Join) -> Relation:
    """A semi or anti join at the relation of the chain below that it is about."""
    leaves, conditions = _flat(join.left)
    mine = columns(join.condition) if join.condition is not None else frozenset()
    for place, leaf in enumerate(leaves):
        about = mine - ids(join.right)
        if len(leaves) > 1 and about and about <= ids(leaf) and estimated(leaf) < estimated(join.left):
            leaves[place] = replace(join, left=leaf)
            return _best(leaves, conditions)
    return join


def _chain(join: Join) -> Relation:
    leaves, conditions = _flat(join)
    return _best([ordered(leaf) for leaf in leaves], conditions)


def _flat(relation: Relation) -> tuple[list[Relation], list[Expr]]:
    if not (isinstance(relation, Join) and relation.kind in {"inner", "cross"}):
        return [relation], []
    left, first = _flat(relation.left)
    right, second = _flat(relation.right)
    return left + right, first + second + list(conjuncts(relation.condition))


def _best(leaves: list[Relation], conditions: list[Expr]) -> Relation:
    if 2 < len(leaves) <= _ORDERED:
        search = _Search(leaves, conditions)
        order = search.exhaustive() if len(leaves) <= _EXHAUSTIVE else search.greedy()
        leaves = [leaves[place] for place in order]
    elif len(leaves) == 2 and estimated(leaves[0]) > estimated(leaves[1]):
        leaves = leaves[::-1]
    return _joined(leaves, conditions)


def _joined(leaves: list[Relation], conditions: list[Expr]) -> Relation:
    have = ids(leaves[0])
    equal = Equalities(conditions)
    current = filtered(leaves[0], equal.between(frozenset(), leaves[0]))
    waiting = [part for part in dict.fromkeys(conditions) if part not in equal]
    for leaf in leaves[1:]:
        usable = equal.between(have, leaf)
        have |= ids(leaf)
        usable += [part for part in waiting if columns(part) <= have]
        waiting = [part for part in waiting if part not in usable]
        condition = conjunction(usable)
        current = Join("inner" if condition else "cross", current, leaf, condition)
    return filtered(current, waiting)


def filtered(relation: Relation, parts: Sequence[Expr]) -> Relation:
    """The rows for which all the conditions are true."""
    condition = conjunction(tuple(parts))
    return Filter(relation, condition) if condition is not None else relation


class Equalities:
    """Columns of one type that conditions make equal, and so to each other."""

    def __init__(self, conditions: Sequence[Expr]) -> None:
        self._parts = frozenset(part for part in conditions if _equates(part))
        self._columns: dict[str, Column] = {}
        for part in conditions:
            if part in self:
                assert isinstance(part, Call)
                self._columns.update({arg.id: arg for arg in part.args if isinstance(arg, Column)})
        self._classes = classes([_pair(part) for part in conditions if part in self])

    def __contains__(self, condition: Expr) -> bool:
        return condition in self._parts

    def between(self, have: frozenset[str], leaf: Relation) -> list[Expr]:
        """What ties a relation to the columns there are: one equality for each of its columns."""
        found: list[Expr] = []
        own = ids(leaf)
        for names in self._classes:
            known = sorted(names & have)
            mine = sorted(names & own)
            first = known[:1] or mine[:1]
            found += [self._equal(first[0], name) for name in mine if name not in first]
        return found

    def _equal(self, first: str, second: str) -> Expr:
        left, right = self._columns[first], self._columns[second]
        return Call(BOOLEAN, left.nullable or right.nullable, "=", (left, right))


def _equates(part: Expr) -> bool:
    if not (isinstance(part, Call) and part.name == "="):
        return False
    first, second = part.args
    return isinstance(first, Column) and isinstance(second, Column) and first.type == second.type


def _pair(part: Expr) -> tuple[str, str]:
    assert isinstance(part, Call)
    first, second = part.args
    assert isinstance(first, Column)
    assert isinstance(second, Column)
    return first.id, second.id


@dataclass(frozen=True, slots=True)
class _Partial:
    """Some relations joined: in this order, with so many rows at the end and so many on the way."""

    order: tuple[int, ...]
    rows: float
    cost: float


class _Search:
    def __init__(self, leaves: Sequence[Relation], conditions: Sequence[Expr]) -> None:
        self._linking = Linking(leaves, conditions)
        self._count = len(leaves)

    def exhaustive(self) -> tuple[int, ...]:
        best = {frozenset({place}): self._first(place) for place in range(self._count)}
        level = dict(best)
        for _ in range(self._count - 1):
            following: dict[frozenset[int], _Partial] = {}
            for done, partial in level.items():
                for place in self._next(done):
                    longer = self._longer(partial, place)
                    known = following.get(done | {place})
                    if known is None or longer.cost < known.cost:
                        following[done | {place}] = longer
            level = following
        return next(iter(level.values())).order

    def greedy(self) -> tuple[int, ...]:
        linked = [place for place in range(self._count) if self._linking.neighbours({place})]
        partial = min(map(self._first, linked or range(self._count)), key=lambda one: one.rows)
        while len(partial.order) < self._count:
            longer = [self._longer(partial, place) for place in self._next(frozenset(partial.order))]
            partial = min(longer, key=lambda one: one.rows)
        return partial.order

    def _next(self, done: frozenset[int]) -> list[int]:
        rest = [place for place in range(self._count) if place not in done]
        linked = self._linking.neighbours(done)
        return [place for place in rest if place in linked] or rest

    def _first(self, place: int) -> _Partial:
        return _Partial((place,), self._linking.rows[place], 0.0)

    def _longer(self, partial: _Partial, place: int) -> _Partial:
        rows = self._linking.joined(partial.order, partial.rows, place)
        return _Partial((*partial.order, place), rows, partial.cost + rows)
