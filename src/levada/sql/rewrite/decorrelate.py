"""Subqueries become joins.

EXISTS and IN in a WHERE become semi and anti joins, elsewhere mark joins; a correlated scalar aggregate
becomes a left join with the aggregate grouped by what correlates. To get there, correlated conditions are
pulled up out of the subquery. What can't be pulled (a LIMIT, a set operation, a window between) stays an
`Apply`, which runs once per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from levada.sql.algebra import (
    Aggregate,
    Apply,
    BoundQuery,
    Distinct,
    Filter,
    Join,
    Limit,
    Project,
    Relation,
    Sort,
    expressions,
    free,
    ids,
    inputs,
    outputs,
    with_expressions,
    with_inputs,
)
from levada.sql.errors import SqlError
from levada.sql.expression import (
    AggregateCall,
    Call,
    Case,
    Column,
    Constant,
    Expr,
    Subquery,
    columns,
    conjunction,
    conjuncts,
    transform,
    walk,
)
from levada.sql.rewrite.truth import certain
from levada.sql.types import BIGINT, BOOLEAN

New = Callable[[], str]


def decorrelate(query: BoundQuery, new: New) -> BoundQuery:
    """The query without subqueries in its expressions.

    Args:
        new: gives fresh column ids.
    """
    work = _Work(new)
    stored = tuple((name, work.relation(one)) for name, one in query.stored)
    return replace(query, relation=work.relation(query.relation), stored=stored)


@dataclass(frozen=True, slots=True)
class _Pulled:
    """A relation without its correlated conditions, and these; `relation` gives all columns they need."""

    relation: Relation
    conditions: tuple[Expr, ...] = ()


class _Work:
    def __init__(self, new: New) -> None:
        self._new = new

    def relation(self, relation: Relation) -> Relation:
        below = tuple(self.relation(one) for one in inputs(relation))
        if below:
            relation = with_inputs(relation, below)
        if isinstance(relation, Filter):
            return self._filter(relation)
        if not any(_has_subquery(expr) for expr in expressions(relation)):
            return relation
        if isinstance(relation, Join):
            return self._join(relation)
        if len(below) != 1:
            raise SqlError("a subquery can't stand here", hint="put it into a FROM or a WITH")
        return self._attached(relation, below[0])

    def _attached(self, relation: Relation, below: Relation) -> Relation:
        """Compute the subqueries of a relation's expressions below it."""
        kept = ids(relation)

        def change(expr: Expr) -> Expr:
            nonlocal below
            below, expr = self._without(below, expr)
            return expr

        changed = with_expressions(relation, change)
        changed = with_inputs(changed, (below,))
        if ids(changed) == kept:
            return changed
        columns_ = tuple((column.id, column) for column in outputs(changed) if column.id in kept)
        return Project(changed, columns_)

    def _join(self, join: Join) -> Relation:
        assert join.condition is not None
        if join.kind not in {"inner", "cross"}:
            return self._outer_join(join, join.condition)
        return self.relation_filter(replace(join, kind="cross", condition=None), join.condition)

    def _outer_join(self, join: Join, condition: Expr) -> Relation:
        """Compute each subquery of an outer join's condition on the side it is about."""
        sides = {"left": join.left, "right": join.right}

        def change(part: Expr) -> Expr:
            if not isinstance(part, Subquery):
                return part
            outer = free(part.relation)
            about = [name for name, side in sides.items() if outer & ids(side)] or ["right"]
            if len(about) > 1:
                raise SqlError(
                    f"a subquery about both sides can't stand in the ON of a {join.kind.upper()} JOIN",
                    hint="put it into WHERE",
                )
            sides[about[0]], value = self._without(sides[about[0]], part)
            return value

        condition = transform(condition, change)
        kept = ids(join)
        joined = replace(join, left=sides["left"], right=sides["right"], condition=condition)
        return Project(joined, tuple((c.id, c) for c in outputs(joined) if c.id in kept))

    def relation_filter(self, relation: Relation, condition: Expr) -> Relation:
        """A filter whose condition may have subqueries."""
        return self._filter(Filter(relation, condition))

    def _filter(self, node: Filter) -> Relation:
        kept = ids(node.input)
        plain = [part for part in conjuncts(certain(node.condition)) if not _has_subquery(part)]
        rest = [part for part in conjuncts(certain(node.condition)) if _has_subquery(part)]
        relation = _filtered(node.input, plain)
        for part in rest:
            relation = self._where(relation, part)
        if ids(relation) == kept:
            return relation
        return Project(relation, tuple((c.id, c) for c in outputs(relation) if c.id in kept))

    def _where(self, relation: Relation, part: Expr) -> Relation:
        negated = isinstance(part, Call) and part.name == "not"
        subject = part.args[0] if isinstance(part, Call) and negated else part
        if isinstance(subject, Subquery) and subject.kind == "exists":
            return self._exists(relation, subject, "anti" if negated else "semi")
        relation, condition = self._without(relation, part)
        return Filter(relation, condition)

    def _without(self, relation: Relation, expr: Expr) -> tuple[Relation, Expr]:
        """The expression with its subqueries computed as columns of the relation."""

        def change(part: Expr) -> Expr:
            nonlocal relation
            if not isinstance(part, Subquery):
                return part
            if part.kind == "exists":
                mark = self._new()
                relation = self._exists(relation, part, "mark", mark)
                return Column(BOOLEAN, False, mark)
            relation, value = self._scalar(relation, part)
            return value

        changed = transform(expr, change)
        return relation, changed

    def _exists(self, relation: Relation, subquery: Subquery, kind: str, mark: str = "") -> Relation:
        inner = _unordered(self.relation(subquery.relation))
        outer = free(inner) & ids(relation)
        if outer:
            pulled = self._pull(inner, outer)
            if pulled is not None and not free(pulled.relation) & ids(relation):
                return Join(kind, relation, pulled.relation, conjunction(pulled.conditions), mark)
        name = mark or self._new()
        marked = Apply("mark", relation, Limit(inner, 1), name)
        if kind == "mark":
            return marked
        found: Expr = Column(BOOLEAN, False, name)
        return Filter(marked, found if kind == "semi" else Call(BOOLEAN, False, "not", (found,)))

    def _scalar(self, relation: Relation, subquery: Subquery) -> tuple[Relation, Expr]:
        inner = self.relation(subquery.relation)
        outer = free(inner) & ids(relation)
        joined = self._grouped_join(relation, inner, subquery.column, outer) if outer else None
        if joined is None and outer:
            joined = self._looked_up(relation, inner, subquery.column, outer)
        if joined is not None:
            return joined
        name = self._new()
        column = subquery.column
        return Apply("scalar", relation, inner, name, column), Column(subquery.type, True, name)

    def _grouped_join(
        self, relation: Relation, inner: Relation, column: str, outer: frozenset[str]
    ) -> tuple[Relation, Expr] | None:
        """A left join with a scalar aggregate, grouped by what correlates; None: it is not one."""
        value: Expr = next(c for c in outputs(inner) if c.id == column)
        while isinstance(inner, Project):
            items = dict(inner.items)
            value = transform(value, lambda p, items=items: items[p.id] if _is_item(p, items) else p)  # type: ignore[misc]
            inner = inner.input
        if not isinstance(inner, Aggregate) or inner.groups:
            return None
        pulled = self._pull_aggregate(inner, outer)
        if pulled is None or free(pulled.relation) & ids(relation):
            return None
        empty = {name: call for name, call in inner.aggregates if not call.nullable}
        value = transform(value, lambda part: _or_zero(part, empty))
        joined = Join("left", relation, pulled.relation, conjunction(pulled.conditions))
        return joined, _loose(value, ids(pulled.relation))

    def _looked_up(
        self, relation: Relation, inner: Relation, column: str, outer: frozenset[str]
    ) -> tuple[Relation, Expr] | None:
        """A left join with a subquery that gives one row per key: more rows are an error when it runs."""
        pulled = self._pull(inner, outer)
        if pulled is None or free(pulled.relation) & ids(relation):
            return None
        found = next(c for c in outputs(pulled.relation) if c.id == column)
        call = AggregateCall("single", (found,), found.type)
        name = self._new()
        grouped = self._by_keys(Aggregate(pulled.relation, (), ((name, call),)), pulled.conditions, outer)
        if grouped is None:
            return None
        joined = Join("left", relation, grouped.relation, conjunction(grouped.conditions))
        return joined, Column(found.type, True, name)

    # Pulling conditions up.

    def _pull(self, relation: Relation, outer: frozenset[str]) -> _Pulled | None:
        """Take the conditions about `outer` columns out of a relation; None: it can't be done."""
        if not free(relation) & outer:
            return _Pulled(relation)
        match relation:
            case Filter():
                return self._pull_filter(relation, outer)
            case Project():
                return self._pull_project(relation, outer)
            case Join():
                return self._pull_join(relation, outer)
            case Aggregate() if relation.groups:
                return self._pull_aggregate(relation, outer)
            case Distinct():
                return self._pull_distinct(relation, outer)
            case Sort():
                return self._pull(relation.input, outer)
        return None

    def _pull_filter(self, node: Filter, outer: frozenset[str]) -> _Pulled | None:
        below = self._pull(node.input, outer)
        if below is None:
            return None
        parts = list(conjuncts(certain(node.condition)))
        mine = [part for part in parts if columns(part) & outer]
        relation = _filtered(below.relation, [part for part in parts if part not in mine])
        return _Pulled(relation, (*below.conditions, *mine))

    def _pull_project(self, node: Project, outer: frozenset[str]) -> _Pulled | None:
        if any(columns(expr) & outer for _, expr in node.items):
            return None
        below = self._pull(node.input, outer)
        if below is None:
            return None
        needed = frozenset[str]().union(*(columns(part) for part in below.conditions))
        have = {name for name, _ in node.items}
        more = tuple((c.id, c) for c in outputs(below.relation) if c.id in needed and c.id not in have)
        return _Pulled(Project(below.relation, (*node.items, *more)), below.conditions)

    def _pull_join(self, node: Join, outer: frozenset[str]) -> _Pulled | None:
        if node.kind not in {"inner", "cross"}:
            mine = free(node.right) | (columns(node.condition) if node.condition else frozenset())
            if mine & outer or node.kind in {"right", "full"}:
                return None
            left = self._pull(node.left, outer)
            return left and _Pulled(replace(node, left=left.relation), left.conditions)
        left, right = self._pull(node.left, outer), self._pull(node.right, outer)
        if left is None or right is None:
            return None
        parts = list(conjuncts(certain(node.condition))) if node.condition else []
        mine_ = [part for part in parts if columns(part) & outer]
        condition = conjunction([part for part in parts if part not in mine_])
        kind = "inner" if condition else "cross"
        joined = Join(kind, left.relation, right.relation, condition)
        return _Pulled(joined, (*left.conditions, *right.conditions, *mine_))

    def _pull_aggregate(self, node: Aggregate, outer: frozenset[str]) -> _Pulled | None:
        mentioned = frozenset[str]().union(*(columns(expr) for expr in expressions(node)))
        below = None if mentioned & outer else self._pull(node.input, outer)
        if below is None:
            return None
        return self._by_keys(replace(node, input=below.relation), below.conditions, outer)

    def _by_keys(
        self, node: Aggregate, conditions: tuple[Expr, ...], outer: frozenset[str]
    ) -> _Pulled | None:
        """Group by what the conditions compare with outer columns; they must be equalities."""
        groups, compared = list(node.groups), []
        for condition in conditions:
            sides = _sides(condition, outer)
            if sides is None:
                return None
            theirs, mine = sides
            name = next((known for known, expr in groups if expr == mine), None)
            if name is None:
                name = mine.id if isinstance(mine, Column) else self._new()
                groups.append((name, mine))
            key = Column(mine.type, mine.nullable, name)
            compared.append(Call(BOOLEAN, condition.nullable, "=", (theirs, key)))
        return _Pulled(replace(node, groups=tuple(groups)), tuple(compared))

    def _pull_distinct(self, node: Distinct, outer: frozenset[str]) -> _Pulled | None:
        below = self._pull(node.input, outer)
        if below is None or any(_sides(part, outer) is None for part in below.conditions):
            return None
        return _Pulled(Distinct(below.relation), below.conditions)


