"""`check`: rules about one table; the run stops where one of severity `error` is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import pyarrow as pa
from pydantic import AfterValidator, ValidationError, field_validator

from levada.batches import Batch
from levada.connectors.base import Mode, Table
from levada.errors import CheckFailed, ConfigError
from levada.quality import Check, CheckResult, Engine, Facts, parse, run_checks
from levada.state import CheckResults
from levada.steps.base import StepContext, StepResult, StepSettings, Uses
from levada.steps.delivery import Delivery, Target
from levada.windows import Window


def _known(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say in pydantic's way what is wrong with a rule, so that the error points at its line."""
    try:
        parse([rule])
    except ConfigError as error:
        raise ValueError(str(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        kind = next(iter(rule))
        raise ValueError(
            f"{kind}: {field + ': ' if field else ''}{first['msg'].removeprefix('Value error, ')}"
        ) from error
    return rule


RuleSpec = Annotated[Mapping[str, Any], AfterValidator(_known)]


class CheckSettings(StepSettings):
    """Settings of `check`.

    Args:
        table: address.
        rules: `[{row_count: {min: 1}}, {null_rate: {column: total, max: 0.05}}, ...]`.
        window: whether to look at the run's window only; default: yes where the run has one and the table
            has a time column.
        engine: where the rules are computed, `mongodb` or `duckdb`; default: where the table lives.
        metrics: address of a table that gets one row per run window with what was measured.
    """

    table: str
    rules: tuple[RuleSpec, ...]
    window: bool | None = None
    engine: Engine | None = None
    metrics: str | None = None

    @field_validator("rules")
    @classmethod
    def _are_some(cls, rules: tuple[RuleSpec, ...]) -> tuple[RuleSpec, ...]:
        if not rules:
            raise ValueError("name at least one rule")
        return rules


class CheckStep:
    """Checks one table."""

    settings_model: ClassVar[type[StepSettings]] = CheckSettings

    def __init__(self, settings: CheckSettings) -> None:
        self.settings = settings
        self.checks: Sequence[Check] = parse(settings.rules)

    def uses(self) -> Uses:
        return Uses((self.settings.table,), (self.settings.metrics,) if self.settings.metrics else ())

    def run(self, context: StepContext) -> StepResult:
        table = context.tables.table(self.settings.table)
        window = self._window(context, table)
        connection = context.tables.connection(table.connection)
        facts = Facts(context.now, context.value)
        results, rows = run_checks(connection, table, window, self.checks, facts, engine=self.settings.engine)
        values = {"row_count": rows, **{result.name: _plain(result.value) for result in results}}
        self._record(context, results)
        failed = [result for result in results if not result.passed]
        if any(result.severity == "error" for result in failed):
            raise _failure(failed, str(table))
        if self.settings.metrics:
            self._measure(context, values)
        return StepResult(rows or 0, values=values, note=_note(results, failed))

    def _window(self, context: StepContext, table: Table) -> Window | None:
        if self.settings.window and context.window is None:
            raise ConfigError(
                "the step says `window: true`, but this pipeline has no windows",
                hint="add `window: day` to the pipeline, or take it from the step",
            )
        wanted = self.settings.window if self.settings.window is not None else table.time is not None
        return context.window if wanted else None

    def _record(self, context: StepContext, results: Sequence[CheckResult]) -> None:
        if context.store is None:
            return
        about = {
            "run": context.run,
            "pipeline": context.pipeline,
            "step": context.step,
            "table": str(context.tables.table(self.settings.table)),  # a URL without its password
            "window": str(context.window) if context.window else None,
        }
        CheckResults(context.store).add([{**about, **result.to_dict()} for result in results])

    def _measure(self, context: StepContext, values: Mapping[str, Any]) -> None:
        """Write the row of metrics: the key is the pipeline, the step and the window, so it is replaced."""
        table = context.tables.table(str(self.settings.metrics))
        window = context.window
        row = {
            "_id": f"{context.owner}/{window}" if window else f"{context.owner}/{context.run}",
            "pipeline": context.pipeline,
            "step": context.step,
            "run": context.run,
            "window_start": window.start if window else None,
            "window_end": window.end if window else None,
            "measured_at": context.now,
            "counts": {
                step: dict(found)["rows"] for step, found in context.values.items() if "rows" in found
            },
            "quarantined": sum(found.get("quarantined", 0) for found in context.values.values()),
            "metrics": dict(values),
        }
        delivery = Delivery(context, Target(table, Mode.UPSERT, key=("_id",)))
        delivery.deliver([Batch(pa.RecordBatch.from_pylist([row]))], delivery.start())


def _failure(failed: Sequence[CheckResult], table: str) -> CheckFailed:
    broken = [f"{r.name} is {_text(r)}, should be {r.threshold}" for r in failed if r.severity == "error"]
    return CheckFailed(
        f"{len(broken)} of the checks failed: {'; '.join(broken)}",
        where=table,
        hint="mend the data and run again (it resumes here), or change the threshold in the project file",
    )


def _note(results: Sequence[CheckResult], failed: Sequence[CheckResult]) -> str:
    warned = f", {len(failed)} warned: {', '.join(r.name for r in failed)}" if failed else ""
    return f"{len(results) - len(failed)} of {len(results)} checks passed{warned}"


def _text(result: CheckResult) -> str:
    if result.error:
        return f"unknown ({result.error})"
    return f"{result.value:.4g}" if isinstance(result.value, float) else str(result.value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
