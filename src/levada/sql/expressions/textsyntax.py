"""How texts and numbers are written in ways of their own: ||, LIKE ... ESCAPE, TRIM(BOTH ...), ROUND."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Call, Constant, Expr
from levada.sql.expressions.numbers import round_type
from levada.sql.types import NULL, VARCHAR

if TYPE_CHECKING:
    from levada.sql.expressions.bind import ScalarBinder

Rule = Callable[["ScalarBinder", Any], Expr]

_TRIMS = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}


def as_text(value: Expr, node: exp.Expression) -> Expr:
    """A value as VARCHAR, as CAST gives it."""
    from levada.sql.expressions.syntax import cast_to

    return cast_to(value, VARCHAR, node, safe=False)


def _concat(name: str) -> Rule:
    def rule(binder: ScalarBinder, node: exp.Expression) -> Expr:
        parts = [as_text(binder.bind(part), node) for part in node.expressions]
        return binder.apply(name, parts, node)

    return rule


def _pipes(binder: ScalarBinder, node: exp.DPipe) -> Expr:
    """Texts, or lists, joined; flat, since chains are long."""
    parts = [binder.bind(part) for part in node.flatten()]
    kinds = {part.type.name for part in parts}
    if "LIST" in kinds:
        if kinds - {"LIST", "NULL"}:
            raise refuse("|| joins texts or lists, not both", node)
        return binder.apply("|| of lists", parts, node)
    return binder.apply("||", [as_text(part, node) for part in parts], node)


def _trim(binder: ScalarBinder, node: exp.Trim) -> Expr:
    name = _TRIMS[str(node.args.get("position") or "BOTH").upper()]
    letters = node.args.get("expression")
    args = [binder.bind(node.this), *([binder.bind(letters)] if letters is not None else [])]
    return binder.apply(name, args, node)


def _pad(binder: ScalarBinder, node: exp.Pad) -> Expr:
    name = "lpad" if node.args.get("is_left") else "rpad"
    filling = node.args.get("fill_pattern")
    args = [binder.bind(part) for part in (node.this, node.expression)]
    return binder.apply(name, [*args, *([binder.bind(filling)] if filling is not None else [])], node)


def _escape(binder: ScalarBinder, node: exp.Escape) -> Expr:
    like = node.this
    if not isinstance(like, exp.Like | exp.ILike):
        raise refuse("ESCAPE belongs to LIKE", node)
    args = [binder.bind(part) for part in (like.this, like.expression, node.expression)]
    found = binder.apply(like.key, args, node)
    return binder.apply("not", [found], node) if like.args.get("negate") else found


def _like(name: str) -> Rule:
    def rule(binder: ScalarBinder, node: exp.Binary) -> Expr:
        if isinstance(node.expression, exp.Any | exp.All | exp.Tuple):
            raise refuse(f"{name.upper()} ANY does not run on MongoDB", node, hint="write it with OR")
        return binder.apply(name, [binder.bind(node.this), binder.bind(node.expression)], node)

    return rule


def _rounded(name: str) -> Rule:
    def rule(binder: ScalarBinder, node: exp.Func) -> Expr:
        digits = node.args.get("decimals")
        args = [binder.bind(node.this), *([binder.bind(digits)] if digits is not None else [])]
        found = binder.apply(name, args, node)
        if not isinstance(found, Call | Constant) or found.type.name != "DECIMAL":
            return found
        count = args[1].value if len(args) > 1 and isinstance(args[1], Constant) else 0
        return replace(found, type=round_type(args[0].type, count))

    return rule


def _contains(binder: ScalarBinder, node: exp.Contains) -> Expr:
    args = [binder.bind(node.this), binder.bind(node.expression)]
    return binder.apply("list_contains" if args[0].type.name == "LIST" else "contains", args, node)


def _typeof(binder: ScalarBinder, node: exp.Typeof) -> Expr:
    kind = binder.bind(node.this).type
    return Constant(VARCHAR, False, '"NULL"' if kind == NULL else str(kind))


RULES: dict[type[exp.Expression], Rule] = {
    exp.Concat: _concat("concat"),
    exp.ConcatWs: _concat("concat_ws"),
    exp.DPipe: _pipes,
    exp.Trim: _trim,
    exp.Pad: _pad,
    exp.Escape: _escape,
    exp.Like: _like("like"),
    exp.ILike: _like("ilike"),
    exp.Round: _rounded("round"),
    exp.Trunc: _rounded("trunc"),
    exp.Contains: _contains,
    exp.Typeof: _typeof,
}
