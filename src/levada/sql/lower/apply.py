"""Correlated subqueries: a `$lookup` whose pipeline knows the outer row's columns as variables."""

from __future__ import annotations

from collections.abc import Iterator

from levada.sql.algebra import (
    Aggregate,
    Apply,
    Filter,
    Limit,
    Project,
    Relation,
    Sort,
    Values,
    expressions,
    free,
    ids,
    inputs,
)
from levada.sql.expression import Expr
from levada.sql.expressions.emit import Place
from levada.sql.expressions.folding import refusal
from levada.sql.lower.lookup import correlated, free_name, variables
from levada.sql.lower.relation import lower_relation
from levada.sql.lower.state import Context, Lowered, Needed, materialised, moved
from levada.sql.plan import Stage


def lower_apply(apply: Apply, needed: Needed, context: Context) -> Lowered:
    """The left's rows, each with what the right gives for it."""
    own = sorted(free(apply.right) & ids(apply.left))
    below = {name: 1 for name in needed if name in ids(apply.left)}
    for name in own:
        below[name] = below.get(name, 0) + 1
    left = lower_relation(apply.left, below, context)
    inner = context.inside(variables(own, _said(apply.right)))
    shown = [apply.column] if apply.kind == "scalar" else [n for n in needed if n in ids(apply.right)]
    if apply.kind == "mark":
        shown = []
    right = lower_relation(apply.right, dict.fromkeys(shown, 1), inner)
    right = _cut(materialised(right, shown), apply)
    name = free_name(left.row, context.outer)
    let = {column: left.row[column].value for column in own}
    if let:
        context.note(
            "subquery", f"is run for every row: it depends on {len(let)} of its columns", works=False
        )
    joined = correlated(left, right, name, let)
    if apply.kind == "mark":
        found = Place({"$ne": [f"${name}", []]}, proven=True)
        return joined.then(row={**left.row, apply.id: found})
    outer = apply.kind != "inner"
    stage: Stage = {
        "$unwind": {"path": f"${name}", "preserveNullAndEmptyArrays": True} if outer else f"${name}"
    }
    if apply.kind == "scalar" and not single(apply.right):
        failure = refusal("a scalar subquery gives more than one row", f"${name}")
        one = {"$cond": [{"$gt": [{"$size": f"${name}"}, 1]}, failure, {"$first": f"${name}"}]}
        stage = {"$set": {name: one}}
    row = {column: moved(right.row[column], f"{name}.{column}") for column in shown}
    if apply.kind == "scalar":
        row = {apply.id: row[apply.column]}
    return joined.then(stage, row={**left.row, **row})


def _said(relation: Relation) -> Iterator[Expr]:
    """Every expression of a relation and those below."""
    yield from expressions(relation)
    for below in inputs(relation):
        yield from _said(below)


def _cut(right: Lowered, apply: Apply) -> Lowered:
    """No more rows than are needed to know the result, or that it fails."""
    if apply.kind == "mark":
        return right.then({"$limit": 1})
    if apply.kind == "scalar" and not single(apply.right):
        return right.then({"$limit": 2})
    return right


def single(relation: Relation) -> bool:
    """Whether a relation gives at most one row."""
    match relation:
        case Aggregate():
            return not relation.groups
        case Limit():
            return (relation.count is not None and relation.count <= 1) or single(relation.input)
        case Values():
            return len(relation.rows) <= 1
        case Project() | Filter() | Sort():
            return single(relation.input)
    return False
