"""Arithmetic of times and INTERVALs, in the ways it is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Call, Constant, Expr, Interval
from levada.sql.expressions.unify import coerce
from levada.sql.expressions.units import interval, unit_name
from levada.sql.types import BIGINT, DATE, INTERVAL, TIMESTAMP, VARCHAR

if TYPE_CHECKING:
    from levada.sql.expressions.bind import ScalarBinder


def literal_interval(binder: ScalarBinder, node: exp.Interval) -> Expr:
    """INTERVAL 3 DAY, INTERVAL '1 month', INTERVAL (amount) DAY."""
    unit = node.args.get("unit")
    if unit is not None and not isinstance(unit, exp.Var):
        raise refuse(f"INTERVAL {unit.sql()} does not run on MongoDB", node)
    amount = binder.bind(node.this)
    if isinstance(amount, Constant) and amount.value is not None:
        try:
            span = interval(str(amount.value), unit.name if unit is not None else None)
        except (ValueError, InvalidOperation) as error:
            raise refuse(f"can't read the INTERVAL {amount.value}", node) from error
        return Constant(INTERVAL, False, span)
    if unit is None:
        raise refuse("INTERVAL takes a literal, or (amount) and a unit", node)
    return amounts(amount, unit.name, node)


def amounts(amount: Expr, unit: str, node: exp.Expression) -> Expr:
    """An INTERVAL of an amount that only the row tells; it can only be added to a time."""
    if isinstance(amount, Constant) and isinstance(amount.value, int | str):
        try:
            return Constant(INTERVAL, False, interval(str(amount.value), unit))
        except (ValueError, InvalidOperation) as error:
            raise refuse(f"can't read the INTERVAL {amount.value}", node) from error
    count = coerce(amount, BIGINT, node)
    return Call(INTERVAL, count.nullable, "interval", (count, Constant(VARCHAR, False, unit_name(unit))))


def plus(binder: ScalarBinder, left: Expr, right: Expr, node: exp.Expression) -> Expr | None:
    """`time + interval`, `interval + time`, `date + days`; None: it is about numbers."""
    if left.type == INTERVAL or (right.type == DATE and left.type.numeric):
        left, right = right, left
    return _moved(binder, left, right, node, 1)


def minus(binder: ScalarBinder, left: Expr, right: Expr, node: exp.Expression) -> Expr | None:
    """`time - interval`, `date - days`, `date - date`; None: it is about numbers."""
    if left.type == right.type == DATE:
        return folded(binder.apply("days between", [left, right], node))
    if left.type.temporal and right.type.temporal:
        raise refuse(
            "the difference of two TIMESTAMPs is an INTERVAL", node, hint="date_diff('second', a, b)"
        )
    return _moved(binder, left, right, node, -1)


def _moved(binder: ScalarBinder, time: Expr, by: Expr, node: exp.Expression, sign: int) -> Expr | None:
    if by.type == INTERVAL and time.type == INTERVAL:
        return _spans(time, by, node, sign)
    if by.type == INTERVAL:
        time = coerce(time, TIMESTAMP, node)
        if isinstance(by, Call):
            amount, unit = by.args
            counted = amount if sign > 0 else binder.apply("negate", [amount], node)
            return binder.apply("add units", [time, counted, unit], node)
        return folded(binder.apply("date_add" if sign > 0 else "date_subtract", [time, by], node))
    if time.type == DATE and by.type.name in {"INTEGER", "BIGINT", "NULL"}:
        return folded(binder.apply("add days" if sign > 0 else "subtract days", [time, by], node))
    return None


def _spans(left: Expr, right: Expr, node: exp.Expression, sign: int) -> Expr:
    if not isinstance(left, Constant) or not isinstance(right, Constant):
        raise refuse("INTERVALs that only a row tells can't be added up", node)
    a, b = left.value, right.value
    span = Interval(
        a.months + sign * b.months, a.days + sign * b.days, a.milliseconds + sign * b.milliseconds
    )
    return Constant(INTERVAL, False, span)


def folded(expr: Expr) -> Expr:
    """Done at once where all parts are constants, so that it can be compared by an index."""
    if not isinstance(expr, Call) or not all(isinstance(arg, Constant) for arg in expr.args):
        return expr
    values: list[Any] = [arg.value for arg in expr.args if isinstance(arg, Constant)]
    try:
        return Constant(expr.type, False, _FOLDS[expr.name](*values))
    except (OverflowError, ValueError):
        return expr


def _shifted(moment: datetime, span: Interval, sign: int = 1) -> datetime:
    months = moment.year * 12 + moment.month - 1 + sign * span.months
    first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
    last = _last_day(first)
    moved = first.replace(day=min(moment.day, last))
    return moved + sign * timedelta(days=span.days, milliseconds=span.milliseconds)


def _last_day(first: datetime) -> int:
    return ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).day


_FOLDS: dict[str, Callable[..., Any]] = {
    "date_add": _shifted,
    "date_subtract": lambda moment, span: _shifted(moment, span, -1),
    "add days": lambda moment, days: moment + timedelta(days=days),
    "subtract days": lambda moment, days: moment - timedelta(days=days),
    "days between": lambda end, start: (end - start).days,
}
