"""Aggregates, window functions and UNNEST inside a SELECT's expressions.

They are taken out of the expressions and replaced by columns: the SELECT computes them first, each once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlglot import exp

from levada.sql.bind.context import Context
from levada.sql.bind.frames import frame_of
from levada.sql.bind.scalars import Scalars
from levada.sql.bind.scope import Scope
from levada.sql.catalog import spelled
from levada.sql.errors import refuse
from levada.sql.expression import AggregateCall, Cast, Column, Constant, Expr, SortKey, WindowCall, rebuilt
from levada.sql.expressions.aggregates import TABLE as AGGREGATES
from levada.sql.expressions.unify import coerce, implicit
from levada.sql.expressions.windows import TABLE as WINDOWS
from levada.sql.types import BIGINT, VARCHAR, SqlType


class Clauses:
    """Binds the clauses of one SELECT, and keeps what they have to compute first.

    Args:
        select: whose aliases may be named, too.
    """

    def __init__(self, context: Context, scope: Scope, select: exp.Select) -> None:
        self.context = context
        self.scope = scope
        self.aggregates: dict[AggregateCall, str] = {}
        self.groupings: dict[tuple[Expr, ...], str] = {}
        self.windows: list[tuple[str, WindowCall]] = []
        self.unnested: list[tuple[str, Expr]] = []
        self.named = {window.name.lower(): window for window in select.args.get("windows") or ()}
        self.aliases = {
            item.alias: item.this for item in reversed(select.expressions) if isinstance(item, exp.Alias)
        }
        self.open: set[str] = set()

    def plain(self, clause: str) -> Clause:
        """For a clause without aggregates and windows: WHERE, GROUP BY, their arguments."""
        return Clause(self, clause, aggregates=False, windows=False)

    def grouped(self, clause: str) -> Clause:
        """For HAVING and the arguments of windows."""
        return Clause(self, clause, aggregates=True, windows=False)

    def full(self, clause: str) -> Clause:
        """For the SELECT list, QUALIFY and ORDER BY."""
        return Clause(self, clause, aggregates=True, windows=True)

    def settle(self, change: Callable[[Expr], Expr]) -> None:
        """Put what windows and lists are computed from over the grouped rows."""
        self.windows = [(name, rebuilt(call, change)) for name, call in self.windows]
        self.unnested = [(name, change(expr)) for name, expr in self.unnested]


class Clause(Scalars):
    """Binds the expressions of one clause."""

    def __init__(self, clauses: Clauses, clause: str, *, aggregates: bool, windows: bool) -> None:
        super().__init__(clauses.context, clauses.scope)
        self._clauses = clauses
        self._clause = clause
        self._takes_aggregates = aggregates
        self._takes_windows = windows

    def unresolved(self, parts: list[str], node: exp.Expression) -> Expr:
        """A name that no table has may be an alias of the SELECT list."""
        clauses = self._clauses
        name = spelled(parts[0], clauses.aliases) if len(parts) == 1 else None
        if name is None or name in clauses.open:
            raise self.scope.unknown(parts, node)
        clauses.open.add(name)
        try:
            return self.bind(clauses.aliases[name])
        finally:
            clauses.open.discard(name)

    def call(self, node: exp.Expression) -> Expr | None:
        """An aggregate, a window function, UNNEST or GROUPING; None: it is neither."""
        if isinstance(node, exp.Window):
            return self._window(node)
        if isinstance(node, exp.Explode | exp.Unnest):
            return self._unnest(node)
        if isinstance(node, exp.Grouping | exp.GroupingId):
            return self._grouping(node)
        if _function(node, _WINDOWS) is not None and _function(node, _AGGREGATES) is None:
            raise refuse(f"{_told(node)} needs OVER (...)", node)
        call = self._aggregate(node)
        if call is None:
            return None
        if not self._takes_aggregates:
            raise refuse(f"{self._clause} can't contain the aggregate {call.name}", node)
        name = self._clauses.aggregates.setdefault(call, "") or self.context.statement.new()
        self._clauses.aggregates[call] = name
        return Column(call.type, call.nullable, name)

    def _inner(self, clause: str) -> Clause:
        return self._clauses.plain(clause)

    def _aggregate(self, node: exp.Expression) -> AggregateCall | None:
        inner = self._inner("an aggregate")
        condition = None
        if isinstance(node, exp.Filter):
            condition = inner.condition(node.expression.this, "FILTER")
            node = node.this
        within: tuple[SortKey, ...] = ()
        if isinstance(node, exp.WithinGroup):
            within = inner.keys(node.expression)
            node = node.this
        if isinstance(node, exp.IgnoreNulls) and isinstance(node.this, exp.AnyValue):
            node = node.this  # sqlglot's way to say that any_value skips NULLs
        row = _function(node, _AGGREGATES)
        if row is None:
            return None
        args, order, distinct = _arguments(node, row.parts)
        bound = [inner.bind(arg) for arg in args]
        if within and row.name in _OF_AN_ORDER:
            bound = [within[0].expr, *bound]
        taken = inner.taken(row, bound, node)
        return AggregateCall(
            row.name,
            tuple(taken.args),
            taken.type,
            not row.never_null,
            distinct,
            condition,
            within or inner.keys(order),
        )

    def taken(self, row: Any, args: Sequence[Expr], node: exp.Expression) -> Taken:
        """The arguments cast to what a function takes, and the type of its result."""
        signature = row.typing([arg.type for arg in args])
        if signature is None:
            types = ", ".join(str(arg.type) for arg in args)
            raise refuse(f"{row.name} does not take ({types})", node)
        cast = [_taken(arg, kind, node) for arg, kind in zip(args, signature.args, strict=False)]
        return Taken([*cast, *args[len(cast) :]], signature.result)

    def keys(self, order: exp.Expression | None) -> tuple[SortKey, ...]:
        """The keys of an ORDER BY inside a call."""
        from levada.sql.bind.query import sort_key

        if order is None:
            return ()
        return tuple(
            sort_key(key, self.bind(key.this if isinstance(key, exp.Ordered) else key))
            for key in order.expressions
        )

    def _window(self, node: exp.Window) -> Expr:
        if not self._takes_windows:
            raise refuse(f"{self._clause} can't contain a window function", node, hint="QUALIFY can")
        inner = self._clauses.grouped("a window")
        partition, order, spec = self._over(node)
        keys = telling(key for one in order for key in inner.keys(one))
        function, ignore = node.this, False
        if isinstance(function, exp.IgnoreNulls | exp.RespectNulls):
            function, ignore = function.this, isinstance(function, exp.IgnoreNulls)
        call = inner.windowed(function)
        partitions = tuple(inner.bind(one) for one in partition)
        framed = None if call.name in _FRAMELESS else frame_of(spec, keys, inner, node)
        whole = replace(call, partition=partitions, order=keys, frame=framed, ignore_nulls=ignore)
        for name, known in self._clauses.windows:
            if known == whole:
                return Column(whole.type, whole.nullable, name)
        name = self.context.statement.new()
        self._clauses.windows.append((name, whole))
        return Column(whole.type, whole.nullable, name)

    def windowed(self, node: exp.Expression) -> WindowCall:
        """The function of a window, without its OVER."""
        condition = None
        if isinstance(node, exp.Filter):
            condition = self.condition(node.expression.this, "FILTER")
            node = node.this
        row = _function(node, _WINDOWS) or _function(node, _AGGREGATES)
        if row is None:
            raise refuse(f"{_told(node)} is not a window function", node)
        args, order, distinct = _arguments(node, row.parts)
        if order is not None:
            raise refuse(f"{row.name} in a window can't have an ORDER BY of its own", node)
        taken = self.taken(row, [self.bind(arg) for arg in args], node)
        return WindowCall(
            row.name,
            tuple(taken.args),
            taken.type,
            not row.never_null,
            (),
            (),
            None,
            condition,
            distinct=distinct,
        )

    def _over(self, node: exp.Window) -> tuple[list[exp.Expression], list[exp.Expression], Any]:
        partition = list(node.args.get("partition_by") or ())
        order = [node.args["order"]] if node.args.get("order") else []
        spec = node.args.get("spec")
        if base := node.args.get("alias"):
            named = self._clauses.named.get(base.name.lower())
            if named is None:
                raise refuse(f"there is no window {base.name}", node)
            before = self._over(named)
            partition, order, spec = partition or before[0], order or before[1], spec or before[2]
        return partition, order, spec

    def _unnest(self, node: exp.Expression) -> Expr:
        if not self._takes_windows:
            raise refuse(f"{self._clause} can't contain UNNEST", node)
        value = node.this if isinstance(node, exp.Explode) else node.expressions[0]
        items = self._clauses.grouped("UNNEST").bind(value)
        if items.type.name != "LIST" or items.type.item is None:
            raise refuse(f"UNNEST takes a list, not {items.type}", node)
        for name, known in self._clauses.unnested:
            if known == items:
                return Column(items.type.item, True, name)
        name = self.context.statement.new()
        self._clauses.unnested.append((name, items))
        return Column(items.type.item, True, name)

    def _grouping(self, node: exp.Expression) -> Expr:
        inner = self._inner("GROUPING")
        key = tuple(inner.bind(one) for one in node.expressions)
        name = self._clauses.groupings.setdefault(key, "") or self.context.statement.new()
        self._clauses.groupings[key] = name
        return Column(BIGINT, False, name)


def _taken(arg: Expr, kind: SqlType, node: exp.Expression) -> Expr:
    if kind == VARCHAR and not implicit(arg.type, kind):
        return Cast(kind, arg.nullable, arg)  # text is made of anything
    return coerce(arg, kind, node)


class Taken:
    """Arguments as a function takes them."""

    def __init__(self, args: list[Expr], kind: Any) -> None:
        self.args = args
        self.type = kind


def telling(keys: Iterable[SortKey]) -> tuple[SortKey, ...]:
    """The keys that order anything: no constants, and nothing twice."""
    told: dict[Expr, SortKey] = {}
    for key in keys:
        if not isinstance(key.expr, Constant):
            told.setdefault(key.expr, key)
    return tuple(told.values())


#: Aggregates whose value is what WITHIN GROUP orders by; of others it is an ORDER BY like any.
_OF_AN_ORDER = frozenset({"quantile_cont", "quantile_disc", "mode", "median"})

#: Window functions that look at whole partitions, or at rows a fixed distance away.
_FRAMELESS = frozenset(
    {"row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"}
)


def _by_node(rows: Iterable[Any]) -> dict[Any, Any]:
    return {node: row for row in rows for node in (row.name, *row.nodes)}


_AGGREGATES = _by_node(AGGREGATES)
_WINDOWS = _by_node(WINDOWS)


def _function(node: exp.Expression, table: dict[Any, Any]) -> Any:
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.ParameterizedAgg):
        return table.get(node.name.lower())
    return table.get(type(node))


def _told(node: exp.Expression) -> str:
    return str(node.sql_name().lower() if isinstance(node, exp.Func) and not node.name else node.name.lower())


def _arguments(
    node: exp.Expression, parts: tuple[str, ...]
) -> tuple[list[exp.Expression], exp.Expression | None, bool]:
    """The argument nodes, an ORDER BY among them, and whether they are DISTINCT."""
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        parts = ("expressions",)
    found: list[exp.Expression] = []
    for part in parts or tuple(node.arg_types):
        value = node.args.get(part)
        found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expression) else []
    order, distinct, args = None, False, []
    while found:
        arg = found.pop(0)
        if isinstance(arg, exp.Order):
            order = arg
            arg = arg.this
        if isinstance(arg, exp.Distinct):
            distinct = True
            found = [*arg.expressions, *found]
        elif isinstance(arg, exp.Order):
            found.insert(0, arg)
        elif arg is not None and not isinstance(arg, exp.Star):
            args.append(arg)
    return args, order, distinct
