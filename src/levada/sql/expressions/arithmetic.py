"""Numbers: operators and functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sqlglot import exp

from levada.sql.expression import Call, Cast, Constant, Expr
from levada.sql.expressions.pieces import bound, known
from levada.sql.expressions.table import Emitted, Function, Signature, Typing, fixed
from levada.sql.expressions.unify import as_decimal
from levada.sql.types import BIGINT, DOUBLE, INTEGER, NULL, SqlType, decimal

_LIMIT = 2**63

#: The largest magnitude of each integer type.
_BOUNDS = {"INTEGER": 2**31, "BIGINT": _LIMIT}


def _numbers(types: Sequence[SqlType]) -> bool:
    return all(kind.numeric or kind == NULL for kind in types)


def _binary(result: Callable[[SqlType, SqlType], SqlType]) -> Typing:
    """Two numbers; integers give BIGINT, DOUBLE wins over all, DECIMALs are computed by `result`."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        if len(types) != 2 or not _numbers(types):
            return None
        names = {kind.name for kind in types}
        if "DOUBLE" in names:
            return Signature((DOUBLE, DOUBLE), DOUBLE)
        if "DECIMAL" in names:
            args = tuple(as_decimal(BIGINT if kind == NULL else kind) for kind in types)
            return Signature(args, result(*args))
        return Signature(tuple(BIGINT if kind == NULL else kind for kind in types), BIGINT)

    return typing


def narrowed(precision: int, scale: int, *of: SqlType) -> SqlType:
    """DuckDB keeps a DECIMAL in 18 digits where its parts have no more."""
    widest = max(kind.precision for kind in of)
    return decimal(18 if precision > 18 >= widest and scale <= 18 else precision, scale)


def _sum_type(left: SqlType, right: SqlType) -> SqlType:
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return decimal(whole + scale + 1, scale)


def _product_type(left: SqlType, right: SqlType) -> SqlType:
    return narrowed(left.precision + right.precision, left.scale + right.scale, left, right)


def bound_of(expr: Expr) -> int:
    """The largest magnitude an integer expression can have, were integers endless."""
    if isinstance(expr, Constant):
        return int(abs(expr.value or 0))
    if isinstance(expr, Cast) and expr.arg.type.name in _BOUNDS:
        return min(bound_of(expr.arg), _BOUNDS[expr.type.name])
    if isinstance(expr, Call) and expr.name in {"+", "-", "*"} and len(expr.args) == 2:
        left, right = map(bound_of, expr.args)
        return min(left * right if expr.name == "*" else left + right, _LIMIT)
    return _BOUNDS.get(expr.type.name, _LIMIT)


def _checked(operator: str) -> Callable[[Call, list[Emitted]], Emitted]:
    """BSON turns an int64 that is too large into a double: `$toLong` makes that an error."""

    def emit(call: Call, args: list[Emitted]) -> Emitted:
        result: Emitted = {operator: _spread(operator, call, args)}
        if call.type == BIGINT and bound_of(call) >= _LIMIT:
            return {"$toLong": result}
        return result

    return emit


def _spread(operator: str, call: Call, args: list[Emitted]) -> list[Emitted]:
    """`a + b + c` in one operator: expressions nest no deeper than about 100."""
    first, left = args[0], call.args[0]
    if operator == "$subtract" or not isinstance(left, Call) or left.type.name != call.type.name:
        return args
    if isinstance(first, dict) and set(first) == {"$toLong"}:
        first = first["$toLong"]
    inner = first.get(operator) if isinstance(first, dict) else None
    return [*inner, *args[1:]] if isinstance(inner, list) else args


def _divide(call: Call, args: list[Emitted]) -> Emitted:
    """Division by zero gives infinity or NaN, as IEEE 754 says: what `x * Infinity` gives, too."""
    divisor = known(call.args[1])
    if divisor is not None and divisor != 0:
        return {"$divide": args}
    endless: Emitted = {"$multiply": [args[0], math.inf]}
    if divisor == 0:
        return endless
    return bound(args, lambda n: {
        "$cond": [{"$eq": [n[1], 0]}, {"$multiply": [n[0], math.inf]}, {"$divide": n}]
    })  # fmt: skip


def _negate_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 1 or not _numbers(types):
        return None
    kind = BIGINT if types[0] in {INTEGER, NULL} else types[0]
    return Signature((types[0],), kind)


def _negate(call: Call, args: list[Emitted]) -> Emitted:
    result: Emitted = {"$multiply": [args[0], -1]}
    return {"$toLong": result} if call.type == BIGINT and call.args[0].type == BIGINT else result


TABLE = (
    Function(
        "+", _binary(_sum_type), _checked("$add"), nulls="native", nodes=(exp.Add,), takes="a, b",
        note="integers give BIGINT; one that is too large is an error", example="(1 + 2.5) = 3.5",
    ),
    Function(
        "-", _binary(_sum_type), _checked("$subtract"), nulls="native", nodes=(exp.Sub,), takes="a, b",
        example="(1 - 2.5) = -1.5",
    ),
    Function(
        "*", _binary(_product_type), _checked("$multiply"), nulls="native", nodes=(exp.Mul,), takes="a, b",
        example="(2 * 2.5) = 5.0",
    ),
    Function(
        "/", fixed(DOUBLE, DOUBLE, result=DOUBLE), _divide, nulls="native", nodes=(exp.Div,), takes="a, b",
        note="always a DOUBLE; infinity or NaN for zero", example="(1 / 4) = 0.25",
    ),
    Function(
        "negate", _negate_typing, _negate, nulls="native", nodes=(exp.Neg,), takes="a",
        example="(-(3)) = 0 - 3",
    ),
)  # fmt: skip
