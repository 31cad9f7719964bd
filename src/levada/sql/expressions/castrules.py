"""Casts between numbers, booleans and times, by the types they lead from and to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from bson.decimal128 import Decimal128

from levada.sql.expression import Cast
from levada.sql.expressions.pieces import both, bound, fail, given
from levada.sql.expressions.table import Emitted

#: A cast: (its expression, the emitted argument) -> the result; NULL gives NULL.
Rule = Callable[[Cast, Emitted], Emitted]


def convert(arg: Emitted, to: str, safe: bool) -> Emitted:
    """`$convert`, NULL for what can't be if `safe`."""
    if safe:
        return {"$convert": {"input": arg, "to": to, "onError": None, "onNull": None}}
    return {f"$to{to[0].upper()}{to[1:]}": arg}


def _same(_expr: Cast, arg: Emitted) -> Emitted:
    return arg


def _to(kind: str) -> Rule:
    return lambda expr, arg: convert(arg, kind, expr.safe)


def away(arg: Emitted, scale: int) -> Emitted:
    """A DECIMAL rounded half away from zero to `scale` places; exact."""
    half = Decimal(5).scaleb(-scale - 1)
    return bound([arg], lambda n: {"$trunc": [
        {"$add": [n[0], {"$cond": [{"$lt": [n[0], 0]}, Decimal128(-half), Decimal128(half)]}]}, scale
    ]})  # fmt: skip


def _decimal_to_int(kind: str) -> Rule:
    return lambda expr, arg: convert(away(arg, 0), kind, expr.safe)


def _double_to_int(kind: str) -> Rule:
    return lambda expr, arg: convert({"$round": [arg, 0]}, kind, expr.safe)


def ranged(expr: Cast, value: Emitted) -> Emitted:
    """The DECIMAL, or what happens where it has too many digits."""
    kind = expr.type
    limit = Decimal128(Decimal(10) ** (kind.precision - kind.scale))
    low = Decimal128(-(Decimal(10) ** (kind.precision - kind.scale)))

    def body(names: list[Emitted]) -> Emitted:
        fits = both([{"$lt": [names[0], limit]}, {"$gt": [names[0], low]}])
        other = None if expr.safe else fail(f"a number has more digits than {kind}", names[0])
        return {"$switch": {"branches": [
            {"case": fits, "then": names[0]}, {"case": {"$lte": [names[0], None]}, "then": None},
        ], "default": other}}  # fmt: skip

    return bound([value], body)


def _int_to_decimal(expr: Cast, arg: Emitted) -> Emitted:
    from levada.sql.expressions.unify import DIGITS

    roomy = expr.type.precision - expr.type.scale >= DIGITS[expr.arg.type.name]
    return arg if roomy else ranged(expr, arg)


def _decimal_to_decimal(expr: Cast, arg: Emitted) -> Emitted:
    old, new = expr.arg.type, expr.type
    value = away(arg, new.scale) if new.scale < old.scale else arg
    narrower = new.precision - new.scale < old.precision - old.scale + (new.scale < old.scale)
    return ranged(expr, value) if narrower else value


def scaled(arg: Emitted, scale: int) -> Emitted:
    """A double times a power of ten, rounded half away from zero."""
    product = {"$multiply": [arg, float(10**scale)]} if scale else arg
    return half_away(product)


def half_away(arg: Emitted) -> Emitted:
    """A double rounded half away from zero; exact also beside 0.5 and beyond 2**52."""

    def body(names: list[Emitted]) -> Emitted:
        cut: Emitted = {"$trunc": names[0]}
        rest: Emitted = {"$subtract": [names[0], cut]}
        step: Emitted = {"$switch": {"branches": [
            {"case": {"$gte": [rest, 0.5]}, "then": 1.0}, {"case": {"$lte": [rest, -0.5]}, "then": -1.0},
        ], "default": 0.0}}  # fmt: skip
        return {"$cond": [given(names[0]), {"$add": [cut, step]}, None]}

    return bound([arg], body)


def _double_to_decimal(expr: Cast, arg: Emitted) -> Emitted:
    scale = expr.type.scale
    whole = convert(scaled(arg, scale), "long", expr.safe)
    return ranged(expr, {"$multiply": [whole, Decimal128(Decimal(1).scaleb(-scale))]})


def _number_to_boolean(_expr: Cast, arg: Emitted) -> Emitted:
    return bound([arg], lambda n: {"$cond": [given(n[0]), {"$ne": [n[0], 0]}, None]})


def _boolean_to_decimal(_expr: Cast, arg: Emitted) -> Emitted:
    return {"$toInt": arg}


def _boolean_to_text(_expr: Cast, arg: Emitted) -> Emitted:
    return {"$toString": arg}


def _to_date(_expr: Cast, arg: Emitted) -> Emitted:
    return {"$dateTrunc": {"date": arg, "unit": "day"}}


INTEGERS = (("INTEGER", "int"), ("BIGINT", "long"))

PLAIN_RULES: Mapping[tuple[str, str], Rule] = {
    ("INTEGER", "BIGINT"): _same,
    ("BIGINT", "INTEGER"): _to("int"),
    ("DECIMAL", "DOUBLE"): _to("double"),
    ("DECIMAL", "DECIMAL"): _decimal_to_decimal,
    ("DOUBLE", "DECIMAL"): _double_to_decimal,
    ("BOOLEAN", "DECIMAL"): _boolean_to_decimal,
    ("BOOLEAN", "DOUBLE"): _to("double"),
    ("BOOLEAN", "VARCHAR"): _boolean_to_text,
    ("DATE", "TIMESTAMP"): _same,
    ("TIMESTAMP", "DATE"): _to_date,
    **{(name, "DOUBLE"): _to("double") for name, _ in INTEGERS},
    **{(name, "DECIMAL"): _int_to_decimal for name, _ in INTEGERS},
    **{(name, "VARCHAR"): _to("string") for name, _ in INTEGERS},
    **{("DECIMAL", name): _decimal_to_int(to) for name, to in INTEGERS},
    **{("DOUBLE", name): _double_to_int(to) for name, to in INTEGERS},
    **{("BOOLEAN", name): _to(to) for name, to in INTEGERS},
    **{(name, "BOOLEAN"): _number_to_boolean for name in ("INTEGER", "BIGINT", "DOUBLE", "DECIMAL")},
}

#: Implicit casts that need nothing: the narrower value stands for the wider type.
FREE = {
    *((name, wide) for name, _ in INTEGERS for wide in ("BIGINT", "DECIMAL", "DOUBLE")),
    ("DECIMAL", "DECIMAL"),
    ("DATE", "TIMESTAMP"),
}
