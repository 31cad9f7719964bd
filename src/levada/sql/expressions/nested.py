"""Structs and lists; places in lists are counted from 1, or from the end if negative."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from levada.sql.expression import Call, Cast, Constant
from levada.sql.expressions.casts import cast
from levada.sql.expressions.pieces import both, given, known, stored
from levada.sql.expressions.strings import joined_list
from levada.sql.expressions.table import Emitted, Function, Signature, Typing
from levada.sql.expressions.unify import meet
from levada.sql.types import BIGINT, BOOLEAN, DOUBLE, NULL, VARCHAR, VARIANT, SqlType, decimal, list_of

Emit = Callable[[Call, list[Emitted]], Emitted]

_INT = {"INTEGER", "BIGINT"}


def _field_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or types[0].name not in {"STRUCT", "VARIANT"} or types[1] != VARCHAR:
        return None
    return Signature(tuple(types), VARIANT)  # the binder knows the type of a struct's field


def _field(call: Call, args: list[Emitted]) -> Emitted:
    return field(args[0], str(known(call.args[1])))


def field(value: Emitted, name: str) -> Emitted:
    """A field of a document; by its path where the name can stand in one."""
    if path_name(name) and isinstance(value, str) and value.startswith("$"):
        return f"{value}.{name}"
    return {"$getField": {"field": {"$literal": name}, "input": value}}


def path_name(name: str) -> bool:
    """Whether a field's name can stand in a path."""
    return bool(name) and not name.startswith("$") and "." not in name and "\0" not in name


def _variant_field(call: Call, args: list[Emitted]) -> Emitted:
    """A field of a document, or an item of an array from 0; else NULL."""
    key = known(call.args[1])
    kind = {"$type": args[0]}
    if isinstance(key, int):
        return {"$cond": [{"$eq": [kind, "array"]}, {"$arrayElemAt": [args[0], key]}, None]}
    found = {"$getField": {"field": {"$literal": str(key)}, "input": args[0]}}
    return {"$cond": [{"$eq": [kind, "object"]}, found, None]}


def _variant_typing(types: Sequence[SqlType]) -> Signature | None:
    fits = len(types) == 2 and types[0] == VARIANT and (types[1] == VARCHAR or types[1].name in _INT)
    return Signature(tuple(types), VARIANT) if fits else None


def pack(call: Call, args: list[Emitted]) -> Emitted:
    """A document. `$mergeObjects` around it: `$project` would take a plain one for paths."""
    names = [name for name, _ in call.type.fields]
    values = [
        {"$ifNull": [arg, None]} if part.nullable else arg for part, arg in zip(call.args, args, strict=True)
    ]
    if all(map(path_name, names)):
        return {"$mergeObjects": [dict(zip(names, values, strict=True))]}
    pairs = [{"k": {"$literal": name}, "v": value} for name, value in zip(names, values, strict=True)]
    return {"$arrayToObject": [pairs]}


def _any(types: Sequence[SqlType]) -> Signature | None:
    return Signature(tuple(types), VARIANT)


def _list(call: Call, args: list[Emitted]) -> Emitted:
    """Never a bare array: as an only argument of an operator that would be its list of arguments."""
    if all(isinstance(part, Constant) for part in call.args):
        return {"$literal": [stored(part.value) for part in call.args if isinstance(part, Constant)]}
    items = [
        {"$ifNull": [arg, None]} if part.nullable else arg for part, arg in zip(call.args, args, strict=True)
    ]
    return {"$concatArrays": [items]}


def _lists(result: Callable[[SqlType], SqlType], *more: SqlType) -> Typing:
    """A list and these; the result's type follows from that of the items."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        if len(types) != 1 + len(more) or types[0].item is None:
            return None
        return Signature((types[0], *more), result(types[0].item))

    return typing


def _with_item(result: Callable[[SqlType], SqlType], *, last: bool = False) -> Typing:
    """A list and an item, or the item first."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        if len(types) != 2:
            return None
        items, item = (types[1], types[0]) if last else types
        if items == NULL:
            items = list_of(item)
        kind = items.item and _meet(items.item, item)
        if not kind:
            return None
        args = (kind, list_of(kind)) if last else (list_of(kind), kind)
        return Signature(args, result(kind))

    return typing


