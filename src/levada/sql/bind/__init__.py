"""From sqlglot's tree to bound relations: every name resolved, every type static."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from levada.sql.algebra import BoundQuery
from levada.sql.bind.context import Context, Statement
from levada.sql.bind.known import only_known
from levada.sql.bind.query import bind_query
from levada.sql.catalog import Catalog
from levada.sql.errors import refuse
from levada.sql.expression import Constant
from levada.sql.types import INTERVAL

__all__ = ["bind"]


def bind(query: exp.Expression, catalog: Catalog, parameters: Mapping[str, Constant]) -> BoundQuery:
    """Bind a query.

    Args:
        query: as `levada.sql.dialect` parsed it.
        parameters: values of `$name`, and of the n-th `?` under the name `n`.

    Raises:
        SqlError: it names something that is not there, mixes types that don't meet, or has something that
            does not run on MongoDB.
    """
    only_known(query)
    statement = Statement(catalog, parameters)
    bound = bind_query(query, Context(statement))
    for name, column in bound.output:
        if column.type == INTERVAL:
            raise refuse(f"the column {name} would be an INTERVAL, which MongoDB does not hold", query)
    stored = tuple((name, kept.relation) for name, kept in statement.stored.items())
    return BoundQuery(bound.relation, bound.output, stored)
