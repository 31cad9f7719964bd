"""Checking types after a `$group` instead of before it, which spares looking at every document twice.

Whatever a group's key is, is seen in the key. Of numbers that are summed or compared, `$max` shows what is no
number, as everything else but null sorts above; the type of the sum shows what is no integer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from levada.sql.algebra import Aggregate, Scan, expressions
from levada.sql.catalog import Field
from levada.sql.expression import AggregateCall, Column, columns
from levada.sql.expressions.filters import foreign
from levada.sql.expressions.filters import plain as uncast
from levada.sql.expressions.folding import Accumulators
from levada.sql.lower.scan import plain
from levada.sql.lower.state import Context, wrong_types
from levada.sql.plan import Stage

_FOLDS = frozenset({"sum", "avg", "min", "max", "count"})
_NUMBERS = frozenset({"INTEGER", "BIGINT", "DOUBLE"})
#: A sum of integers that is a double though it is far from the ends of BIGINT has a double in it.
_INSIDE = {"$gt": -9.2e18, "$lt": 9.2e18}


@dataclass(frozen=True)
class Late:
    """Columns of a scan that are checked after the group above it.

    Args:
        relation: the same, its scan without the check of these columns.
        fields: the columns.
        keys: those among them that are keys.
    """

    relation: Aggregate
    fields: dict[str, Field]
    keys: frozenset[str]

    def told(self, context: Context) -> None:
        """Let the plan say that the scan's values of these columns may be wrong."""
        if self.fields:
            scanned = context.scans[-1]
            fields = (*scanned.unproven, *self.fields.values())
            context.scans[-1] = replace(scanned, unproven=fields)

    def check(self, groups: Iterable[str], into: Accumulators) -> list[Stage]:
        """The stage after the group; nothing to check: none."""
        names = list(groups)
        wrong = []
        for name, expr in self.relation.groups:
            if isinstance(expr, Column) and expr.id in self.keys:
                wrong.append(wrong_types("_id" if len(names) == 1 else f"_id.{name}", expr.type))
        for name, field in self.fields.items():
            if name not in self.keys:
                wrong += self._folded(name, field, into)
        if not wrong:
            return []
        failing = {"$gt": [{"$multiply": [{"$eq": ["$_id", None]}, 1]}, 0]}
        return [{"$match": {"$or": [{"$nor": wrong}, {"$expr": failing}]}}]

    def _folded(self, name: str, field: Field, into: Accumulators) -> list[Stage]:
        path = f"${field.name}"
        wrong = [wrong_types(into.add("$max", path)[1:], field.type)]
        for _, call in self.relation.aggregates:
            if call.name in {"sum", "avg"} and any(name in columns(arg) for arg in call.args):
                total = into.add("$sum", path)[1:]
                wrong.append({total: {"$type": "decimal"}})
                if field.type.name != "DOUBLE":
                    wrong.append({total: {"$type": "double", **_INSIDE}})
        return wrong


def _folded_plainly(call: AggregateCall) -> Iterable[str]:
    """Columns that a call folds as they are."""
    if call.name in _FOLDS and call.filter is None and not call.distinct:
        for arg in map(uncast, call.args):
            if isinstance(arg, Column):
                yield arg.id


def late(relation: Aggregate, calls: list[tuple[str, AggregateCall]], *, allowed: bool) -> Late:
    """The columns of a scan right below a group whose check can wait.

    Args:
        calls: those of the aggregates that are needed.
        allowed: otherwise none.
    """
    scan = relation.input
    if not allowed or not isinstance(scan, Scan):
        return Late(relation, {}, frozenset())
    relation = replace(relation, aggregates=tuple(calls))
    keys = Counter(expr.id for _, expr in relation.groups if isinstance(expr, Column))
    folds = Counter(name for _, call in calls for name in _folded_plainly(call))
    said = Counter(name for expr in expressions(relation) for name in columns(expr))
    said.update(columns(scan.condition) if scan.condition is not None else ())
    found = {
        name: field
        for name, field in scan.fields
        if not field.proven and foreign(field.type) and plain(field.name)
        if said[name]
        and (said[name] == keys[name] or (said[name] == folds[name] and field.type.name in _NUMBERS))
    }
    fields = tuple((n, replace(field, proven=True) if n in found else field) for n, field in scan.fields)
    kept = frozenset(name for name in found if keys[name])
    return Late(replace(relation, input=replace(scan, fields=fields)), found, kept)
