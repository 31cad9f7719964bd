"""`prune`: removes rows that are older than a table's retention."""

from __future__ import annotations

from typing import Any, ClassVar

from levada.config import Duration
from levada.errors import ConfigError
from levada.steps.base import StepContext, StepResult, StepSettings, Uses


class PruneSettings(StepSettings):
    """Settings of `prune`.

    Args:
        table: address.
        older_than: rows whose time lies further back than this are removed, counted from the end of the
            run's window (from now, in a pipeline without windows), so that a re-run removes the same rows.
        column: the time column; default: the table's.
    """

    table: str
    older_than: Duration
    column: str | None = None


class PruneStep:
    """Removes old rows."""

    settings_model: ClassVar[type[StepSettings]] = PruneSettings

    def __init__(self, settings: PruneSettings) -> None:
        self.settings = settings

    def uses(self) -> Uses:
        return Uses(writes=(self.settings.table,))

    def run(self, context: StepContext) -> StepResult:
        table = context.tables.table(self.settings.table)
        column = self.settings.column or table.time
        connection: Any = context.tables.connection(table.connection)
        if column is None:
            raise ConfigError(
                f"table {table} has no time column",
                hint="name one: `column:` in the step, or `time:` in tables",
            )
        if not hasattr(connection, "delete_before"):
            raise ConfigError(f"rows of {table} can't be removed by age", hint="prune works on tables")
        end = context.window.end if context.window else context.now
        removed = connection.delete_before(table, column, end - self.settings.older_than, context.fence())
        return StepResult(removed, values={"removed": removed})
