"""What a join's condition says: pairs of keys that must be equal, and the rest."""

from __future__ import annotations

from dataclasses import dataclass

from levada.sql.algebra import Filter, Join, Relation, ids
from levada.sql.expression import Call, Expr, columns, conjunction, conjuncts

#: Joins whose rows of the right count only where they match: conditions on them alone can go below.
_RIGHT_FIRST = frozenset({"inner", "left", "semi", "anti", "mark", "cross"})
_LEFT_FIRST = frozenset({"inner", "semi", "cross"})


@dataclass(frozen=True)
class Pair:
    """A key of the left and one of the right that must be equal.

    Args:
        nulls: NULL equals NULL, as IS NOT DISTINCT FROM says.
        test: the condition itself.
    """

    left: Expr
    right: Expr
    nulls: bool
    test: Expr

    @property
    def sides(self) -> tuple[Expr, Expr]:
        return self.left, self.right


@dataclass(frozen=True)
class Condition:
    """A join's condition, taken apart.

    Args:
        left, right: the inputs, with what concerns one of them alone pushed down.
        pairs: keys of the left and of the right that must be equal.
        rest: everything else; None: nothing.
    """

    left: Relation
    right: Relation
    pairs: tuple[Pair, ...]
    rest: Expr | None

    def turned(self) -> Condition:
        """The same with the sides exchanged."""
        pairs = tuple(Pair(pair.right, pair.left, pair.nulls, pair.test) for pair in self.pairs)
        return Condition(self.right, self.left, pairs, self.rest)

    def mentioned(self) -> list[Expr]:
        """The rest, as a list."""
        return [] if self.rest is None else [self.rest]


def taken_apart(join: Join) -> Condition:
    """The condition of a join by what can be done with its parts."""
    left_ids, right_ids = ids(join.left), ids(join.right)
    pairs: list[Pair] = []
    below: tuple[list[Expr], list[Expr]] = ([], [])
    rest: list[Expr] = []
    for part in conjuncts(join.condition):
        said = columns(part)
        pair = _pair(part, left_ids, right_ids)
        if pair is not None:
            pairs.append(pair)
        elif not said & left_ids and said & right_ids and join.kind in _RIGHT_FIRST:
            below[1].append(part)
        elif not said & right_ids and said & left_ids and join.kind in _LEFT_FIRST:
            below[0].append(part)
        else:
            rest.append(part)
    left, right = (
        side if (test := conjunction(parts)) is None else Filter(side, test)
        for side, parts in zip((join.left, join.right), below, strict=True)
    )
    return Condition(left, right, tuple(pairs), conjunction(rest))


def _pair(part: Expr, left: frozenset[str], right: frozenset[str]) -> Pair | None:
    if not isinstance(part, Call) or part.name not in {"=", "is not distinct from"}:
        return None
    one, other = part.args
    for mine, theirs in ((one, other), (other, one)):
        if _only(mine, left, right) and _only(theirs, right, left):
            return Pair(mine, theirs, part.name != "=", part)
    return None


def _only(expr: Expr, own: frozenset[str], foreign: frozenset[str]) -> bool:
    said = columns(expr)
    return bool(said & own) and not said & foreign
