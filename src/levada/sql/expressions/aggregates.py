"""Aggregate functions: their types, and how each is folded by `$group` or in a window.

A fold adds MongoDB accumulators and says how the result is computed from theirs, so that one row serves
GROUP BY and OVER alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from levada.sql.expressions import folding, moments
from levada.sql.expressions.folding import Fold
from levada.sql.expressions.table import Emitted, Signature, Typing
from levada.sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    MAX_PRECISION,
    TIMESTAMP,
    VARCHAR,
    SqlType,
    decimal,
    list_of,
)


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """An aggregate function.

    Args:
        name: its key, and its name in the docs.
        typing: resolves the types.
        fold: adds accumulators; gives the MongoDB expression of the result over their fields.
        nodes: sqlglot's classes for it, or names that sqlglot does not know.
        parts: names of the node's arguments in the order of `typing`; empty: sqlglot's own order.
        never_null: not NULL even over no rows.
        repeats: whether a value that comes twice counts twice; without it DISTINCT changes nothing.
        unique: works on distinct values even where the query does not say so.
        counted: `fold` takes each distinct value once, with how often it comes as its last argument.
        hidden: a query can't call it: the compiler itself does.
        takes: its arguments, for the docs.
        note: what differs from DuckDB, or is worth knowing.
    """

    name: str
    typing: Typing
    fold: Callable[[Fold], Emitted]
    nodes: tuple[type[exp.Expression] | str, ...] = ()
    parts: tuple[str, ...] = ()
    never_null: bool = False
    repeats: bool = True
    unique: bool = False
    counted: bool = False
    hidden: bool = False
    takes: str = "x"
    note: str = ""


#: Types that have an order which is the same in SQL and BSON.
_ORDERED: Final = frozenset(
    {"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "VARCHAR", "TIMESTAMP", "DATE", "OBJECTID", "UUID"}
    | {"NULL", "BLOB"}
)
_UNTYPED: Final = frozenset({"NULL", "VARIANT", "INTERVAL"})


def _any(result: SqlType, most: int = 1) -> Typing:
    """Between one and `most` arguments of any type."""

    def typing(given: Sequence[SqlType]) -> Signature | None:
        return Signature(tuple(given), result) if 1 <= len(given) <= most else None

    return typing


def _counted(given: Sequence[SqlType]) -> Signature:
    return Signature(tuple(given), BIGINT)


def _same(given: Sequence[SqlType]) -> Signature | None:
    return Signature(tuple(given), given[0]) if len(given) == 1 else None


def _ordered(given: Sequence[SqlType]) -> Signature | None:
    return _same(given) if len(given) == 1 and given[0].name in _ORDERED else None


def _summed(given: Sequence[SqlType]) -> Signature | None:
    if len(given) != 1:
        return None
    kind = given[0]
    if kind.name == "DECIMAL":
        return Signature((kind,), decimal(MAX_PRECISION, kind.scale))
    if kind.name == "DOUBLE":
        return Signature((DOUBLE,), DOUBLE)
    return Signature((BIGINT,), BIGINT) if kind.name in {"INTEGER", "BIGINT", "BOOLEAN", "NULL"} else None


def _averaged(given: Sequence[SqlType]) -> Signature | None:
    if len(given) != 1:
        return None
    kind = given[0]
    if kind.temporal:
        return Signature((kind,), TIMESTAMP)
    if kind.numeric:
        return Signature((kind,), DOUBLE)
    return Signature((DOUBLE,), DOUBLE) if kind.name == "NULL" else None


def _doubles(count: int, result: SqlType = DOUBLE) -> Typing:
    """So many numbers, as DOUBLE."""

    def typing(given: Sequence[SqlType]) -> Signature | None:
        fits = all(kind.numeric or kind.name == "NULL" for kind in given)
        return Signature((DOUBLE,) * count, result) if fits and len(given) == count else None

    return typing


def _truths(result: SqlType) -> Typing:
    def typing(given: Sequence[SqlType]) -> Signature | None:
        fits = len(given) == 1 and given[0].name in {"BOOLEAN", "NULL"}
        return Signature((BOOLEAN,), result) if fits else None

    return typing


def _by(given: Sequence[SqlType]) -> Signature | None:
    if len(given) != 2 or given[1].name not in _ORDERED:
        return None
    return Signature(tuple(given), given[0])


def _joined(given: Sequence[SqlType]) -> Signature | None:
    if not 1 <= len(given) <= 2 or given[0].name in _UNTYPED - {"NULL"}:
        return None
    return Signature((VARCHAR,) * len(given), VARCHAR)


def _listed(given: Sequence[SqlType]) -> Signature | None:
    return Signature(tuple(given), list_of(given[0])) if len(given) == 1 else None


def _fractions(result: Callable[[SqlType], SqlType | None], *, default: bool = False) -> Typing:
    """A value and a fraction, or a list of fractions that gives a list."""

    def typing(given: Sequence[SqlType]) -> Signature | None:
        if len(given) != (1 if default else 2):
            return None
        kind = result(given[0])
        if kind is None:
            return None
        value = DOUBLE if given[0].name == "NULL" else given[0]
        if default:
            return Signature((value,), kind)
        if given[1].name == "LIST":
            return Signature((value, list_of(DOUBLE)), list_of(kind))
        return Signature((value, DOUBLE), kind) if given[1].numeric else None

    return typing


def _between(kind: SqlType) -> SqlType | None:
    """The type of a value between two of this type."""
    if kind.temporal:
        return TIMESTAMP
    if kind.name == "DECIMAL":
        return kind
    return DOUBLE if kind.numeric or kind.name == "NULL" else None


def _middle(kind: SqlType) -> SqlType | None:
    between = _between(kind)
    return between or _one_of(kind)


def _one_of(kind: SqlType) -> SqlType | None:
    return kind if kind.name in _ORDERED else None


def _moment(
    name: str, node: type[exp.Expression] | str, fold: Callable[[Fold], Emitted]
) -> AggregateFunction:
    """An aggregate over pairs of numbers: pairs with a NULL are left out."""
    return AggregateFunction(name, _doubles(2), fold, (node,), takes="y, x")


_QUANTILE_PARTS: Final = ("this", "expression", "quantile")

TABLE: Final[tuple[AggregateFunction, ...]] = (
    AggregateFunction(
        "count",
        _counted,
        folding.count,
        (exp.Count,),
        ("this", "expressions"),
        never_null=True,
        takes="* or x",
    ),
    AggregateFunction("count_if", _truths(BIGINT), folding.count_if, (exp.CountIf, "countif")),
    AggregateFunction(
        "approx_count_distinct",
        _any(BIGINT),
        folding.count,
        (exp.ApproxDistinct,),
        ("this",),
        never_null=True,
        unique=True,
        note="exact",
    ),
    AggregateFunction(
        "sum",
        _summed,
        folding.total,
        (exp.Sum,),
        note="of INTEGER and BIGINT: BIGINT, and an error beyond its range",
    ),
    AggregateFunction("avg", _averaged, folding.average, (exp.Avg, "mean")),
    AggregateFunction(
        "min", _ordered, folding.least, (exp.Min,), ("this", "count", "expressions"), repeats=False
    ),
    AggregateFunction(
        "max", _ordered, folding.greatest, (exp.Max,), ("this", "count", "expressions"), repeats=False
    ),
    AggregateFunction(
        "any_value",
        _same,
        folding.any_value,
        (exp.AnyValue, "arbitrary"),
        ("this",),
        repeats=False,
        note="the least of the values",
    ),
    AggregateFunction("single", _same, folding.single, hidden=True),
    AggregateFunction("first", _same, folding.first, (exp.First,), ("this",)),
    AggregateFunction("last", _same, folding.last, (exp.Last,), ("this",)),
    AggregateFunction(
        "arg_min",
        _by,
        folding.arg_min,
        (exp.ArgMin, "argmin", "min_by"),
        ("this", "expression", "count"),
        takes="x, by",
        note="of rows that are alike in `by`, the one with the least x",
    ),
    AggregateFunction(
        "arg_max",
        _by,
        folding.arg_max,
        (exp.ArgMax, "argmax", "max_by"),
        ("this", "expression", "count"),
        takes="x, by",
        note="of rows that are alike in `by`, the one with the greatest x",
    ),
    AggregateFunction(
        "bool_and", _truths(BOOLEAN), folding.all_true, (exp.LogicalAnd, "every"), repeats=False
    ),
    AggregateFunction("bool_or", _truths(BOOLEAN), folding.any_true, (exp.LogicalOr,), repeats=False),
    AggregateFunction(
        "string_agg",
        _joined,
        folding.joined,
        (exp.GroupConcat,),
        ("this", "separator"),
        takes="text, separator",
        note="without ORDER BY in the order the rows come in",
    ),
    AggregateFunction(
        "list", _listed, folding.listed, (exp.ArrayAgg,), ("this",), note="keeps NULLs, as DuckDB does"
    ),
    AggregateFunction("stddev_samp", _doubles(1), folding.deviation, (exp.StddevSamp, exp.Stddev)),
    AggregateFunction("stddev_pop", _doubles(1), folding.deviation_pop, (exp.StddevPop,)),
    AggregateFunction("var_samp", _doubles(1), folding.variance, (exp.Variance,)),
    AggregateFunction("var_pop", _doubles(1), folding.variance_pop, (exp.VariancePop,)),
    _moment("corr", exp.Corr, moments.correlation),
    _moment("covar_pop", exp.CovarPop, moments.covariance_pop),
    _moment("covar_samp", exp.CovarSamp, moments.covariance),
    _moment("regr_slope", exp.RegrSlope, moments.slope),
    _moment("regr_intercept", exp.RegrIntercept, moments.intercept),
    _moment("regr_r2", exp.RegrR2, moments.determination),
    _moment("regr_avgx", exp.RegrAvgx, moments.mean_x),
    _moment("regr_avgy", exp.RegrAvgy, moments.mean_y),
    _moment("regr_sxx", exp.RegrSxx, moments.squares_x),
    _moment("regr_syy", exp.RegrSyy, moments.squares_y),
    _moment("regr_sxy", exp.RegrSxy, moments.products),
    replace(
        _moment("regr_count", exp.RegrCount, moments.pairs),
        typing=_doubles(2, BIGINT),
        never_null=True,
    ),
    AggregateFunction(
        "median",
        _fractions(_middle, default=True),
        folding.median,
        (exp.Median,),
        note="collects the values of a group: at most 100 MB of them",
    ),
    AggregateFunction(
        "quantile_cont",
        _fractions(_between),
        folding.quantile,
        (exp.PercentileCont,),
        _QUANTILE_PARTS,
        takes="x, fraction",
        note="collects the values of a group: at most 100 MB of them",
    ),
    AggregateFunction(
        "quantile_disc",
        _fractions(_one_of),
        folding.quantile,
        (exp.PercentileDisc, exp.Quantile),
        _QUANTILE_PARTS,
        takes="x, fraction",
        note="collects the values of a group: at most 100 MB of them",
    ),
    AggregateFunction(
        "mode",
        _same,
        folding.mode,
        (exp.Mode,),
        ("this",),
        counted=True,
        note="of values that come equally often, the least",
    ),
    AggregateFunction("product", _doubles(1), folding.product, note="collects the values of a group"),
)

AGGREGATES: Final = tuple(row for row in TABLE if not row.hidden)

BY_NAME: Final = {row.name: row for row in TABLE}
