"""What the parts of the binder share while one statement is bound."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from levada.sql.algebra import Relation
from levada.sql.bind.scope import Scope
from levada.sql.catalog import Catalog
from levada.sql.errors import refuse
from levada.sql.expression import Column, Constant

#: Queries of one statement, each CTE and subquery counted as often as it is used.
MOST_QUERIES = 3_000


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound query: its rows, and the names of its columns."""

    relation: Relation
    output: tuple[tuple[str, Column], ...]


@dataclass(frozen=True, slots=True)
class Cte:
    """A query of a WITH clause, bound anew wherever it is named.

    Args:
        context: what its text can see.
        stored: its name among the materialised ones; empty: it is inlined.
    """

    query: exp.Query
    columns: tuple[str, ...]
    context: Context
    stored: str = ""


@dataclass(slots=True)
class Statement:
    """Everything that is one per statement.

    Args:
        parameters: bound values: by name, or by position from 1, as text.
        stored: materialised queries: name -> query.
        queries: how many have been bound.
    """

    catalog: Catalog
    parameters: Mapping[str, Constant]
    stored: dict[str, Bound] = field(default_factory=dict)
    queries: int = 0
    _ids: Any = field(default_factory=lambda: itertools.count(1))
    _positions: Any = field(default_factory=lambda: itertools.count(1))
    _placeholders: dict[int, str] = field(default_factory=dict)

    def count(self, node: exp.Expression) -> None:
        """Count a query that is bound; IN over NULLs binds its subquery three times."""
        self.queries += 1
        if self.queries > MOST_QUERIES:
            raise refuse(
                f"the statement becomes more than {MOST_QUERIES:,} queries",
                node,
                hint="write IN subqueries inside each other as EXISTS, or a WITH ... AS MATERIALIZED",
            )

    def new(self) -> str:
        """A column id that nothing in the statement has yet."""
        return f"c{next(self._ids)}"

    def parameter(self, node: exp.Expression) -> Constant:
        """The value of `?`, `$1` or `$name`; the same node always means the same value."""
        given = "" if node.name == "?" else node.name
        name = self._placeholders.setdefault(id(node), given or str(next(self._positions)))
        value = self.parameters.get(name)
        if value is None:
            raise refuse(f"no value is given for the parameter {name}", node)
        return value


@dataclass(frozen=True, slots=True)
class Context:
    """Where in a statement something is bound.

    Args:
        parent: the scope around a subquery; None at the top.
        ctes: by lower-case name.
    """

    statement: Statement
    parent: Scope | None = None
    ctes: Mapping[str, Cte] = field(default_factory=dict)
