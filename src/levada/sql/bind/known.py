"""What of each clause is understood; what else a parser may find there is refused, never skipped."""

from __future__ import annotations

from sqlglot import exp

from levada.sql.errors import refuse

_ENDS = ("order", "limit", "offset")

#: Node -> the parts of it that the binder reads.
_KNOWN: dict[type[exp.Expression], frozenset[str]] = {
    node: frozenset(parts)
    for node, parts in (
        (
            exp.Select,
            (
                *("with_", "expressions", "distinct", "from_", "joins", "where", "group", "having"),
                *("qualify", "windows", *_ENDS),
            ),
        ),
        (exp.SetOperation, ("with_", "this", "expression", "distinct", *_ENDS)),
        (exp.Subquery, ("this", "alias", "with_", "joins", *_ENDS)),
        (exp.Values, ("expressions", "alias", *_ENDS)),
        (exp.With, ("expressions", "recursive")),
        (exp.CTE, ("this", "alias", "materialized")),
        (exp.Table, ("this", "alias", "db", "catalog", "joins")),
        (exp.TableAlias, ("this", "columns")),
        (exp.Join, ("this", "on", "side", "kind", "using", "method")),
        (exp.Lateral, ("this", "alias")),
        (exp.Unnest, ("expressions", "alias", "offset", "explode_array")),
        (exp.Explode, ("this",)),
        (exp.Group, ("expressions", "grouping_sets", "cube", "rollup", "all")),
        (exp.Distinct, ("expressions", "on")),
        (exp.Window, ("this", "partition_by", "order", "spec", "alias", "over")),
        (exp.WindowSpec, ("kind", "start", "start_side", "end", "end_side")),
        (exp.Order, ("this", "expressions")),
        (exp.Ordered, ("this", "desc", "nulls_first")),
        (exp.Limit, ("expression", "limit_options")),
        (exp.Fetch, ("direction", "count", "limit_options")),
        (exp.LimitOptions, ("rows",)),
        (exp.Offset, ("expression",)),
        (exp.Star, ("except_", "replace", "rename")),
        (exp.Column, ("this", "table", "db", "catalog")),
    )
}

#: Parts of clauses -> the names to refuse them by; others by their own.
_NAMES = {
    "by_name": "BY NAME",
    "connect": "CONNECT BY",
    "cross_apply": "CROSS APPLY",
    "exclude": "EXCLUDE",
    "for_": "FOR",
    "into": "SELECT INTO",
    "join_mark": "(+)",
    "key_expressions": "USING KEY",
    "kind": "SELECT AS",
    "laterals": "LATERAL VIEW",
    "locks": "FOR UPDATE",
    "match": "MATCH_RECOGNIZE",
    "match_condition": "MATCH_CONDITION",
    "percent": "LIMIT in percent",
    "pivots": "PIVOT",
    "sample": "a sample",
    "totals": "WITH TOTALS",
    "version": "AS OF",
    "when": "AT",
    "with_fill": "WITH FILL",
    "with_ties": "WITH TIES",
}


def only_known(query: exp.Expression) -> None:
    """Refuse a query with a part that the binder does not read.

    Raises:
        SqlError: with its name and place.
    """
    for node in query.walk():
        known = next((parts for kind, parts in _KNOWN.items() if isinstance(node, kind)), None)
        if known is None:
            continue
        for name, part in node.args.items():
            if part and name not in known:
                told = _NAMES.get(name, name.rstrip("_").replace("_", " ").upper())
                raise refuse(f"{told} does not run on MongoDB", node)
