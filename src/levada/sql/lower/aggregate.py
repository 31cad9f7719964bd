"""GROUP BY: one `$group`, or two where distinct values count."""

from __future__ import annotations

from dataclasses import dataclass, field

from levada.sql.algebra import Aggregate
from levada.sql.errors import SqlError
from levada.sql.expression import AggregateCall, Expr, SortKey, parts_of
from levada.sql.expressions.aggregates import BY_NAME
from levada.sql.expressions.emit import Place, Row, condition, value
from levada.sql.expressions.folding import Accumulators, Fold
from levada.sql.expressions.table import Emitted
from levada.sql.lower.late import Late, late
from levada.sql.lower.relation import dense, lower_relation
from levada.sql.lower.state import (
    Context,
    Lowered,
    Needed,
    materialised,
    placed,
    projected,
    said,
    trivial,
)
from levada.sql.plan import Stage

Calls = list[tuple[str, AggregateCall]]


def lower_aggregate(relation: Aggregate, needed: Needed, context: Context) -> Lowered:
    """The groups' keys and aggregates; without keys there is always one row."""
    calls = [(name, call) for name, call in relation.aggregates if name in needed]
    exprs = [expr for _, expr in relation.groups]
    for _, call in calls:
        exprs += [part for part in parts_of(call) for _ in range(1 if trivial(part) else 2)]
    waiting = late(relation, calls, allowed=not any(distinct(call) for _, call in calls))
    lowered = lower_relation(waiting.relation.input, said(exprs), context)
    waiting.told(context)
    row = context.row(lowered)
    groups = {name: placed(value(expr, row)) for name, expr in relation.groups}
    nullable = {name: expr.nullable for name, expr in relation.groups}
    grouped = _Grouped(lowered, row, groups, nullable, context, waiting)
    for name, call in calls:
        (grouped.unique if distinct(call) else grouped.plain).append((name, call))
    result = grouped.result()
    often = [name for name in result.row if needed.get(name, 0) > 1 and not result.row[name].path]
    return materialised(result, needed) if often else result


def distinct(call: AggregateCall) -> bool:
    """Whether only distinct values count."""
    row = BY_NAME[call.name]
    return row.unique or row.counted or (call.distinct and row.repeats)


@dataclass
class _Grouped:
    lowered: Lowered
    row: Row
    groups: dict[str, Place]
    nullable: dict[str, bool]
    context: Context
    waiting: Late
    plain: Calls = field(default_factory=list)
    unique: Calls = field(default_factory=list)

    def result(self) -> Lowered:
        if not self.unique:
            return self._simple()
        sets = _sets(self.unique)
        folded, into = self._folded()
        if len(sets) == 1 and into.merging:
            return self._merged(sets[0], folded, into)
        return self._tagged(sets, folded, into)

    def _simple(self) -> Lowered:
        folded, into = self._folded()
        key = self._key({name: place.value for name, place in self.groups.items()}, whole=True)
        checks = self.waiting.check(self.groups, into)
        return self._finished([{"$group": {"_id": key, **into.fields}}, *checks], folded, into.nothing())

    def _folded(self) -> tuple[dict[str, Place], Accumulators]:
        into = Accumulators()
        empty = not self.groups
        return {name: folded(call, self.row, into, empty=empty) for name, call in self.plain}, into

    def _key(self, values: dict[str, Emitted], *, whole: bool = False) -> Emitted:
        """`_id` of the groups; a single key need not be in a document: there null and missing are alike."""
        if whole and not values:
            return None
        if whole and len(values) == 1:
            return next(iter(values.values()))
        return {n: {"$ifNull": [v, None]} if self.nullable[n] else v for n, v in values.items()}

    def _finished(self, stages: list[Stage], folded: dict[str, Place], nothing: Stage) -> Lowered:
        row = dict(folded)
        if not self.groups:
            default = {"$unionWith": {"pipeline": [{"$documents": [{"_id": None, **nothing}]}]}}
            return self.lowered.then(*stages, default, {"$limit": 1}, row=row)
        single = len(self.groups) == 1
        for name, place in self.groups.items():
            path = "_id" if single else f"_id.{name}"
            sure = place.proven or not place.path
            row[name] = Place(f"${path}", path=path, dense=True, proven=sure)
        return self.lowered.then(*stages, row=row)

    # One set of distinct values, and other aggregates that can be put together from parts.

    def _merged(self, chosen: _Set, plain: dict[str, Place], into: Accumulators) -> Lowered:
        keys = self._key({name: place.value for name, place in self.groups.items()})
        first: Stage = {"_id": {**keys, "d": chosen.key(self.row)}, **into.fields}
        if chosen.counted:
            first["n"] = {"$sum": 1}
        merged = {name: {next(iter(body)): f"${name}"} for name, body in into.fields.items()}
        last = Accumulators("b")
        plain.update(chosen.folded(last, None, empty=not self.groups))
        again = self._key({name: f"$_id.{name}" for name in self.groups}, whole=True)
        stages: list[Stage] = [{"$group": first}, {"$group": {"_id": again, **merged, **last.fields}}]
        return self._finished(stages, plain, {**into.nothing(), **last.nothing()})

    # Several sets, or others that need all rows at once: every row once for each, told apart by a tag.

    def _tagged(self, sets: list[_Set], plain: dict[str, Place], into: Accumulators) -> Lowered:
        text = f"reads every row {len(sets) + 1} times: {len(sets)} kinds of distinct values"
        self.context.note("group", text, works=False)
        keys = self._key({name: f"${name}" for name in self.groups})
        cells = {name: projected(place) for name, place in self.groups.items()}
        cells |= {f"d{tag}": chosen.key(self.row) for tag, chosen in enumerate(sets, 1)}
        inputs, fields = _inputs(into)
        tags = {"$literal": list(range(0 if into.fields else 1, len(sets) + 1))}
        spread: list[Stage] = [{"$replaceWith": {**cells, **inputs, "t": tags}}, {"$unwind": "$t"}]
        branches = [{"case": {"$eq": ["$t", tag]}, "then": f"$d{tag}"} for tag in range(1, len(sets) + 1)]
        value_ = {"$switch": {"branches": branches, "default": None}}
        first: Stage = {"_id": {**keys, "t": "$t", "d": value_}, **fields}
        if any(chosen.counted for chosen in sets):
            first["n"] = {"$sum": 1}
        whole = {
            name: {"$max": {"$cond": [{"$eq": ["$_id.t", 0]}, f"${name}", None]}} for name in into.fields
        }
        last = Accumulators("b")
        for tag, chosen in enumerate(sets, 1):
            plain.update(chosen.folded(last, tag, empty=not self.groups))
        again = self._key({name: f"$_id.{name}" for name in self.groups}, whole=True)
        stages = [*spread, {"$group": first}, {"$group": {"_id": again, **whole, **last.fields}}]
        return self._finished(stages, plain, {**into.nothing(), **last.nothing()})


