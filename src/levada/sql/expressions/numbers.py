"""Functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from levada.sql.errors import SqlError
from levada.sql.expression import Call
from levada.sql.expressions.arithmetic import bound_of
from levada.sql.expressions.castrules import away, half_away
from levada.sql.expressions.comparison import may_be_nan
from levada.sql.expressions.pieces import bound, given, known
from levada.sql.expressions.table import Emitted, Function, Signature, Typing, fixed
from levada.sql.expressions.unify import as_decimal, unify
from levada.sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, NULL, SqlType, decimal

_NAN = math.nan
_INF = math.inf

Emit = Callable[[Call, list[Emitted]], Emitted]


def same(types: Sequence[SqlType]) -> Signature | None:
    """One number; the result has its type."""
    if len(types) != 1 or not (types[0].numeric or types[0] == NULL):
        return None
    kind = BIGINT if types[0] == NULL else types[0]
    return Signature((kind,), kind)


def _whole(types: Sequence[SqlType]) -> Signature | None:
    """A DECIMAL loses its places; an integer becomes a DOUBLE, as in DuckDB."""
    taken = same(types)
    if taken is None:
        return None
    kind = taken.args[0]
    return Signature((kind,), decimal(kind.precision, 0) if kind.name == "DECIMAL" else DOUBLE)


def _rounded_typing(types: Sequence[SqlType]) -> Signature | None:
    if not 1 <= len(types) <= 2 or not types[0].numeric or DOUBLE in types[1:]:
        return None
    kind = types[0]
    result = decimal(kind.precision, 0) if kind.name == "DECIMAL" else kind
    return Signature((kind, INTEGER)[: len(types)], result)


def _digits(call: Call) -> int:
    digits = known(call.args[1]) if len(call.args) > 1 else 0
    if not isinstance(digits, int):
        raise SqlError(f"{call.name} takes its digits as a literal")
    return digits


def round_type(kind: SqlType, digits: int) -> SqlType:
    """The type of a DECIMAL rounded to so many places."""
    return decimal(kind.precision, max(0, min(digits, kind.scale))) if kind.name == "DECIMAL" else kind


def _round(call: Call, args: list[Emitted]) -> Emitted:
    """Half away from zero, as DuckDB; `$round` rounds half to even."""
    digits, kind = _digits(call), call.args[0].type
    if kind.name == "DECIMAL":
        return args[0] if digits >= kind.scale else away(args[0], digits)
    if kind.name != "DOUBLE":
        return args[0] if digits >= 0 else {"$toLong": away(args[0], digits)}
    if digits == 0:
        return half_away(args[0])
    factor = float(10 ** abs(digits))
    up, down = ("$multiply", "$divide") if digits > 0 else ("$divide", "$multiply")
    rounded = {down: [half_away({up: [args[0], factor]}), factor]}
    huge = {"$gte": [{"$abs": args[0]}, 1e15]}  # also infinity; NaN stays by itself
    return {"$cond": [huge, args[0], rounded]}


def _trunc(call: Call, args: list[Emitted]) -> Emitted:
    digits = _digits(call)
    return {"$trunc": [args[0], digits]} if digits else {"$trunc": args[0]}


def _over(operator: str) -> Emit:
    return lambda _call, args: {operator: args[0]}


def _abs(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$abs": args[0]}


def _sign(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$switch": {"branches": [
        {"case": {"$gt": [args[0], 0]}, "then": 1}, {"case": {"$lt": [args[0], 0]}, "then": {
            "$cond": [{"$eq": [args[0], _NAN]}, 0, -1]}},
    ], "default": 0}}  # fmt: skip


def _real(operator: str, low: float, at_low: float) -> Emit:
    """A function over numbers above `low`; at it another value, below it NaN: MongoDB's own fail there."""

    def emit(_call: Call, args: list[Emitted]) -> Emitted:
        return {"$switch": {"branches": [
            {"case": {"$gt": [args[0], low]}, "then": {operator: args[0]}},
            {"case": {"$eq": [args[0], low]}, "then": at_low},
        ], "default": _NAN}}  # fmt: skip

    return emit


def _within(operator: str, comparison: str, limit: float) -> Emit:
    """Up to a magnitude; NaN beyond. The server does not try what a `$switch` over constants leaves out."""
    return lambda _call, args: {"$switch": {
        "branches": [{"case": {comparison: [{"$abs": args[0]}, limit]}, "then": {operator: args[0]}}],
        "default": _NAN,
    }}  # fmt: skip


