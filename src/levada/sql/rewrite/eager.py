"""Aggregates that are computed before a join instead of behind it.

Rows that agree in the join's keys and in what is grouped by meet the same partners, so they may be added up
first: a million orders become as many rows as there are customers before they are joined to these. It holds
for SUM, COUNT, MIN, MAX and AVG over columns of one side of an inner join, or of the kept side of a left one.
(Yan and Larson, "Eager Aggregation and Lazy Aggregation", 1995.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from levada.sql.algebra import Aggregate, Join, Project, Relation, ids, inputs, outputs, with_inputs
from levada.sql.expression import (
    AggregateCall,
    Call,
    Case,
    Cast,
    Column,
    Constant,
    Expr,
    columns,
    parts_of,
    transform,
)
from levada.sql.rewrite.estimate import distinct_values, estimated
from levada.sql.types import BIGINT, BOOLEAN, DOUBLE, SqlType

#: Adding up first must leave at most so many of a side's rows, and is not tried below so many rows.
_SHARE, _ROWS = 0.12, 1_000.0

New = Callable[[], str]

#: What adds the partial results of an aggregate up.
_MERGED = {"sum": "sum", "count": "sum", "min": "min", "max": "max"}


def eager(relation: Relation, new: New) -> Relation:
    """The relation with aggregates moved below joins where that leaves far fewer rows to join.

    Args:
        new: gives fresh column ids.
    """
    if isinstance(relation, Aggregate):
        relation = _moved(relation, new)
    below = inputs(relation)
    return with_inputs(relation, tuple(eager(one, new) for one in below)) if below else relation


def _moved(node: Aggregate, new: New) -> Relation:
    join = node.input
    if not isinstance(join, Join) or join.kind not in {"inner", "left"} or join.condition is None:
        return node
    for side in _sides(join):
        if all(_partial(call, ids(side)) for _, call in node.aggregates):
            early = _Early(node, join, side, new)
            if early.pays():
                return early.relation()
    return node


def _sides(join: Join) -> Iterator[Relation]:
    both = (join.left, join.right) if join.kind == "inner" else (join.left,)
    return iter(sorted(both, key=estimated, reverse=True))


def _partial(call: AggregateCall, own: frozenset[str]) -> bool:
    """Whether a call can be computed in two steps, from columns of one side alone."""
    exact = call.name in _MERGED or (call.name == "avg" and call.args[0].type.name in {"DOUBLE", "DECIMAL"})
    used = frozenset[str]().union(*(columns(part) for part in parts_of(call)))
    return exact and not call.distinct and not call.order and used <= own


@dataclass(frozen=True, slots=True)
class _Step:
    """A call in two steps: what is computed early, what adds that up, and the result."""

    early: tuple[tuple[str, AggregateCall], ...]
    late: tuple[tuple[str, AggregateCall], ...]
    result: Expr


class _Early:
    """One side of a join, grouped before it.

    Args:
        node: the aggregate over the join.
        side: of the join, whose columns alone are aggregated.
    """

    def __init__(self, node: Aggregate, join: Join, side: Relation, new: New) -> None:
        self._node = node
        self._join = join
        self._side = side
        self._new = new
        self._keys = self._grouped_by()

    def pays(self) -> bool:
        """Whether far fewer rows are left to join."""
        rows = estimated(self._side)
        groups = 1.0
        for _, expr in self._keys:
            groups *= distinct_values(expr, self._side, self._join)
        return rows >= _ROWS and groups <= rows * _SHARE

    def relation(self) -> Relation:
        """The aggregate over the join of the grouped side."""
        steps = [self._step(name, call) for name, call in self._node.aggregates]
        calls = tuple(pair for step in steps for pair in step.early)
        grouped = Aggregate(self._side, self._keys, calls)
        left = grouped if self._side is self._join.left else self._join.left
        right = grouped if self._side is self._join.right else self._join.right
        made = {expr: Column(expr.type, expr.nullable, name) for name, expr in self._keys}
        groups = tuple((name, _over(expr, made)) for name, expr in self._node.groups)
        late = Aggregate(
            replace(self._join, left=left, right=right),
            groups,
            tuple(pair for step in steps for pair in step.late),
        )
        kept = tuple((column.id, column) for column in outputs(late)[: len(groups)])
        results = tuple(
            (name, step.result) for (name, _), step in zip(self._node.aggregates, steps, strict=True)
        )
        return Project(late, (*kept, *results))

    def _grouped_by(self) -> tuple[tuple[str, Expr], ...]:
        """What the rows of the side must agree in: its part of the condition and of the groups."""
        own = ids(self._side)
        types = {column.id: column for column in outputs(self._side)}
        assert self._join.condition is not None
        needed = columns(self._join.condition) & own
        keys: dict[Expr, str] = {types[name]: name for name in sorted(needed)}
        for _, expr in self._node.groups:
            used = columns(expr)
            if used and used <= own and not isinstance(expr, Column):
                keys.setdefault(expr, self._new())
            else:
                keys.update({types[name]: name for name in sorted(used & own)})
        return tuple((name, expr) for expr, name in keys.items())

    def _step(self, name: str, call: AggregateCall) -> _Step:
        if call.name == "avg":
            return self._average(name, call)
        early, late = self._new(), self._new()
        partial = Column(call.type, call.nullable, early)
        merged = AggregateCall(_MERGED[call.name], (partial,), call.type)
        result: Expr = Column(call.type, True, late)
        return _Step(((early, call),), ((late, merged),), _zero(result) if call.name == "count" else result)

    def _average(self, name: str, call: AggregateCall) -> _Step:
        kind = call.args[0].type
        total = replace(call, name="sum", type=_sum_type(kind))
        count = replace(call, name="count", type=BIGINT, nullable=False)
        first, second = self._step(name, total), self._step(name, count)
        summed: Expr = first.result
        if kind != DOUBLE:
            summed = Cast(DOUBLE, True, summed)
        divided = Call(DOUBLE, True, "/", (summed, Cast(DOUBLE, False, second.result, implicit=True)))
        result = Case(DOUBLE, True, ((_present(first.result), divided),), Constant(DOUBLE, True, None))
        return _Step(first.early + second.early, first.late + second.late, result)


def _over(expr: Expr, made: dict[Expr, Column]) -> Expr:
    return made.get(expr) or transform(expr, lambda part: made.get(part, part))


def _sum_type(kind: SqlType) -> SqlType:
    return DOUBLE if kind == DOUBLE else replace(kind, precision=38)


def _present(expr: Expr) -> Expr:
    return Call(BOOLEAN, False, "is not null", (expr,))


def _zero(expr: Expr) -> Expr:
    return Case(expr.type, False, ((_present(expr), expr),), Constant(BIGINT, False, 0))
