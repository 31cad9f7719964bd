"""The kinds of checks: each is a row of `KINDS` with a MongoDB form, a SQL form and a verdict.

| kind | passes when |
|---|---|
| `row_count: {min, max}` | the number of rows lies between them |
| `null_rate: {column, max}` | at most this share of rows has null, or nothing, there |
| `duplicates: {columns, max}` | at most so many rows repeat an earlier row's values |
| `freshness: {column, max_age}` | the newest value is no older |
| `ratio: {to, min, max}` | rows divided by a value of an earlier step lies between them |
| `sql: {value, min, max}` | an aggregate in SQL, such as `sum(total)`, lies between them, or is NULL |

Rows with a null key do not repeat each other. A null rate of no rows at all is null and passes: `row_count`
says whether there should be any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from levada.config import Duration
from levada.errors import Fatal
from levada.sql.dialect import names

Severity = Literal["error", "warn"]


class Rule(BaseModel):
    """Base of all rules; `severity: warn` reports a failure without stopping the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Severity = "error"


class RowCount(Rule):
    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_a_bound(self) -> RowCount:
        _require_bound(self.min, self.max)
        return self


class NullRate(Rule):
    column: str
    max: float = Field(default=0.0, ge=0, le=1)


class Duplicates(Rule):
    columns: tuple[str, ...] = Field(min_length=1)
    max: int = Field(default=0, ge=0)


class Freshness(Rule):
    column: str
    max_age: Duration


class Ratio(Rule):
    to: str
    min: float | None = Field(default=None, ge=0)
    max: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_a_bound(self) -> Ratio:
        _require_bound(self.min, self.max)
        return self


class Sql(Rule):
    """An aggregate over the table's rows, one number.

    Args:
        value: in SQL, without FROM: `sum(total) / count(*)`.
    """

    value: str
    min: float | None = None
    max: float | None = None

    @field_validator("value")
    @classmethod
    def _is_an_expression(cls, value: str) -> str:
        names(value)
        return value

    @model_validator(mode="after")
    def _has_a_bound(self) -> Sql:
        _require_bound(self.min, self.max)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, or paths into structs, that the aggregate names."""
        return names(self.value)


def _require_bound(low: float | None, high: float | None) -> None:
    if low is None and high is None:
        raise ValueError("give `min`, `max` or both")


@dataclass(frozen=True)
class Facts:
    """What verdicts may look at besides the aggregates.

    Args:
        now: when the run began, UTC.
        value: returns a value of an earlier step by reference (`extract.rows`).
    """

    now: datetime
    value: Callable[[str], Any]


@dataclass(frozen=True)
class Verdict:
    """The measured value, and whether it passes."""

    value: Any
    passed: bool


def _nothing(_: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Kind:
    """One kind of check.

    Args:
        rule: its settings.
        accumulators: rule -> name -> MongoDB accumulator, all of a table's in one `$group`.
        stages: rule -> stages of a pass of its own, ending in one document with `value`; without them the
            statement runs inside MongoDB, too.
        selections: rule -> name -> SQL aggregate, all of a table's in one SELECT.
        statement: rule -> a SELECT of its own over `rows`, returning `value`.
        judge: rule, aggregates by name, facts -> verdict.
        limit: rule -> text of the threshold, for people.
    """

    rule: type[Rule]
    judge: Callable[[Any, Mapping[str, Any], Facts], Verdict]
    limit: Callable[[Any], str]
    accumulators: Callable[[Any], Mapping[str, Any]] = _nothing
    stages: Callable[[Any], list[dict[str, Any]]] | None = None
    selections: Callable[[Any], Mapping[str, str]] = _nothing
    statement: Callable[[Any], str] | None = None


def quoted(column: str) -> str:
    """A column, or a path into structs (`shipping.city`), as a SQL identifier."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in column.split("."))


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _range(rule: Any) -> str:
    low = "" if rule.min is None else f">= {rule.min:g}"
    high = "" if rule.max is None else f"<= {rule.max:g}"
    return " and ".join(part for part in (low, high) if part)


def _row_count(rule: RowCount, found: Mapping[str, Any], _: Facts) -> Verdict:
    return Verdict(found["rows"], _within(found["rows"], rule.min, rule.max))


