"""Answers of two engines: types and rows, in one form, and whether they are the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
from bson.decimal128 import Decimal128
from pymongo.database import Database

from levada.sql.plan import Plan, PlanColumn, renamed

Row = tuple[Any, ...]

#: How far two DOUBLEs may be apart: sums are added in another order.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Answer:
    """What a query gives.

    Args:
        types: of the columns, as SQL.
        rows: values as Python's: int, float, Decimal, str, bool, date, datetime (naive, UTC), list, dict.
    """

    types: tuple[str, ...]
    rows: list[Row]


def of_duckdb(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = None) -> Answer:
    """DuckDB's answer; HUGEINT is BIGINT in Levada."""
    cursor = connection.execute(sql, parameters) if parameters is not None else connection.execute(sql)
    types = tuple(_spelled(str(column[1])) for column in cursor.description or ())
    return Answer(types, [tuple(map(plain, row)) for row in cursor.fetchall()])


def of_plan(database: Database[dict[str, Any]], plan: Plan) -> Answer:
    """What a plan gives, read by PyMongo: nothing of Levada's driver takes part."""
    names = {stored.name: f"stored_{number}" for number, stored in enumerate(plan.stored)}
    plan = renamed(plan, names)
    try:
        for stored in plan.stored:
            _aggregate(database, stored.collection, [*stored.pipeline, {"$out": stored.name}])
        documents = _aggregate(database, plan.collection, plan.pipeline)
    finally:
        for name in names.values():
            database.drop_collection(name)
    rows = [tuple(_cell(document, column) for column in plan.columns) for document in documents]
    return Answer(tuple(_spelled(str(column.type)) for column in plan.columns), rows)


def _aggregate(
    database: Database[dict[str, Any]], collection: str | None, pipeline: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    source: Any = database if collection is None else database[collection]
    return list(source.aggregate(pipeline, allowDiskUse=True))


def _cell(document: Mapping[str, Any], column: PlanColumn) -> Any:
    value = plain(document.get(column.field))
    if isinstance(value, datetime) and column.type.name == "DATE":
        assert value == datetime.combine(value.date(), datetime.min.time()), f"{value} is no date"
        return value.date()
    if isinstance(value, int) and not isinstance(value, bool):
        return {"DOUBLE": float, "DECIMAL": Decimal}.get(column.type.name, int)(value)
    return value


def plain(value: Any) -> Any:
    """A value in the one form that both engines' values are compared in."""
    match value:
        case Decimal128():
            return value.to_decimal()
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {name: plain(item) for name, item in value.items()}
        case bool():
            return value
        case int():
            return int(value)
    return value


def _spelled(kind: str) -> str:
    return kind.replace("HUGEINT", "BIGINT").replace(" WITH TIME ZONE", "").replace('"NULL"', "INTEGER")


def differences(ours: Answer, theirs: Answer, *, ordered: bool, types: bool = True) -> str:
    """What differs, for people; empty: nothing does.

    Args:
        ordered: whether the order of the rows counts.
        types: whether those of the columns do.
    """
    if types and ours.types != theirs.types:
        return f"types: {', '.join(ours.types)}\ninstead of: {', '.join(theirs.types)}"
    if ordered:
        extra, lacking = _in_order(ours.rows, theirs.rows)
    else:
        extra, lacking = _in_any_order(ours.rows, theirs.rows)
    if not extra and not lacking:
        return ""
    shown = [f"+ {row}" for row in extra[:5]] + [f"- {row}" for row in lacking[:5]]
    counted = (
        f"{len(ours.rows)} rows, {len(theirs.rows)} expected; {len(extra)} wrong, {len(lacking)} lacking"
    )
    return "\n".join([counted, *shown])


def _in_order(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    pairs = list(zip(ours, theirs, strict=False))
    wrong = [(a, b) for a, b in pairs if not alike(a, b)]
    extra = [a for a, _ in wrong] + list(ours[len(pairs) :])
    return extra, [b for _, b in wrong] + list(theirs[len(pairs) :])


def _in_any_order(ours: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    extra, lacking = _in_order(sorted(ours, key=_place), sorted(theirs, key=_place))
    left: list[Row] = []
    for row in extra:  # floats that are nearly the same may sort differently
        found = next((place for place, other in enumerate(lacking) if alike(row, other)), None)
        if found is None:
            left.append(row)
        else:
            del lacking[found]
    return left, lacking


def _place(row: Row) -> Any:
    exact = [repr(value) for value in row if not isinstance(value, float)]
    return exact, [f"{value:.6g}" for value in row if isinstance(value, float)]


def alike(ours: Any, theirs: Any) -> bool:
    """Whether two values are the same: DOUBLEs nearly, NaN is NaN, all else exactly, its type included."""
    match ours, theirs:
        case (list() | tuple(), list() | tuple()):
            return len(ours) == len(theirs) and all(map(alike, ours, theirs))
        case dict(), dict():
            return ours.keys() == theirs.keys() and all(alike(ours[name], theirs[name]) for name in ours)
        case float(), float():
            return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(
                ours, theirs, rel_tol=TOLERANCE, abs_tol=1e-12
            )
    return type(ours) is type(theirs) and bool(ours == theirs)


def multiset(rows: Iterable[Row]) -> list[str]:
    """Rows in an order of their own, for asserting on few of them."""
    return sorted(map(repr, rows))
