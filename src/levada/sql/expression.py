"""Bound expressions: names are resolved, types are static, casts are explicit.

A column is known by its id, which is unique in the whole query, so that rows of two tables can be joined by
merging their documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from levada.sql.types import BOOLEAN, SqlType

if TYPE_CHECKING:
    from levada.sql.algebra import Relation


@dataclass(frozen=True, slots=True)
class Expr:
    """Base of all bound expressions.

    Args:
        type: the static type.
        nullable: whether it can be NULL.
    """

    type: SqlType
    nullable: bool


@dataclass(frozen=True, slots=True)
class Column(Expr):
    """A column of the rows that the relation below gives (or, correlated, of an outer query's row).

    Args:
        id: unique in the query: `c12`.
    """

    id: str


@dataclass(frozen=True, slots=True)
class Constant(Expr):
    """A literal or a bound parameter.

    Args:
        value: None, bool, int, float, Decimal, str, bytes, datetime (UTC, aware; at midnight for a DATE),
            ObjectId, uuid.UUID, an `Interval`, or a tuple of such values (a list).
    """

    value: Any


@dataclass(frozen=True, slots=True)
class Interval:
    """The value of an INTERVAL constant; a month and a day have no fixed length."""

    months: int = 0
    days: int = 0
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function or operator of `levada.sql.expressions`, its arguments already cast to what it takes.

    Args:
        name: key of the function: `upper`, `+`, `and`, `=`, `is null`.
    """

    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Case(Expr):
    """CASE WHEN ... THEN ... ELSE ... END; COALESCE and IF become one, too."""

    branches: tuple[tuple[Expr, Expr], ...]
    default: Expr


@dataclass(frozen=True, slots=True)
class Cast(Expr):
    """A change of type.

    Args:
        safe: TRY_CAST: what can't be converted becomes NULL.
        implicit: put in by the binder to make types meet: an int may stay an int where a DOUBLE is meant.
    """

    arg: Expr
    safe: bool = False
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class Subquery(Expr):
    """A scalar subquery, or EXISTS; `levada.sql.decorrelate` turns it into a join or an Apply.

    Args:
        kind: `scalar` or `exists`.
        relation: may mention columns of the outer query.
        column: the id of a scalar subquery's only column.
    """

    kind: str
    relation: Relation
    column: str = ""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key of an ORDER BY; where NULLs go is always explicit."""

    expr: Expr
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate function over the rows of a group.

    Args:
        name: `count` (without arguments: of rows), `sum`, `avg`, `min`, `string_agg`, ...
        filter: FILTER (WHERE ...).
        order: ORDER BY inside the call, or WITHIN GROUP.
        type: of the result.
    """

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool = True
    distinct: bool = False
    filter: Expr | None = None
    order: tuple[SortKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a window's frame.

    Args:
        kind: `unbounded preceding`, `preceding`, `current row`, `following`, `unbounded following`.
        offset: rows, or the distance in the sort key: a number or an `Interval`.
    """

    kind: str
    offset: Any = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A window's frame; `unit` is `rows` or `range`."""

    unit: str
    start: Bound
    end: Bound


@dataclass(frozen=True, slots=True)
class WindowCall:
    """A window function; an aggregate function is one, too.

    Args:
        name: `row_number`, `rank`, `dense_rank`, `percent_rank`, `cume_dist`, `ntile`, `lag`, `lead`,
            `first_value`, `last_value`, `nth_value`, or an aggregate.
        frame: None where the function has none (ranking, lag, lead); always explicit otherwise.
    """

    name: str
    args: tuple[Expr, ...]
    type: SqlType
    nullable: bool
    partition: tuple[Expr, ...]
    order: tuple[SortKey, ...]
    frame: Frame | None
    filter: Expr | None = None
    ignore_nulls: bool = False
    distinct: bool = False


def children(expr: Expr) -> Iterator[Expr]:
    """The direct parts of an expression; of a subquery none."""
    match expr:
        case Call():
            yield from expr.args
        case Case():
            for condition, value in expr.branches:
                yield condition
                yield value
            yield expr.default
        case Cast():
            yield expr.arg


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all its parts."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def transform(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Rebuild an expression from its leaves up: `change` sees every node after its parts were changed."""
    match expr:
        case Call():
            expr = replace(expr, args=tuple(transform(part, change) for part in expr.args))
        case Case():
            branches = tuple((transform(c, change), transform(v, change)) for c, v in expr.branches)
            expr = replace(expr, branches=branches, default=transform(expr.default, change))
        case Cast():
            expr = replace(expr, arg=transform(expr.arg, change))
    return change(expr)


def columns(expr: Expr) -> frozenset[str]:
    """Ids of the columns an expression mentions; of a subquery, those of the outer query."""
    found: set[str] = set()
    for part in walk(expr):
        if isinstance(part, Column):
            found.add(part.id)
        elif isinstance(part, Subquery):
            from levada.sql.algebra import free

            found |= free(part.relation)
    return frozenset(found)


def volatile(expr: Expr) -> bool:
    """Whether an expression may give another value each time it is computed."""
    return any(isinstance(part, Call) and part.name == "random" for part in walk(expr))


def conjuncts(expr: Expr | None) -> Iterator[Expr]:
    """The parts of a condition that AND joins."""
    if isinstance(expr, Call) and expr.name == "and":
        for part in expr.args:
            yield from conjuncts(part)
    elif expr is not None and not (isinstance(expr, Constant) and expr.value is True):
        yield expr


def conjunction(parts: list[Expr] | tuple[Expr, ...]) -> Expr | None:
    """AND over the parts, flat; None: there are none, always true."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    return Call(BOOLEAN, any(part.nullable for part in parts), "and", tuple(parts))


def truth(value: bool | None) -> Constant:
    """TRUE, FALSE or NULL as an expression."""
    return Constant(BOOLEAN, value is None, value)


def parts_of(call: AggregateCall | WindowCall) -> Iterator[Expr]:
    """Every expression inside an aggregate or window call."""
    yield from call.args
    if call.filter is not None:
        yield call.filter
    for key in call.order:
        yield key.expr
    if isinstance(call, WindowCall):
        yield from call.partition


_Called = TypeVar("_Called", AggregateCall, WindowCall)


def rebuilt(call: _Called, change: Callable[[Expr], Expr]) -> _Called:
    """The call with every expression in it changed."""
    if isinstance(call, WindowCall):
        call = replace(call, partition=tuple(change(part) for part in call.partition))
    return replace(
        call,
        args=tuple(change(part) for part in call.args),
        filter=None if call.filter is None else change(call.filter),
        order=tuple(replace(key, expr=change(key.expr)) for key in call.order),
    )
