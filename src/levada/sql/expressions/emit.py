"""Bound expressions as MongoDB's.

Three forms: `value` gives the value, null or missing where SQL says NULL; `condition` gives a boolean that is
true exactly where an expression is certainly true (or certainly false), which is cheaper than three-valued
logic; `match` gives the same as a filter of the match language, which can use an index, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from levada.sql.errors import SqlError
from levada.sql.expression import Call, Case, Cast, Column, Constant, Expr
from levada.sql.expressions.casts import cast
from levada.sql.expressions.pieces import both, bound, constant, either, guards, harmless, outer
from levada.sql.expressions.registry import FUNCTIONS
from levada.sql.expressions.table import Emitted


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's document holds a column.

    Args:
        value: the MongoDB expression that gives it: `$total`, `$$r.c5`, or a whole computation.
        path: the field's path, where the value is simply a field that the match language can name.
        dense: never missing: NULL is always an explicit null.
        proven: holds only null, missing, and values of the column's type; never an array unless the type is a
            list. Only then may `match` compare it.
        scalar: holds no array anywhere, though not proven otherwise: an index over it is not multikey.
        flat: paths of its parts of which an index says the same.
    """

    value: Any
    path: str = ""
    dense: bool = False
    proven: bool = False
    scalar: bool = False
    flat: frozenset[str] = frozenset()


#: Column id -> its place.
Row = Mapping[str, Place]


def value(expr: Expr, row: Row) -> Emitted:
    """The value of an expression, as any stage takes it; null or missing where it is NULL."""
    emitted = _value(expr, row)
    if isinstance(emitted, dict | list) or (isinstance(emitted, str) and emitted.startswith("$")):
        return emitted
    return {"$literal": emitted}


def condition(expr: Expr, row: Row, wanted: bool = True) -> Emitted:
    """A boolean: true exactly where `expr` is certainly `wanted`, false otherwise, never null."""
    match expr:
        case Constant():
            return expr.value is wanted
        case Call(name="not"):
            return condition(expr.args[0], row, not wanted)
        case Call(name="and" | "or"):
            parts = [condition(part, row, wanted) for part in expr.args]
            return _joined(expr.name == "and", wanted, parts)
        case Call() if (rule := FUNCTIONS[expr.name].condition) is not None:
            return bound([_value(arg, row) for arg in expr.args], lambda args: rule(expr, args, wanted))
        case Case() if (chosen := _chosen(expr, row, wanted)) is not None:
            return chosen
    return {"$eq": [_value(expr, row), wanted]}


def _joined(conjunction: bool, wanted: bool, parts: list[Emitted]) -> Emitted:
    """AND or OR over booleans, flat; constants among them vanish."""
    every = conjunction is wanted
    flat: list[Emitted] = []
    operator = "$and" if every else "$or"
    for part in parts:
        if isinstance(part, bool):
            if part is not every:
                return part
        elif isinstance(part, dict) and operator in part:
            flat += part[operator]
        else:
            flat.append(part)
    return both(flat) if every else either(flat)


def _chosen(expr: Case, row: Row, wanted: bool) -> Emitted | None:
    """CASE as a condition: each branch's value as one, too."""
    branches = [(condition(when, row), condition(then, row, wanted)) for when, then in expr.branches]
    return _switch(branches, condition(expr.default, row, wanted))


def _value(expr: Expr, row: Row) -> Emitted:
    match expr:
        case Column():
            return row[expr.id].value
        case Constant():
            return constant(expr.value)
        case Cast():
            return cast(expr, _value(expr.arg, row))
        case Case():
            return _case(expr, row)
        case Call():
            return _call(expr, row)
    raise SqlError(f"{type(expr).__name__} can't be emitted here")


def _call(call: Call, row: Row) -> Emitted:
    function = FUNCTIONS[call.name]
    if call.name in {"and", "or", "not"} or (function.condition and function.nulls == "kept"):
        return _three_valued(call, row)
    args = [_value(arg, row) for arg in call.args]
    if function.nulls != "guard":
        assert function.emit is not None
        return function.emit(call, args)
    variable = [outer(arg) for arg in args]
    return bound(args, lambda names: _guarded(call, names, variable))


def _guarded(call: Call, args: list[Emitted], variable: list[bool]) -> Emitted:
    function = FUNCTIONS[call.name]
    if any(arg is None for arg in args):
        return None  # the server would try the function over a constant null before the guard
    certain = replace(call, args=tuple(replace(arg, nullable=False) for arg in call.args))
    told = zip(call.args, args, variable, strict=True)
    safe = [harmless(part, arg) if varies else arg for part, arg, varies in told]
    if function.condition is not None:
        inner = function.condition(certain, safe, True)
    else:
        assert function.emit is not None
        inner = function.emit(certain, safe)
    tests = guards(call, args)
    return {"$cond": [both(tests), inner, None]} if tests else inner


def _three_valued(call: Call, row: Row) -> Emitted:
    true = condition(call, row)
    if not call.nullable or isinstance(true, bool):
        return true if not call.nullable or true else _otherwise(call, row)
    return {"$cond": [true, True, _otherwise(call, row)]}


def _otherwise(call: Call, row: Row) -> Emitted:
    false = condition(call, row, wanted=False)
    if isinstance(false, bool):
        return False if false else None
    return {"$cond": [false, False, None]}


def _case(expr: Case, row: Row) -> Emitted:
    if (parts := _coalesced(expr)) is not None:
        emitted = [_value(part, row) for part in parts]
        once = [part for place, part in enumerate(emitted) if part not in emitted[:place]]
        return once[0] if len(once) == 1 else {"$ifNull": once}
    branches = [(condition(when, row), _value(then, row)) for when, then in expr.branches]
    return _switch(branches, _value(expr.default, row))


def _switch(branches: list[tuple[Emitted, Emitted]], default: Emitted) -> Emitted:
    kept: list[tuple[Emitted, Emitted]] = []
    for when, then in branches:
        if when is True:
            default = then
            break
        if when is not False:
            kept.append((when, then))
    if all(then == default for _, then in kept):
        return default
    *results, default = _told_apart([*(then for _, then in kept), default])
    if len(kept) == 1:
        return {"$cond": [kept[0][0], results[0], default]}
    cases = [{"case": when, "then": then} for (when, _), then in zip(kept, results, strict=True)]
    return {"$switch": {"branches": cases, "default": default}}


def _told_apart(results: list[Emitted]) -> list[Emitted]:
    """The server's `$group` fails ("duplicate field") where one path is two results of a `$cond`."""
    return [
        {"$ifNull": [result, None]} if isinstance(result, str) and result in results[:place] else result
        for place, result in enumerate(results)
    ]


def _coalesced(expr: Case) -> list[Expr] | None:
    """The arguments, where a CASE is what COALESCE becomes."""
    parts: list[Expr] = []
    for when, then in expr.branches:
        if not (isinstance(when, Call) and when.name == "is not null" and _same(when.args[0], then)):
            return None
        parts.append(then)
    return [*parts, expr.default]


def _same(tested: Expr, given: Expr) -> bool:
    return tested == given or (isinstance(given, Cast) and given.implicit and given.arg == tested)


from levada.sql.expressions.filters import match  # noqa: E402 - it needs Place and Row

__all__ = ["Place", "Row", "condition", "match", "value"]
