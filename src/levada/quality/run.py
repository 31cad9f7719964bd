"""Runs the checks of one table in as few passes as possible, where the table lives."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from levada.connectors.base import Connection, Query, Table
from levada.errors import ConfigError, Fatal, LevadaError
from levada.quality.rules import KINDS, Facts, Kind, Rule, Verdict, quoted
from levada.types.sql import quoted as quoted_name
from levada.windows import Window

#: Where checks are computed.
Engine = Literal["mongodb", "duckdb"]


@dataclass(frozen=True)
class Check:
    """A rule of a kind, with the name it has in reports."""

    kind: str
    rule: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at; paths into structs are written with dots."""
        one = getattr(self.rule, "column", None)
        return (one,) if one else tuple(getattr(self.rule, "columns", ()))

    @property
    def name(self) -> str:
        subject = getattr(self.rule, "value", None) or ",".join(self.columns)
        return f"{self.kind}({subject})" if subject else self.kind


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Args:
        value: the measured value; None where nothing could be measured.
        error: why it could not be evaluated (it then counts as failed).
        seconds: of the pass that measured it.
    """

    name: str
    passed: bool
    severity: str
    value: Any
    threshold: str
    seconds: float
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        plain = isinstance(self.value, int | float | str | datetime | None)
        return {
            "rule": self.name,
            "passed": self.passed,
            "severity": self.severity,
            "value": self.value if plain else str(self.value),
            "threshold": self.threshold,
            "seconds": round(self.seconds, 4),
            "error": self.error,
        }


class Evaluator(Protocol):
    """Where a table's aggregates are computed."""

    def together(self, checks: Sequence[Check]) -> Mapping[str, Any]:
        """`rows` and all accumulators of the checks, in one pass."""
        ...

    def alone(self, check: Check) -> Mapping[str, Any]:
        """The pass of one check that has its own."""
        ...


def parse(rules: Sequence[Mapping[str, Any]]) -> list[Check]:
    """`[{row_count: {min: 1}}, ...]` -> checks.

    Raises:
        ConfigError: an unknown kind, or more than one kind in one rule.
        pydantic.ValidationError: wrong settings of a kind.
    """
    return [_parse_one(rule) for rule in rules]


def _parse_one(rule: Mapping[str, Any]) -> Check:
    if len(rule) != 1:
        raise ConfigError(f"a rule names exactly one kind, this one has {sorted(rule)}")
    kind, settings = next(iter(rule.items()))
    if kind not in KINDS:
        raise ConfigError(f"unknown check {kind!r}", hint=f"there are: {', '.join(sorted(KINDS))}")
    return Check(kind, KINDS[kind].rule.model_validate(settings))


def run_checks(
    connection: Connection,
    table: Table,
    window: Window | None,
    checks: Sequence[Check],
    facts: Facts,
    *,
    engine: Engine | None = None,
) -> tuple[list[CheckResult], int | None]:
    """Run all checks; one that fails or can't be evaluated never hides another.

    Args:
        engine: where they are computed; default: where the table lives.

    Returns:
        The results in order, and the number of rows looked at (None if even that could not be had).

    Raises:
        Retriable: the table is out of reach.
    """
    evaluator = _evaluator(connection, table, window, engine)
    shared = [check for check in checks if not _has_own_pass(KINDS[check.kind])]
    started = time.monotonic()
    found = evaluator.together(shared)
    seconds = time.monotonic() - started
    results = [
        _judge(check, found, facts, seconds) if check in shared else _run_alone(evaluator, check, facts)
        for check in checks
    ]
    return results, found.get("rows")


def _has_own_pass(kind: Kind) -> bool:
    return kind.stages is not None or kind.statement is not None


def _run_alone(evaluator: Evaluator, check: Check, facts: Facts) -> CheckResult:
    started = time.monotonic()
    try:
        found = evaluator.alone(check)
    except Fatal as error:
        return _unknown(check, error, time.monotonic() - started)
    return _judge(check, found, facts, time.monotonic() - started)