def _log(call: Call, args: list[Emitted]) -> Emitted:
    """log(x) by 10, log(base, x)."""
    base, number = (10, args[0]) if len(args) == 1 else (args[0], args[1])
    usable: list[Emitted] = [{"$gt": [number, 0]}]
    if len(args) == 2:
        usable += [{"$gt": [base, 0]}, {"$ne": [base, 1]}]
    value = {"$log10": number} if base == 10 else {"$divide": [{"$ln": number}, {"$ln": base}]}
    if known(call.args[0]) == 2 and len(args) == 2:
        value = {"$log": [number, 2]}
    elif known(call.args[0]) == 10 and len(args) == 2:
        value = {"$log10": number}
    if len(args) == 1:
        return {"$cond": [usable[0], value, {"$cond": [{"$eq": [number, 0]}, -_INF, _NAN]}]}
    safe = _real("$ln", 0, -_INF)
    return {"$cond": [{"$and": usable}, value, _ratio(safe(call, [number]), safe(call, [base]))]}


def _ratio(left: Emitted, right: Emitted) -> Emitted:
    """A quotient as IEEE 754 has it."""
    return bound([left, right], lambda n: {
        "$cond": [{"$eq": [n[1], 0]}, {"$multiply": [n[0], _INF]}, {"$divide": n}]
    })  # fmt: skip


def _power(call: Call, args: list[Emitted]) -> Emitted:
    """A double as in C; MongoDB fails for zero to a negative power."""
    base, power = args
    if known(call.args[0]) == 0 and (known(call.args[1]) or 0) < 0:
        return _INF
    usual = {"$pow": [{"$toDouble": base}, power]}
    return {"$cond": [{"$and": [{"$eq": [base, 0]}, {"$lt": [power, 0]}]}, _INF, usual]}


def _int_div(call: Call, args: list[Emitted]) -> Emitted:
    """Towards zero; exact also beyond 2**53."""
    left = args[0] if bound_of(call.args[0]) < 2**53 else {"$toDecimal": args[0]}
    return {"$toLong": {"$trunc": {"$divide": [left, args[1]]}}}


def _int_div_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or not all(kind.numeric or kind == NULL for kind in types):
        return None
    if all(kind.name in {"INTEGER", "BIGINT", "NULL"} for kind in types):
        return Signature((BIGINT, BIGINT), BIGINT)
    return Signature((DOUBLE, DOUBLE), DOUBLE)


def _slash_slash(call: Call, args: list[Emitted]) -> Emitted:
    return _int_div(call, args) if call.type == BIGINT else {"$divide": args}


def _mod_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or not all(kind.numeric or kind == NULL for kind in types):
        return None
    names = {kind.name for kind in types}
    if "DOUBLE" in names:
        return Signature((DOUBLE, DOUBLE), DOUBLE)
    if "DECIMAL" in names:
        kind = unify([as_decimal(BIGINT if one == NULL else one) for one in types])
        return Signature((kind, kind), kind)
    return Signature((BIGINT, BIGINT), BIGINT)


def _mod(call: Call, args: list[Emitted]) -> Emitted:
    result: Emitted = {"$mod": args}
    if call.type != DOUBLE or known(call.args[1]):
        return result
    return {"$cond": [{"$eq": [args[1], 0]}, _NAN, result]}


def _alike(types: Sequence[SqlType]) -> Signature | None:
    if not types:
        return None
    kind = unify(types)
    return Signature((kind,) * len(types), kind)


def _extreme(operator: str) -> Emit:
    """NULLs are left out, as `$max` and `$min` do; NaN is the greatest."""

    def emit(call: Call, args: list[Emitted]) -> Emitted:
        if len(args) == 1:
            return args[0]
        plain: Emitted = {operator: args}
        if not any(may_be_nan(arg) for arg in call.args):
            return plain
        if operator == "$max":
            return bound(args, lambda n: {"$cond": [{"$in": [_NAN, n]}, _NAN, {"$max": n}]})
        numbers = {"$filter": {"input": args, "as": "number", "cond": {"$ne": ["$$number", _NAN]}}}
        return {"$ifNull": [{"$min": numbers}, {"$max": args}]}

    return emit


def _double_test(test: Callable[[Emitted], Emitted]) -> Callable[[Call, list[Emitted], bool], Emitted]:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        found = test(args[0])
        present = [given(args[0])] if call.args[0].nullable else []
        return {"$and": [*present, found if wanted else {"$not": [found]}]}

    return rule


def _fn(
    name: str, typing: Typing, emit: Emit, takes: str, example: str, *nodes: Any,
    parts: tuple[str, ...] = ("this",), note: str = "", nulls: str = "native",
) -> Function:  # fmt: skip
    return Function(
        name, typing, emit, nulls=nulls, nodes=nodes, parts=parts, takes=takes, note=note, example=example
    )


_ONE = fixed(DOUBLE, result=DOUBLE)

