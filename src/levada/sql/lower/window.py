"""Window functions by `$setWindowFields`.

Its stages come one after the other, because they sort differently: by the keys themselves (row numbers, ROWS
frames), by one composed key (`$rank` takes no more), by the dense rank (RANGE frames whose ends are peers: a
range needs numbers), by one numeric key (RANGE frames with distances).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from levada.sql.algebra import Window
from levada.sql.errors import SqlError
from levada.sql.expression import AggregateCall, Column, Constant, Expr, Frame, WindowCall, columns, parts_of
from levada.sql.expressions.aggregates import BY_NAME
from levada.sql.expressions.emit import Place, Row, condition, value
from levada.sql.expressions.folding import Accumulators, Fold, constant
from levada.sql.expressions.table import Emitted
from levada.sql.lower.ranks import Ranks, distance_key, distances
from levada.sql.lower.relation import lower_relation
from levada.sql.lower.state import Context, Lowered, Needed, materialised, placed, said
from levada.sql.plan import Stage

_WHOLE: Final = {"documents": ["unbounded", "unbounded"]}
_SO_FAR: Final = {"range": ["unbounded", 0]}  # "current" would leave peers out


def lower_window(relation: Window, needed: Needed, context: Context) -> Lowered:
    """The input's rows with the functions' results."""
    calls = [(name, call) for name, call in relation.calls if name in needed]
    own = {name for name, _ in relation.calls}
    kept = [name for name in needed if name not in own]
    if not calls:
        return lower_relation(relation.input, needed, context)
    exprs = [part for _, call in calls for part in parts_of(call)]
    lowered = lower_relation(relation.input, said(exprs, kept), context)
    used = dict.fromkeys([*kept, *(name for expr in exprs for name in sorted(columns(expr)))])
    lowered = materialised(lowered, used)
    windowed = _Windowed(calls[0][1], context.row(lowered), [call for _, call in calls])
    row = {name: lowered.row[name] for name in kept if name in lowered.row}
    row |= {name: placed(windowed.result(call)) for name, call in calls}
    result = lowered.then(*windowed.stages(), row=row)
    often = [name for name in own if needed.get(name, 0) > 1 and not result.row[name].path]
    return materialised(result, needed) if often else result


@dataclass
class _Phase:
    """One `$setWindowFields`."""

    partition: Emitted
    sort: dict[str, int]
    output: Stage = field(default_factory=dict)

    def stages(self) -> list[Stage]:
        if not self.output:
            return []
        body: Stage = {} if self.partition is None else {"partitionBy": self.partition}
        if self.sort:
            body["sortBy"] = self.sort
        return [{"$setWindowFields": {**body, "output": self.output}}]


class _Windowed:
    """The windows of one partition and one order.

    Args:
        first: any of the calls: all have the same partition and order.
        row: of documents whose fields are the columns.
    """

    def __init__(self, first: WindowCall, row: Row, calls: list[WindowCall]) -> None:
        self._row = row
        order = tuple(key for key in first.order if not isinstance(key.expr, Constant))
        self._ranks = Ranks(order, row)
        partition = _partition(first.partition, row)
        sort = self._ranks.sort or {"o": 1}  # there must be one; nobody has this field
        self._first = _Phase(partition, sort)
        self._ranked = _Phase(partition, self._ranks.composed_sort or {"o": 1})
        self._second = _Phase(partition, sort)
        self._peers = _Phase({"p": partition, "d": "$dense"}, {})
        self._ranges = _Phase(partition, {"dense": 1})
        self._distances = _Phase(partition, {"distance": 1})
        self._calls = calls
        self._number = 0
        self._key: Emitted = None

    def stages(self) -> list[Stage]:
        keys = dict(self._ranks.fields)
        if self._ranks.composed and (self._ranked.output or self._ranges.output):
            keys.update(self._ranks.composed)
        if self._key is not None:
            keys["distance"] = self._key
        before: list[Stage] = [{"$set": keys}] if keys else []
        changed: list[Stage] = []
        if "changed" in str(self._second.output):
            changed = [{"$set": {"changed": {"$cond": [{"$eq": ["$before", "$key"]}, 0, 1]}}}]
        phases = [self._first, self._ranked]
        later = [self._second, self._peers, self._ranges, self._distances]
        return [
            *before,
            *(stage for phase in phases for stage in phase.stages()),
            *changed,
            *(stage for phase in later for stage in phase.stages()),
        ]

    def result(self, call: WindowCall) -> Emitted:
        """Adds what a call needs; gives its result."""
        if call.name in _RANKING:
            return _RANKING[call.name](self, call)
        if call.frame is not None and _backwards(call.frame):
            raise SqlError(f"the frame of {call.name} ends before it starts")
        if call.name in _PICKING:
            if call.filter is not None:
                raise SqlError(f"{call.name} takes no FILTER")
            return _PICKING[call.name](self, call)
        return self._folded(call)

    # Aggregates.

    def _folded(self, call: WindowCall) -> Emitted:
        function = BY_NAME[call.name]
        if (call.distinct and function.repeats) or function.unique or function.counted:
            what = f"{call.name}(DISTINCT ...)" if call.distinct else call.name
            raise SqlError(f"{what} can't be a window function on MongoDB")
        plain = AggregateCall(call.name, call.args, call.type, call.nullable, False, call.filter)
        args = [value(arg, self._row) for arg in call.args]
        kept = None if call.filter is None else condition(call.filter, self._row)
        into = Accumulators(self._new())
        result = function.fold(Fold(plain, args, [], kept, into, _may_be_empty(call.frame), True))
        phase, window = self._place(call.frame)
        for name, body in into.fields.items():
            phase.output[name] = {**body, "window": window}
        return result

    def _place(self, frame: Frame | None) -> tuple[_Phase, Stage]:
        """The stage for a frame, and the frame as MongoDB says it."""
        peers = frame is not None and frame.unit == "range" and not self._ranks.order
        if frame is None or peers or (frame.start.kind, frame.end.kind) == _UNBOUNDED:
            return self._first, _WHOLE
        if frame.unit == "rows":
            return self._second if self._second.output else self._first, _documents(frame)
        if frame.start.offset is None and frame.end.offset is None:
            self.dense()
            return self._ranges, {"range": [_peers(frame.start.kind), _peers(frame.end.kind)]}
        self._key = distance_key(self._ranks.order[0], self._row, frame)
        return self._distances, distances(self._ranks.order[0], frame)

    # Ranks.

    def _new(self) -> str:
        self._number += 1
        return f"w{self._number}_"

    def _add(self, phase: _Phase, name: str, body: Stage) -> str:
        phase.output[name] = body
        return f"${name}"

    def row_number(self) -> str:
        window = {"documents": ["unbounded", "current"]}  # $documentNumber takes one key alone
        return self._add(self._first, "place", {"$sum": 1, "window": window})

    def rows(self) -> str:
        return self._add(self._first, "rows", {"$sum": 1, "window": _WHOLE})

    def dense(self) -> str:
        if self._ranks.composed_sort is not None or not self._ranks.order:
            return self._add(self._ranked, "dense", {"$denseRank": {}})
        # Keys in different directions, some of them text: a rank grows where the key changes.
        self._add(self._first, "before", {"$shift": {"output": "$key", "by": -1}})
        window = {"documents": ["unbounded", "current"]}
        return self._add(self._second, "dense", {"$sum": "$changed", "window": window})

    def rank(self) -> str:
        if self._ranks.composed_sort is not None or not self._ranks.order:
            return self._add(self._ranked, "rank", {"$rank": {}})
        self.dense()
        return self._add(self._peers, "rank", {"$min": self.row_number()})

    def percent_rank(self) -> Emitted:
        others = {"$subtract": [self.rows(), 1]}
        share = {"$divide": [{"$subtract": [self.rank(), 1]}, others]}
        return {"$cond": [{"$eq": [others, 0]}, 0.0, share]}

    def cume_dist(self) -> Emitted:
        self.dense()
        up_to = self._add(self._ranges, "up_to", {"$sum": 1, "window": _SO_FAR})
        return {"$divide": [up_to, self.rows()]}

    def ntile(self, call: WindowCall) -> Emitted:
        buckets = constant(call.args[0], "the number of buckets of ntile")
        if not isinstance(buckets, int) or buckets < 1:
            raise SqlError("ntile takes a number of buckets that is at least 1")
        place, rows = {"$subtract": [self.row_number(), 1]}, self.rows()
        small = {"$toLong": {"$floor": {"$divide": [rows, buckets]}}}
        larger = {"$mod": [rows, buckets]}  # so many buckets have one row more
        edge = {"$multiply": ["$$larger", {"$add": ["$$small", 1]}]}
        inside = _whole("$$at", {"$add": ["$$small", 1]})
        behind = {"$add": ["$$larger", _whole({"$subtract": ["$$at", edge]}, {"$max": ["$$small", 1]})]}
        chosen = {"$cond": [{"$lt": ["$$at", edge]}, inside, behind]}
        names = {"at": place, "small": small, "larger": larger}
        return {"$add": [1, {"$let": {"vars": names, "in": chosen}}]}

    # One row of a frame.

    def shifted(self, call: WindowCall) -> Emitted:
        if call.ignore_nulls or call.filter is not None:
            raise SqlError(f"{call.name} takes neither IGNORE NULLS nor FILTER on MongoDB")
        by = constant(call.args[1], f"the offset of {call.name}") if len(call.args) > 1 else 1
        if not isinstance(by, int):
            raise SqlError(f"the offset of {call.name} is a whole number")
        by = -by if call.name == "lag" else by
        default = call.args[2] if len(call.args) > 2 else None
        output = value(call.args[0], self._row)
        if default is None or (isinstance(default, Constant) and default.value is None):
            return self._add(self._first, self._new(), {"$shift": {"output": output, "by": by}})
        held = self._add(self._first, self._new(), {"$shift": {"output": {"v": output}, "by": by}})
        there = {"$eq": [{"$type": held}, "object"]}
        return {"$cond": [there, f"{held}.v", value(default, self._row)]}

    def end(self, call: WindowCall) -> Emitted:
        taken = value(call.args[0], self._row)
        first = call.name == "first_value"
        if call.ignore_nulls:
            return self._end_of_values(call, taken, "$min" if first else "$max")
        phase, window = self._place(call.frame)
        return self._add(phase, self._new(), {"$first" if first else "$last": taken, "window": window})

    def _end_of_values(self, call: WindowCall, taken: Emitted, operator: str) -> Emitted:
        numbered = {"n": self.row_number(), "v": taken}
        held = {"$cond": [{"$gt": [taken, None]}, numbered, None]}
        phase, window = self._place(call.frame)
        phase = self._second if phase is self._first else phase
        return f"{self._add(phase, self._new(), {operator: held, 'window': window})}.v"

    def nth(self, call: WindowCall) -> Emitted:
        number = constant(call.args[1], "the place of nth_value")
        if call.ignore_nulls or not isinstance(number, int) or number < 1:
            raise SqlError("nth_value takes a place that is at least 1, and no IGNORE NULLS")
        phase, window = self._place(call.frame)
        body = {"$firstN": {"n": number, "input": value(call.args[0], self._row)}, "window": window}
        held = self._add(phase, self._new(), body)
        return {"$cond": [{"$eq": [{"$size": held}, number]}, {"$arrayElemAt": [held, -1]}, None]}


def _whole(value_: Emitted, by: Emitted) -> Emitted:
    return {"$toLong": {"$floor": {"$divide": [value_, by]}}}


_UNBOUNDED: Final = ("unbounded preceding", "unbounded following")

_Method = Callable[[_Windowed, WindowCall], Emitted]

_RANKING: Final[dict[str, _Method]] = {
    "row_number": lambda windowed, _call: windowed.row_number(),
    "rank": lambda windowed, _call: windowed.rank(),
    "dense_rank": lambda windowed, _call: windowed.dense(),
    "percent_rank": lambda windowed, _call: windowed.percent_rank(),
    "cume_dist": lambda windowed, _call: windowed.cume_dist(),
    "ntile": _Windowed.ntile,
    "lag": _Windowed.shifted,
    "lead": _Windowed.shifted,
}
_PICKING: Final[dict[str, _Method]] = {
    "first_value": _Windowed.end,
    "last_value": _Windowed.end,
    "nth_value": _Windowed.nth,
}


def _partition(partition: tuple[Expr, ...], row: Row) -> Emitted:
    """One value that tells the partitions apart; NULLs are alike."""
    if not partition:
        return None
    values = [
        {"$ifNull": [value(expr, row), None]} if expr.nullable else value(expr, row) for expr in partition
    ]
    if len(values) == 1 and partition[0].type.name != "LIST":
        return values[0]
    return {f"p{place}": one for place, one in enumerate(values)}


def _documents(frame: Frame) -> Stage:
    ends: list[Any] = []
    for bound in (frame.start, frame.end):
        sign = -1 if bound.kind == "preceding" else 1
        ends.append(_end(bound.kind) if bound.offset is None else sign * bound.offset)
    return {"documents": ends}


def _end(kind: str) -> str:
    return "current" if kind == "current row" else "unbounded"


def _peers(kind: str) -> Any:
    return 0 if kind == "current row" else "unbounded"


_SIDES: Final = {
    "unbounded preceding": -2,
    "preceding": -1,
    "current row": 0,
    "following": 1,
    "unbounded following": 2,
}


def _backwards(frame: Frame) -> bool:
    start, end = _SIDES[frame.start.kind], _SIDES[frame.end.kind]
    if start != end or frame.start.offset is None or isinstance(frame.start.offset, str):
        return start > end
    try:
        return bool(frame.start.offset * start > frame.end.offset * end)
    except TypeError:
        return False  # intervals


def _may_be_empty(frame: Frame | None) -> bool:
    """Whether a frame may be without its own row."""
    return frame is not None and not _SIDES[frame.start.kind] <= 0 <= _SIDES[frame.end.kind]


__all__ = ["Column", "Place", "lower_window"]
