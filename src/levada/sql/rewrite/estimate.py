"""About how many rows a relation gives; rough, and only used to choose between equal plans."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set

from levada.sql.algebra import (
    Aggregate,
    Apply,
    Distinct,
    Filter,
    Join,
    Limit,
    Relation,
    Scan,
    SetOperation,
    Unnest,
    Values,
    ids,
    inputs,
)
from levada.sql.expression import Call, Cast, Column, Expr, columns, conjuncts

#: Rows of a table whose size is not known.
UNKNOWN = 10_000.0

_SELECTIVITY = {
    "=": 0.05,
    "in": 0.15,
    "<>": 0.9,
    "is null": 0.1,
    "is not null": 0.95,
    "like": 0.1,
    "not": 0.7,
    "or": 0.3,
}
_OTHERWISE = 0.33
_GROUPS = 0.2


def estimated(relation: Relation) -> float:  # noqa: PLR0911, C901 - one case per relation
    """Rows of a relation, at least 1."""
    match relation:
        case Scan():
            return _scan(relation)
        case Values():
            return max(1.0, float(len(relation.rows)))
        case Filter():
            return max(1.0, estimated(relation.input) * selectivity(relation.condition))
        case Join():
            return _joined(relation)
        case Apply():
            return estimated(relation.left)
        case Aggregate():
            return max(1.0, estimated(relation.input) * _GROUPS) if relation.groups else 1.0
        case Distinct():
            return max(1.0, estimated(relation.input) * 0.5)
        case Limit():
            rows = estimated(relation.input)
            return rows if relation.count is None else max(1.0, min(rows, float(relation.count)))
        case SetOperation():
            return estimated(relation.left) + estimated(relation.right)
        case Unnest():
            return estimated(relation.input) * 3
    below = inputs(relation)
    return estimated(below[0]) if below else UNKNOWN


def selectivity(condition: Expr | None) -> float:
    """The share of rows for which a condition is true."""
    share = 1.0
    for part in conjuncts(condition):
        share *= _SELECTIVITY.get(part.name, _OTHERWISE) if isinstance(part, Call) else _OTHERWISE
    return share


class Linking:
    """How the relations of a chain of joins are linked by equalities, and what comes of joining them.

    Args:
        leaves: the relations.
        conditions: over their columns, joined by AND.
    """

    def __init__(self, leaves: Sequence[Relation], conditions: Sequence[Expr]) -> None:
        self.rows = [estimated(leaf) for leaf in leaves]
        self._leaves = leaves
        self._owners = {name: place for place, leaf in enumerate(leaves) for name in ids(leaf)}
        self._pairs = [pair for part in conditions if (pair := self._pair(part))]
        self._classes = classes(self._pairs)
        self._rest = [part for part in conditions if not self._pair(part)]

    def neighbours(self, done: Set[int]) -> set[int]:
        """The relations that an equality links to those that are done."""
        found = set()
        for names in self._classes:
            owners = {self._owners[name] for name in names}
            if owners & done:
                found |= owners - done
        return found

    def joined(self, done: Sequence[int], rows: float, place: int) -> float:
        """Rows after one more relation is joined to those that are done."""
        keys: list[str] = []
        values: list[float] = []
        for names in self._classes:
            mine = [name for name in names if self._owners[name] == place]
            if mine and any(self._owners[name] in done for name in names):
                keys += mine
                values.append(self._distinct(names))
        if self._unique(place, keys):
            base = _base(self._leaves[place]) or self.rows[place]
            return max(1.0, rows * min(1.0, self.rows[place] / base))
        have = frozenset(name for name, owner in self._owners.items() if owner in {*done, place})
        share = 1.0
        for part in self._rest:
            if columns(part) <= have and any(self._owners.get(name) == place for name in columns(part)):
                share *= selectivity(part)
        distinct = max(1.0, math.prod(values))
        if len(values) > 1:  # keys of several columns depend on each other: no side has more than its rows
            distinct = max(*values, min(distinct, rows, self.rows[place]))
        return max(1.0, rows * self.rows[place] / distinct * share)

    def _pair(self, part: Expr) -> tuple[str, str] | None:
        if not (isinstance(part, Call) and part.name == "="):
            return None
        first, second = (uncast(arg) for arg in part.args)
        if not (isinstance(first, Column) and isinstance(second, Column)):
            return None
        owners = self._owners.get(first.id), self._owners.get(second.id)
        return None if None in owners or owners[0] == owners[1] else (first.id, second.id)

    def _distinct(self, names: Set[str]) -> float:
        """Distinct values of columns that are equal: at most those of a key among them."""
        keys: list[float] = []
        others: list[float] = []
        for name in names:
            leaf = self._leaves[self._owners[name]]
            base = _base(leaf)
            unique = base is not None and self._unique(self._owners[name], [name])
            (keys if unique else others).append(base or self.rows[self._owners[name]])
        return min(keys) if keys else max(others) / 10

    def _unique(self, place: int, names: Sequence[str]) -> bool:
        """Whether these columns of a relation together are a key of its table."""
        leaf = _scanned(self._leaves[place])
        if leaf is None:
            return False
        fields = {field.name for name, field in leaf.fields if name in names}
        return any(
            index.unique and {path for path, _ in index.keys} <= fields for index in leaf.table.indexes
        )


def distinct_values(expr: Expr, side: Relation, join: Join) -> float:
    """About how many values an expression over one side of a join has.

    A column that is compared with a key of the other side has at most as many as that table has rows; of
    others nothing is known but that they repeat.
    """
    rows = estimated(side)
    expr = uncast(expr)
    if not isinstance(expr, Column):
        return max(1.0, rows / 10)
    other = join.right if side is join.left else join.left
    for part in conjuncts(join.condition):
        if isinstance(part, Call) and part.name == "=":
            compared = [uncast(arg) for arg in part.args]
            for one in compared:
                if expr in compared and isinstance(one, Column) and one != expr:
                    keyed = _keyed(other, one.id)
                    return rows if keyed is None else min(rows, keyed)
    return rows if _keyed(side, expr.id) is not None else max(1.0, rows / 10)


def _keyed(relation: Relation, name: str) -> float | None:
    """Rows of the table of which a column is the key; None: it is not a key."""
    for one in _all(relation):
        if isinstance(one, Scan):
            field = next((field.name for own, field in one.fields if own == name), None)
            if field is not None and any(
                i.unique and [path for path, _ in i.keys] == [field] for i in one.table.indexes
            ):
                return float(UNKNOWN if one.table.rows is None else one.table.rows)
    return None


def _all(relation: Relation) -> Iterator[Relation]:
    yield relation
    for below in inputs(relation):
        yield from _all(below)


def uncast(expr: Expr) -> Expr:
    """What is under the casts."""
    while isinstance(expr, Cast):
        expr = expr.arg
    return expr


def classes(pairs: Sequence[tuple[str, str]]) -> list[set[str]]:
    """Columns that the pairs make equal, together."""
    classes: list[set[str]] = []
    for pair in pairs:
        touched = [one for one in classes if one & set(pair)]
        classes = [one for one in classes if not one & set(pair)]
        classes.append(set(pair).union(*touched))
    return classes


def _scanned(relation: Relation) -> Scan | None:
    """The scan whose rows a relation filters, each at most once; None: it is more than that."""
    while isinstance(relation, Filter) or (isinstance(relation, Join) and relation.kind in {"semi", "anti"}):
        relation = relation.input if isinstance(relation, Filter) else relation.left
    return relation if isinstance(relation, Scan) else None


def _base(relation: Relation) -> float | None:
    scan = _scanned(relation)
    return None if scan is None else float(UNKNOWN if scan.table.rows is None else max(scan.table.rows, 1))


def _scan(scan: Scan) -> float:
    rows = UNKNOWN if scan.table.rows is None else float(scan.table.rows)
    unique = {index.keys[0][0] for index in scan.table.indexes if index.unique and len(index.keys) == 1}
    names = {name: field.name for name, field in scan.fields}
    for part in conjuncts(scan.condition):
        args = part.args if isinstance(part, Call) and part.name == "=" else ()
        if any(isinstance(arg, Column) and names.get(arg.id) in unique for arg in args):
            return 1.0
    return max(1.0, rows * selectivity(scan.condition))


def _joined(join: Join) -> float:
    if join.kind in {"semi", "anti"}:
        return max(1.0, estimated(join.left) * 0.5)
    if join.kind == "mark":
        return estimated(join.left)
    linking = Linking([join.left, join.right], list(conjuncts(join.condition)))
    left, right = linking.rows
    rows = linking.joined([0], left, 1)
    if join.kind in {"left", "full"}:
        rows = max(rows, left)
    return max(rows, right) if join.kind in {"right", "full"} else rows
