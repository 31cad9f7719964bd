"""FROM: tables, subqueries, lists, series and the joins between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from levada.sql.algebra import Apply, Filter, Join, Relation, Scan, Stored, Unnest, Values, outputs
from levada.sql.bind.context import Bound, Context, Cte
from levada.sql.bind.query import bind_query, renamed_output
from levada.sql.bind.scalars import Scalars, comparison
from levada.sql.bind.scope import Scope, Source
from levada.sql.bind.series import is_series, series
from levada.sql.catalog import TableSchema, nearest, spelled
from levada.sql.errors import SqlError, refuse
from levada.sql.expression import Call, Case, Column, Constant, Expr, columns, conjunction, transform
from levada.sql.expressions.unify import coerce, unify
from levada.sql.types import BOOLEAN

_ONE_ROW = Values((), ((),))


def bind_from(select: exp.Select, context: Context) -> tuple[Relation, Scope]:
    """The FROM clause of a SELECT; without one there is one row without columns."""
    scope = Scope(context.parent)
    clause = select.args.get("from_")
    if clause is None:
        return _ONE_ROW, scope
    return _Tables(context, scope).all(clause.this, select.args.get("joins") or ()), scope


def bind_values(node: exp.Values, context: Context) -> Bound:
    """VALUES (...), (...): columns are called col0, col1, ... as in DuckDB."""
    scalars = Scalars(context, Scope(context.parent))
    rows = [[scalars.bind(item) for item in _items(row)] for row in node.expressions]
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        raise refuse("the rows of VALUES differ in length", node)
    new = context.statement.new
    types = [unify([row[place].type for row in rows], node) for place in range(width)]
    cast = tuple(
        tuple(coerce(item, kind, node) for item, kind in zip(row, types, strict=True)) for row in rows
    )
    header = tuple(
        Column(kind, any(row[place].nullable for row in cast), new()) for place, kind in enumerate(types)
    )
    names = tuple((f"col{place}", column) for place, column in enumerate(header))
    return Bound(Values(header, cast), names)


def _items(row: exp.Expression) -> list[exp.Expression]:
    return row.expressions if isinstance(row, exp.Tuple) else [row]


class _Tables:
    """Builds the relation of one FROM clause and fills its scope."""

    def __init__(self, context: Context, scope: Scope) -> None:
        self._context = context
        self._scope = scope
        self._start = 0  # of the sources between two commas

    def all(self, first: exp.Expression, joins: Sequence[exp.Join]) -> Relation:
        """A whole FROM clause. A comma binds weaker than a JOIN: `a, b JOIN c` is `a, (b JOIN c)`."""
        relation = self.joined(first, None)
        before: Relation | None = None
        for join in joins:
            comma = _join_kind(join) == "cross" and not join.args.get("kind")
            if comma and before is not None:
                relation = Join("cross", before, relation)
                before, self._start = None, 0
            if comma and not isinstance(join.this, exp.Unnest | exp.Lateral):
                before, self._start = relation, len(self._scope.sources)
                relation = self.joined(join.this, None)
            else:
                relation = self.join(relation, join)
        return relation if before is None else Join("cross", before, relation)

    def joined(self, node: exp.Expression, left: Relation | None) -> Relation:
        """A FROM item with the joins that are nested in it; its sources are added to the scope."""
        outer, self._start = self._start, len(self._scope.sources)
        relation, source = self._item(node, left)
        if source is not None:
            self._scope.add(source, node)
        for join in node.args.get("joins") or ():
            relation = self.join(relation, join)
        self._start = outer
        return relation

    def _item(self, node: exp.Expression, left: Relation | None) -> tuple[Relation, Source | None]:
        if isinstance(node, exp.Table) and is_series(node.this):
            return self._series(node)
        if isinstance(node, exp.Table):
            return self._table(node)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, left)
        if isinstance(node, exp.Lateral):
            return self._lateral(node, left)
        if isinstance(node, exp.Paren) or (isinstance(node, exp.Subquery) and _is_source(node.this)):
            return self.joined(node.this, left), None
        if isinstance(node, exp.Subquery | exp.Query | exp.Values):
            return self._query(node, self._context)
        raise refuse(f"{node.sql('duckdb')[:60]} can't stand in FROM", node)

    def _query(self, node: exp.Expression, context: Context) -> tuple[Relation, Source]:
        return self._named(bind_query(_unaliased(node), context), node)

    def _named(self, bound: Bound, node: exp.Expression) -> tuple[Relation, Source]:
        alias = node.args.get("alias")
        columns = [name.name for name in (alias.args.get("columns") or ())] if alias else []
        bound = renamed_output(bound, columns, node)
        return bound.relation, Source(alias.name if alias else "", bound.output)

    def _table(self, node: exp.Table) -> tuple[Relation, Source]:
        if not isinstance(node.this, exp.Identifier):
            raise refuse(f"there is no table function {node.this.sql('duckdb')[:60]}", node)
        cte = self._context.ctes.get(node.name.lower()) if not node.db else None
        bound = self._cte(cte, node) if cte else self._scan(node)
        relation, source = self._named(bound, node)
        return relation, replace(source, name=source.name or node.name)

    def _cte(self, cte: Cte, node: exp.Table) -> Bound:
        statement = self._context.statement
        if not cte.stored:
            return renamed_output(bind_query(cte.query, cte.context), cte.columns, node)
        kept = statement.stored[cte.stored]
        fields = tuple((replace(column, id=statement.new()), column.id) for _, column in kept.output)
        names = [name for name, _ in kept.output]
        output = tuple(zip(names, (column for column, _ in fields), strict=True))
        return renamed_output(Bound(Stored(cte.stored, fields), output), cte.columns, node)

    def _scan(self, node: exp.Table) -> Bound:
        table = self._schema(node)
        fields = tuple((self._context.statement.new(), field) for field in table.fields)
        scan = Scan(table, fields)
        names = [field.name for field in table.fields]
        return Bound(scan, tuple(zip(names, outputs(scan), strict=True)))

    def _schema(self, node: exp.Table) -> TableSchema:
        catalog = self._context.statement.catalog
        name = ".".join(part.name for part in node.parts)
        try:
            table = catalog.table(name)
        except SqlError as error:
            raise refuse(error.what, node, hint=error.hint) from error
        if table is None:
            near = nearest(name, catalog.names())
            raise refuse(f"there is no table {name}", node, hint=f"did you mean {near}?" if near else None)
        return table

    def _series(self, node: exp.Table) -> tuple[Relation, Source]:
        statement = self._context.statement
        expr, item = series(node.this, Scalars(self._context, self._scope))
        relation = Unnest(_ONE_ROW, expr, statement.new(), item)
        name = "generate_series" if isinstance(node.this, exp.GenerateSeries) else "range"
        column = next(column for column in outputs(relation) if column.id == relation.id)
        return self._named(Bound(relation, ((name, replace(column, nullable=False)),)), node)

    def _unnest(self, node: exp.Unnest, left: Relation | None) -> tuple[Relation, Source]:
        if len(node.expressions) != 1:
            raise refuse("UNNEST takes one list", node)
        items = Scalars(self._context, self._scope).bind(node.expressions[0])
        if items.type.name != "LIST" or items.type.item is None:
            raise refuse(f"UNNEST takes a list, not {items.type}", node)
        statement = self._context.statement
        place = statement.new() if node.args.get("offset") else ""
        relation = Unnest(left or _ONE_ROW, items, statement.new(), items.type.item, place)
        made = [column for column in outputs(relation) if column.id in {relation.id, place}]
        names = ["unnest", "ordinality"][: len(made)]
        _, source = self._named(Bound(relation, tuple(zip(names, made, strict=True))), node)
        return relation, replace(source, name=source.name or "unnest")

    def _lateral(self, node: exp.Lateral, left: Relation | None) -> tuple[Relation, Source]:
        if isinstance(node.this, exp.Unnest):
            unnest = node.this.copy()
            unnest.set("alias", node.args.get("alias") or unnest.args.get("alias"))
            return self._unnest(unnest, left)
        if not isinstance(node.this, exp.Subquery):
            raise refuse("LATERAL takes a subquery or UNNEST", node)
        inner = replace(self._context, parent=self._scope)
        relation, source = self._query(node.this, inner)
        name = node.args["alias"]
        bound = Bound(relation, source.columns)
        bound = renamed_output(bound, [c.name for c in name.args.get("columns") or ()] if name else [], node)
        return relation, Source(name.name if name else "", bound.output)

    def join(self, left: Relation, node: exp.Join) -> Relation:
        """One JOIN, or a comma."""
        kind = _join_kind(node)
        before = len(self._scope.sources)
        if isinstance(node.this, exp.Unnest) or _lateral_unnest(node.this):
            return self._unnested(left, node, kind)
        right = self.joined(node.this, left)
        if isinstance(node.this, exp.Lateral):
            applied = self._applied(left, right, node, kind)
            if kind == "left":
                self._loosen(kind, before)
            return applied
        condition = self._condition(node, kind, before)
        if condition is not None and columns(condition) & self._earlier():
            raise refuse("ON names a table that stands before a comma", node, hint="write CROSS JOIN for it")
        if kind in {"semi", "anti"}:
            del self._scope.sources[before:]
        elif kind in {"left", "right", "full"}:
            self._loosen(kind, before)
        return Join("inner" if kind == "cross" and condition else kind, left, right, condition)

    def _unnested(self, left: Relation, node: exp.Join, kind: str) -> Relation:
        relation = self.joined(node.this, left)
        on = node.args.get("on")
        always = on is None or (isinstance(on, exp.Boolean) and on.this)
        if kind == "left" and isinstance(relation, Unnest) and always:
            return replace(relation, outer=True)
        if kind not in {"cross", "inner"}:
            raise refuse(f"{kind.upper()} JOIN UNNEST takes ON true", node)
        condition = None if always else Scalars(self._context, self._scope).condition(on, "ON")
        return Filter(relation, condition) if condition else relation

    def _applied(self, left: Relation, right: Relation, node: exp.Join, kind: str) -> Relation:
        if kind not in {"cross", "inner", "left"}:
            raise refuse(f"{kind.upper()} JOIN LATERAL does not run on MongoDB", node)
        condition = self._condition(node, kind, len(self._scope.sources) - 1)
        if condition is not None:
            right = Filter(right, condition)
        return Apply("left" if kind == "left" else "inner", left, right)

    def _condition(self, node: exp.Join, kind: str, before: int) -> Expr | None:
        if node.args.get("using"):
            return self._using([name.name for name in node.args["using"]], node, kind, before)
        if node.args.get("method") == "NATURAL":
            mine = [
                name for source in self._scope.sources[self._start : before] for name, _ in source.columns
            ]
            theirs = [name for source in self._scope.sources[before:] for name, _ in source.columns]
            names = [name for name in dict.fromkeys(mine) if spelled(name, theirs)]
            return self._using(names, node, kind, before)
        on = node.args.get("on")
        return None if on is None else Scalars(self._context, self._scope).condition(on, "ON")

    def _using(self, names: list[str], node: exp.Join, kind: str, before: int) -> Expr | None:
        sources = self._scope.sources
        lefts = Scope(None, sources[self._start : before], self._scope.merged)
        rights = Scope(None, sources[before:])
        conditions = []
        for name in names:
            left, right = lefts.local(name, node), rights.local(name, node)
            if left is None or right is None:
                raise refuse(f"USING ({name}): only one side has a column {name}", node)
            conditions.append(comparison("=", left, right, node))
            if kind not in {"semi", "anti"}:
                merged = {"right": right, "full": _coalesced(left, right, node)}.get(kind, left)
                self._merge(name, merged, before)
        return conjunction(conditions)

    def _merge(self, name: str, merged: Expr, before: int) -> None:
        sources = self._scope.sources
        key = next(
            (n for s in sources[self._start : before] for n, _ in s.columns if n.lower() == name.lower()),
            name,
        )
        self._scope.merged[key] = merged
        for source in sources[before:]:
            if hidden := spelled(name, [one for one, _ in source.columns]):
                source.hidden.add(hidden)

    def _earlier(self) -> frozenset[str]:
        """Columns of the tables that stand before the last comma."""
        return frozenset(c.id for source in self._scope.sources[: self._start] for _, c in source.columns)

    def _loosen(self, kind: str, before: int) -> None:
        """Columns of an outer join's inner side can be NULL from now on."""
        sides = {
            "left": slice(before, None),
            "right": slice(self._start, before),
            "full": slice(self._start, None),
        }
        for source in self._scope.sources[sides[kind]]:
            source.columns = tuple((name, replace(c, nullable=True)) for name, c in source.columns)
        self._scope.merged = {name: transform(expr, _maybe) for name, expr in self._scope.merged.items()}


