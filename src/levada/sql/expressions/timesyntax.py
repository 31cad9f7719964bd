"""How times are written: EXTRACT, + and - with INTERVALs, and the functions of other dialects."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Constant, Expr
from levada.sql.expressions.dates import PARTS, part_name
from levada.sql.expressions.intervals import amounts, literal_interval, minus, plus
from levada.sql.expressions.units import unit_name
from levada.sql.types import DATE, INTERVAL, TIMESTAMP

if TYPE_CHECKING:
    from levada.sql.expressions.bind import ScalarBinder

Rule = Callable[["ScalarBinder", Any], Expr]


def _sum(binder: ScalarBinder, node: exp.Binary) -> Expr:
    left, right = binder.bind(node.this), binder.bind(node.expression)
    return plus(binder, left, right, node) or binder.apply("+", [left, right], node)


def _difference(binder: ScalarBinder, node: exp.Binary) -> Expr:
    left, right = binder.bind(node.this), binder.bind(node.expression)
    return minus(binder, left, right, node) or binder.apply("-", [left, right], node)


def _part(binder: ScalarBinder, text: str, time: exp.Expression, node: exp.Expression) -> Expr:
    unit = text.lower() if text.lower() in PARTS else unit_name(text)
    if unit not in PARTS:
        raise refuse(f"a time has no part {text}", node, hint=", ".join(PARTS))
    return binder.apply(part_name(unit), [binder.bind(time)], node)


def _extract(binder: ScalarBinder, node: exp.Extract) -> Expr:
    return _part(binder, node.this.name, node.expression, node)


def date_part(binder: ScalarBinder, node: exp.Anonymous) -> Expr:
    """date_part('unit', time)."""
    _counted(node, 2)
    unit, time = node.expressions
    if not (isinstance(unit, exp.Literal) and unit.is_string):
        raise refuse("date_part takes its unit as a literal", node)
    return _part(binder, unit.name, time, node)


def _counted(node: exp.Anonymous, count: int) -> None:
    if len(node.expressions) != count:
        raise refuse(f"{node.name} takes {count} arguments", node)


def _moved(sign: int) -> Rule:
    """date_add(time, INTERVAL), or in other dialects date_add(time, amount, unit)."""

    def rule(binder: ScalarBinder, node: Any) -> Expr:
        time, by = binder.bind(node.this), binder.bind(node.expression)
        unit = node.args.get("unit")
        if by.type != INTERVAL and (unit is not None or time.type != DATE):
            by = amounts(by, unit.name if unit is not None else "day", node)
        moved = (plus if sign > 0 else minus)(binder, time, by, node)
        if moved is None:
            raise refuse(f"{node.key.upper()} takes a time and an INTERVAL", node)
        return moved

    return rule


def dateadd(binder: ScalarBinder, node: exp.Anonymous) -> Expr:
    """dateadd(unit, amount, time)."""
    _counted(node, 3)
    unit, amount, time = node.expressions
    moved = plus(binder, binder.bind(time), amounts(binder.bind(amount), unit.name, node), node)
    if moved is None:
        raise refuse("dateadd takes a time", node)
    return moved


def date_sub(binder: ScalarBinder, node: exp.Anonymous) -> Expr:
    """date_sub(time, INTERVAL)."""
    _counted(node, 2)
    moved = minus(binder, binder.bind(node.expressions[0]), binder.bind(node.expressions[1]), node)
    if moved is None:
        raise refuse("date_sub takes a time and an INTERVAL", node)
    return moved


def to_unit(unit: str) -> Rule:
    """to_days(n) and its like."""

    def rule(binder: ScalarBinder, node: exp.Expression) -> Expr:
        arg = node.this if isinstance(node.this, exp.Expression) else node.expressions[0]
        return amounts(binder.bind(arg), unit, node)

    return rule


def _distance(binder: ScalarBinder, node: exp.Func) -> Expr:
    """date_diff(unit, start, end); without a unit, as MySQL's, in days."""
    unit = node.args.get("unit")
    parts = [unit if unit is not None else exp.var("day"), node.expression, node.this]
    return binder.apply("date_diff", [binder.bind(part) for part in parts], node)


def _epoch(binder: ScalarBinder, node: exp.UnixToTime) -> Expr:
    scale = node.args.get("scale")
    name = {"": "to_timestamp", "0": "to_timestamp", "3": "epoch_ms"}.get(scale.name if scale else "")
    if name is None:
        raise refuse("times from micro- and nanoseconds do not run on MongoDB", node, hint="epoch_ms(...)")
    return binder.apply(name, [binder.bind(node.this)], node)


def _zone(binder: ScalarBinder, node: exp.AtTimeZone) -> Expr:
    zone = binder.bind(node.args["zone"])
    if not isinstance(zone, Constant) or str(zone.value).upper() not in {"UTC", "ETC/UTC", "GMT", "Z"}:
        raise refuse("AT TIME ZONE knows UTC alone: every TIMESTAMP is UTC", node)
    return _as(binder, node, TIMESTAMP)


def _as(binder: ScalarBinder, node: exp.Expression, kind: Any) -> Expr:
    from levada.sql.expressions.syntax import cast_to

    return cast_to(binder.bind(node.this), kind, node, safe=False)


def _date(binder: ScalarBinder, node: exp.Expression) -> Expr:
    if node.args.get("expressions") or node.args.get("format"):
        raise refuse(
            f"{node.key.upper()} with a format does not run on MongoDB", node, hint="strptime does it"
        )
    return _as(binder, node, DATE)


def _timestamp(binder: ScalarBinder, node: exp.Expression) -> Expr:
    return _as(binder, node, TIMESTAMP)


RULES: dict[type[exp.Expression], Rule] = {
    exp.Interval: literal_interval,
    exp.Add: _sum,
    exp.Sub: _difference,
    exp.Extract: _extract,
    exp.AtTimeZone: _zone,
    **dict.fromkeys((exp.DateDiff, exp.TimestampDiff, exp.DatetimeDiff, exp.TsOrDsDiff), _distance),
    exp.UnixToTime: _epoch,
    exp.Date: _date,
    exp.TsOrDsToDate: _date,
    exp.TsOrDsToTimestamp: _timestamp,
    exp.Timestamp: _timestamp,
    exp.TimeStrToTime: _timestamp,
    **dict.fromkeys((exp.DateAdd, exp.TimestampAdd, exp.DatetimeAdd, exp.TsOrDsAdd), _moved(1)),
    **dict.fromkeys((exp.DateSub, exp.TimestampSub, exp.DatetimeSub), _moved(-1)),
    exp.ToDays: to_unit("day"),
}

NAMED: dict[str, Rule] = {
    "date_part": date_part,
    "datepart": date_part,
    "dateadd": dateadd,
    "date_sub": date_sub,
    "to_months": to_unit("month"),
    "to_years": to_unit("year"),
    "to_weeks": to_unit("week"),
    "to_hours": to_unit("hour"),
    "to_minutes": to_unit("minute"),
    "to_seconds": to_unit("second"),
}
