"""Columns that nobody reads are not computed, and orders that nobody sees are not sorted."""

from __future__ import annotations

from dataclasses import replace

from levada.sql.algebra import (
    Aggregate,
    Apply,
    BoundQuery,
    Distinct,
    Join,
    Limit,
    Project,
    Relation,
    Scan,
    SetOperation,
    Sort,
    Stored,
    Unnest,
    Values,
    Window,
    expressions,
    free,
    ids,
    inputs,
    outputs,
    with_inputs,
)
from levada.sql.expression import columns

Needed = frozenset[str]


#: Aggregates that show in which order their rows came.
_IN_ORDER = frozenset({"list", "string_agg", "first", "last"})


def pruned(query: BoundQuery) -> BoundQuery:
    """The query with only the columns it needs."""
    wanted = frozenset(column.id for _, column in query.output)
    stored = tuple((name, _pruned(one, ids(one), seen=False)) for name, one in query.stored)
    return replace(query, relation=_pruned(query.relation, wanted, seen=True), stored=stored)


def _pruned(relation: Relation, needed: Needed, *, seen: bool) -> Relation:  # noqa: C901
    """Args: seen: whether the order of the rows matters."""
    match relation:
        case Scan():
            kept = needed | (columns(relation.condition) if relation.condition else frozenset())
            return replace(relation, fields=tuple(pair for pair in relation.fields if pair[0] in kept))
        case Project():
            relation = replace(relation, items=tuple(pair for pair in relation.items if pair[0] in needed))
        case Aggregate():
            calls = tuple(pair for pair in relation.aggregates if pair[0] in needed)
            relation = replace(relation, aggregates=calls)
        case Window():
            kept_calls = tuple(pair for pair in relation.calls if pair[0] in needed)
            if not kept_calls:
                return _pruned(relation.input, needed, seen=seen)
            relation = replace(relation, calls=kept_calls)
        case Sort() if not seen:
            return _pruned(relation.input, needed, seen=False)
        case Distinct():
            return Distinct(_pruned(relation.input, ids(relation.input), seen=False))
        case SetOperation():
            return _both(relation, needed)
        case Values():
            return _values(relation, needed)
        case Stored():
            kept_fields = tuple(pair for pair in relation.fields if pair[0].id in needed)
            return replace(relation, fields=kept_fields)
    return _over_inputs(relation, needed, seen=seen)


def _over_inputs(relation: Relation, needed: Needed, *, seen: bool) -> Relation:
    own = frozenset[str]().union(*(columns(expr) for expr in expressions(relation)))
    carried = frozenset() if isinstance(relation, Project | Aggregate) else needed
    below = carried | own
    if isinstance(relation, Apply):
        below |= free(relation.right)
        right = (
            frozenset({relation.column})
            if relation.kind == "scalar"
            else needed
            if relation.kind in {"inner", "left"}
            else frozenset()
        )
        return replace(
            relation,
            left=_pruned(relation.left, below, seen=False),
            right=_pruned(relation.right, right, seen=False),
        )
    visible = isinstance(relation, Limit) or (seen and not isinstance(relation, Join | Aggregate | Unnest))
    if isinstance(relation, Aggregate):
        visible = any(call.name in _IN_ORDER and not call.order for _, call in relation.aggregates)
    parts = tuple(_pruned(one, below & ids(one), seen=visible) for one in inputs(relation))
    return with_inputs(relation, parts)


def _both(node: SetOperation, needed: Needed) -> Relation:
    """UNION ALL needs the columns that are read; the others compare whole rows."""
    keep = [column.id in needed or not (node.all and node.kind == "union") for column in node.header]
    if not any(keep):
        keep[0] = True
    sides = []
    for side in (node.left, node.right):
        kept = [column for column, wanted in zip(outputs(side), keep, strict=True) if wanted]
        narrow = Project(side, tuple((column.id, column) for column in kept)) if not all(keep) else side
        sides.append(_pruned(narrow, frozenset(column.id for column in kept), seen=False))
    header = tuple(column for column, wanted in zip(node.header, keep, strict=True) if wanted)
    return replace(node, left=sides[0], right=sides[1], header=header)


def _values(node: Values, needed: Needed) -> Relation:
    keep = [column.id in needed for column in node.header]
    rows = tuple(tuple(item for item, wanted in zip(row, keep, strict=True) if wanted) for row in node.rows)
    return Values(tuple(c for c, wanted in zip(node.header, keep, strict=True) if wanted), rows)