def _null_rate(rule: NullRate, found: Mapping[str, Any], _: Facts) -> Verdict:
    if not found["rows"]:
        return Verdict(None, passed=True)
    rate = (found[f"nulls of {rule.column}"] or 0) / found["rows"]
    return Verdict(rate, rate <= rule.max)


def _duplicates(rule: Duplicates, found: Mapping[str, Any], _: Facts) -> Verdict:
    count = int(found["value"] or 0)
    return Verdict(count, count <= rule.max)


def _freshness(rule: Freshness, found: Mapping[str, Any], facts: Facts) -> Verdict:
    newest = found[f"newest {rule.column}"]
    if isinstance(newest, date) and not isinstance(newest, datetime):
        newest = datetime(newest.year, newest.month, newest.day, tzinfo=UTC)
    if not isinstance(newest, datetime):
        return Verdict(None, passed=False)
    newest = newest if newest.tzinfo else newest.replace(tzinfo=UTC)
    return Verdict(newest, facts.now - newest <= rule.max_age)


def _ratio(rule: Ratio, found: Mapping[str, Any], facts: Facts) -> Verdict:
    base = facts.value(rule.to)
    if not base:
        return Verdict(None, passed=not found["rows"])
    ratio = found["rows"] / base
    return Verdict(ratio, _within(ratio, rule.min, rule.max))


def _sql(rule: Sql, found: Mapping[str, Any], _: Facts) -> Verdict:
    value = found["value"]
    if value is None:
        return Verdict(None, passed=True)
    if not isinstance(value, int | float | Decimal):
        raise Fatal(f"{rule.value} gives {type(value).__name__}, not a number")
    value = float(value) if isinstance(value, Decimal) else value
    return Verdict(value, _within(value, rule.min, rule.max))


def _repeated(rule: Duplicates) -> list[dict[str, Any]]:
    keys = {f"k{i}": f"${column}" for i, column in enumerate(rule.columns)}
    present = [
        {"$gt": [f"${column}", None]} for column in rule.columns
    ]  # an array that holds null is no null
    return [
        {"$match": {"$expr": {"$and": present}}},
        {"$group": {"_id": keys if len(keys) > 1 else keys["k0"], "n": {"$sum": 1}}},
        {"$match": {"n": {"$gt": 1}}},
        {"$group": {"_id": None, "value": {"$sum": {"$subtract": ["$n", 1]}}}},
    ]


def _repeated_sql(rule: Duplicates) -> str:
    keys = ", ".join(quoted(column) for column in rule.columns)
    present = " and ".join(f"{quoted(column)} is not null" for column in rule.columns)
    return (
        f"select coalesce(sum(n - 1), 0) as value from "  # noqa: S608 - names are quoted
        f"(select count(*) as n from rows where {present} group by {keys} having count(*) > 1)"
    )


KINDS: Mapping[str, Kind] = {
    "row_count": Kind(RowCount, _row_count, _range),
    "null_rate": Kind(
        NullRate,
        _null_rate,
        lambda rule: f"<= {rule.max:.2%}",
        accumulators=lambda rule: {
            f"nulls of {rule.column}": {"$sum": {"$cond": [{"$lte": [f"${rule.column}", None]}, 1, 0]}}
        },
        selections=lambda rule: {
            f"nulls of {rule.column}": f"count(*) filter (where {quoted(rule.column)} is null)"
        },
    ),
    "duplicates": Kind(
        Duplicates, _duplicates, lambda rule: f"<= {rule.max}", stages=_repeated, statement=_repeated_sql
    ),
    "freshness": Kind(
        Freshness,
        _freshness,
        lambda rule: f"newer than {rule.max_age}",
        accumulators=lambda rule: {f"newest {rule.column}": {"$max": f"${rule.column}"}},
        selections=lambda rule: {f"newest {rule.column}": f"max({quoted(rule.column)})"},
    ),
    "ratio": Kind(Ratio, _ratio, _range),
    "sql": Kind(Sql, _sql, _range, statement=lambda rule: f"select {rule.value} as value from rows"),  # noqa: S608
}
