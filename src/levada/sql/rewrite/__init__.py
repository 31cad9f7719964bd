"""A bound query as a better one: no subqueries, filters at the scans, joins in order, no idle columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from levada.sql.algebra import BoundQuery, Relation
from levada.sql.rewrite.decorrelate import decorrelate
from levada.sql.rewrite.eager import eager
from levada.sql.rewrite.joinorder import ordered
from levada.sql.rewrite.limits import limited
from levada.sql.rewrite.prune import pruned
from levada.sql.rewrite.pushdown import pushed

__all__ = ["rewritten"]


def rewritten(query: BoundQuery, new: Callable[[], str]) -> BoundQuery:
    """The same query, as it is best lowered.

    Args:
        new: gives fresh column ids.
    """
    query = decorrelate(query, new)
    stored = tuple((name, _improved(one, new)) for name, one in query.stored)
    return pruned(replace(query, relation=_improved(query.relation, new), stored=stored))


def _improved(relation: Relation, new: Callable[[], str]) -> Relation:
    return limited(eager(ordered(pushed(relation)), new))
