"""Conditions as filters of the match language, which can use an index; only where they say exactly the same.

A column that is not proven to hold only its type gets `{"$or": [filter, {column: {"$type": [the others]}}]}`:
a value of another type always comes through, so that the scan's check sees it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from levada.sql.expression import Call, Cast, Column, Constant, Expr, walk
from levada.sql.expressions.nested import path_name
from levada.sql.expressions.patterns import like_regex
from levada.sql.expressions.pieces import known, stored
from levada.sql.types import SqlType

if TYPE_CHECKING:
    from levada.sql.expressions.emit import Place

Filter = dict[str, Any]

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}
_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">", "=": "<>", "<>": "="}
_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}

_NUMBERS = ("int", "long")

#: What BSON types hold a type's values, beside null.
_HOLDERS: Mapping[str, tuple[str, ...]] = {
    "BOOLEAN": ("bool",),
    "INTEGER": ("int",),
    "BIGINT": _NUMBERS,
    "DOUBLE": ("double", *_NUMBERS),
    "DECIMAL": ("decimal", *_NUMBERS),
    "VARCHAR": ("string", "symbol", "javascript"),
    "BLOB": ("binData",),
    "TIMESTAMP": ("date",),
    "DATE": ("date",),
    "OBJECTID": ("objectId",),
    "UUID": ("binData",),
    "STRUCT": ("object",),
    "LIST": ("array",),
}

_ALL = (
    "double", "string", "object", "array", "binData", "objectId", "bool", "date", "regex", "dbPointer",
    "javascript", "symbol", "javascriptWithScope", "int", "timestamp", "long", "decimal", "minKey", "maxKey",
)  # fmt: skip


def foreign(kind: SqlType) -> list[str]:
    """BSON types that a column of this type must not hold; none for VARIANT."""
    holders = _HOLDERS.get(kind.name, _ALL)
    return [name for name in _ALL if name not in holders]


def match(expr: Expr, row: Mapping[str, Place], wanted: bool = True) -> Filter | None:
    """The filter that finds exactly the documents for which `expr` is certainly `wanted`.

    Returns:
        None where the match language can't say it; the condition then is an aggregation expression.
    """
    match expr:
        case Constant():
            return {} if expr.value is wanted else {"$nor": [{}]}
        case Column():
            place = _place(expr, row)
            return None if place is None else _seen(place, expr.type, {place.path: wanted})
        case Call(name="not"):
            return match_(expr.args[0], row, not wanted)
        case Call(name="and" | "or"):
            return _joined(expr, row, wanted)
        case Call() if expr.name in _RULES:
            return _exact(expr, row, wanted, _RULES[expr.name](expr, row, wanted))
    return None


def _exact(expr: Call, row: Mapping[str, Place], wanted: bool, found: Filter | None) -> Filter | None:
    """The filter; for a field of a struct that may hold anything, with the condition itself beside it.

    The filter is there for an index. It sees into arrays, the condition does not.
    """
    from levada.sql.expressions.emit import condition

    inside = [part for part in expr.args if isinstance(plain(part), Call)]
    if found is None or not inside or all(place.proven for place in _roots(inside, row)):
        return found
    exact: Filter = {"$and": [found, {"$expr": condition(expr, row, wanted)}]}
    places = [(_place(part, row), plain(part).type) for part in inside]
    loose = [(replace(place, proven=False), kind) for place, kind in places if place is not None]
    others = [one for place, kind in loose if (one := _others(place, kind))]
    others += [one for place, _ in loose for one in _astray(place)]
    return {"$or": [exact, *others]} if others else exact


def _astray(place: Place) -> Iterator[Filter]:
    """Filters that find what is no document on the way to a field; an index of the field serves them."""
    above = place.path.split(".")[:-1]
    for depth in range(1, len(above) + 1):
        path = ".".join(above[:depth])
        odd = [name for name in foreign(SqlType("STRUCT")) if name != "array"]
        yield {"$and": [{place.path: None}, {path: {"$type": odd}}]}
        if not place.scalar:
            yield {path: {"$type": "array"}}


def _roots(parts: list[Expr], row: Mapping[str, Place]) -> list[Place]:
    return [row[one.id] for part in parts for one in walk(part) if isinstance(one, Column)]


match_ = match


def _joined(expr: Call, row: Mapping[str, Place], wanted: bool) -> Filter | None:
    parts = [match(part, row, wanted) for part in expr.args]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    return {"$and" if (expr.name == "and") is wanted else "$or": found}


def plain(expr: Expr) -> Expr:
    """The expression without casts that change nothing in BSON."""
    while isinstance(expr, Cast) and expr.implicit and not _converts(expr):
        expr = expr.arg
    return expr


def _converts(cast: Cast) -> bool:
    given, wanted = cast.arg.type.name, cast.type.name
    if given in {"INTEGER", "BIGINT"}:
        return wanted not in {"BIGINT", "DECIMAL", "DOUBLE"}
    return given != wanted and {given, wanted} != {"DATE", "TIMESTAMP"}


def _place(expr: Expr, row: Mapping[str, Place]) -> Place | None:
    expr = plain(expr)
    if isinstance(expr, Call) and expr.name == "struct_extract":
        return _inside(expr, row)
    if not isinstance(expr, Column):
        return None
    place = row[expr.id]
    return place if place.path else None


def _inside(expr: Call, row: Mapping[str, Place]) -> Place | None:
    """A field of a struct, by its path."""
    outer, name = _place(expr.args[0], row), known(expr.args[1])
    if outer is None or not path_name(name):
        return None
    path = f"{outer.path}.{name}"
    return replace(outer, path=path, proven=True, scalar=path in outer.flat)


def _sides(call: Call, row: Mapping[str, Place]) -> tuple[Place, SqlType, str, Any] | None:
    """The column's place and own type, the operator with the column on the left, the constant."""
    left, right = call.args
    name = call.name
    if isinstance(left, Constant):
        left, right, name = right, left, _FLIPPED[name]
    place = _place(left, row)
    if place is None or not isinstance(right, Constant):
        return None
    return place, plain(left).type, name, right.value


