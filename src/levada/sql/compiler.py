"""SQL text to an aggregation pipeline. Pure: no server is asked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from levada.sql.bind import bind
from levada.sql.catalog import Catalog
from levada.sql.dialect import parse
from levada.sql.errors import SqlError
from levada.sql.lower import lower
from levada.sql.parameters import constants
from levada.sql.plan import Plan
from levada.sql.rewrite import rewritten

Parameters = Mapping[str, Any] | Sequence[Any]


def compile(  # noqa: A001 - `levada.sql.compile` is what it is
    sql: str, catalog: Catalog, parameters: Parameters = (), *, dialect: str = "levada"
) -> Plan:
    """Compile one SELECT.

    Args:
        sql: one query; `?`, `$1` and `$name` are parameters.
        catalog: the tables there are.
        parameters: values, by position or by name; they become constants of the pipeline, never text.
        dialect: of the text: `levada` (DuckDB's, with a two-argument `datediff`), or any that sqlglot knows.

    Returns:
        The collection, the pipeline, and the columns of its result with their types.

    Raises:
        SqlError: the SQL is wrong or does not run on MongoDB; with its place, and the nearest name.
    """
    try:
        bound = bind(parse(sql, dialect), catalog, constants(parameters))
        fresh = itertools.count(1)
        return lower(rewritten(bound, lambda: f"d{next(fresh)}"))
    except RecursionError as error:
        raise SqlError("the SQL is nested too deeply", hint="split it into several") from error
