"""UNION, INTERSECT and EXCEPT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from levada.sql.algebra import Relation, SetOperation, outputs
from levada.sql.expressions.emit import Place
from levada.sql.lower.relation import dense, distinct_rows, lower_relation
from levada.sql.lower.state import Context, Lowered, Needed, cells, inner_pipeline, under
from levada.sql.plan import Stage


def lower_set_operation(operation: SetOperation, needed: Needed, context: Context) -> Lowered:
    """Both sides one behind the other; grouped where rows must be told apart."""
    if operation.kind == "union" and operation.all:
        return _united(operation, [c.id for c in operation.header if c.id in needed], context)
    ids = [column.id for column in operation.header]
    if operation.kind == "union":
        return distinct_rows(_united(operation, ids, context), ids)
    return _counted(operation, ids, context)


def _side(relation: Relation, header: Sequence[str], ids: Sequence[str], context: Context) -> Lowered:
    """One side, its columns under the names of the result's."""
    own = [column.id for column in outputs(relation)]
    kept = [mine for mine, name in zip(own, header, strict=True) if name in ids]
    needed: dict[str, int] = {}
    for name in kept:
        needed[name] = needed.get(name, 0) + 1
    lowered = lower_relation(relation, needed, context)
    row = {name: lowered.row[mine] for mine, name in zip(own, header, strict=True) if name in ids}
    return lowered.then(row=row)


def _united(operation: SetOperation, ids: list[str], context: Context) -> Lowered:
    header = [column.id for column in operation.header]
    sides = [_side(side, header, ids, context) for side in (operation.left, operation.right)]
    left, right = (_shown(side, ids) for side in sides)
    row = {name: _either(left.row[name], right.row[name]) for name in ids}
    return joined_pipelines(left, right).then(row=row)


def _shown(side: Lowered, ids: list[str]) -> Lowered:
    if ids and all(side.row[name].path == name for name in ids) and "$project" in (side.stages or ({},))[-1]:
        return side
    stage: Stage = {"$project": {"_id": 0, **cells(side, ids)} if ids else {"_id": 1}}
    return side.then(stage, row=under(side, ids))


def _either(left: Place, right: Place) -> Place:
    both = left.proven and right.proven
    return Place(left.value, path=left.path, dense=left.dense and right.dense, proven=both)


def joined_pipelines(left: Lowered, right: Lowered) -> Lowered:
    """The rows of both; the right's pipeline goes into a `$unionWith` of the left's."""
    stage: Stage = {"$unionWith": inner_pipeline(right, "coll")}
    depth = max(left.depth, right.depth + 1)
    return Lowered(left.collection, (*left.stages, stage), left.row, depth)


def _counted(operation: SetOperation, ids: list[str], context: Context) -> Lowered:
    """INTERSECT and EXCEPT: how often each row comes on either side."""
    header = [column.id for column in operation.header]
    sides = []
    for name, relation in (("l", operation.left), ("r", operation.right)):
        side = _side(relation, header, ids, context)
        key = {column: dense(side.row[column]) for column in ids}
        sides.append(side.then({"$replaceWith": {"_id": key, name: {"$literal": 1}}}))
    proven = {name: sides[0].row[name].proven and sides[1].row[name].proven for name in ids}
    counts: Stage = {"_id": "$_id", "l": {"$sum": "$l"}, "r": {"$sum": "$r"}}
    lowered = joined_pipelines(*sides).then({"$group": counts})
    rows = {n: Place(f"$_id.{n}", path=f"_id.{n}", dense=True, proven=proven[n]) for n in ids}
    intersect = operation.kind == "intersect"
    lowered = lowered.then({"$match": {"l": {"$gt": 0}, "r": {"$gt": 0} if intersect else 0}}, row=rows)
    if not operation.all:
        return lowered
    # EXCEPT ALL keeps rows that are also on the right, if there are more on the left.
    if not intersect:
        lowered = replace(lowered, stages=lowered.stages[:-1]).then(
            {"$match": {"$expr": {"$gt": ["$l", "$r"]}}}
        )
    times = {"$min": ["$l", "$r"]} if intersect else {"$subtract": ["$l", "$r"]}
    return lowered.then({"$set": {"n": {"$range": [0, times]}}}, {"$unwind": "$n"})