def _compare(call: Call, row: Mapping[str, Place], wanted: bool) -> Filter | None:
    sides = _sides(call, row)
    if sides is None:
        return None
    place, kind, name, value = sides
    if value is None:
        return {"$nor": [{}]}
    if kind.name in {"LIST", "STRUCT"} or (isinstance(value, float) and math.isnan(value)):
        return None
    name = name if wanted else _OPPOSITE[name]
    if name == "=":
        return _seen(place, kind, {place.path: stored(value)})
    if name == "<>":
        return _seen(place, kind, {place.path: {"$nin": [stored(value), None]}})
    found: Filter = {place.path: {_OPERATORS[name]: stored(value)}}
    above = kind.name == "DOUBLE" and name in {">", ">="}
    return _seen(place, kind, found, *([{place.path: math.nan}] if above else []))


def _in(call: Call, row: Mapping[str, Place], wanted: bool) -> Filter | None:
    place, kind = _place(call.args[0], row), plain(call.args[0]).type
    values = [part.value for part in call.args[1:] if isinstance(part, Constant)]
    if place is None or len(values) < len(call.args) - 1 or kind.name in {"LIST", "STRUCT"}:
        return None
    present = [stored(value) for value in values if value is not None]
    if wanted:
        return _seen(place, kind, {place.path: {"$in": present}})
    if len(present) < len(values):
        return {"$nor": [{}]}
    return _seen(place, kind, {place.path: {"$nin": [*present, None]}})


def _null(call: Call, row: Mapping[str, Place], wanted: bool) -> Filter | None:
    place = _place(call.args[0], row)
    if place is None:
        return None
    is_null = (call.name == "is null") is wanted
    kind = plain(call.args[0]).type
    if kind.name == "LIST":
        return None  # to the match language an array that holds null is null, too
    if not is_null:
        return {place.path: {"$ne": None}}  # values of other types are not null either
    return _seen(place, kind, {place.path: None})


def _like(call: Call, row: Mapping[str, Place], wanted: bool) -> Filter | None:
    place = _place(call.args[0], row)
    pattern, escape = call.args[1], call.args[2] if len(call.args) > 2 else None
    if place is None or not isinstance(pattern, Constant) or pattern.value is None:
        return None
    if escape is not None and not isinstance(escape, Constant):
        return None
    regex: Filter = {
        "$regex": like_regex(pattern.value, escape.value if escape else ""),
        "$options": "s" if call.name == "like" else "si",
    }
    found = regex if wanted else {"$not": regex, "$ne": None}
    return _seen(place, plain(call.args[0]).type, {place.path: found})


def _seen(place: Place, kind: SqlType, *filters: Filter) -> Filter:
    """OR over the filters, and over values of other types where the column may hold them.

    Left out is what would make an index read all its keys for nothing: other types of numbers, which compare
    exactly with this one, and arrays where an index knows that there are none.
    """
    others = _others(place, kind)
    parts = [*filters, others] if others else list(filters)
    return parts[0] if len(parts) == 1 else {"$or": parts}


def _others(place: Place, kind: SqlType) -> Filter | None:
    left_out = {"double", "int", "long", "decimal"} if kind.numeric else set()
    if place.scalar:
        left_out = left_out | {"array"}
    others = [name for name in foreign(kind) if name not in left_out]
    return of_types(place.path, kind, others) if others and not place.proven else None


def misfits(path: str, kind: SqlType) -> Iterator[Filter]:
    """Filters that find values of another type than a column's, or than the parts of a document or list."""
    if foreign(kind):
        yield of_types(path, kind, foreign(kind))
    for name, part in kind.fields:
        if path_name(name):
            yield from misfits(f"{path}.{name}", part)
    item = kind.item
    if item is None or item.name == "LIST" or not foreign(item):
        return
    yield {path: {"$type": [name for name in foreign(item) if name != "array"]}}  # of the items
    for name, part in item.fields:
        if path_name(name):
            yield from misfits(f"{path}.{name}", part)


def of_types(path: str, kind: SqlType, others: list[str]) -> Filter:
    """The documents with values of other types; `$type` looks into arrays, which a list column has."""
    found: Filter = {path: {"$type": others}}
    return {"$and": [found, {path: {"$not": {"$type": "array"}}}]} if kind.name == "LIST" else found


_RULES = {
    **dict.fromkeys(_OPERATORS, _compare),
    "=": _compare,
    "<>": _compare,
    "in": _in,
    "is null": _null,
    "is not null": _null,
    "like": _like,
    "ilike": _like,
}
