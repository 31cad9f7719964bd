"""Conditions move down to the scans they are about, where an index can serve them.

On the way a comma join with a condition becomes an inner join, an outer join whose NULL rows are filtered
away anyway becomes an inner one, and what every branch of an OR says about one table is said there, too.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from levada.sql.algebra import (
    Aggregate,
    Apply,
    Distinct,
    Filter,
    Join,
    Limit,
    Project,
    Relation,
    Scan,
    SetOperation,
    Sort,
    Unnest,
    Window,
    ids,
    inputs,
    outputs,
    with_inputs,
)
from levada.sql.expression import (
    Call,
    Case,
    Column,
    Constant,
    Expr,
    columns,
    conjunction,
    conjuncts,
    transform,
    volatile,
)
from levada.sql.rewrite.truth import factored, implied

Parts = list[Expr]


def pushed(relation: Relation) -> Relation:
    """The relation with every filter as near to its tables as it can be."""
    return _push(relation, [])


def _push(relation: Relation, parts: Parts) -> Relation:
    rule = _RULES.get(type(relation))
    if rule is not None:
        return rule(relation, parts)  # type: ignore[operator, no-any-return]
    below = tuple(_push(one, []) for one in inputs(relation))
    return _kept(with_inputs(relation, below) if below else relation, parts)


def _kept(relation: Relation, parts: Parts) -> Relation:
    condition = conjunction(list(dict.fromkeys(parts)))
    return relation if condition is None else Filter(relation, condition)


def _filter(node: Filter, parts: Parts) -> Relation:
    own = factored(node.condition)
    here = [part for part in own if volatile(part)]
    return _kept(_push(node.input, [*parts, *(part for part in own if part not in here)]), here)


def _scan(node: Scan, parts: Parts) -> Relation:
    own = ids(node)
    mine = [part for part in parts if columns(part) <= own]
    rest = [part for part in parts if part not in mine]
    condition = conjunction([*conjuncts(node.condition), *dict.fromkeys(mine)])
    return _kept(replace(node, condition=condition), rest)


def _project(node: Project, parts: Parts) -> Relation:
    items = dict(node.items)
    down = [part for part in parts if _cheap(part, items)]
    below = _push(node.input, [_substituted(part, items) for part in down])
    return _kept(replace(node, input=below), [part for part in parts if part not in down])


def _cheap(part: Expr, items: dict[str, Expr]) -> bool:
    """Whether a condition may be said below a projection: what it would compute twice is simple."""
    used = [items[name] for name in columns(part) if name in items]
    return all(isinstance(expr, Column | Constant) or _small(expr) for expr in used)  # said twice then


def _small(expr: Expr) -> bool:
    return not volatile(expr) and (not isinstance(expr, Call | Case) or len(columns(expr)) <= 1)


def _substituted(expr: Expr, items: dict[str, Expr]) -> Expr:
    return transform(expr, partial(_item, items=items))


def _item(part: Expr, items: dict[str, Expr]) -> Expr:
    return items.get(part.id, part) if isinstance(part, Column) else part


def _join(node: Join, parts: Parts) -> Relation:
    left, right = ids(node.left), ids(node.right)
    own = factored(node.condition) if node.condition is not None else []
    node = _tightened(node, parts, left, right)
    if node.kind in {"inner", "cross"}:
        return _inner(node, [*parts, *own], left, right)
    downs: dict[str, Parts] = {"left": [], "right": []}
    rest, kept = [], []
    for part in parts:
        side = _side(part, left, right)
        if side and _preserved(node.kind, side):
            downs[side].append(part)
        else:
            rest.append(part)
    for part in own:
        side = _side(part, left, right)
        if side and not _preserved(node.kind, side) and node.kind != "full":
            downs[side].append(part)  # the side that is only looked up
        elif side and node.kind == "semi":
            downs[side].append(part)
        else:
            kept.append(part)
    joined = replace(
        node,
        left=_push(node.left, downs["left"]),
        right=_push(node.right, downs["right"]),
        condition=conjunction(kept),
    )
    return _kept(joined, rest)


def _inner(node: Join, parts: Parts, left: frozenset[str], right: frozenset[str]) -> Relation:
    lefts = [part for part in parts if columns(part) <= left]
    rights = [part for part in parts if part not in lefts and columns(part) <= right]
    both = [part for part in parts if part not in lefts and part not in rights]
    mine = [part for part in both if columns(part) <= left | right]
    rest = [part for part in both if part not in mine]
    lefts += [said for part in mine if (said := implied(part, lambda e: columns(e) <= left))]
    rights += [said for part in mine if (said := implied(part, lambda e: columns(e) <= right))]
    condition = conjunction(list(dict.fromkeys(mine)))
    joined = Join(
        "cross" if condition is None else "inner",
        _push(node.left, lefts),
        _push(node.right, rights),
        condition,
    )
    return _kept(joined, rest)


def _side(part: Expr, left: frozenset[str], right: frozenset[str]) -> str | None:
    used = columns(part)
    if used and used <= left:
        return "left"
    return "right" if used and used <= right else None


def _preserved(kind: str, side: str) -> bool:
    """Whether a filter above the join may be said on this side of it."""
    return side == ("right" if kind == "right" else "left") and kind != "full"


def _tightened(node: Join, parts: Parts, left: frozenset[str], right: frozenset[str]) -> Join:
    """An outer join as a stricter one, where a filter rejects its rows of NULLs."""
    if node.kind not in {"left", "right", "full"}:
        return node
    no_right = any(_rejects_nulls(part, right) for part in parts)
    no_left = any(_rejects_nulls(part, left) for part in parts)
    kind = {
        ("left", True, True): "inner",
        ("left", True, False): "inner",
        ("right", True, True): "inner",
        ("right", False, True): "inner",
        ("full", True, True): "inner",
        ("full", True, False): "right",
        ("full", False, True): "left",
    }.get((node.kind, no_right, no_left), node.kind)
    return replace(node, kind=kind)


def _rejects_nulls(part: Expr, side: frozenset[str]) -> bool:
    """Whether a condition is never true where all of a side's columns are NULL."""
    if not isinstance(part, Call):
        return False
    if part.name in _COMPARISONS:
        return any(isinstance(_bare(arg), Column) and _bare(arg).id in side for arg in part.args)  # type: ignore[attr-defined]
    if part.name == "is not null":
        return isinstance(part.args[0], Column) and part.args[0].id in side
    return False