def _meet(item: SqlType, other: SqlType) -> SqlType | None:
    """The type of both; a text literal is cast to that of the items by the binder."""
    return meet(item, other) or (item if other == VARCHAR else None)


def _all_lists(result: Callable[[SqlType], SqlType], count: int = 0) -> Typing:
    """Lists whose items have a type in common: `count` of them, or any number."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        kind: SqlType | None = NULL
        for one in types:
            kind = None if kind is None else meet(kind, one)
        if not types or kind is None or kind.item is None or len(types) != (count or len(types)):
            return None
        return Signature((kind,) * len(types), result(kind.item))

    return typing


def _contains(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    tests = [given(arg) for part, arg in zip(call.args, args, strict=True) if part.nullable]
    items = {"$ifNull": [args[0], []]} if call.args[0].nullable else args[0]
    found: Emitted = {"$in": [args[1], items]}
    return {"$and": [*tests, found if wanted else {"$not": [found]}]}


def _sets(operator: str) -> Callable[[Call, list[Emitted], bool], Emitted]:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        tests = [given(arg) for part, arg in zip(call.args, args, strict=True) if part.nullable]
        left, right = (_present({"$ifNull": [arg, []]}) for arg in args)
        found: Emitted = (
            {"$setIsSubset": [right, left]}
            if operator == "all"
            else {"$gt": [{"$size": {"$setIntersection": [left, right]}}, 0]}
        )
        return {"$and": [*tests, found if wanted else {"$not": [found]}]}

    return rule


def _present(items: Emitted) -> Emitted:
    return {"$filter": {"input": items, "as": "item", "cond": given("$$item")}}


def _item(call: Call, args: list[Emitted]) -> Emitted:
    """The item at a place; NULL where there is none."""
    place = known(call.args[1])
    if place == 0:
        return None
    if isinstance(place, int):
        return {"$arrayElemAt": [args[0], place - 1 if place > 0 else place]}
    return {"$cond": [{"$eq": [args[1], 0]}, None, {"$arrayElemAt": [args[0], from_zero(args[1])]}]}


def from_zero(place: Emitted) -> Emitted:
    """A place from 1, or from the end, as `$arrayElemAt` takes it: within 32 bits."""
    index = {"$cond": [{"$gt": [place, 0]}, {"$subtract": [place, 1]}, place]}
    return {"$max": [{"$min": [index, 2**31 - 1]}, -(2**31)]}


def bounds(size: Emitted, start: Emitted | None, end: Emitted | None) -> tuple[Emitted, Emitted]:
    """A slice's first place from 0 and how many it has, for ends counted from 1 or negative."""
    low: Emitted = 0
    if start is not None:
        back = {"$max": [{"$add": [size, start]}, 0]}
        ahead = {"$max": [{"$subtract": [start, 1]}, 0]}
        low = {"$min": [size, {"$cond": [{"$lt": [start, 0]}, back, ahead]}]}
    high: Emitted = size
    if end is not None:
        high = {"$cond": [{"$lt": [end, 0]}, {"$add": [size, end, 1]}, {"$min": [end, size]}]}
    return low, {"$max": [{"$subtract": [high, low]}, 0]}


def _ends(call: Call, args: list[Emitted]) -> tuple[Emitted | None, Emitted | None]:
    """The ends of a slice; an INTEGER NULL constant stands for one that is not written."""
    start, end = (
        None if isinstance(part, Constant) and part.value is None else arg
        for part, arg in zip(call.args[1:], args[1:], strict=True)
    )
    return start, end


def _slice(call: Call, args: list[Emitted]) -> Emitted:
    text = call.args[0].type == VARCHAR
    value = {"$ifNull": [args[0], "" if text else []]} if call.args[0].nullable else args[0]
    size = {"$strLenCP": value} if text else {"$size": [value]}
    low, count = bounds(size, *_ends(call, args))
    if text:
        cut: Emitted = {"$substrCP": [value, low, count]}
    else:
        whole = {"$slice": [value, low, {"$max": ["$$count", 1]}]}
        cut = {"$let": {"vars": {"count": count}, "in": {"$cond": [{"$gt": ["$$count", 0]}, whole, []]}}}
    told = zip(call.args, args, strict=True)
    tests = [given(arg) for part, arg in told if part.nullable and not isinstance(part, Constant)]
    return {"$cond": [both(tests), cut, None]} if tests else cut


