"""Bound relations: what a query computes, before it is decided how.

Every relation gives rows with the columns of `outputs()`, known by ids that are unique in the whole query.
Nothing here has names: those of the result are in `BoundQuery`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from levada.sql.catalog import Field, TableSchema
from levada.sql.expression import (
    AggregateCall,
    Column,
    Expr,
    SortKey,
    WindowCall,
    columns,
    parts_of,
    rebuilt,
)
from levada.sql.types import BIGINT, BOOLEAN, SqlType


@dataclass(frozen=True, slots=True)
class Relation:
    """Base of all relations."""


@dataclass(frozen=True, slots=True)
class Scan(Relation):
    """The documents of a collection.

    Args:
        fields: id -> field, for the columns the query needs.
        condition: pushed down to the scan; only over its own columns.
    """

    table: TableSchema
    fields: tuple[tuple[str, Field], ...]
    condition: Expr | None = None


@dataclass(frozen=True, slots=True)
class Values(Relation):
    """Rows of constant expressions; one row without columns is what a SELECT without FROM reads."""

    header: tuple[Column, ...]
    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class Project(Relation):
    """Exactly these columns; a plain `Column` may keep its id."""

    input: Relation
    items: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Filter(Relation):
    """The rows for which the condition is true."""

    input: Relation
    condition: Expr


@dataclass(frozen=True, slots=True)
class Join(Relation):
    """A join.

    Args:
        kind: inner, left, right, full, cross; semi and anti (rows of the left with, or without, a match);
            mark (all rows of the left, once each, and whether there is a match).
        condition: true where rows match; None: always.
        mark: the id of the BOOLEAN column, never NULL, that a mark join adds.
    """

    kind: str
    left: Relation
    right: Relation
    condition: Expr | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Apply(Relation):
    """For every row of the left: the right, which may mention the left's columns.

    Args:
        kind: `scalar` (adds the column `id`: the only row's `column`, or NULL; more rows are an error),
            `mark` (adds the BOOLEAN column `id`: whether there is a row), `inner` or `left` (lateral joins).
    """

    kind: str
    left: Relation
    right: Relation
    id: str = ""
    column: str = ""


@dataclass(frozen=True, slots=True)
class Aggregate(Relation):
    """GROUP BY; without groups there is always one row."""

    input: Relation
    groups: tuple[tuple[str, Expr], ...]
    aggregates: tuple[tuple[str, AggregateCall], ...]


@dataclass(frozen=True, slots=True)
class Window(Relation):
    """The input's columns, and those of window functions that share one partition and one order."""

    input: Relation
    calls: tuple[tuple[str, WindowCall], ...]


@dataclass(frozen=True, slots=True)
class Sort(Relation):
    """ORDER BY; only where the order can be seen: at the top, or under a Limit."""

    input: Relation
    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Limit(Relation):
    """LIMIT and OFFSET; None: no limit."""

    input: Relation
    count: int | None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Distinct(Relation):
    """Each row once; NULLs are alike."""

    input: Relation


@dataclass(frozen=True, slots=True)
class SetOperation(Relation):
    """UNION, INTERSECT or EXCEPT, ALL or distinct.

    Args:
        kind: union, intersect, except.
        header: the result's columns; left and right give theirs in the same order and of the same types.
    """

    kind: str
    all: bool
    left: Relation
    right: Relation
    header: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Unnest(Relation):
    """One row per item of a list.

    Args:
        id: of the item's column; None where the list itself is not needed further is not told apart.
        ordinality: id of the 1-based position's column, or empty.
        outer: keep rows whose list is NULL or empty.
    """

    input: Relation
    list: Expr
    id: str
    item: SqlType
    ordinality: str = ""
    outer: bool = False


@dataclass(frozen=True, slots=True)
class Stored(Relation):
    """Reads a temporary table, the result of a `WITH ... AS MATERIALIZED`.

    Args:
        name: of the materialised query in `BoundQuery.stored`.
        fields: id here -> id there.
    """

    name: str
    fields: tuple[tuple[Column, str], ...]


@dataclass(frozen=True, slots=True)
class BoundQuery:
    """A whole query.

    Args:
        output: the result's names and columns, in order; names may repeat.
        stored: materialised queries, in the order they must run.
    """

    relation: Relation
    output: tuple[tuple[str, Column], ...]
    stored: tuple[tuple[str, Relation], ...] = ()


def inputs(relation: Relation) -> tuple[Relation, ...]:
    """The relations that a relation reads."""
    match relation:
        case Join() | Apply() | SetOperation():
            return (relation.left, relation.right)
        case Project() | Filter() | Aggregate() | Window() | Sort() | Limit() | Distinct() | Unnest():
            return (relation.input,)
    return ()


def with_inputs(relation: Relation, new: tuple[Relation, ...]) -> Relation:
    """The same relation over other inputs."""
    match relation:
        case Join() | Apply() | SetOperation():
            return replace(relation, left=new[0], right=new[1])
        case Project() | Filter() | Aggregate() | Window() | Sort() | Limit() | Distinct() | Unnest():
            return replace(relation, input=new[0])
    return relation


def outputs(relation: Relation) -> tuple[Column, ...]:  # noqa: PLR0911, C901 - one case per relation
    """The columns of a relation's rows, in order."""
    match relation:
        case Scan():
            return tuple(Column(f.type, f.nullable, name) for name, f in relation.fields)
        case Values() | SetOperation():
            return relation.header
        case Project():
            return tuple(Column(expr.type, expr.nullable, name) for name, expr in relation.items)
        case Filter() | Sort() | Limit() | Distinct():
            return outputs(relation.input)
        case Join():
            return _joined(relation)
        case Apply():
            return _applied(relation)
        case Aggregate():
            groups = tuple(Column(expr.type, expr.nullable, name) for name, expr in relation.groups)
            return groups + tuple(Column(c.type, c.nullable, name) for name, c in relation.aggregates)
        case Window():
            calls = tuple(Column(call.type, call.nullable, name) for name, call in relation.calls)
            return outputs(relation.input) + calls
        case Unnest():
            place = (Column(BIGINT, relation.outer, relation.ordinality),) if relation.ordinality else ()
            return (*outputs(relation.input), Column(relation.item, True, relation.id), *place)
        case Stored():
            return tuple(column for column, _ in relation.fields)
    raise TypeError(type(relation).__name__)


def _joined(join: Join) -> tuple[Column, ...]:
    left, right = outputs(join.left), outputs(join.right)
    if join.kind in {"semi", "anti"}:
        return left
    if join.kind == "mark":
        return (*left, Column(BOOLEAN, False, join.mark))
    if join.kind in {"right", "full"}:
        left = tuple(replace(column, nullable=True) for column in left)
    if join.kind in {"left", "full"}:
        right = tuple(replace(column, nullable=True) for column in right)
    return left + right


def _applied(apply: Apply) -> tuple[Column, ...]:
    left, right = outputs(apply.left), outputs(apply.right)
    if apply.kind == "mark":
        return (*left, Column(BOOLEAN, False, apply.id))
    if apply.kind == "scalar":
        column = next(column for column in right if column.id == apply.column)
        return (*left, Column(column.type, True, apply.id))
    if apply.kind == "left":
        right = tuple(replace(column, nullable=True) for column in right)
    return left + right


def expressions(relation: Relation) -> Iterator[Expr]:  # noqa: C901 - one case per relation
    """The expressions of the relation itself, not of its inputs."""
    match relation:
        case Scan() | Join() if relation.condition is not None:
            yield relation.condition
        case Values():
            for row in relation.rows:
                yield from row
        case Project():
            yield from (expr for _, expr in relation.items)
        case Filter():
            yield relation.condition
        case Aggregate():
            yield from (expr for _, expr in relation.groups)
            for _, call in relation.aggregates:
                yield from parts_of(call)
        case Window():
            for _, window in relation.calls:
                yield from parts_of(window)
        case Sort():
            yield from (key.expr for key in relation.keys)
        case Unnest():
            yield relation.list


def with_expressions(relation: Relation, change: Callable[[Expr], Expr]) -> Relation:  # noqa: PLR0911
    """The same relation with every expression of its own changed."""
    match relation:
        case Scan() | Join() if relation.condition is not None:
            return replace(relation, condition=change(relation.condition))
        case Values():
            return replace(relation, rows=tuple(tuple(map(change, row)) for row in relation.rows))
        case Project():
            return replace(relation, items=tuple((name, change(expr)) for name, expr in relation.items))
        case Filter():
            return replace(relation, condition=change(relation.condition))
        case Aggregate():
            groups = tuple((name, change(expr)) for name, expr in relation.groups)
            calls = tuple((name, rebuilt(call, change)) for name, call in relation.aggregates)
            return replace(relation, groups=groups, aggregates=calls)
        case Window():
            windows: Any = tuple((name, rebuilt(call, change)) for name, call in relation.calls)
            return replace(relation, calls=windows)
        case Sort():
            return replace(relation, keys=tuple(replace(k, expr=change(k.expr)) for k in relation.keys))
        case Unnest():
            return replace(relation, list=change(relation.list))
    return relation


def rewrite(relation: Relation, change: Callable[[Relation], Relation]) -> Relation:
    """Rebuild a tree from its leaves up; `change` sees every relation after its inputs were changed."""
    below = inputs(relation)
    if below:
        relation = with_inputs(relation, tuple(rewrite(one, change) for one in below))
    return change(relation)


def ids(relation: Relation) -> frozenset[str]:
    """The ids of a relation's columns."""
    return frozenset(column.id for column in outputs(relation))


def free(relation: Relation) -> frozenset[str]:
    """Ids that a relation mentions but doesn't make: its correlation with an outer query."""
    below = inputs(relation)
    made = frozenset[str]().union(*(ids(one) for one in below))
    if isinstance(relation, Scan):
        made = frozenset(name for name, _ in relation.fields)
    mentioned = frozenset[str]().union(*(columns(expr) for expr in expressions(relation)))
    outers = [free(one) for one in below]
    if isinstance(relation, Apply):  # the right may use the left's columns
        outers[1] -= ids(relation.left)
    outer = frozenset[str]().union(*outers)
    return (mentioned - made) | outer
