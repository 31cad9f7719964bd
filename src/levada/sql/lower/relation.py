"""One relation after the other, from the result down to the collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    Stored,
    Unnest,
    Values,
    Window,
    outputs,
)
from levada.sql.errors import SqlError
from levada.sql.expression import Column
from levada.sql.expressions import ordering
from levada.sql.expressions.emit import Place, value
from levada.sql.lower.scan import lower_scan, lower_stored, lower_values
from levada.sql.lower.state import (
    Context,
    Lowered,
    Needed,
    filtered,
    materialised,
    placed,
    said,
    trivial,
)
from levada.sql.plan import Stage

#: `$sort` takes this many keys.
_MOST_KEYS = 32


def lower_relation(relation: Relation, needed: Needed, context: Context) -> Lowered:
    """The pipeline of a relation.

    Args:
        needed: the columns that are needed above, and how often they are said there.
    """
    return _LOWERING[type(relation)](relation, needed, context)


def _project(project: Project, needed: Needed, context: Context) -> Lowered:
    items = [(name, expr) for name, expr in project.items if name in needed]
    often = {name for name, expr in items if needed[name] > 1 and not trivial(expr)}
    below: dict[str, int] = {}
    for name, expr in items:
        times = 1 if often else needed[name]
        for column, count in said([expr]).items():
            below[column] = below.get(column, 0) + count * times
    lowered = lower_relation(project.input, below, context)
    row = context.row(lowered)
    made: dict[str, Place] = {}
    for name, expr in items:
        if isinstance(expr, Column) and expr.id in row:
            made[name] = row[expr.id]
        else:
            made[name] = placed(value(expr, row))
    lowered = lowered.then(row=made)
    return materialised(lowered, made) if often else lowered


def _filter(relation: Filter, needed: Needed, context: Context) -> Lowered:
    below = dict(needed)
    for name, count in said([relation.condition]).items():
        below[name] = below.get(name, 0) + count
    return filtered(lower_relation(relation.input, below, context), relation.condition, context)


def _sort(sort: Sort, needed: Needed, context: Context) -> Lowered:
    own = said([key.expr for key in sort.keys])
    below = {name: needed.get(name, 0) + own.get(name, 0) * 2 for name in {*needed, *own}}
    lowered = lower_relation(sort.input, below, context)
    row = context.row(lowered)
    parts = [part for key in sort.keys for part in ordering.parts(key, value(key.expr, row))]
    if len(parts) > _MOST_KEYS:
        raise SqlError(f"ORDER BY takes at most {_MOST_KEYS} keys on MongoDB, computed ones among them")
    lowered, by = sorted_by(lowered, parts, needed)
    return lowered.then({"$sort": by})


def sorted_by(lowered: Lowered, parts: list[ordering.Part], needed: Needed) -> tuple[Lowered, dict[str, int]]:
    """The rows with everything they are to be sorted by as fields, and `$sort`'s specification."""
    paths = [placed(part.value).path for part in parts]
    if all(paths):
        return lowered, _specification(paths, parts)
    keys = {f"k{place}": placed(part.value) for place, part in enumerate(parts)}
    known = {place.value: name for name, place in lowered.row.items() if name in needed and place.path}
    names = []
    for name, place in keys.items():
        names.append(known.get(place.value, name) if place.path else name)
    widened = lowered.then(row={**lowered.row, **{n: keys[n] for n in names if n in keys}})
    lowered = materialised(widened, [*needed, *names])
    return lowered.then(row={n: p for n, p in lowered.row.items() if n in needed}), _specification(
        names, parts
    )


def _specification(paths: list[str], parts: list[ordering.Part]) -> dict[str, int]:
    by: dict[str, int] = {}
    for path, part in zip(paths, parts, strict=True):
        by.setdefault(path, part.direction)
    return by


def _limit(limit: Limit, needed: Needed, context: Context) -> Lowered:
    lowered = lower_relation(limit.input, needed, context)
    stages: list[Stage] = [{"$skip": limit.offset}] if limit.offset else []
    if limit.count == 0:
        return lowered.then({"$match": {"$alwaysFalse": 1}})
    if limit.count is not None:
        stages.append({"$limit": limit.count})
    return lowered.then(*stages)


def _distinct(distinct: Distinct, _needed: Needed, context: Context) -> Lowered:
    ids = [column.id for column in outputs(distinct)]
    lowered = lower_relation(distinct.input, dict.fromkeys(ids, 1), context)
    return distinct_rows(lowered, ids)


def distinct_rows(lowered: Lowered, ids: list[str]) -> Lowered:
    """Each row once; NULLs are alike."""
    key = {name: dense(lowered.row[name]) for name in ids}
    row = {
        name: Place(f"$_id.{name}", path=f"_id.{name}", dense=True, proven=lowered.row[name].proven)
        for name in ids
    }
    return lowered.then({"$group": {"_id": key}}, row=row)


def dense(place: Place, *, nullable: bool = True) -> Any:
    """A place's value, null where it is missing."""
    return place.value if place.dense or not nullable else {"$ifNull": [place.value, None]}


def _unnest(unnest: Unnest, needed: Needed, context: Context) -> Lowered:
    kept = [name for name in needed if name not in {unnest.id, unnest.ordinality}]
    below = dict.fromkeys(kept, 1)
    for name, count in said([unnest.list]).items():
        below[name] = below.get(name, 0) + count
    lowered = lower_relation(unnest.input, below, context)
    items = placed(value(unnest.list, context.row(lowered)))
    lowered = materialised(lowered.then(row={**lowered.row, unnest.id: items}), [*kept, unnest.id])
    body: dict[str, Any] = {"path": f"${unnest.id}"}
    row = {**lowered.row, unnest.id: Place(f"${unnest.id}", path=unnest.id, proven=True)}
    if unnest.ordinality:
        body["includeArrayIndex"] = unnest.ordinality
        row[unnest.ordinality] = Place({"$add": [f"${unnest.ordinality}", 1]}, proven=True)
    if unnest.outer:
        body["preserveNullAndEmptyArrays"] = True
    return lowered.then({"$unwind": body}, row=row)


def _aggregate(relation: Aggregate, needed: Needed, context: Context) -> Lowered:
    from levada.sql.lower.aggregate import lower_aggregate

    return lower_aggregate(relation, needed, context)


def _window(relation: Window, needed: Needed, context: Context) -> Lowered:
    from levada.sql.lower.window import lower_window

    return lower_window(relation, needed, context)


def _join(relation: Join, needed: Needed, context: Context) -> Lowered:
    from levada.sql.lower.join import lower_join

    return lower_join(relation, needed, context)


def _apply(relation: Apply, needed: Needed, context: Context) -> Lowered:
    from levada.sql.lower.apply import lower_apply

    return lower_apply(relation, needed, context)


def _set_operation(relation: SetOperation, needed: Needed, context: Context) -> Lowered:
    from levada.sql.lower.setop import lower_set_operation

    return lower_set_operation(relation, needed, context)


_LOWERING: dict[type[Relation], Callable[..., Lowered]] = {
    Scan: lower_scan,
    Values: lower_values,
    Stored: lower_stored,
    Project: _project,
    Filter: _filter,
    Sort: _sort,
    Limit: _limit,
    Distinct: _distinct,
    Unnest: _unnest,
    Aggregate: _aggregate,
    Window: _window,
    Join: _join,
    Apply: _apply,
    SetOperation: _set_operation,
}
