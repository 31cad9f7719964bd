"""The frames of window functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from levada.sql.errors import refuse
from levada.sql.expression import Bound, Constant, Frame, Interval, SortKey

if TYPE_CHECKING:
    from levada.sql.bind.scalars import Scalars

_WHOLE = Frame("rows", Bound("unbounded preceding"), Bound("unbounded following"))
_SO_FAR = Frame("range", Bound("unbounded preceding"), Bound("current row"))


def frame_of(spec: Any, keys: tuple[SortKey, ...], scalars: Scalars, node: exp.Expression) -> Frame:
    """The frame a window has; without one the SQL standard's: up to the current row and its peers."""
    if spec is None:
        return _SO_FAR if keys else _WHOLE
    unit = str(spec.args.get("kind") or "rows").lower()
    if unit not in {"rows", "range"}:
        raise refuse(f"{unit.upper()} in a frame does not run on MongoDB", node)
    start = _bound(spec, "start", scalars, unit, node)
    end = _bound(spec, "end", scalars, unit, node) if spec.args.get("end") else Bound("current row")
    if start.kind == "unbounded following" or end.kind == "unbounded preceding":
        raise refuse("the frame starts behind its end", node)
    if unit == "range" and not keys:
        return _WHOLE
    if unit == "range" and (start.offset is not None or end.offset is not None) and len(keys) != 1:
        raise refuse("a RANGE with distances needs one ORDER BY key", node)
    return Frame(unit, start, end)


def _bound(spec: Any, which: str, scalars: Scalars, unit: str, node: exp.Expression) -> Bound:
    value, side = spec.args.get(which), str(spec.args.get(f"{which}_side") or "").lower()
    if value == "CURRENT ROW":
        return Bound("current row")
    if value == "UNBOUNDED":
        return Bound(f"unbounded {side}")
    bound = scalars.bind(value)
    offset = bound.value if isinstance(bound, Constant) else None
    whole = isinstance(offset, int) and not isinstance(offset, bool)
    if offset is None or (unit == "rows" and not whole):
        raise refuse(f"{unit.upper()} takes a distance that is known beforehand", node)
    negative = (
        min(offset.months, offset.days, offset.milliseconds) if isinstance(offset, Interval) else offset
    )
    if not isinstance(offset, Interval | str) and negative < 0:
        raise refuse("a frame's distance can't be negative", node)
    return Bound(side, offset)


def _negative(offset: Any) -> bool:
    if isinstance(offset, Interval):
        return min(offset.months, offset.days, offset.milliseconds) < 0
    return not isinstance(offset, str) and bool(offset < 0)
