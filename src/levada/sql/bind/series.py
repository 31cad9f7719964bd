"""`generate_series` and `range`: numbers and times one step apart."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlglot import exp

from levada.sql.bind.scalars import Scalars
from levada.sql.errors import refuse
from levada.sql.expression import Constant, Expr, Interval
from levada.sql.expressions.unify import coerce
from levada.sql.types import BIGINT, TIMESTAMP, SqlType, list_of

#: A series is a list of constants in the pipeline; longer ones would not fit into a command.
MAX_ITEMS = 100_000


def is_series(node: exp.Expression | None) -> bool:
    """Whether a FROM item is a series."""
    return isinstance(node, exp.GenerateSeries) or (
        isinstance(node, exp.Anonymous) and node.name.lower() in {"range", "generate_series"}
    )


def series(node: exp.Expression, scalars: Scalars) -> tuple[Expr, SqlType]:
    """The series as a list, and the type of its items.

    Raises:
        SqlError: its bounds are not known beforehand, or it is longer than `MAX_ITEMS`.
    """
    start, end, step, closed = _bounds(node, scalars)
    if any(value is None for value in (start, end, step)):
        return Constant(list_of(BIGINT), False, ()), BIGINT
    kind = BIGINT if isinstance(start, int) else TIMESTAMP
    items = tuple(_steps(start, end, step, closed, node))
    return Constant(list_of(kind), False, items), kind


def _bounds(node: exp.Expression, scalars: Scalars) -> tuple[object, object, object, bool]:
    if isinstance(node, exp.GenerateSeries):
        parts = [node.args.get(name) for name in ("start", "end", "step")]
        closed = not node.args.get("is_end_exclusive")
    else:
        given = node.expressions
        parts = [exp.Literal.number(0), *given] if len(given) == 1 else list(given)
        closed = node.name.lower() == "generate_series"
    values = [_constant(part, scalars, node) for part in parts if part is not None]
    if len(values) == 2:
        values.append(1)
    return values[0], values[1], values[2], closed


def _constant(part: exp.Expression, scalars: Scalars, node: exp.Expression) -> object:
    bound = scalars.bind(part)
    if bound.type.name in {"INTEGER", "DECIMAL"}:
        bound = coerce(bound, BIGINT, node)
    if bound.type.name == "VARCHAR":
        bound = coerce(bound, TIMESTAMP, node)
    if not isinstance(bound, Constant):
        raise refuse(
            "the bounds of a series must be known before the query runs", node, hint="write them as literals"
        )
    return bound.value


def _steps(start: object, end: object, step: object, closed: bool, node: exp.Expression) -> Iterator[object]:
    if isinstance(start, int) and isinstance(end, int) and isinstance(step, int) and step:
        items: Iterator[object] = iter(range(start, end + (1 if step > 0 else -1) * closed, step))
    elif isinstance(start, datetime) and isinstance(end, datetime) and isinstance(step, Interval):
        items = _times(start, end, step, closed, node)
    else:
        raise refuse("a series goes over whole numbers, or over times by an INTERVAL", node)
    for count, item in enumerate(items):
        if count == MAX_ITEMS:
            raise refuse(f"the series has more than {MAX_ITEMS:,} items", node)
        yield item


def _times(
    start: datetime, end: datetime, step: Interval, closed: bool, node: exp.Expression
) -> Iterator[datetime]:
    signs = {value > 0 for value in (step.months, step.days, step.milliseconds) if value}
    if len(signs) != 1:
        raise refuse("the step of a series must lead one way", node)
    forward, moment = signs.pop(), start
    while (moment < end if forward else moment > end) or (closed and moment == end):
        yield moment
        moment = _moved(moment, step)


def _moved(start: datetime, step: Interval) -> datetime:
    months = start.year * 12 + start.month - 1 + step.months
    last = calendar.monthrange(months // 12, months % 12 + 1)[1]
    moved = start.replace(year=months // 12, month=months % 12 + 1, day=min(start.day, last))
    return moved + timedelta(days=step.days, milliseconds=step.milliseconds)