def _inputs(into: Accumulators) -> tuple[Stage, Stage]:
    """What accumulators take as fields, and the accumulators over these."""
    inputs: Stage = {}
    fields: Stage = {}
    for name, body in into.fields.items():
        operator, taken = next(iter(body.items()))
        inputs[f"i{name}"] = taken if isinstance(taken, dict | str) else {"$literal": taken}
        only = {"$cond": [{"$eq": ["$t", 0]}, f"$i{name}", "$$REMOVE"]}
        fields[name] = {operator: only if operator == "$push" else f"$i{name}"}
    return inputs, fields


@dataclass
class _Set:
    """Aggregates over the same distinct values."""

    arg: Expr
    filter: Expr | None
    calls: Calls

    @property
    def counted(self) -> bool:
        return any(BY_NAME[call.name].counted for _, call in self.calls)

    def key(self, row: Row) -> Emitted:
        """The value, and whether FILTER keeps it."""
        value_ = dense(Place(value(self.arg, row)), nullable=self.arg.nullable)
        if self.filter is None:
            return {"v": value_}
        kept = condition(self.filter, row)
        return {"v": {"$cond": [kept, value_, None]}, "f": kept}

    def folded(self, into: Accumulators, tag: int | None, *, empty: bool) -> dict[str, Place]:
        """The calls over groups of distinct values."""
        tests: list[Emitted] = [] if tag is None else [{"$eq": ["$_id.t", tag]}]
        tests += [] if self.filter is None else ["$_id.d.f"]
        kept = None if not tests else tests[0] if len(tests) == 1 else {"$and": tests}
        return {name: self._folded(call, into, kept, empty) for name, call in self.calls}

    def _folded(self, call: AggregateCall, into: Accumulators, kept: Emitted, empty: bool) -> Place:
        for key in call.order:
            if key.expr != self.arg:
                raise SqlError(f"ORDER BY in {call.name}(DISTINCT ...) takes the same expression")
        args: list[Emitted] = ["$_id.d.v"]
        args += ["$n"] if BY_NAME[call.name].counted else [None for _ in call.args[1:]]
        keys = ["$_id.d.v" for _ in call.order]
        return placed(BY_NAME[call.name].fold(Fold(call, args, keys, kept, into, empty)))


def _sets(calls: Calls) -> list[_Set]:
    found: list[_Set] = []
    for name, call in calls:
        if not call.args or (call.name == "count" and len(call.args) > 1):
            raise SqlError("count(DISTINCT ...) takes one value")
        arg = call.args[0]
        for one in found:
            if one.arg == arg and one.filter == call.filter:
                one.calls.append((name, call))
                break
        else:
            found.append(_Set(arg, call.filter, [(name, call)]))
    return found


def folded(call: AggregateCall, row: Row, into: Accumulators, *, empty: bool) -> Place:
    """A call over the rows themselves."""
    args = [value(arg, row) for arg in call.args]
    keys = [value(key.expr, row) for key in call.order]
    kept = None if call.filter is None else condition(call.filter, row)
    return placed(BY_NAME[call.name].fold(Fold(call, args, keys, kept, into, empty)))


__all__ = ["SortKey", "distinct", "folded", "lower_aggregate"]
