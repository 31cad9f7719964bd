"""Scalar expressions: from sqlglot's nodes to bound ones with static types and explicit casts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from sqlglot import exp

from levada.sql.catalog import nearest, spelled
from levada.sql.errors import SqlError, refuse
from levada.sql.expression import Call, Case, Constant, Expr
from levada.sql.expressions import syntax
from levada.sql.expressions.registry import FUNCTIONS, NODES
from levada.sql.expressions.table import Function
from levada.sql.expressions.unify import coerce, implicit, literal
from levada.sql.types import BOOLEAN, VARCHAR, SqlType

_QUERIES = (exp.Query, exp.Exists)
_CALLS = (exp.Func, exp.Window, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls, exp.Explode)

#: Refused by name; others by sqlglot's.
_REFUSED: dict[type[exp.Expression], str] = {
    exp.Collate: "COLLATE",
    exp.Lambda: "a lambda",
    exp.Star: "*",
    exp.Window: "a window function",
    exp.Tuple: "a row value",
}


class ScalarBinder:
    """Binds expressions; what a query knows comes by the four methods that a subclass gives."""

    def column(self, node: exp.Expression) -> Expr:
        """A name: column, table.column, column.field ..."""
        raise refuse(f"there is no column {node.sql()} here", node)

    def subquery(self, node: exp.Expression) -> Expr:
        """(SELECT ...), EXISTS, IN (SELECT ...), = ANY (SELECT ...)."""
        raise refuse("a subquery can't stand here", node)

    def call(self, node: exp.Expression) -> Expr | None:  # noqa: ARG002
        """An aggregate or window function; None: it is neither."""
        return None

    def parameter(self, node: exp.Expression) -> Expr:
        """`?` or `$name`."""
        raise refuse("a parameter can't stand here", node)

    def bind(self, node: exp.Expression) -> Expr:
        """Bind an expression.

        Raises:
            SqlError: an unknown name, a type that does not fit, or something that does not run on MongoDB.
        """
        bound = self._bound(node)
        return self.apply("not", [bound], node) if node.args.get("negate") else bound

    def _bound(self, node: exp.Expression) -> Expr:
        if _is_subquery(node):
            return self.subquery(node)
        if isinstance(node, exp.Column):
            return self.column(node)
        if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
            return self.parameter(node)
        if isinstance(node, _CALLS) and (found := self.call(node)) is not None:
            return found
        named = isinstance(node, exp.Anonymous)
        rule = syntax.NAMED.get(node.name.lower()) if named else syntax.RULES.get(type(node))
        if rule is not None:
            return rule(self, node)
        return self._function(node)

    def _function(self, node: exp.Expression) -> Expr:
        function = NODES.get(type(node))
        parts = function.parts if function else ()
        if isinstance(node, exp.Anonymous):
            function, parts = NODES.get(node.name.lower()), ("expressions",)
        if function is None:
            raise self._unknown(node)
        _all_taken(function, node, parts)
        args = [self.bind(arg) for arg in arguments(node, parts)]
        return self.take(function, args, node)

    def _unknown(self, node: exp.Expression) -> SqlError:
        if type(node) in _REFUSED or not isinstance(node, exp.Func):
            return refuse(f"{_REFUSED.get(type(node), node.key.upper())} does not run on MongoDB here", node)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.sql_name().lower()
        near = nearest(name, self.names())
        return refuse(f"there is no function {name}", node, hint=f"did you mean {near}?" if near else None)

    def names(self) -> Iterable[str]:
        """Names of functions, for telling the nearest."""
        named = itertools.chain(FUNCTIONS, (node for node in NODES if isinstance(node, str)))
        return [name for name in named if name.isidentifier()]

    def apply(self, name: str, args: Sequence[Expr], node: exp.Expression) -> Expr:
        """A call of the function or operator of this name."""
        return self.take(FUNCTIONS[name], args, node)

    def take(self, function: Function, args: Sequence[Expr], node: exp.Expression) -> Expr:
        """A call, its arguments cast to what the function takes.

        Raises:
            SqlError: it does not take these types, or such a constant.
        """
        signature = function.typing([arg.type for arg in args])
        if signature is None or not _fits(args, signature.args):
            types = ", ".join(str(arg.type) for arg in args)
            raise refuse(f"{function.name}({function.takes}) does not take ({types})", node)
        taken = tuple(coerce(arg, kind, node) for arg, kind in zip(args, signature.args, strict=True))
        if function.nulls != "kept" and any(isinstance(arg, Constant) and arg.value is None for arg in taken):
            return Constant(signature.result, True, None)
        nullable = not function.never_null and (function.may_be_null or any(arg.nullable for arg in taken))
        call = Call(signature.result, nullable, function.name, taken)
        _probe(function, call, node)
        return call

    def member(self, value: Expr, name: str, node: exp.Expression) -> Expr:
        """A field of a struct.

        Raises:
            SqlError: it is no struct, or has no such field.
        """
        names = [field for field, _ in value.type.fields]
        if value.type.name != "STRUCT":
            raise refuse(f"{value.type} has no field {name}", node)
        found = spelled(name, names)
        if found is None:
            near = nearest(name, names)
            raise refuse(f"the struct has no field {name}", node, hint=near and f"did you mean {near}?")
        kind = dict(value.type.fields)[found]
        return Call(kind, True, "struct_extract", (value, Constant(VARCHAR, False, found)))

    def condition_of(self, node: exp.Expression) -> Expr:
        """A BOOLEAN."""
        return coerce(self.bind(node), BOOLEAN, node)

    def chosen(self, branches: Sequence[tuple[Expr, Expr]], default: Expr) -> Expr:
        """CASE over values of one type; what constants decide is decided at once."""
        kept: list[tuple[Expr, Expr]] = []
        for when, then in branches:
            if not isinstance(when, Constant):
                kept.append((when, then))
            elif when.value is True:
                default = then
                break
        if not kept or all(then == default and isinstance(then, Constant) for _, then in kept):
            return default
        nullable = default.nullable or any(then.nullable for _, then in kept)
        return Case(default.type, nullable, tuple(kept), default)


def arguments(node: exp.Expression, parts: Sequence[str] = ()) -> list[exp.Expression]:
    """The argument nodes in the order of `parts`, or in sqlglot's own; flags are left out."""
    found: list[exp.Expression] = []
    for part in parts or tuple(node.arg_types):
        given: Any = node.args.get(part)
        found += [
            one for one in (given if isinstance(given, list) else [given]) if isinstance(one, exp.Expression)
        ]
    return found


