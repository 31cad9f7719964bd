"""Correlated subqueries: a `$lookup` whose pipeline knows the outer row's columns as variables."""

from __future__ import annotations

from levada.sql.algebra import Aggregate, Apply, Filter, Limit, Project, Relation, Sort, Values, free, ids
from levada.sql.expressions.emit import Place
from levada.sql.expressions.folding import refusal
from levada.sql.lower.lookup import correlated, free_name
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
    inner = context.inside({name: Place(f"$${name}", proven=True) for name in own})
    shown = [apply.column] if apply.kind == "scalar" else [n for n in needed if n in ids(apply.right)]
    if apply.kind == "mark":
        shown = []
    right = lower_relation(apply.right, dict.fromkeys(shown, 1), inner)
    right = _cut(materialised(right, shown), apply)
    name = free_name(left.row, context.outer)
    variables = {column: left.row[column].value for column in own}
    if variables:
        context.note(
            "subquery", f"is run for every row: it depends on {len(variables)} of its columns", works=False
        )
    joined = correlated(left, right, name, variables)
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
