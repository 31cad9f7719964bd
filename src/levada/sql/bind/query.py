"""Queries: WITH, SELECT, set operations, VALUES, and the ORDER BY and LIMIT around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from levada.sql.algebra import Limit, Project, SetOperation, Sort
from levada.sql.bind.context import Bound, Context, Cte
from levada.sql.bind.scope import Scope
from levada.sql.errors import refuse
from levada.sql.expression import Column, Constant, Expr, SortKey
from levada.sql.expressions.unify import coerce, unify

_SET_OPERATIONS: dict[type[exp.Expression], str] = {
    exp.Union: "union",
    exp.Intersect: "intersect",
    exp.Except: "except",
}


def bind_query(node: exp.Expression, context: Context) -> Bound:
    """Bind a query of any kind.

    Raises:
        SqlError: with the place in the text.
    """
    while isinstance(node, exp.Subquery | exp.Paren) and not _own(node):
        node = node.this
    context.statement.count(node)
    context = with_ctes(node, context)
    if isinstance(node, exp.Select):
        from levada.sql.bind.select import bind_select

        return bind_select(node, context)
    if isinstance(node, exp.SetOperation):
        return _ordered(node, _set_operation(node, context), context)
    if isinstance(node, exp.Values):
        from levada.sql.bind.source import bind_values

        return _ordered(node, bind_values(node, context), context)
    if isinstance(node, exp.Subquery):
        return _ordered(node, bind_query(node.this, context), context)
    if isinstance(node, exp.Table):  # a bare (t)
        return bind_query(exp.select("*").from_(node), context)
    raise refuse(f"{node.key.upper()} is not a query", node, hint="write a SELECT")


def _own(node: exp.Expression) -> bool:
    return any(node.args.get(part) for part in ("order", "limit", "offset", "with_"))


def with_ctes(node: exp.Expression, context: Context) -> Context:
    """The context inside a query: its WITH's names are known from one to the next."""
    clause = node.args.get("with_")
    if not clause:
        return context
    if clause.args.get("recursive") and any(_recursive(cte) for cte in clause.expressions):
        raise refuse("WITH RECURSIVE does not run on MongoDB", clause, hint="$graphLookup may do it, in MQL")
    for cte in clause.expressions:
        alias = cte.args["alias"]
        names = tuple(column.name for column in alias.args.get("columns") or ())
        bound = Cte(cte.this, names, context)
        if cte.args.get("materialized"):
            bound = replace(bound, stored=_stored(cte.this, context))
        context = replace(context, ctes={**context.ctes, alias.name.lower(): bound})
    return context


def _recursive(cte: exp.CTE) -> bool:
    return any(table.name.lower() == cte.alias.lower() for table in cte.this.find_all(exp.Table))


def _stored(query: exp.Query, context: Context) -> str:
    statement = context.statement
    bound = bind_query(query, replace(context, parent=None))
    name = f"m{len(statement.stored) + 1}"
    statement.stored[name] = bound
    return name


def _set_operation(node: exp.SetOperation, context: Context) -> Bound:
    kind = _SET_OPERATIONS[type(node)]
    left, right = bind_query(node.this, context), bind_query(node.expression, context)
    if len(left.output) != len(right.output):
        counts = f"{len(left.output)} and {len(right.output)}"
        raise refuse(f"the sides of {kind.upper()} have {counts} columns", node)
    new = context.statement.new
    pairs = list(zip(left.output, right.output, strict=True))
    types = [unify([a.type, b.type], node) for (_, a), (_, b) in pairs]
    header = tuple(
        Column(kind_, a.nullable or b.nullable, new())
        for kind_, ((_, a), (_, b)) in zip(types, pairs, strict=True)
    )
    sides = [
        Project(
            side.relation,
            tuple(
                (new(), coerce(column, kind_, node))
                for (_, column), kind_ in zip(side.output, types, strict=True)
            ),
        )
        for side in (left, right)
    ]
    every = not node.args.get("distinct", True)
    relation = SetOperation(kind, every, sides[0], sides[1], header)
    names = [name for name, _ in left.output]
    return Bound(relation, tuple(zip(names, header, strict=True)))


def _ordered(node: exp.Expression, bound: Bound, context: Context) -> Bound:
    """ORDER BY (names and positions of the result alone), LIMIT and OFFSET around a query."""
    relation = bound.relation
    if order := node.args.get("order"):
        relation = Sort(relation, tuple(_result_key(key, bound, context) for key in order.expressions))
    return limited(node, Bound(relation, bound.output), context)


def _result_key(key: exp.Ordered, bound: Bound, context: Context) -> SortKey:
    from levada.sql.bind.scalars import Scalars
    from levada.sql.bind.scope import Source

    node = key.this
    position = position_of(node, len(bound.output))
    if position is not None:
        return sort_key(key, bound.output[position][1])
    scope = Scope(context.parent, [Source("", bound.output)])
    return sort_key(key, Scalars(context, scope).bind(node))


def position_of(node: exp.Expression, count: int) -> int | None:
    """The 0-based output column that a bare integer means; None: it is no integer."""
    if not (isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit()):
        return None
    position = int(node.this)
    if not 1 <= position <= count:
        raise refuse(f"there is no column {position}: the result has {count}", node)
    return position - 1


def sort_key(key: exp.Expression, expr: Expr) -> SortKey:
    """An ORDER BY key; the parser has already said where NULLs go."""
    if not isinstance(key, exp.Ordered):
        return SortKey(expr)
    return SortKey(expr, bool(key.args.get("desc")), bool(key.args.get("nulls_first")))


def limited(node: exp.Expression, bound: Bound, context: Context) -> Bound:
    """LIMIT and OFFSET."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if isinstance(limit, exp.Fetch):
        count = _count(limit.args.get("count"), context, "FETCH")
    else:
        count = _count(limit and limit.expression, context, "LIMIT")
    skip = _count(offset and offset.expression, context, "OFFSET") or 0
    if count is None and not skip:
        return bound
    return Bound(Limit(bound.relation, count, skip), bound.output)


def _count(node: exp.Expression | None, context: Context, clause: str) -> int | None:
    from levada.sql.bind.scalars import Scalars

    if node is None:
        return None
    bound = Scalars(context, Scope()).bind(node)
    value = bound.value if isinstance(bound, Constant) else ...
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise refuse(f"{clause} takes a whole number that is known beforehand", node)
    return value


def renamed_output(bound: Bound, names: Sequence[str], node: exp.Expression) -> Bound:
    """The query with its first columns renamed, as `t(a, b)` does."""
    if len(names) > len(bound.output):
        raise refuse(f"{len(names)} names for {len(bound.output)} columns", node)
    rest = [name for name, _ in bound.output[len(names) :]]
    renamed = zip([*names, *rest], (column for _, column in bound.output), strict=True)
    return Bound(bound.relation, tuple(renamed))