TABLE = (
    _fn("//", _int_div_typing, _slash_slash, "a, b", "(7 // 2) = 3", exp.IntDiv, "divide",
        parts=("this", "expression"), note="of integers, towards zero; an error for zero"),
    _fn("%", _mod_typing, _mod, "a, b", "(-7 % 2) = -1", exp.Mod, parts=("this", "expression"),
        note="also mod(a, b); the sign of a; an error for zero, of DOUBLEs NaN", nulls="guard"),
    _fn("abs", same, _abs, "number", "abs(-2.5) = 2.5", exp.Abs),
    _fn("round", _rounded_typing, _round, "number, digits", "round(2.5) = 3", exp.Round, nulls="guard",
        parts=("this", "decimals"), note="half away from zero"),
    _fn("trunc", _rounded_typing, _trunc, "number, digits", "trunc(-2.7) = -2", exp.Trunc,
        parts=("this", "decimals")),
    _fn("floor", _whole, _over("$floor"), "number", "floor(-2.5) = -3", exp.Floor),
    _fn("ceil", _whole, _over("$ceil"), "number", "ceil(2.1) = 3", exp.Ceil, note="also ceiling"),
    _fn("sign", fixed(DOUBLE, result=INTEGER), _sign, "number", "sign(-2) = -1", exp.Sign, nulls="guard"),
    _fn("sqrt", _ONE, _real("$sqrt", 0, 0.0), "number", "sqrt(16) = 4", exp.Sqrt, nulls="guard",
        note="NaN below zero"),
    _fn("cbrt", _ONE, lambda _c, a: {"$cond": [
        {"$lt": [a[0], 0]}, {"$multiply": [{"$pow": [{"$abs": a[0]}, 1 / 3]}, -1]}, {"$pow": [a[0], 1 / 3]}]},
        "number", "round(cbrt(27), 9) = 3", exp.Cbrt, nulls="guard"),
    _fn("ln", _ONE, _real("$ln", 0, -_INF), "number", "ln(1) = 0", exp.Ln, nulls="guard",
        note="-infinity for zero, NaN below"),
    _fn("log", fixed(DOUBLE, DOUBLE, result=DOUBLE, optional=1), _log, "number, or base, number",
        "log(2, 8) = 3", exp.Log, parts=("this", "expression"), nulls="guard",
        note="by 10; also log2 and log10"),
    _fn("exp", _ONE, _over("$exp"), "number", "exp(0) = 1", exp.Exp),
    _fn("power", fixed(DOUBLE, DOUBLE, result=DOUBLE), _power, "base, power", "power(2, 10) = 1024", exp.Pow,
        parts=("this", "expression"), nulls="guard", note="also ** and ^"),
    _fn("pi", fixed(result=DOUBLE), lambda _c, _a: math.pi, "", "round(pi(), 4) = 3.1416", exp.Pi,
        parts=("none",)),
    *(_fn(name, _ONE, _within(f"${name}", "$lt", _INF), "number", f"{name}(0) = {value}", node, nulls="guard")
      for name, value, node in (("sin", 0, exp.Sin), ("cos", 1, exp.Cos), ("tan", 0, exp.Tan))),
    _fn("atan", _ONE, _over("$atan"), "number", "atan(0) = 0", exp.Atan),
    _fn("asin", _ONE, _within("$asin", "$lte", 1),
        "number",
        "asin(0) = 0", exp.Asin, nulls="guard", note="NaN beyond -1 and 1"),
    _fn("acos", _ONE, _within("$acos", "$lte", 1),
        "number",
        "acos(1) = 0", exp.Acos, nulls="guard", note="NaN beyond -1 and 1"),
    _fn("degrees", _ONE, _over("$radiansToDegrees"), "number", "degrees(0) = 0", exp.Degrees),
    _fn("radians", _ONE, _over("$degreesToRadians"), "number", "radians(0) = 0", exp.Radians),
    _fn("random", fixed(result=DOUBLE), lambda _c, _a: {"$rand": {}}, "", "(random() < 1) = TRUE", exp.Rand,
        parts=("none",)),
    Function("greatest", _alike, _extreme("$max"), nulls="kept", nodes=(exp.Greatest,),
             parts=("this", "expressions"), takes="values...", note="NULL is left out",
             example="greatest(1, 2) = 2"),
    Function("least", _alike, _extreme("$min"), nulls="kept", nodes=(exp.Least,), parts=("this",
             "expressions"),
             takes="values...", note="NULL is left out", example="least(2, NULL, 1) = 1"),
    Function("isnan", fixed(DOUBLE, result=BOOLEAN), condition=_double_test(lambda x: {"$eq": [x, _NAN]}),
             nodes=(exp.IsNan,), takes="number", example="isnan(CAST('NaN' AS DOUBLE)) = TRUE"),
    Function("isinf", fixed(DOUBLE, result=BOOLEAN), condition=_double_test(lambda x: {"$in": [x, [_INF,
             -_INF]]}),
             nodes=(exp.IsInf,), takes="number", example="isinf(CAST('Infinity' AS DOUBLE)) = TRUE"),
    Function("isfinite", fixed(DOUBLE, result=BOOLEAN),
             condition=_double_test(lambda x: {"$not": [{"$in": [x, [_INF, -_INF, _NAN]]}]}),
             nodes=("isfinite",), takes="number", example="isfinite(1.5) = TRUE"),
)  # fmt: skip
