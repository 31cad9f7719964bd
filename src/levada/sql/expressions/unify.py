"""How types meet, by DuckDB's rules: the type of a CASE, a UNION, a comparison, and what is cast to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Cast, Constant, Expr
from levada.sql.expressions.fold import Unfit, fold
from levada.sql.types import BOOLEAN, NULL, TIMESTAMP, VARCHAR, SqlType, decimal, list_of, struct

#: Numbers from narrow to wide.
_RANKS = {"BOOLEAN": 0, "INTEGER": 1, "BIGINT": 2, "DECIMAL": 3, "DOUBLE": 4}

#: Digits of the integers as DECIMALs.
DIGITS = {"INTEGER": 10, "BIGINT": 19}


def as_decimal(kind: SqlType) -> SqlType:
    """The DECIMAL that holds an integer type's values."""
    return decimal(DIGITS[kind.name], 0) if kind.name in DIGITS else kind


def meet(left: SqlType, right: SqlType) -> SqlType | None:
    """The type that both can be cast to without loss; None: there is none."""
    if right in {left, NULL}:
        return left
    if left == NULL:
        return right
    if left.name in _RANKS and right.name in _RANKS:
        return _numbers(left, right)
    if left.temporal and right.temporal:
        return TIMESTAMP
    if {left.name, right.name} <= {"VARCHAR", "OBJECTID", "UUID"}:
        return VARCHAR
    return _nested(left, right)


def _numbers(left: SqlType, right: SqlType) -> SqlType:
    narrow, wide = sorted((left, right), key=lambda kind: _RANKS[kind.name])
    if wide.name != "DECIMAL" or narrow == BOOLEAN:
        return wide
    narrow = as_decimal(narrow)
    scale = max(narrow.scale, wide.scale)
    whole = max(narrow.precision - narrow.scale, wide.precision - wide.scale)
    return decimal(whole + scale, scale)


def _nested(left: SqlType, right: SqlType) -> SqlType | None:
    if left.item is not None and right.item is not None:
        item = meet(left.item, right.item)
        return None if item is None else list_of(item)
    if left.name == right.name == "STRUCT" and [n for n, _ in left.fields] == [n for n, _ in right.fields]:
        kinds = [meet(a, b) for (_, a), (_, b) in zip(left.fields, right.fields, strict=True)]
        if all(kind is not None for kind in kinds):
            return struct(*((n, k) for (n, _), k in zip(left.fields, kinds, strict=True) if k is not None))
    return None


def unify(types: Sequence[SqlType], node: exp.Expression | None = None) -> SqlType:
    """The type that all the types can be cast to.

    Raises:
        SqlError: there is none; at the place of `node`.
    """

    def pair(left: SqlType, right: SqlType) -> SqlType:
        kind = meet(left, right)
        if kind is None:
            raise refuse(f"{left} and {right} don't go together", node, hint="cast one of them")
        return kind

    return reduce(pair, types, NULL)


def unified(exprs: Sequence[Expr], node: exp.Expression | None = None) -> list[Expr]:
    """The expressions, cast to one type; string literals take the type of the others."""
    kinds = [expr.type for expr in exprs if not literal(expr)] or [expr.type for expr in exprs]
    kind = unify(kinds, node)
    if kind == NULL and len(kinds) < len(exprs):
        kind = VARCHAR
    return [coerce(expr, kind, node) for expr in exprs]


def compared(exprs: Sequence[Expr], node: exp.Expression | None = None) -> list[Expr]:
    """The expressions as a comparison takes them: text meets numbers and booleans as these."""
    kinds = [expr.type for expr in exprs if not literal(expr)]
    numbers = [kind for kind in kinds if kind.name in _RANKS]
    if numbers and all(kind.name in _RANKS or kind in {VARCHAR, NULL} for kind in kinds):
        kind = unify(numbers, node)
        return [_read(expr, kind, node) for expr in exprs]
    return unified(exprs, node)


def _read(expr: Expr, kind: SqlType, node: exp.Expression | None) -> Expr:
    if expr.type != VARCHAR or literal(expr):
        return coerce(expr, kind, node)
    return Cast(kind, expr.nullable, expr)


def literal(expr: Expr) -> bool:
    """Whether it is a text constant, which takes any type it can be read as."""
    return isinstance(expr, Constant) and expr.type == VARCHAR and expr.value is not None


def implicit(given: SqlType, wanted: SqlType) -> bool:
    """Whether a value of one type is taken where the other is wanted, without a CAST."""
    return given in {NULL, wanted} or meet(given, wanted) == wanted


def coerce(expr: Expr, kind: SqlType, node: exp.Expression | None = None) -> Expr:
    """The expression as `kind`, by an implicit cast.

    Raises:
        SqlError: it does not become `kind` without a CAST, or a text constant can't be read as `kind`.
    """
    if expr.type == kind:
        return expr
    if literal(expr) or (isinstance(expr, Constant) and kind != NULL):
        return _constant(expr, kind, node)
    if not implicit(expr.type, kind):
        raise refuse(f"{expr.type} does not become {kind} by itself", node, hint="write a CAST")
    return Cast(kind, expr.nullable, expr, implicit=True)


def _constant(expr: Expr, kind: SqlType, node: exp.Expression | None) -> Expr:
    assert isinstance(expr, Constant)
    if not literal(expr) and not implicit(expr.type, kind):
        raise refuse(f"{expr.type} does not become {kind} by itself", node, hint="write a CAST")
    try:
        return replace(expr, type=kind, value=fold(expr.value, expr.type, kind))
    except Unfit as error:
        raise refuse(str(error), node) from error
