"""One SELECT: FROM, WHERE, GROUP BY, HAVING, windows, QUALIFY, the list, DISTINCT, ORDER BY, LIMIT."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlglot import exp

from levada.sql.algebra import Distinct, Filter, Project, Relation, Sort, Unnest, Window, ids
from levada.sql.bind.calls import Clauses, telling
from levada.sql.bind.context import Bound, Context
from levada.sql.bind.grouping import grouping
from levada.sql.bind.query import limited, position_of, sort_key
from levada.sql.bind.scope import Scope
from levada.sql.bind.source import bind_from
from levada.sql.catalog import spelled
from levada.sql.dialect import Levada
from levada.sql.errors import refuse
from levada.sql.expression import Call, Column, Constant, Expr, SortKey, WindowCall
from levada.sql.types import BIGINT, BOOLEAN

Item = tuple[str, Expr, exp.Expression]


def bind_select(select: exp.Select, context: Context) -> Bound:
    """Bind a SELECT with everything that belongs to it."""
    relation, scope = bind_from(select, context)
    return _Select(select, context, scope).bound(relation)


class _Select:
    def __init__(self, select: exp.Select, context: Context, scope: Scope) -> None:
        self._select = select
        self._context = context
        self._new = context.statement.new
        self._clauses = Clauses(context, scope, select)
        self._own: frozenset[str] = frozenset()

    def bound(self, relation: Relation) -> Bound:
        clauses, select = self._clauses, self._select
        if where := select.args.get("where"):
            relation = Filter(relation, clauses.plain("WHERE").condition(where.this, "WHERE"))
        items = list(self._items())
        keys = self._keys(items)
        having, qualify = self._condition("having"), self._condition("qualify")
        distinct_on = self._distinct_on(items)
        groups = grouping(select, clauses, items)
        rest = [having, qualify]
        if groups is not None:
            relation, settle = groups.applied(relation)
            items = [(name, settle(expr, node), node) for name, expr, node in items]
            keys = [replace(key, expr=settle(key.expr, select)) for key in keys]
            distinct_on = [settle(expr, select) for expr in distinct_on]
            rest = [None if part is None else settle(part, select) for part in rest]
            clauses.settle(lambda expr: settle(expr, select))
        elif having is not None:
            raise refuse("HAVING needs GROUP BY or an aggregate", select.args["having"])
        if rest[0] is not None:
            relation = Filter(relation, rest[0])
        relation = self._windowed(self._unnested(relation))
        if rest[1] is not None:
            relation = Filter(relation, rest[1])
        return self._result(relation, items, keys, distinct_on)

    # The list, and what names it can be called by.

    def _items(self) -> Iterable[Item]:
        clauses = self._clauses
        for node in self._select.expressions:
            if _is_star(node):
                yield from self._star(node)
                continue
            value = node.this if isinstance(node, exp.Alias) else node
            yield _name(node), clauses.full("SELECT").bind(value), node
        if not self._select.expressions:  # FROM t
            yield from self._star(exp.Star())

    def _star(self, node: exp.Expression) -> Iterable[Item]:
        star, owner = (node.this, node.table) if isinstance(node, exp.Column) else (node, "")
        dropped = [_bare(part) for part in star.args.get("except_") or ()]
        replaced = {part.alias: part.this for part in star.args.get("replace") or ()}
        renamed = {_bare(part.this): part.alias for part in star.args.get("rename") or ()}
        found = [(source, name, expr) for source, name, expr in self._starred(owner, node)]
        names = [name for _, name, _ in found]
        for wanted in (*dropped, *replaced, *renamed):
            if spelled(wanted, names) is None:
                raise refuse(f"* has no column {wanted}", node)
        if not found:
            raise refuse("* needs a FROM", node)
        dropped = [spelled(wanted, names) or wanted for wanted in dropped]
        for _, name, expr in found:
            if name in dropped:
                continue
            new = next((value for key, value in replaced.items() if spelled(key, names) == name), None)
            bound = expr if new is None else self._clauses.full("SELECT").bind(new)
            label = next((value for key, value in renamed.items() if spelled(key, names) == name), name)
            yield label, bound, node

    def _starred(self, owner: str, node: exp.Expression) -> Iterable[tuple[object, str, Expr]]:
        scope = self._clauses.scope
        if not owner:
            return list(scope.star())
        source = scope.source(owner)
        if source is None:
            raise scope.unknown([owner, "*"], node)
        return [(source, name, column) for name, column in source.columns]

    # Clauses that come after the list.

    def _condition(self, part: str) -> Expr | None:
        node = self._select.args.get(part)
        if node is None:
            return None
        kind = self._clauses.full if part == "qualify" else self._clauses.grouped
        return kind(part.upper()).condition(node.this, part.upper())

    def _keys(self, items: list[Item]) -> list[SortKey]:
        order = self._select.args.get("order")
        keys = []
        for key in order.expressions if order else ():
            node = key.this if isinstance(key, exp.Ordered) else key
            if isinstance(node, exp.Var | exp.Column) and node.name.upper() == "ALL":
                keys += [sort_key(key, expr) for _, expr, _ in items]
                continue
            keys.append(sort_key(key, self._result_column(node, items, "ORDER BY")))
        return keys

    def _result_column(self, node: exp.Expression, items: list[Item], clause: str) -> Expr:
        """A position, an alias, or an expression."""
        position = position_of(node, len(items))
        if position is not None:
            return items[position][1]
        if isinstance(node, exp.Column) and not node.table:
            aliases = [name for name, _, item in items if isinstance(item, exp.Alias)]
            if found := spelled(node.name, aliases):
                return next(
                    expr for name, expr, item in items if name == found and isinstance(item, exp.Alias)
                )
        return self._clauses.full(clause).bind(node)

    def _distinct_on(self, items: list[Item]) -> list[Expr]:
        distinct = self._select.args.get("distinct")
        on = distinct.args.get("on") if distinct else None
        nodes = (on.expressions if isinstance(on, exp.Tuple) else [on]) if on is not None else []
        return [self._result_column(node, items, "DISTINCT ON") for node in nodes]

    # The relations.

    def _unnested(self, relation: Relation) -> Relation:
        lists = self._clauses.unnested
        if len(lists) > 1:
            raise refuse("one UNNEST in a SELECT list is enough for MongoDB", self._select)
        for name, items in lists:
            relation = Unnest(relation, items, name, items.type.item)  # type: ignore[arg-type]
        return relation

    def _windowed(self, relation: Relation) -> Relation:
        alike: dict[tuple[object, ...], list[tuple[str, WindowCall]]] = {}
        for name, call in self._clauses.windows:
            alike.setdefault((call.partition, call.order), []).append((name, call))
        for calls in alike.values():
            relation = Window(relation, tuple(calls))
        return relation

    def _result(
        self, relation: Relation, items: list[Item], keys: list[SortKey], distinct_on: list[Expr]
    ) -> Bound:
        if distinct_on:
            relation = self._first_of_each(relation, distinct_on, keys)
        self._own = ids(relation)
        made: dict[Expr, str] = {}
        named = []
        for name, expr, _ in items:
            column = self._made(expr, made)
            named.append((name, Column(expr.type, expr.nullable, column)))
        distinct = self._select.args.get("distinct") is not None and not distinct_on
        shown = len(made)
        keys = [replace(key, expr=self._sorted_by(key.expr, made)) for key in telling(keys)]
        if distinct and len(made) > shown:
            raise refuse("ORDER BY of a SELECT DISTINCT takes columns of its list", self._select)
        relation = Project(relation, tuple((column, expr) for expr, column in made.items()))
        if distinct:
            relation = Distinct(relation)
        if keys:
            relation = Sort(relation, tuple(keys))
        return limited(self._select, Bound(relation, tuple(named)), self._context)

    def _sorted_by(self, expr: Expr, made: dict[Expr, str]) -> Expr:
        return Column(expr.type, expr.nullable, self._made(expr, made))

    def _made(self, expr: Expr, made: dict[Expr, str]) -> str:
        if expr not in made:
            own = isinstance(expr, Column) and expr.id in self._own  # another query's column is copied
            made[expr] = expr.id if isinstance(expr, Column) and own else self._new()
        return made[expr]

    def _first_of_each(self, relation: Relation, on: list[Expr], keys: list[SortKey]) -> Relation:
        name = self._new()
        call = WindowCall("row_number", (), BIGINT, False, tuple(on), tuple(keys), None)
        one = Constant(BIGINT, False, 1)
        first = Call(BOOLEAN, False, "=", (Column(BIGINT, False, name), one))
        return Filter(Window(relation, ((name, call),)), first)


def _is_star(node: exp.Expression) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _bare(node: exp.Expression) -> str:
    return str(node.name)


def _name(node: exp.Expression) -> str:
    """The name of a result column: its alias, its own name, else its text."""
    if isinstance(node, exp.Alias | exp.Column | exp.Dot):
        return str(node.alias_or_name) or str(node.name)
    dialect = Levada if node.find(exp.Bracket) else "duckdb"  # DuckDB's generator counts items from 0
    return str(node.sql(dialect, normalize_functions="lower"))