def _sides(condition: Expr, outer: frozenset[str]) -> tuple[Expr, Expr] | None:
    """An equality's outer side and inner side; None: it is none."""
    if not (isinstance(condition, Call) and condition.name == "="):
        return None
    for mine, theirs in (condition.args, condition.args[::-1]):
        if columns(mine) <= outer and not columns(theirs) & outer and columns(theirs):
            return mine, theirs
    return None


def _filtered(relation: Relation, parts: list[Expr]) -> Relation:
    condition = conjunction(parts)
    return Filter(relation, condition) if condition is not None else relation


def _unordered(relation: Relation) -> Relation:
    """What EXISTS looks at: order, list and a LIMIT above 0 don't matter."""
    while isinstance(relation, Sort) or (
        isinstance(relation, Limit) and relation.count != 0 and not relation.offset
    ):
        relation = relation.input
    return relation


def _has_subquery(expr: Expr) -> bool:
    return any(isinstance(part, Subquery) for part in walk(expr))


def _is_item(part: Expr, items: dict[str, Expr]) -> bool:
    return isinstance(part, Column) and part.id in items


def _or_zero(part: Expr, empty: dict[str, AggregateCall]) -> Expr:
    """A count of no rows is 0, though the left join gives NULL."""
    if not (isinstance(part, Column) and part.id in empty):
        return part
    maybe = replace(part, nullable=True)
    present = Call(BOOLEAN, False, "is not null", (maybe,))
    return Case(part.type, False, ((present, maybe),), Constant(BIGINT, False, 0))


def _loose(expr: Expr, inner: frozenset[str]) -> Expr:
    """Columns of a left join's right side can be NULL."""

    def change(part: Expr) -> Expr:
        if isinstance(part, Column) and part.id in inner:
            return replace(part, nullable=True)
        return part

    return replace(transform(expr, change), nullable=True)
