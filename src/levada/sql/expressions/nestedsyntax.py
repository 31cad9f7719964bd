"""How structs and lists are written: {'a': 1}, [1, 2], x[1], x[1:2], x->'a', list_sort(x, 'DESC')."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Call, Constant, Expr
from levada.sql.expressions.textsyntax import as_text
from levada.sql.expressions.unify import unified
from levada.sql.types import BIGINT, BOOLEAN, NULL, VARCHAR, VARIANT, list_of, struct

if TYPE_CHECKING:
    from levada.sql.expressions.bind import ScalarBinder

Rule = Callable[["ScalarBinder", Any], Expr]


def _array(binder: ScalarBinder, node: exp.Array) -> Expr:
    items = unified([binder.bind(item) for item in node.expressions], node)
    kind = items[0].type if items else NULL
    return Call(list_of(kind), False, "list_value", tuple(items))


def _struct(binder: ScalarBinder, node: exp.Struct) -> Expr:
    names: list[str] = []
    values: list[Expr] = []
    for part in node.expressions:
        if not isinstance(part, exp.PropertyEQ | exp.Alias):
            raise refuse("a struct's fields need names", node, hint="{'name': value}")
        names.append(part.alias if isinstance(part, exp.Alias) else part.this.name)
        values.append(binder.bind(part.this if isinstance(part, exp.Alias) else part.expression))
    if len(set(names)) < len(names):
        raise refuse("a struct can't have two fields of one name", node)
    kinds = zip(names, (value.type for value in values), strict=True)
    return Call(struct(*kinds), False, "struct_pack", tuple(values))


def _bracket(binder: ScalarBinder, node: exp.Bracket) -> Expr:
    value = binder.bind(node.this)
    index = node.expressions[0]
    if len(node.expressions) != 1:
        raise refuse("[ ] takes one index", node)
    if isinstance(index, exp.Slice):
        return _slice(binder, value, index, node)
    place = binder.bind(index)
    if value.type.name == "STRUCT" and isinstance(place, Constant) and place.type == VARCHAR:
        return binder.member(value, str(place.value), node)
    if isinstance(value, Constant) and value.value is None and value.type == VARCHAR:
        return value
    if value.type == VARCHAR:
        return binder.apply("list_slice", [value, place, place], node)
    if value.type == VARIANT:
        return binder.apply("variant_extract", [value, _from_zero(place, node)], node)
    return binder.apply("list_extract", [value, place], node)


def _from_zero(place: Expr, node: exp.Expression) -> Expr:
    if not isinstance(place, Constant):
        raise refuse("a VARIANT takes its field or place as a literal", node)
    return replace(place, value=place.value - 1) if isinstance(place.value, int) else place


def _slice(binder: ScalarBinder, value: Expr, index: exp.Slice, node: exp.Bracket) -> Expr:
    if index.args.get("step") is not None:
        raise refuse("a slice with a step does not run on MongoDB", node)
    if isinstance(value, Constant) and value.value is None:
        return value
    ends = [index.this, index.expression]
    bound = [
        binder.bind(end) if isinstance(end, exp.Expression) else Constant(BIGINT, True, None) for end in ends
    ]
    return binder.apply("list_slice", [value, *bound], node)


def _arrow(as_texts: bool) -> Rule:
    """`->` gives what is there, typed as it is known; `->>` gives a text."""

    def rule(binder: ScalarBinder, node: exp.Binary) -> Expr:
        value = binder.bind(node.this)
        for key in _keys(node.expression):
            value = _step(binder, value, key, node)
        return as_text(value, node) if as_texts else value

    return rule


def _keys(path: exp.Expression) -> list[str | int]:
    if isinstance(path, exp.Literal) and (path.is_string or path.is_int):
        return [path.name if path.is_string else int(path.name)]
    if not isinstance(path, exp.JSONPath):
        raise refuse("-> takes its path as a literal", path)
    keys: list[str | int] = []
    for part in path.expressions:
        if isinstance(part, exp.JSONPathKey | exp.JSONPathSubscript) and isinstance(part.this, str | int):
            keys.append(part.this)
        elif not isinstance(part, exp.JSONPathRoot):
            raise refuse("a path with wildcards does not run on MongoDB", path)
    return keys


def _step(binder: ScalarBinder, value: Expr, key: str | int, node: exp.Expression) -> Expr:
    if value.type == VARIANT:
        kind = VARCHAR if isinstance(key, str) else BIGINT
        return binder.apply("variant_extract", [value, Constant(kind, False, key)], node)
    if isinstance(key, str):
        return binder.member(value, key, node)
    place = key + 1 if key >= 0 else key
    return binder.apply("list_extract", [value, Constant(BIGINT, False, place)], node)


def _sort(binder: ScalarBinder, node: exp.ArraySort) -> Expr:
    ascending, first = node.args.get("asc"), node.args.get("nulls_first")
    flags = [
        Constant(BOOLEAN, False, isinstance(ascending, exp.Boolean) and not ascending.this),
        Constant(BOOLEAN, False, isinstance(first, exp.Boolean) and bool(first.this)),
    ]
    return binder.apply("list_sort", [binder.bind(node.this), *flags], node)


def _extract(binder: ScalarBinder, node: exp.StructExtract) -> Expr:
    key = node.expression
    if not (isinstance(key, exp.Literal) and key.is_string):
        raise refuse("struct_extract takes the field's name as a literal", node)
    return binder.member(binder.bind(node.this), key.name, node)


def _aggregate(binder: ScalarBinder, node: exp.Anonymous) -> Expr:
    """list_aggregate(list, 'sum')."""
    from levada.sql.expressions.registry import FUNCTIONS

    name = f"list_{node.expressions[-1].name.lower()}"
    if len(node.expressions) != 2 or name not in FUNCTIONS:
        raise refuse("list_aggregate takes a list and 'sum', 'avg', 'min', 'max' or 'count'", node)
    return binder.apply(name, [binder.bind(node.expressions[0])], node)


RULES: dict[type[exp.Expression], Rule] = {
    exp.Array: _array,
    exp.Struct: _struct,
    exp.Bracket: _bracket,
    exp.JSONExtract: _arrow(as_texts=False),
    exp.JSONExtractScalar: _arrow(as_texts=True),
    exp.ArraySort: _sort,
    exp.StructExtract: _extract,
}

NAMED: dict[str, Rule] = {"list_aggregate": _aggregate, "list_aggr": _aggregate}