def _bare(expr: Expr) -> Expr:
    from levada.sql.expression import Cast

    while isinstance(expr, Cast):
        expr = expr.arg
    return expr


_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})


def _apply(node: Apply, parts: Parts) -> Relation:
    left = ids(node.left)
    down = [part for part in parts if columns(part) <= left]
    rest = [part for part in parts if part not in down]
    return _kept(replace(node, left=_push(node.left, down), right=_push(node.right, [])), rest)


def _aggregate(node: Aggregate, parts: Parts) -> Relation:
    groups = dict(node.groups)
    down = [part for part in parts if columns(part) and columns(part) <= groups.keys()]
    rest = [part for part in parts if part not in down]
    below = _push(node.input, [_substituted(part, groups) for part in down])
    return _kept(replace(node, input=below), rest)


def _distinct(node: Distinct, parts: Parts) -> Relation:
    return Distinct(_push(node.input, parts))


def _sort(node: Sort, parts: Parts) -> Relation:
    return replace(node, input=_push(node.input, parts))


def _limit(node: Limit, parts: Parts) -> Relation:
    return _kept(replace(node, input=_push(node.input, [])), parts)


def _window(node: Window, parts: Parts) -> Relation:
    partition = [expr.id for expr in node.calls[0][1].partition if isinstance(expr, Column)]
    down = [part for part in parts if columns(part) and columns(part) <= set(partition)]
    rest = [part for part in parts if part not in down]
    return _kept(replace(node, input=_push(node.input, down)), rest)


def _unnest(node: Unnest, parts: Parts) -> Relation:
    own = ids(node.input)
    down = [part for part in parts if columns(part) and columns(part) <= own]
    rest = [part for part in parts if part not in down]
    return _kept(replace(node, input=_push(node.input, down)), rest)


def _set_operation(node: SetOperation, parts: Parts) -> Relation:
    header = [column.id for column in node.header]
    down = [part for part in parts if columns(part) and columns(part) <= set(header)]
    rest = [part for part in parts if part not in down]
    sides = []
    for side in (node.left, node.right):
        own: dict[str, Expr] = dict(zip(header, outputs(side), strict=True))
        sides.append(_push(side, [_substituted(part, own) for part in down]))
    return _kept(replace(node, left=sides[0], right=sides[1]), rest)


_RULES = {
    Filter: _filter,
    Scan: _scan,
    Project: _project,
    Join: _join,
    Apply: _apply,
    Aggregate: _aggregate,
    Distinct: _distinct,
    Sort: _sort,
    Limit: _limit,
    Window: _window,
    Unnest: _unnest,
    SetOperation: _set_operation,
}