def _judge(check: Check, found: Mapping[str, Any], facts: Facts, seconds: float) -> CheckResult:
    rule: Rule = check.rule
    kind = KINDS[check.kind]
    try:
        verdict: Verdict = kind.judge(rule, found, facts)
    except ConfigError:
        raise
    except LevadaError as error:
        return _unknown(check, error, seconds)
    return CheckResult(check.name, verdict.passed, rule.severity, verdict.value, kind.limit(rule), seconds)


def _unknown(check: Check, error: LevadaError, seconds: float) -> CheckResult:
    limit = KINDS[check.kind].limit(check.rule)
    return CheckResult(check.name, False, check.rule.severity, None, limit, seconds, str(error))


def _evaluator(connection: Any, table: Table, window: Window | None, engine: Engine | None) -> Evaluator:
    inside = hasattr(connection, "aggregate")
    if engine == "mongodb" and not inside:
        raise ConfigError(
            f"`engine: mongodb` can't check {table}, which is not in MongoDB", hint="leave `engine` out"
        )
    kind = _OnMongo if inside and engine != "duckdb" else _OnSql
    return kind(connection, table, window)


class _OnMongo:
    """One `$group` for all accumulators, on the server, spilling to disk where it must."""

    def __init__(self, connection: Any, table: Table, window: Window | None) -> None:
        self._connection, self._table, self._window = connection, table, window

    def together(self, checks: Sequence[Check]) -> Mapping[str, Any]:
        named: dict[str, Any] = {}
        for check in checks:
            named.update(KINDS[check.kind].accumulators(check.rule))
        fields = {f"a{i}": accumulator for i, accumulator in enumerate(named.values())}
        group = {"$group": {"_id": None, "rows": {"$sum": 1}, **fields}}
        document = self._one([group]) or {}
        found = {name: document.get(f"a{i}") for i, name in enumerate(named)}
        return {"rows": document.get("rows", 0), **found}

    def alone(self, check: Check) -> Mapping[str, Any]:
        kind = KINDS[check.kind]
        if kind.stages is None:
            return self._asked(check.rule)
        return {"value": (self._one(kind.stages(check.rule)) or {}).get("value")}

    def _asked(self, rule: Any) -> Mapping[str, Any]:
        """The value of a SQL aggregate, compiled to one pipeline."""
        from levada.sql.driver import Connection as Database

        name, collection = self._connection.namespace(self._table)
        sql = f"select {rule.value} as value from {quoted_name(collection)}"  # noqa: S608 - of the project
        bounds: list[datetime] = []
        if self._window is not None:
            time = quoted(str(self._table.time))
            sql, bounds = f"{sql} where {time} >= ? and {time} < ?", [self._window.start, self._window.end]
        with Database(self._connection, name) as database, database.cursor() as cursor:
            cursor.execute(sql, bounds)
            return {"value": cursor.fetchall()[0][0]}

    def _one(self, stages: list[dict[str, Any]]) -> Mapping[str, Any] | None:
        documents: list[Mapping[str, Any]] = self._connection.aggregate(self._table, stages, self._window)
        return documents[0] if documents else None


class _OnSql:
    """One SELECT for all aggregates, over the relation `rows`."""

    def __init__(self, connection: Connection, table: Table, window: Window | None) -> None:
        self._connection, self._table, self._window = connection, table, window

    def together(self, checks: Sequence[Check]) -> Mapping[str, Any]:
        named: dict[str, str] = {}
        for check in checks:
            named.update(KINDS[check.kind].selections(check.rule))
        columns = "".join(f", {sql} as a{i}" for i, sql in enumerate(named.values()))
        row = self._one(f"select count(*) as n{columns} from rows", checks)  # noqa: S608 - names are quoted
        return {"rows": row["n"], **{name: row[f"a{i}"] for i, name in enumerate(named)}}

    def alone(self, check: Check) -> Mapping[str, Any]:
        statement = KINDS[check.kind].statement
        return self._one(statement(check.rule), [check]) if statement else {}

    def _one(self, sql: str, checks: Sequence[Check]) -> Mapping[str, Any]:
        from levada.connectors.totals import totals

        columns = sorted({column for check in checks for column in check.columns})
        top = tuple(dict.fromkeys(column.split(".")[0] for column in columns))
        source = self._connection.source(self._table, Query(columns=top))
        return totals(source.read(self._window, None), columns, sql)[0]
