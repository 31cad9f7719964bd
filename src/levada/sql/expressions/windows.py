"""Window functions; aggregates with OVER are in `levada.sql.expressions.aggregates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from levada.sql.expressions.table import Signature, Typing
from levada.sql.types import BIGINT, DOUBLE, SqlType


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """A function that only a window has.

    Args:
        name: its key, and its name in the docs.
        typing: resolves the types.
        nodes: sqlglot's classes for it.
        parts: names of the node's arguments in the order of `typing`; empty: sqlglot's own order.
        never_null: its result is never NULL.
        takes: its arguments, for the docs.
        note: what differs from DuckDB, or is worth knowing.
    """

    name: str
    typing: Typing
    nodes: tuple[type[exp.Expression] | str, ...]
    parts: tuple[str, ...] = ()
    never_null: bool = False
    takes: str = ""
    note: str = ""


def _nothing(result: SqlType) -> Typing:
    def typing(given: Sequence[SqlType]) -> Signature | None:
        return None if given else Signature((), result)

    return typing


def _buckets(given: Sequence[SqlType]) -> Signature | None:
    return Signature((BIGINT,), BIGINT) if len(given) == 1 and given[0].numeric else None


def _shifted(given: Sequence[SqlType]) -> Signature | None:
    if not 1 <= len(given) <= 3:
        return None
    return Signature((given[0], BIGINT, given[0])[: len(given)], given[0])


def _value(given: Sequence[SqlType]) -> Signature | None:
    return Signature(tuple(given), given[0]) if len(given) == 1 else None


def _nth(given: Sequence[SqlType]) -> Signature | None:
    return Signature((given[0], BIGINT), given[0]) if len(given) == 2 and given[1].numeric else None


def _rank(name: str, node: type[exp.Expression], result: SqlType = BIGINT) -> WindowFunction:
    return WindowFunction(name, _nothing(result), (node,), ("this", "expressions"), never_null=True)


_SHIFTED: Final = ("this", "offset", "default")

TABLE: Final[tuple[WindowFunction, ...]] = (
    _rank("row_number", exp.RowNumber),
    _rank("rank", exp.Rank),
    _rank("dense_rank", exp.DenseRank),
    _rank("percent_rank", exp.PercentRank, DOUBLE),
    _rank("cume_dist", exp.CumeDist, DOUBLE),
    WindowFunction("ntile", _buckets, (exp.Ntile,), takes="buckets", never_null=True),
    WindowFunction("lag", _shifted, (exp.Lag,), _SHIFTED, takes="x, offset, default"),
    WindowFunction("lead", _shifted, (exp.Lead,), _SHIFTED, takes="x, offset, default"),
    WindowFunction("first_value", _value, (exp.FirstValue, exp.First), ("this",), takes="x"),
    WindowFunction("last_value", _value, (exp.LastValue, exp.Last), ("this",), takes="x"),
    WindowFunction("nth_value", _nth, (exp.NthValue,), ("this", "offset"), takes="x, n"),
)

WINDOWS: Final = TABLE

BY_NAME: Final = {row.name: row for row in TABLE}
