"""Casts, by the types they lead from and to. TRY_CAST gives NULL where CAST fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from levada.sql.errors import refuse
from levada.sql.expression import Cast, Constant, Expr
from levada.sql.expressions.castrules import FREE, PLAIN_RULES, Rule
from levada.sql.expressions.pieces import given
from levada.sql.expressions.table import Emitted
from levada.sql.expressions.textcasts import TEXT_RULES
from levada.sql.types import SqlType

RULES: Mapping[tuple[str, str], Rule] = {**PLAIN_RULES, **TEXT_RULES}


def cast(expr: Cast, arg: Emitted) -> Emitted:
    """Emit a cast.

    Raises:
        SqlError: there is no such cast.
    """
    source, wanted = expr.arg.type, expr.type
    if source == wanted or source.name == "NULL":
        return arg
    if source.item is not None and wanted.item is not None:
        return _list(expr, arg, source.item, wanted.item)
    if expr.implicit and (source.name, wanted.name) in FREE:
        return arg
    rule = RULES.get((source.name, wanted.name))
    if rule is None:
        raise refuse(f"CAST from {source} to {wanted} does not run on MongoDB")
    return rule(expr, arg)


def _list(expr: Cast, arg: Emitted, source: SqlType, wanted: SqlType) -> Emitted:
    inner = replace(expr, type=wanted, arg=_stand_in(source))
    emitted = cast(inner, "$$item")
    if emitted == "$$item":
        return arg
    return {"$cond": [given(arg), {"$map": {"input": arg, "as": "item", "in": emitted}}, None]}


def _stand_in(kind: SqlType) -> Expr:
    return Constant(kind, True, None)


def known_cast(source: SqlType, wanted: SqlType) -> bool:
    """Whether there is such a cast."""
    if source.item is not None and wanted.item is not None:
        return known_cast(source.item, wanted.item)
    return source == wanted or source.name == "NULL" or (source.name, wanted.name) in RULES
