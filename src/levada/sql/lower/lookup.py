"""`$lookup`: the rows of the right for each row of the left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from levada.sql.expression import Call, Column, Constant, Expr, columns, walk
from levada.sql.expressions.emit import Place, Row, condition
from levada.sql.expressions.filters import plain
from levada.sql.lower import costs
from levada.sql.lower.keys import Condition
from levada.sql.lower.state import Context, Lowered, inner_pipeline, materialised
from levada.sql.plan import Stage


@dataclass(frozen=True)
class Found:
    """An index that finds the right's rows.

    Args:
        place: of the pair of keys it is used for.
        local, foreign: the keys' paths on the left and on the right.
    """

    place: int
    local: str
    foreign: str


def indexed(left: Lowered, right: Lowered, parts: Condition, context: Context) -> Found | None:
    """How an index of the right can serve a join; None: it can't, or reading it all costs less."""
    if not right.indexes or not all(set(stage) == {"$match"} for stage in right.stages):
        return None
    for number, pair in enumerate(parts.pairs):
        local, foreign = _path(pair.left, left.row), _path(pair.right, right.row)
        if local and foreign and foreign in right.indexes and not pair.nulls:
            rows = costs.looked_up(parts.left, parts.right, pair.left, foreign)
            if rows is not None:
                text = f"looks about {rows:,.0f} rows up by the index on {foreign}"
                context.note("join", text, right.collection or "")
                return Found(number, local, foreign)
    return None


def _path(expr: Expr, row: Row) -> str:
    expr = plain(expr)
    return row[expr.id].path if isinstance(expr, Column) and expr.id in row else ""


def looked_up(left: Lowered, right: Lowered, found: Found, name: str) -> Lowered:
    """The left's rows with their matches, by an index, as the array `name`."""
    present: Stage = {"$match": {found.foreign: {"$ne": None}}}  # NULL equals nothing
    shown = materialised(replace(right, stages=(present, *right.stages)), right.row)
    inner = inner_pipeline(shown)
    stage: Stage = {
        "from": inner["from"],
        "localField": found.local,
        "foreignField": found.foreign,
        "pipeline": inner["pipeline"],
        "as": name,
    }
    return replace(left.then({"$lookup": stage}), depth=max(left.depth, shown.depth + 1))


#: The server keeps what comes before the first stage with variables for all rows, if it does not move that
#: stage up: nothing moves over a `$limit`.
_BARRIER: Stage = {"$limit": 2**62}


#: Operators that are right for any value a variable may have.
_SAFE = frozenset({"and", "or", "not", "=", "<>", "<", "<=", ">", ">=", "is null", "is not null", "in"})


def variables(names: Iterable[str], exprs: Iterable[Expr]) -> Row:
    """The places of an outer row's columns inside a `$lookup`'s pipeline.

    There the server takes a variable for a constant, and evaluates beforehand whatever is computed from it
    alone: also what a guard keeps from being evaluated. So where more is done with variables than to compare
    them, they are tied to the row.
    """
    names = list(names)
    own = set(names)
    free = all(
        isinstance(part, Column | Constant) or (isinstance(part, Call) and part.name in _SAFE)
        for expr in exprs
        if columns(expr) & own
        for part in walk(expr)
    )
    any_row = {"$eq": [{"$type": "$$ROOT"}, "object"]}
    values: dict[str, Any] = {n: f"$${n}" if free else {"$cond": [any_row, f"$${n}", None]} for n in names}
    return {name: Place(value, proven=True) for name, value in values.items()}


def nested(
    left: Lowered, right: Lowered, name: str, test: Expr | None, context: Context, *, one: bool = False
) -> Lowered:
    """The left's rows with those of the right for which a condition is true.

    Args:
        one: it only matters whether there is one.
    """
    let: dict[str, Any] = {}
    if test is not None:
        own = {column: left.row[column] for column in sorted(columns(test)) if column in left.row}
        let = {column: place.value for column, place in own.items()}
        outer = variables(own, [test])
        match: Stage = {"$match": {"$expr": condition(test, context.row(right, outer))}}
        right = right.then(_BARRIER, match) if right.stages else right.then(match)
    if one:
        right = right.then({"$limit": 1}, {"$project": {"_id": 1}})
    return correlated(left, right, name, let)


def correlated(left: Lowered, right: Lowered, name: str, let: dict[str, Any]) -> Lowered:
    """The left's rows with what the right's pipeline gives for each of them.

    Args:
        let: values of the variables.
    """
    known = {"let": let} if let else {}
    stage: Stage = {"$lookup": {**inner_pipeline(right), **known, "as": name}}
    return replace(left.then(stage), depth=max(left.depth, right.depth + 1))


def free_name(*rows: Row) -> str:
    """A name for an array that no place of these rows mentions."""
    taken = {text for row in rows for place in row.values() for text in _words(place.value)}
    number = 0
    while (name := f"r{number or ''}") in taken:
        number += 1
    return name


def _words(value: Any) -> Iterator[str]:
    """The first parts of the paths in an expression, and every other text."""
    if isinstance(value, str):
        yield value.lstrip("$").split(".")[0]
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