#: Arguments that sqlglot adds by itself.
_ADDED = frozenset({(exp.Initcap, "expression")})


def _all_taken(function: Function, node: exp.Expression, parts: Sequence[str]) -> None:
    """Refuse arguments that the function does not know, rather than leave them out."""
    known = parts or tuple(node.arg_types)
    for part, given in node.args.items():
        extra = isinstance(given, exp.Expression) or (isinstance(given, list) and given)
        if extra and part not in known and "none" not in known and (type(node), part) not in _ADDED:
            raise refuse(f"{function.name} takes ({function.takes}) and no more", node)


def _fits(args: Sequence[Expr], kinds: Sequence[SqlType]) -> bool:
    return all(
        literal(arg) or (implicit(arg.type, kind) and not (arg.type == BOOLEAN and kind.numeric))
        for arg, kind in zip(args, kinds, strict=True)
    )


def _is_subquery(node: exp.Expression) -> bool:
    if isinstance(node, exp.In):
        return node.args.get("query") is not None
    if isinstance(node, exp.Binary):
        return any(_quantified(side) for side in (node.this, node.expression))
    if isinstance(node, exp.Array) and len(node.expressions) == 1:
        return isinstance(node.expressions[0], exp.Select)
    return isinstance(node, _QUERIES)


def _quantified(node: Any) -> bool:
    return isinstance(node, exp.Any | exp.All) and isinstance(node.this.unnest(), exp.Query)


def _probe(function: Function, call: Call, node: exp.Expression) -> None:
    """Emit once over stand-ins, so that what can't be emitted is refused with its place."""
    stand_ins: list[Any] = [f"$a{place}" for place in range(len(call.args))]
    try:
        if function.emit is not None:
            function.emit(call, stand_ins)
        elif function.condition is not None:
            function.condition(call, stand_ins, True)
    except SqlError as error:
        raise refuse(error.what, node, hint=error.hint) from error
