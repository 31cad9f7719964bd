"""Scalar expressions inside a query: names, subqueries, and what only some clauses may have."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from levada.sql.algebra import Filter, Relation
from levada.sql.bind.context import Context
from levada.sql.bind.scope import Scope
from levada.sql.errors import refuse
from levada.sql.expression import Call, Case, Column, Expr, Subquery, conjunction, truth
from levada.sql.expressions.bind import ScalarBinder
from levada.sql.expressions.unify import coerce, compared
from levada.sql.types import BOOLEAN

_COMPARISONS: dict[type[exp.Expression], tuple[str, str]] = {
    exp.EQ: ("=", "<>"),
    exp.NEQ: ("<>", "="),
    exp.LT: ("<", ">="),
    exp.LTE: ("<=", ">"),
    exp.GT: (">", "<="),
    exp.GTE: (">=", "<"),
}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Scalars(ScalarBinder):
    """Binds the expressions of one scope; aggregates and window functions are refused here."""

    #: How errors call the clause.
    clause = "here"

    def __init__(self, context: Context, scope: Scope) -> None:
        super().__init__()
        self.context = context
        self.scope = scope

    def condition(self, node: exp.Expression, clause: str) -> Expr:
        """A BOOLEAN expression."""
        bound = self.bind(node)
        if bound.type.name not in {"BOOLEAN", "NULL"}:
            raise refuse(f"{clause} takes a condition, not {bound.type}", node, hint="compare it: x <> 0")
        return coerce(bound, BOOLEAN, node)

    def column(self, node: exp.Expression) -> Expr:
        if isinstance(node.this, exp.Star):
            raise refuse("* can't stand inside an expression", node)
        parts = [part.name for part in node.parts]
        found = self.scope.resolve(parts, node)
        if found is None:
            return self.unresolved(parts, node)
        column, rest = found
        for name in rest:
            column = self.member(column, name, node)
        return column

    def unresolved(self, parts: list[str], node: exp.Expression) -> Expr:
        """A name that no table has."""
        raise self.scope.unknown(parts, node)

    def parameter(self, node: exp.Expression) -> Expr:
        return self.context.statement.parameter(node)

    def subquery(self, node: exp.Expression) -> Expr:
        """A scalar subquery, EXISTS, IN (SELECT ...), or a comparison with ANY or ALL of a query."""
        if isinstance(node, exp.Exists):
            return self._exists(node)
        if isinstance(node, exp.In):
            return self._in(node)
        if type(node) in _COMPARISONS:
            return self._quantified(node)
        if isinstance(node, exp.Array | exp.List):
            raise refuse("ARRAY(SELECT ...) does not run on MongoDB", node, hint="(SELECT list(x) FROM ...)")
        relation, columns = self._query(node)
        if len(columns) != 1:
            raise refuse(f"a scalar subquery gives one column, not {len(columns)}", node)
        return Subquery(columns[0].type, True, "scalar", relation, columns[0].id)

    def _query(self, node: exp.Expression) -> tuple[Relation, list[Column]]:
        from levada.sql.bind.query import bind_query

        bound = bind_query(node, replace(self.context, parent=self.scope))
        return bound.relation, [column for _, column in bound.output]

    def _exists(self, node: exp.Exists) -> Expr:
        relation, _ = self._query(node.this)
        return Subquery(BOOLEAN, False, "exists", relation)

    def _in(self, node: exp.In) -> Expr:
        left = node.this
        operands = left.expressions if isinstance(left, exp.Tuple) else [left]
        return self._any("=", [self.bind(one) for one in operands], node.args["query"], node)

    def _quantified(self, node: exp.Expression) -> Expr:
        operator, opposite = _COMPARISONS[type(node)]
        left, right = node.this, node.expression
        if isinstance(left, exp.Any | exp.All):
            left, right = right, left
            operator, opposite = _MIRRORED[operator], _MIRRORED[opposite]
        operand = [self.bind(left)]
        if isinstance(right, exp.Any):
            return self._any(operator, operand, right.this, node)
        every = self._any(opposite, operand, right.this, node)
        return Call(BOOLEAN, every.nullable, "not", (every,))

    def _any(self, operator: str, operands: list[Expr], query: exp.Expression, node: exp.Expression) -> Expr:
        """Whether the comparison is true for a row: TRUE, else NULL if it is NULL for one, else FALSE."""
        relation, columns = self._query(query)
        if len(columns) != len(operands):
            raise refuse(f"the subquery gives {len(columns)} columns for {len(operands)}", node)
        pairs = [comparison(operator, a, b, node) for a, b in zip(operands, columns, strict=True)]
        condition = conjunction(pairs)
        assert condition is not None
        found = Subquery(BOOLEAN, False, "exists", Filter(relation, condition))
        if not condition.nullable:
            return found
        if len(operands) == 1 and operator == "=":
            doubtful = self._nulls(operands[0], columns[0], query)
        else:
            unknown: Expr = Call(BOOLEAN, False, "is null", (condition,))
            again, second = self._query(query)
            unknown = _replaced(unknown, dict(zip([c.id for c in columns], second, strict=True)))
            doubtful = Subquery(BOOLEAN, False, "exists", Filter(again, unknown))
        maybe = Case(BOOLEAN, True, ((doubtful, truth(None)),), truth(False))
        return Call(BOOLEAN, True, "or", (found, maybe))

    def _nulls(self, operand: Expr, column: Column, query: exp.Expression) -> Expr:
        """Whether `=` is doubtful: a row of the subquery is NULL, or the operand is and there are rows."""
        parts: list[Expr] = []
        if column.nullable:
            relation, (own,) = self._query(query)
            parts.append(Subquery(BOOLEAN, False, "exists", Filter(relation, is_null(own))))
        if operand.nullable:
            any_row = Subquery(BOOLEAN, False, "exists", self._query(query)[0])
            parts.append(Call(BOOLEAN, False, "and", (is_null(operand), any_row)))
        return parts[0] if len(parts) == 1 else Call(BOOLEAN, False, "or", tuple(parts))


def _replaced(expr: Expr, columns: dict[str, Column]) -> Expr:
    from levada.sql.expression import transform

    return transform(expr, lambda part: columns.get(part.id, part) if isinstance(part, Column) else part)


def is_null(expr: Expr) -> Expr:
    """`expr IS NULL`."""
    return Call(BOOLEAN, False, "is null", (expr,))


def comparison(operator: str, left: Expr, right: Expr, node: exp.Expression) -> Expr:
    """Two expressions compared, each cast to what they have in common."""
    args = tuple(compared([left, right], node))
    return Call(BOOLEAN, left.nullable or right.nullable, operator, args)
