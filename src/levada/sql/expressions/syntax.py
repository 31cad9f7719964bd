"""What is written in a way of its own: literals, CASE, CAST, IN, BETWEEN, paths into structs and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Call, Cast, Constant, Expr, truth
from levada.sql.expressions.casts import known_cast
from levada.sql.expressions.datatypes import sql_type
from levada.sql.expressions.fold import Unfit, fold
from levada.sql.expressions.nestedsyntax import NAMED as NESTED_NAMED
from levada.sql.expressions.nestedsyntax import RULES as NESTED_RULES
from levada.sql.expressions.textsyntax import RULES as TEXT_RULES
from levada.sql.expressions.timesyntax import NAMED as TIME_NAMED
from levada.sql.expressions.timesyntax import RULES as TIME_RULES
from levada.sql.expressions.unify import compared, unified
from levada.sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, NULL, VARCHAR, SqlType, decimal

if TYPE_CHECKING:
    from levada.sql.expressions.bind import ScalarBinder

Rule = Callable[["ScalarBinder", Any], Expr]

_TESTS = {
    "is null": "is not null",
    "is not null": "is null",
    "is true": "is not true",
    "is false": "is not false",
    "is distinct from": "is not distinct from",
    "is not distinct from": "is distinct from",
}


def _literal(_binder: ScalarBinder, node: exp.Literal) -> Expr:
    if node.is_string:
        return Constant(VARCHAR, False, node.this)
    return number(node.this, node)


def number(text: str, node: exp.Expression | None = None) -> Constant:
    """A number as DuckDB types it: an integer by its size, DECIMAL with a point, DOUBLE with an exponent."""
    text = text.replace("_", "").lower()
    if "e" in text:
        return Constant(DOUBLE, False, float(text))
    if "." not in text:
        return _integer(int(text), node)
    value = Decimal(text)
    scale = -int(value.as_tuple().exponent)
    precision = sum(letter.isdigit() for letter in text)
    if precision > 34:
        return Constant(DOUBLE, False, float(text))
    return Constant(decimal(precision, scale), False, value)


def _integer(value: int, node: exp.Expression | None) -> Constant:
    if -(2**31) <= value < 2**31:
        return Constant(INTEGER, False, value)
    if -(2**63) <= value < 2**63:
        return Constant(BIGINT, False, value)
    if len(str(abs(value))) > 34:
        raise refuse("the number has more than 34 digits", node)
    return Constant(decimal(38, 0), False, Decimal(value))


def _boolean(_binder: ScalarBinder, node: exp.Boolean) -> Expr:
    return truth(bool(node.this))


def _null(_binder: ScalarBinder, _node: exp.Expression) -> Expr:
    return Constant(NULL, True, None)


def _word(_binder: ScalarBinder, node: exp.Expression) -> Expr:
    return Constant(VARCHAR, False, node.name.lower())


def _text(_binder: ScalarBinder, node: exp.Expression) -> Expr:
    return Constant(VARCHAR, False, node.name)


def _inner(binder: ScalarBinder, node: exp.Expression) -> Expr:
    return binder.bind(node.this)


def _connected(binder: ScalarBinder, node: exp.Connector) -> Expr:
    parts = [binder.bind(part) for part in node.flatten()]
    return binder.apply(node.key, parts, node)


def _not(binder: ScalarBinder, node: exp.Not) -> Expr:
    inner = binder.bind(node.this)
    if isinstance(inner, Call) and inner.name in _TESTS:
        return replace(inner, name=_TESTS[inner.name])
    return binder.apply("not", [inner], node)


def _is(binder: ScalarBinder, node: exp.Is) -> Expr:
    other = node.expression
    if isinstance(other, exp.Null):
        return binder.apply("is null", [binder.bind(node.this)], node)
    if isinstance(other, exp.Boolean):
        name = "is true" if other.this else "is false"
        return binder.apply(name, [binder.bind(node.this)], node)
    raise refuse(f"IS {other.sql()} does not run on MongoDB", node)


def _compared(name: str) -> Rule:
    def rule(binder: ScalarBinder, node: exp.Binary) -> Expr:
        left, right = node.this, node.expression
        if isinstance(right, exp.Any | exp.All) or _is_all(right):
            return _any_item(binder, name, node)
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
            return _rows(binder, name, node)
        return comparison(binder, name, [binder.bind(left), binder.bind(right)], node)

    return rule


def _is_all(node: exp.Expression) -> bool:
    """`ALL ([1, 2])` over a list is read as a function."""
    return isinstance(node, exp.Anonymous) and node.name.lower() == "all" and len(node.expressions) == 1


def comparison(binder: ScalarBinder, name: str, sides: Sequence[Expr], node: exp.Expression) -> Expr:
    """Two values compared as the type they have in common."""
    return binder.apply(name, compared(sides, node), node)


def _rows(binder: ScalarBinder, name: str, node: exp.Binary) -> Expr:
    left, right = node.this.expressions, node.expression.expressions
    if name not in {"=", "<>"} or len(left) != len(right):
        raise refuse("row values compare by = and <>, with as many parts", node)
    pairs = [
        comparison(binder, "=", [binder.bind(a), binder.bind(b)], node)
        for a, b in zip(left, right, strict=True)
    ]
    same = binder.apply("and", pairs, node)
    return same if name == "=" else binder.apply("not", [same], node)


def _any_item(binder: ScalarBinder, name: str, node: exp.Binary) -> Expr:
    """`x = ANY (list)`: over literal lists, and over stored ones by list_contains."""
    right = node.expression
    items = (right.expressions[0] if isinstance(right, exp.Anonymous) else right.this).unnest()
    any_of = isinstance(node.expression, exp.Any)
    if isinstance(items, exp.Array):
        pairs = [
            comparison(binder, name, [binder.bind(node.this), binder.bind(item)], node)
            for item in items.expressions
        ]
        return binder.apply("or" if any_of else "and", pairs, node) if pairs else truth(not any_of)
    if name == "=" and any_of:
        return _contained(binder, items, node.this, node)
    raise refuse(f"{name} {'ANY' if any_of else 'ALL'} over a stored list does not run on MongoDB", node)


def _between(binder: ScalarBinder, node: exp.Between) -> Expr:
    if node.args.get("symmetric"):
        raise refuse("BETWEEN SYMMETRIC does not run on MongoDB", node)
    value, low, high = (binder.bind(node.args[part]) for part in ("this", "low", "high"))
    sides = [comparison(binder, ">=", [value, low], node), comparison(binder, "<=", [value, high], node)]
    return binder.apply("and", sides, node)


def _in(binder: ScalarBinder, node: exp.In) -> Expr:
    if node.args.get("unnest") or node.args.get("field"):
        items = node.args.get("field") or node.args["unnest"].expressions[0]
        return _contained(binder, items, node.this, node)
    if isinstance(node.this, exp.Tuple):
        rows = [_rows(binder, "=", exp.EQ(this=node.this, expression=row)) for row in node.expressions]
        return binder.apply("or", rows, node)
    return _among(binder, binder.bind(node.this), [binder.bind(item) for item in node.expressions], node)


def _contained(
    binder: ScalarBinder, items: exp.Expression, value: exp.Expression, node: exp.Expression
) -> Expr:
    """Whether a list has a value; a list that is known, as a parameter is, can use an index."""
    found = binder.bind(items)
    if isinstance(found, Constant) and found.value is not None and found.type.item is not None:
        kind = found.type.item
        listed = [Constant(kind, item is None, item) for item in found.value]
        return _among(binder, binder.bind(value), listed, node) if listed else truth(False)
    return binder.apply("list_contains", [found, binder.bind(value)], node)


def _among(binder: ScalarBinder, value: Expr, items: Sequence[Expr], node: exp.Expression) -> Expr:
    value, *items_ = compared([value, *items], node)
    if isinstance(value, Constant) and value.value is None:
        return truth(None)
    if all(isinstance(item, Constant) for item in items_):
        return binder.apply("in", [value, *items_], node)
    return binder.apply("or", [binder.apply("=", [value, item], node) for item in items_], node)


def _case(binder: ScalarBinder, node: exp.Case) -> Expr:
    conditions = [_when(binder, node.this, branch.this) for branch in node.args["ifs"]]
    values = [binder.bind(branch.args["true"]) for branch in node.args["ifs"]]
    default = node.args.get("default")
    values.append(binder.bind(default) if default is not None else Constant(NULL, True, None))
    values = unified(values, node)
    return binder.chosen(list(zip(conditions, values[:-1], strict=True)), values[-1])


def _when(binder: ScalarBinder, operand: exp.Expression | None, node: exp.Expression) -> Expr:
    if operand is None:
        return binder.condition_of(node)
    return comparison(binder, "=", [binder.bind(operand), binder.bind(node)], node)


def _if(binder: ScalarBinder, node: exp.If) -> Expr:
    no = node.args.get("false")
    values = [binder.bind(node.args["true"]), binder.bind(no) if no else Constant(NULL, True, None)]
    yes, other = unified(values, node)
    return binder.chosen([(binder.condition_of(node.this), yes)], other)


def _coalesce(binder: ScalarBinder, node: exp.Coalesce) -> Expr:
    values = unified([binder.bind(part) for part in (node.this, *node.expressions)], node)
    kept: list[Expr] = []
    for value in values:
        if not (isinstance(value, Constant) and value.value is None):
            kept.append(value)
        if not value.nullable:
            break
    if len(kept) < 2:
        return kept[0] if kept else values[0]
    branches = [(Call(BOOLEAN, False, "is not null", (value,)), value) for value in kept[:-1]]
    return replace(binder.chosen(branches, kept[-1]), nullable=kept[-1].nullable)


def _nullif(binder: ScalarBinder, node: exp.Nullif) -> Expr:
    left, right = binder.bind(node.this), binder.bind(node.expression)
    same = comparison(binder, "=", [left, right], node)
    return binder.chosen([(same, Constant(left.type, True, None))], left)


def _cast(binder: ScalarBinder, node: exp.Cast) -> Expr:
    if node.args.get("format") is not None:
        raise refuse("CAST with FORMAT does not run on MongoDB", node, hint="strptime or strftime does it")
    return cast(binder.bind(node.this), node, safe=isinstance(node, exp.TryCast))


def cast(value: Expr, node: exp.Expression, *, safe: bool) -> Expr:
    """A value as the type that `node` names.

    Raises:
        SqlError: there is no such type or no such cast, or a constant can't be cast.
    """
    return cast_to(value, sql_type(node.args["to"]), node, safe=safe)


def cast_to(value: Expr, kind: SqlType, node: exp.Expression, *, safe: bool) -> Expr:
    """A value as `kind`.

    Raises:
        SqlError: there is no such cast, or a constant can't be cast.
    """
    if value.type == kind:
        return value
    known = value.type == VARCHAR or known_cast(value.type, kind)
    if isinstance(value, Constant) and (value.value is None or (known and value.type.name != "LIST")):
        try:
            return Constant(kind, value.value is None, fold(value.value, value.type, kind))
        except Unfit as error:
            if safe:
                return Constant(kind, True, None)
            raise refuse(str(error), node) from error
    if not known_cast(value.type, kind):
        raise refuse(f"CAST from {value.type} to {kind} does not run on MongoDB", node)
    return Cast(kind, value.nullable or safe, value, safe)


def _dot(binder: ScalarBinder, node: exp.Dot) -> Expr:
    if isinstance(node.expression, exp.Identifier):
        return binder.member(binder.bind(node.this), node.expression.name, node)
    raise refuse(f"{node.sql()} does not run on MongoDB", node)


def _negative(binder: ScalarBinder, node: exp.Neg) -> Expr:
    value = binder.bind(node.this)
    if isinstance(node.this, exp.Literal) and not node.this.is_string and isinstance(value, Constant):
        if value.type in {INTEGER, BIGINT} or value.type == decimal(38, 0):
            return _integer(-int(value.value), node)
        return replace(value, value=-value.value)
    return binder.apply("negate", [value], node)


def _alias(binder: ScalarBinder, node: exp.Alias) -> Expr:
    return binder.bind(node.this)


RULES: dict[type[exp.Expression], Rule] = {
    exp.Literal: _literal,
    exp.Boolean: _boolean,
    exp.Null: _null,
    exp.Var: _word,
    exp.Paren: _inner,
    exp.Alias: _alias,
    exp.And: _connected,
    exp.Or: _connected,
    exp.Not: _not,
    exp.Is: _is,
    exp.EQ: _compared("="),
    exp.NEQ: _compared("<>"),
    exp.LT: _compared("<"),
    exp.LTE: _compared("<="),
    exp.GT: _compared(">"),
    exp.GTE: _compared(">="),
    exp.NullSafeEQ: _compared("is not distinct from"),
    exp.NullSafeNEQ: _compared("is distinct from"),
    exp.Between: _between,
    exp.In: _in,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.ByteString: _text,
    exp.National: _text,
    exp.RawString: _text,
    exp.Dot: _dot,
    exp.Neg: _negative,
    **TIME_RULES,
    **TEXT_RULES,
    **NESTED_RULES,
}

#: Functions that sqlglot does not know, by name.
NAMED: dict[str, Rule] = {**TIME_NAMED, **NESTED_NAMED}
