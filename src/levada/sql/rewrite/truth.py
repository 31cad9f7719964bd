"""What a condition comes to where only its certain truth, or its certain falsity, counts."""

from __future__ import annotations

from collections.abc import Callable

from levada.sql.expression import Call, Case, Constant, Expr, conjunction, conjuncts, truth
from levada.sql.types import BOOLEAN


def certain(expr: Expr, wanted: bool = True) -> Expr:
    """A condition that is true exactly where `expr` is certainly `wanted`; NULL counts as neither.

    Only what joins conditions (AND, OR, NOT, constants, `CASE WHEN c THEN NULL ELSE FALSE END`) is taken
    apart; the rest stays, negated where FALSE is wanted.
    """
    match expr:
        case Constant():
            return truth(expr.value is wanted)
        case Call(name="not"):
            return certain(expr.args[0], not wanted)
        case Call(name="and" | "or"):
            parts = [certain(part, wanted) for part in expr.args]
            return _all(parts) if (expr.name == "and") is wanted else _any(parts)
        case Case(branches=((condition, Constant(value=None)),), default=Constant(value=False)):
            return certain(condition, False) if not wanted and not condition.nullable else truth(False)
    return expr if wanted else Call(BOOLEAN, expr.nullable, "not", (expr,))


def _all(parts: list[Expr]) -> Expr:
    kept = [part for part in parts if not _is(part, True)]
    if any(_is(part, False) for part in kept):
        return truth(False)
    return conjunction(kept) or truth(True)


def _any(parts: list[Expr]) -> Expr:
    kept = [part for part in parts if not _is(part, False)]
    if any(_is(part, True) for part in kept):
        return truth(True)
    return disjunction(kept)


def disjunction(parts: list[Expr]) -> Expr:
    """OR over the parts, flat; without parts FALSE."""
    if len(parts) <= 1:
        return parts[0] if parts else truth(False)
    return Call(BOOLEAN, any(part.nullable for part in parts), "or", tuple(parts))


def _is(expr: Expr, value: bool) -> bool:
    return isinstance(expr, Constant) and expr.value is value


def disjuncts(expr: Expr) -> list[Expr]:
    """The parts of a condition that OR joins."""
    if isinstance(expr, Call) and expr.name == "or":
        return [one for part in expr.args for one in disjuncts(part)]
    return [expr]


def factored(expr: Expr) -> list[Expr]:
    """The conjuncts of a condition; what every branch of an OR says is said once, in front of it.

    `(a AND b) OR (a AND c)` becomes `a`, `b OR c`. Where only certain truth counts the two are the same.
    """
    found: list[Expr] = []
    for part in conjuncts(certain(expr)):
        found += _common(part)
    return found


def _common(expr: Expr) -> list[Expr]:
    branches = [list(conjuncts(branch)) for branch in disjuncts(expr)]
    if len(branches) == 1:
        return [expr]
    shared = [part for part in branches[0] if all(part in other for other in branches[1:])]
    if not shared:
        return [expr]
    rest = [conjunction([part for part in branch if part not in shared]) for branch in branches]
    if any(part is None for part in rest):
        return shared
    return [*shared, disjunction([part for part in rest if part is not None])]


def implied(expr: Expr, within: Callable[[Expr], bool]) -> Expr | None:
    """What an OR says about some columns alone, weaker than itself; None: nothing.

    Args:
        within: whether a condition is only about these columns.
    """
    branches = [list(conjuncts(branch)) for branch in disjuncts(expr)]
    if len(branches) == 1:
        return None
    said = [conjunction([part for part in branch if within(part)]) for branch in branches]
    return None if any(part is None for part in said) else disjunction([p for p in said if p is not None])
