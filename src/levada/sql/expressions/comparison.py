"""Comparisons, ordered as in DuckDB: NULL makes them unknown, NaN equals itself and is the greatest double.

BSON puts null and missing below everything and NaN below all numbers. So one guard on the side that would win
by being low is enough: `a > null` for a NULL, `a >= -Infinity` where NaN is kept out as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sqlglot import exp

from levada.sql.expression import Call, Cast, Constant, Expr
from levada.sql.expressions.pieces import both, either, given
from levada.sql.expressions.table import Emitted, Function, Signature
from levada.sql.expressions.unify import unify
from levada.sql.types import BOOLEAN, SqlType

_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "<>": "="}
_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "=": "$eq", "<>": "$ne"}


def may_be_nan(expr: Expr) -> bool:
    """Whether a value can be NaN: a DOUBLE that is neither an ordinary constant nor an integer."""
    if expr.type.name != "DOUBLE":
        return False
    if isinstance(expr, Cast) and expr.arg.type.name in {"INTEGER", "BIGINT", "BOOLEAN", "DECIMAL"}:
        return False
    return not isinstance(expr, Constant) or (isinstance(expr.value, float) and math.isnan(expr.value))


def alike(types: Sequence[SqlType]) -> Signature | None:
    """Two or more values of one type."""
    if len(types) < 2:
        return None
    kind = unify(types)
    return Signature((kind,) * len(types), BOOLEAN)


def comparable(types: Sequence[SqlType]) -> Signature | None:
    """Values of one type that has an equality: of structs and VARIANTs only parts are compared."""
    taken = alike(types)
    return None if taken is None or taken.args[0].name in {"STRUCT", "VARIANT", "INTERVAL"} else taken


def ordered(types: Sequence[SqlType]) -> Signature | None:
    """Values of one type that has an order."""
    taken = comparable(types)
    return None if taken is None or taken.args[0].name == "LIST" else taken


def _compare(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    name = call.name if wanted else _OPPOSITE[call.name]
    (left, right), (a, b) = call.args, args
    if name in {"=", "<>"}:
        return _equal(name, call.args, args)
    if name in {"<", "<="}:
        return _less("$lt" if name == "<" else "$lte", (left, a), (right, b))
    return _less("$gt" if name == ">" else "$gte", (right, b), (left, a), mirrored=True)


def _equal(name: str, parts: tuple[Expr, ...], args: list[Emitted]) -> Emitted:
    nullable = [given(arg) for part, arg in zip(parts, args, strict=True) if part.nullable]
    if name == "=" and len(nullable) < 2:
        nullable = []  # the other side is never null, so equality shuts null out
    elif name == "=":
        nullable = nullable[:1]
    return both([{_OPERATORS[name]: args}, *nullable])


def _less(
    operator: str, low: tuple[Expr, Emitted], high: tuple[Expr, Emitted], *, mirrored: bool = False
) -> Emitted:
    """`low < high` or `low <= high`, written as given: `mirrored` puts `high` first."""
    (lower, a), (upper, b) = low, high
    parts: list[Emitted] = [{operator: [b, a] if mirrored else [a, b]}]
    if may_be_nan(lower):
        parts.append({"$gte": [a, -math.inf]})
    elif lower.nullable:
        parts.append(given(a))
    plain = both(parts)
    if not may_be_nan(upper):
        return plain
    strict = operator in {"$lt", "$gt"}
    nan: list[Emitted] = [{"$eq": [b, math.nan]}]
    if strict and may_be_nan(lower):
        nan.append({"$gte": [a, -math.inf]})
    elif lower.nullable:
        nan.append(given(a))
    return either([plain, both(nan)])


def _distinct(equal: bool) -> Callable[[Call, list[Emitted], bool], Emitted]:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        same = equal is wanted
        sides = [
            {"$ifNull": [arg, None]} if part.nullable else arg
            for part, arg in zip(call.args, args, strict=True)
        ]
        return {"$eq" if same else "$ne": sides}

    return rule


def _in(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    """A value among constants; a NULL among them makes what is not found unknown."""
    constants = call.args[1:]
    values = [arg for part, arg in zip(constants, args[1:], strict=True) if not part.nullable]
    if len(values) < len(constants) and not wanted:
        return False
    found: Emitted = {"$in": [args[0], values]} if values else False
    if wanted:
        return found
    return both([{"$not": [found]}, *([given(args[0])] if call.args[0].nullable else [])])


def _operator(name: str, node: type[exp.Expression], example: str) -> Function:
    typing = comparable if name in {"=", "<>"} else ordered
    return Function(name, typing, condition=_compare, nodes=(node,), takes="a, b", example=example)


TABLE = (
    _operator("=", exp.EQ, "('a' = 'a') = TRUE"),
    _operator("<>", exp.NEQ, "(1 <> 2) = TRUE"),
    _operator("<", exp.LT, "(1 < 2) = TRUE"),
    _operator("<=", exp.LTE, "(2 <= 2) = TRUE"),
    _operator(">", exp.GT, "(CAST('NaN' AS DOUBLE) > CAST('Infinity' AS DOUBLE)) = TRUE"),
    _operator(">=", exp.GTE, "(DATE '2026-11-23' >= DATE '2026-01-01') = TRUE"),
    Function(
        "is distinct from", comparable, condition=_distinct(False), nodes=(exp.NullSafeNEQ,), nulls="kept",
        never_null=True, takes="a, b", note="NULL is a value like others",
        example="(1 IS DISTINCT FROM NULL) = TRUE",
    ),
    Function(
        "is not distinct from", comparable, condition=_distinct(True), nodes=(exp.NullSafeEQ,), nulls="kept",
        never_null=True, takes="a, b", note="NULL is a value like others",
        example="(NULL IS NOT DISTINCT FROM NULL) = TRUE",
    ),
    Function(
        "in", comparable, condition=_in, nulls="kept", takes="a, values...",
        example="(2 IN (1, 2, NULL)) = TRUE",
    ),
)  # fmt: skip
