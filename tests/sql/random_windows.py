"""Random window functions whose answer does not depend on how rows that are alike are ordered."""

from __future__ import annotations

import random
from collections.abc import Mapping

from .random_expressions import KINDS, Expressions, Scope

#: Template -> kind, for functions that look at peers alike: any order will do.
_PEERS: Mapping[str, str] = {
    "rank()": "integer",
    "dense_rank()": "integer",
    "percent_rank()": "double",
    "cume_dist()": "double",
}
#: Those that need a total order.
_TOTAL: Mapping[str, str] = {
    "row_number()": "integer",
    "lag({integer})": "integer",
    "lead({text}, 2, 'none')": "text",
    "lag({double}, 1)": "double",
    "first_value({text})": "text",
    "last_value({integer})": "integer",
    "nth_value({decimal}, 2)": "decimal",
    "ntile(3)": "integer",
}
_FOLDED: Mapping[str, str] = {
    "count(*)": "integer",
    "sum({integer})": "integer",
    "count({text})": "integer",
    "min({double})": "double",
    "max({double})": "double",
    "avg({integer})": "double",
    "sum({decimal})": "decimal",
    "max({text})": "text",
    "min({date})": "date",
    "sum({integer}) filter (where {boolean})": "integer",
}

_ROWS = (
    "rows between unbounded preceding and current row",
    "rows between 1 preceding and 1 following",
    "rows between current row and unbounded following",
    "rows between 2 preceding and 1 preceding",
    "rows between unbounded preceding and unbounded following",
)
_RANGES: Mapping[str, tuple[str, ...]] = {
    "integer": (
        "range between 1 preceding and 2 following",
        "range between unbounded preceding and 1 following",
    ),
    "date": ("range between interval '2' day preceding and current row",),
    "timestamp": ("range between interval '1' hour preceding and interval '400' day following",),
}


class Windows:
    """Random window calls."""

    def __init__(self, chance: random.Random, expressions: Expressions) -> None:
        self._chance = chance
        self._expressions = expressions

    def call(self, scope: Scope) -> tuple[str, str, bool]:
        """A window call, the kind of its values, and whether they are exact."""
        roll = self._chance.random()
        if roll < 0.3:
            return self._made(_PEERS, scope, f"{self._partition(scope)} order by {self._some(scope)}")
        if roll < 0.55 and scope.keys:
            return self._made(_TOTAL, scope, f"{self._partition(scope)} order by {self._total(scope)}")
        return self._made(_FOLDED, scope, self._framed(scope))

    def numbered(self, scope: Scope) -> str:
        """`row_number()` over a total order."""
        return f"row_number() over ({self._partition(scope)} order by {self._total(scope)})"

    def _made(self, table: Mapping[str, str], scope: Scope, over: str) -> tuple[str, str, bool]:
        template = self._chance.choice(tuple(table))
        sql = self._expressions.fill(template, "integer", scope, 0)
        exact = table[template] != "double" or template.startswith(("min", "max", "lag"))
        return f"{sql} over ({over.strip()})", table[template], exact

    def _partition(self, scope: Scope) -> str:
        if self._chance.random() < 0.4:
            return ""
        kind = self._chance.choice(KINDS)
        return f"partition by {self._expressions.make(kind, scope, 0)}"

    def _some(self, scope: Scope) -> str:
        kinds = [self._chance.choice(KINDS) for _ in range(self._chance.choice((1, 1, 2)))]
        return ", ".join(f"{self._expressions.make(kind, scope, 0)}{self._direction()}" for kind in kinds)

    def _total(self, scope: Scope) -> str:
        keys = ", ".join(f"{key}{self._direction()}" for key in scope.keys or ())
        return keys if self._chance.random() < 0.4 else f"{self._some(scope)}, {keys}"

    def _direction(self) -> str:
        return self._chance.choice(("", " desc", " nulls first", " desc nulls last"))

    def _framed(self, scope: Scope) -> str:
        partition, roll = self._partition(scope), self._chance.random()
        if roll < 0.25:
            return partition
        if roll < 0.55:
            return f"{partition} order by {self._some(scope)}"
        if roll < 0.8 and scope.keys:
            return f"{partition} order by {self._total(scope)} {self._chance.choice(_ROWS)}"
        kind = self._chance.choice(tuple(_RANGES))
        key = f"{self._expressions.make(kind, scope, 0)}{self._direction()}"
        return f"{partition} order by {key} {self._chance.choice(_RANGES[kind])}"