def _slice_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 3 or not (types[0] == VARCHAR or types[0].item is not None):
        return None
    return Signature((types[0], BIGINT, BIGINT), types[0])


def _concat(_call: Call, args: list[Emitted]) -> Emitted:
    """NULL lists are left out."""
    return {"$concatArrays": [{"$ifNull": [arg, []]} for arg in args]}


def _append(last: bool) -> Emit:
    def emit(_call: Call, args: list[Emitted]) -> Emitted:
        items, item = (args[1], args[0]) if last else args
        one = [{"$ifNull": [item, None]}]
        parts = [{"$ifNull": [items, []]}]
        return {"$concatArrays": [one, *parts] if last else [*parts, one]}

    return emit


def _sort(call: Call, args: list[Emitted]) -> Emitted:
    descending, nulls_first = (bool(known(arg)) for arg in call.args[1:3])
    item = call.args[0].type.item
    items = args[0]
    ordered: Emitted = {"$sortArray": {"input": _present(items), "sortBy": -1 if descending else 1}}
    if item == DOUBLE:  # NaN is the greatest
        numbers = {"$filter": {"input": items, "as": "item", "cond": {"$gte": ["$$item", -math.inf]}}}
        nans = {"$filter": {"input": items, "as": "item", "cond": {"$eq": ["$$item", math.nan]}}}
        ordered = {"$sortArray": {"input": numbers, "sortBy": -1 if descending else 1}}
        ordered = {"$concatArrays": [nans, ordered] if descending else [ordered, nans]}
    nulls = {"$filter": {"input": items, "as": "item", "cond": {"$lte": ["$$item", None]}}}
    return {"$concatArrays": [nulls, ordered] if nulls_first else [ordered, nulls]}


def _sort_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 3 or types[0].item is None or types[0].item.item or types[0].item.fields:
        return None
    return Signature((types[0], BOOLEAN, BOOLEAN), types[0])


def _distinct(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$setUnion": [_present(args[0]), []]}


def _join(call: Call, args: list[Emitted]) -> Emitted:
    item = call.args[0].type.item
    assert item is not None
    shown = cast(Cast(VARCHAR, True, Constant(item, True, None)), "$$item")
    texts = {"$map": {"input": _present(args[0]), "as": "item", "in": shown}}
    empty = {"$cond": [{"$eq": [args[0], []]}, "", None]}
    return {"$ifNull": [joined_list(texts, args[1]), empty]}


def _numbers(item: SqlType) -> SqlType:
    if item.name in _INT or item == NULL:
        return BIGINT
    return decimal(38, item.scale) if item.name == "DECIMAL" else DOUBLE


def _number_lists(result: Callable[[SqlType], SqlType]) -> Typing:
    plain = _lists(result)

    def typing(types: Sequence[SqlType]) -> Signature | None:
        numeric = len(types) == 1 and types[0].item and (types[0].item.numeric or types[0].item == NULL)
        return plain(types) if numeric else None

    return typing


def _fold(operator: str) -> Emit:
    """`$sum` and its like leave nulls out, but give 0 for nothing."""

    def emit(call: Call, args: list[Emitted]) -> Emitted:
        total: Emitted = {operator: args[0]}
        if operator == "$avg":
            return {"$toDouble": total}
        total = {"$toLong": total} if call.type == BIGINT else total
        return {"$cond": [{"$gt": [{"$max": args[0]}, None]}, total, None]}

    return emit


def _extreme(operator: str) -> Emit:
    """NaN is the greatest."""

    def emit(call: Call, args: list[Emitted]) -> Emitted:
        if call.type != DOUBLE:
            return {operator: args[0]}
        nan = {"$in": [math.nan, args[0]]}
        numbers = {"$filter": {"input": args[0], "as": "item", "cond": {"$gte": ["$$item", -math.inf]}}}
        if operator == "$max":
            return {"$cond": [nan, math.nan, {"$max": numbers}]}
        return {"$ifNull": [{"$min": numbers}, {"$cond": [nan, math.nan, None]}]}

    return emit


def _place(_call: Call, args: list[Emitted]) -> Emitted:
    found = {"$indexOfArray": args}
    return {"$let": {"vars": {"place": found}, "in": {
        "$cond": [{"$gte": ["$$place", 0]}, {"$add": ["$$place", 1]}, None]}}}  # fmt: skip


def _flatten(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$reduce": {"input": args[0], "initialValue": [], "in": {
        "$concatArrays": ["$$value", {"$ifNull": ["$$this", []]}]}}}  # fmt: skip


