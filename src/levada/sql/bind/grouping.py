"""GROUP BY, with ROLLUP, CUBE and GROUPING SETS."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from levada.sql.algebra import Aggregate, Project, Relation, SetOperation, outputs
from levada.sql.bind.calls import Clauses
from levada.sql.bind.clone import clone, rebound, renamed
from levada.sql.bind.query import position_of
from levada.sql.errors import refuse
from levada.sql.expression import (
    Column,
    Constant,
    Expr,
    Subquery,
    children,
    columns,
    rebuilt,
    transform,
    walk,
)
from levada.sql.types import BIGINT

Item = tuple[str, Expr, exp.Expression]
Settle = Callable[[Expr, exp.Expression], Expr]


def grouping(select: exp.Select, clauses: Clauses, items: Sequence[Item]) -> Grouping | None:
    """How a SELECT groups its rows; None: it does not."""
    clause = select.args.get("group")
    if clause is None:
        return Grouping(clauses, [], [()]) if clauses.aggregates or clauses.groupings else None
    sets = _Sets(clauses, items)
    if clause.args.get("all"):
        groups = [sets.place(expr) for _, expr, _ in items if not _aggregated(expr, clauses)]
        return Grouping(clauses, sets.groups, [tuple(groups)])
    plain = [node for node in clause.expressions if not _special(node)]
    parts: list[list[tuple[int, ...]]] = [[(sets.one(node),)] for node in plain]
    nodes = [node for node in clause.expressions if _special(node)]
    for name in ("rollup", "cube", "grouping_sets"):
        nodes += clause.args.get(name) or ()
    parts += [sets.special(node) for node in nodes]
    every = [tuple(dict.fromkeys(itertools.chain(*combined))) for combined in itertools.product(*parts)]
    return Grouping(clauses, sets.groups, every)


def form(expr: Expr) -> Expr:
    """What two expressions have in common that say the same: ids inside subqueries and NaN left aside."""

    def plain(part: Expr) -> Expr:
        if isinstance(part, Constant) and part.value != part.value:
            return replace(part, value="NaN")
        if isinstance(part, Subquery):
            numbers = itertools.count()
            copy, names = clone(part.relation, lambda: f"s{next(numbers)}")
            return replace(part, relation=copy, column=names.get(part.column, ""))
        return part

    return transform(expr, plain)


class _Sets:
    """Numbers the group expressions."""

    def __init__(self, clauses: Clauses, items: Sequence[Item]) -> None:
        self.groups: list[Expr] = []
        self._clauses = clauses
        self._items = items

    def place(self, expr: Expr) -> int:
        forms = [form(known) for known in self.groups]
        if form(expr) not in forms:
            self.groups.append(expr)
            return len(forms)
        return forms.index(form(expr))

    def one(self, node: exp.Expression) -> int:
        node = node.this if isinstance(node, exp.Paren) else node
        position = position_of(node, len(self._items))
        if position is not None:
            expr = self._items[position][1]
            if _aggregated(expr, self._clauses):
                raise refuse("GROUP BY can't contain an aggregate", node)
            return self.place(expr)
        return self.place(self._clauses.plain("GROUP BY").bind(node))

    def special(self, node: exp.Expression) -> list[tuple[int, ...]]:
        """The sets that ROLLUP, CUBE or GROUPING SETS stands for."""
        if isinstance(node, exp.GroupingSets):
            return [one for part in node.expressions for one in self._set(part)]
        parts = [self._together(part) for part in node.expressions]
        if isinstance(node, exp.Rollup):
            kept = [parts[:count] for count in range(len(parts), -1, -1)]
        else:
            kept = [
                list(chosen)
                for count in range(len(parts), -1, -1)
                for chosen in itertools.combinations(parts, count)
            ]
        return [tuple(itertools.chain(*one)) for one in kept]

    def _set(self, node: exp.Expression) -> list[tuple[int, ...]]:
        return self.special(node) if _special(node) else [self._together(node)]

    def _together(self, node: exp.Expression) -> tuple[int, ...]:
        nodes = node.expressions if isinstance(node, exp.Tuple) else [node]
        return tuple(self.one(one) for one in nodes)


class Grouping:
    """A SELECT's groups and aggregates.

    Args:
        groups: the expressions grouped by.
        sets: for each result of the grouping, the places in `groups` it groups by.
    """

    def __init__(self, clauses: Clauses, groups: list[Expr], sets: list[tuple[int, ...]]) -> None:
        self._clauses = clauses
        self._groups = groups
        self._sets = sets
        self._new = clauses.context.statement.new

    def applied(self, relation: Relation) -> tuple[Relation, Settle]:
        """The grouped rows, and what puts an expression over the input on top of them."""
        inside = frozenset(column.id for column in outputs(relation))
        ids = [
            expr.id if isinstance(expr, Column) and expr.id in inside else self._new()
            for expr in self._groups
        ]
        if len(self._sets) == 1 and len(self._sets[0]) == len(self._groups):
            aggregates = tuple((name, call) for call, name in self._clauses.aggregates.items())
            grouped: Relation = Aggregate(relation, tuple(zip(ids, self._groups, strict=True)), aggregates)
            grouped = self._numbered(grouped, self._sets[0])
            nullable = [expr.nullable for expr in self._groups]
        else:
            ids = [self._new() for _ in self._groups]
            grouped = self._united(relation, ids)
            nullable = [True] * len(ids)
        made = {
            expr: Column(expr.type, may, name)
            for expr, name, may in zip(self._groups, ids, nullable, strict=True)
        }
        return grouped, _Settle(made, inside, frozenset(c.id for c in outputs(grouped)))

    def _numbered(self, relation: Relation, chosen: tuple[int, ...]) -> Relation:
        if not self._clauses.groupings:
            return relation
        kept = tuple((column.id, column) for column in outputs(relation))
        marks = tuple((name, self._mark(key, chosen)) for key, name in self._clauses.groupings.items())
        return Project(relation, (*kept, *marks))

    def _mark(self, key: tuple[Expr, ...], chosen: tuple[int, ...]) -> Constant:
        """GROUPING: one bit per expression, set where this result does not group by it."""
        groups = [form(expr) for expr in self._groups]
        present = [groups[place] for place in chosen]
        value = 0
        for expr in map(form, key):
            if expr not in groups:
                raise refuse("GROUPING takes expressions of GROUP BY")
            value = value * 2 + (expr not in present)
        return Constant(BIGINT, False, value)

    def _united(self, relation: Relation, ids: list[str]) -> Relation:
        """One aggregation per set, put together by UNION ALL."""
        names = [*ids, *self._clauses.aggregates.values(), *self._clauses.groupings.values()]
        one = self._branch(relation, self._sets[0])
        for chosen in self._sets[1:]:
            copy, fresh = clone(relation, self._new)
            other = self._branch(copy, chosen, fresh)
            header = tuple(replace(column, id=self._new(), nullable=True) for column in outputs(one))
            one = SetOperation("union", True, one, other, header)
        items = tuple((name, column) for name, column in zip(names, outputs(one), strict=True))
        return Project(one, items)

    def _branch(
        self, relation: Relation, chosen: tuple[int, ...], fresh: Mapping[str, str] | None = None
    ) -> Relation:
        names = fresh or {}
        made = {place: self._new() for place in chosen}
        calls = [
            (self._new(), rebuilt(call, lambda part: renamed(part, names)))
            for call in self._clauses.aggregates
        ]
        groups = tuple((made[place], renamed(self._groups[place], names)) for place in chosen)
        grouped = Aggregate(relation, groups, tuple(calls))
        keys: list[Expr] = [
            Column(expr.type, expr.nullable, made[place])
            if place in made
            else Constant(expr.type, True, None)
            for place, expr in enumerate(self._groups)
        ]
        values: list[Expr] = [Column(call.type, call.nullable, name) for name, call in calls]
        marks: list[Expr] = [self._mark(key, chosen) for key in self._clauses.groupings]
        return Project(grouped, tuple((self._new(), expr) for expr in (*keys, *values, *marks)))


class _Settle:
    """Puts an expression over grouped rows."""

    def __init__(self, made: dict[Expr, Column], inside: frozenset[str], grouped: frozenset[str]) -> None:
        self._made = {form(expr): column for expr, column in made.items()}
        self._lost = inside - grouped
        self._inside = {expr.id: column for expr, column in made.items() if isinstance(expr, Column)}

    def __call__(self, expr: Expr, node: exp.Expression) -> Expr:
        settled = self._settled(expr)
        if columns(settled) & self._lost:
            raise refuse(
                f"{_lost_name(node)} is neither grouped nor aggregated",
                node,
                hint="add it to GROUP BY, or take any_value(...) of it",
            )
        return settled

    def _settled(self, expr: Expr) -> Expr:
        if (known := self._made.get(form(expr))) is not None:
            return known
        if isinstance(expr, Subquery):
            return replace(expr, relation=rebound(expr.relation, self._replaced))
        if not any(True for _ in children(expr)):
            return expr
        return _with_children(expr, self._settled)

    def _replaced(self, part: Expr) -> Expr:
        return self._inside.get(part.id, part) if isinstance(part, Column) else part


def _with_children(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    changed = {id(child): change(child) for child in children(expr)}
    return rebuild_once(expr, changed)


def rebuild_once(expr: Expr, changed: dict[int, Expr]) -> Expr:
    """The expression with its direct parts exchanged, by their identity."""
    from levada.sql.expression import Call, Case, Cast

    match expr:
        case Call():
            return replace(expr, args=tuple(changed[id(part)] for part in expr.args))
        case Case():
            branches = tuple((changed[id(c)], changed[id(v)]) for c, v in expr.branches)
            return replace(expr, branches=branches, default=changed[id(expr.default)])
        case Cast():
            return replace(expr, arg=changed[id(expr.arg)])
    return expr


def _lost_name(node: exp.Expression) -> str:
    names = [part.name for part in node.find_all(exp.Column)]
    return " or ".join(dict.fromkeys(names)) or "*"


def _special(node: exp.Expression) -> bool:
    return isinstance(node, exp.Rollup | exp.Cube | exp.GroupingSets)


def _aggregated(expr: Expr, clauses: Clauses) -> bool:
    names = set(clauses.aggregates.values()) | {name for name, _ in clauses.windows}
    return any(isinstance(part, Column) and part.id in names for part in walk(expr))