def _maybe(part: Expr) -> Expr:
    return part if isinstance(part, Constant) else replace(part, nullable=True)


def _coalesced(left: Expr, right: Expr, node: exp.Expression) -> Expr:
    kind = unify([left.type, right.type], node)
    first, second = coerce(left, kind, node), coerce(right, kind, node)
    present = Call(BOOLEAN, False, "is not null", (left,))
    return Case(kind, True, ((present, first),), second)


def _join_kind(node: exp.Join) -> str:
    method, side, kind = (str(node.args.get(part) or "").upper() for part in ("method", "side", "kind"))
    if method not in {"", "NATURAL"} or kind in {"STRAIGHT", "POSITIONAL", "ARRAY"}:
        raise refuse(f"{method or kind} JOIN does not run on MongoDB", node)
    if kind in {"SEMI", "ANTI"}:
        return kind.lower()
    if side:
        return side.lower()
    named = node.args.get("on") or node.args.get("using") or method
    return "inner" if kind == "INNER" or named else "cross"


def _is_source(node: exp.Expression) -> bool:
    return isinstance(node, exp.Table | exp.Subquery) and bool(
        isinstance(node, exp.Table) or node.args.get("joins")
    )


def _lateral_unnest(node: exp.Expression) -> bool:
    return isinstance(node, exp.Lateral) and isinstance(node.this, exp.Unnest)


def _unaliased(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Subquery) and node.args.get("alias"):
        inner = node.copy()
        inner.set("alias", None)
        return inner
    return node