def _flatten_typing(types: Sequence[SqlType]) -> Signature | None:
    inner = types[0].item if len(types) == 1 else None
    return Signature(tuple(types), inner) if inner is not None and inner.item is not None else None


def _self(item: SqlType) -> SqlType:
    return item


def _to(kind: SqlType) -> Callable[[SqlType], SqlType]:
    return lambda _item: kind


def _fn(
    name: str, typing: Typing, emit: Emit, takes: str, example: str, *nodes: Any,
    parts: tuple[str, ...] = (), note: str = "", nulls: str = "guard", may_be_null: bool = True,
) -> Function:  # fmt: skip
    return Function(
        name, typing, emit, nulls=nulls, nodes=nodes, parts=parts, takes=takes, note=note, example=example,
        may_be_null=may_be_null, never_null=nulls == "kept" and not may_be_null,
    )  # fmt: skip


TABLE = (
    _fn("struct_extract", _field_typing, _field, "struct, name",
        "struct_extract({'a': 1, 'b': 'x'}, 'b') = 'x'",
        note="also struct.name, struct['name'] and struct->'name'", nulls="native"),
    _fn("variant_extract", _variant_typing, _variant_field, "variant, name or place", "",
        note="written variant->'name' and variant->0; ->> gives a text", nulls="guard"),
    Function("struct_pack", _any, pack, nulls="kept", takes="name := value, ...", never_null=True,
             note="also {'name': value}", example="struct_pack(a := 1).a = 1"),
    Function("list_value", _any, _list, nulls="kept", takes="values...", never_null=True,
             note="also [a, b]", example="[1, 2][2] = 2"),
    Function("list_contains", _with_item(_to(BOOLEAN)), condition=_contains, takes="list, item",
             nodes=(exp.ArrayContains, "array_has", "array_contains", "list_has"), parts=("this",
             "expression"),
             note="also item IN list", example="list_contains([1, 2], 2) = TRUE"),
    Function("list_has_any", _all_lists(_to(BOOLEAN), 2), condition=_sets("any"), takes="list, list",
             nodes=(exp.ArrayOverlaps,), parts=("this", "expression"), note="also &&",
             example="list_has_any([1, 2], [2, 3]) = TRUE"),
    Function("list_has_all", _all_lists(_to(BOOLEAN), 2), condition=_sets("all"), takes="list, list",
             nodes=(exp.ArrayContainsAll, "list_has_all", "array_has_all"), parts=("this", "expression"),
             note="also @>", example="list_has_all([1, 2], [2]) = TRUE"),
    _fn("list_extract", _lists(_self, BIGINT), _item, "list, place", "list_extract([1, 2], -1) = 2",
        "list_extract", "list_element", "element_at", note="also list[place]"),
    _fn("list_slice", _slice_typing, _slice, "list, first, last", "list_slice([1, 2, 3], 2, 3) = [2, 3]",
        "list_slice", exp.ArraySlice, note="also list[first:last]; texts, too", nulls="kept"),
    _fn("list_concat", _all_lists(list_of), _concat, "lists...", "list_concat([1], [2]) = [1, 2]",
        exp.ArrayConcat, "list_cat", parts=("this", "expressions"), note="NULL is left out", nulls="kept",
        may_be_null=False),
    _fn("|| of lists", _all_lists(list_of), lambda _c, a: {"$concatArrays": a}, "list, list",
        "([1] || [2]) = [1, 2]", nulls="native", may_be_null=False),
    _fn("list_append", _with_item(list_of), _append(False), "list, item", "list_append([1], 2) = [1, 2]",
        exp.ArrayAppend, parts=("this", "expression"), nulls="kept", may_be_null=False),
    _fn("list_prepend", _with_item(list_of, last=True), _append(True), "item, list",
        "list_prepend(1, [2]) = [1, 2]", exp.ArrayPrepend, parts=("expression", "this"), nulls="kept",
        may_be_null=False),
    _fn("list_reverse", _lists(list_of), lambda _c, a: {"$reverseArray": a[0]}, "list",
        "list_reverse([1, 2]) = [2, 1]", "list_reverse", "array_reverse", exp.ArrayReverse, parts=(),
        may_be_null=False),
    _fn("list_sort", _sort_typing, _sort, "list, order, nulls", "list_sort([2, 1]) = [1, 2]",
        note="NULLS LAST unless said otherwise; also list_reverse_sort", may_be_null=False),
    _fn("list_distinct", _lists(list_of), _distinct, "list", "len(list_distinct([1, 1])) = 1",
        exp.ArrayDistinct, parts=("this",), note="in no particular order", may_be_null=False),
    _fn("list_unique", _lists(_to(BIGINT)), lambda c, a: {"$size": _distinct(c, a)}, "list",
        "list_unique([1, 1, 2]) = 2", "list_unique", "array_unique", may_be_null=False),
    _fn("list_intersect", _all_lists(list_of, 2),
        lambda _c, a: {"$setIntersection": [_present(a[0]), _present(a[1])]}, "list, list",
        "list_intersect([1, 2], [2]) = [2]", exp.ArrayIntersect, "list_intersect", parts=("expressions",),
        note="in no particular order", may_be_null=False),
    _fn("list_position", _with_item(_to(BIGINT)), _place, "list, item", "list_position([5, 6], 6) = 2",
        exp.ArrayPosition, "list_position", "list_indexof", "array_indexof", parts=("this", "expression")),
    _fn("array_to_string", _lists(_to(VARCHAR), VARCHAR), _join, "list, separator",
        "array_to_string(['a', 'b'], '-') = 'a-b'", exp.ArrayToString, "list_aggr_string",
        parts=("this", "expression"), note="NULL is left out"),
    _fn("flatten", _flatten_typing, _flatten, "list of lists", "flatten([[1], [2]]) = [1, 2]", exp.Flatten,
        parts=("this",), may_be_null=False),
    _fn("list_sum", _number_lists(_numbers), _fold("$sum"), "list", "list_sum([1, 2]) = 3", "list_sum",
        exp.ArraySum, parts=("expressions",)),
    _fn("list_avg", _number_lists(_to(DOUBLE)), _fold("$avg"), "list", "list_avg([1, 2]) = 1.5", "list_avg"),
    _fn("list_min", _lists(_self), _extreme("$min"), "list", "list_min([2, 1]) = 1", exp.ArrayMin,
        parts=("this",)),
    _fn("list_max", _lists(_self), _extreme("$max"), "list", "list_max([2, 1]) = 2", exp.ArrayMax,
        parts=("this",)),
    _fn("list_count", _lists(_to(BIGINT)), lambda _c, a: {"$size": _present(a[0])}, "list",
        "list_count([1, NULL]) = 1", "list_count", may_be_null=False),
    _fn("list_any_value", _lists(_self), lambda _c, a: {"$arrayElemAt": [_present(a[0]), 0]}, "list",
        "list_any_value([NULL, 1]) = 1", "list_any_value", note="the first that is not NULL"),
    _fn("list_first", _lists(_self), lambda _c, a: {"$arrayElemAt": [a[0], 0]}, "list",
        "list_first([1, 2]) = 1", "list_first", exp.ArrayFirst, parts=()),
    _fn("list_last", _lists(_self), lambda _c, a: {"$arrayElemAt": [a[0], -1]}, "list",
        "list_last([1, 2]) = 2", "list_last", exp.ArrayLast, parts=()),
)  # fmt: skip
