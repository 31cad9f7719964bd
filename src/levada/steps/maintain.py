"""`maintain`: upkeep of tables of a lake; no row changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ByteSize, Field

from levada.config import Duration
from levada.config.shapes import one_or_many
from levada.connectors.base import Table
from levada.errors import ConfigError
from levada.steps.base import StepContext, StepResult, StepSettings, Uses

_OneOrMany = BeforeValidator(one_or_many, json_schema_input_type=str | list[str])


class MaintainSettings(StepSettings):
    """Settings of `maintain`.

    Args:
        tables: addresses of tables of a lake; one, or several.
        keep: how long files outlive the last version that held them. A reader or a writer that takes longer
            may lose its files. At most the `log_retention` of the connection.
        target_size: of a joined file, about; files of less than half of it are joined.
    """

    tables: Annotated[tuple[str, ...], _OneOrMany, Field(min_length=1)]
    keep: Duration = timedelta(days=7)
    target_size: ByteSize = Field(default=ByteSize(128 * 1024**2), ge=1024**2)


class MaintainStep:
    """Joins small files and removes what nothing needs any more."""

    settings_model: ClassVar[type[StepSettings]] = MaintainSettings

    def __init__(self, settings: MaintainSettings) -> None:
        self.settings = settings

    def uses(self) -> Uses:
        return Uses(writes=self.settings.tables)

    def run(self, context: StepContext) -> StepResult:
        tables = [context.tables.table(address) for address in self.settings.tables]
        connections = [self._lake(context, table) for table in tables]
        done: dict[str, Mapping[str, int]] = {}
        for table, connection in zip(tables, connections, strict=True):
            context.check_stop()
            done[str(table)] = asdict(
                connection.maintain(
                    table,
                    keep=self.settings.keep,
                    target=int(self.settings.target_size),
                    now=context.now,
                    check=context.check_stop,
                )
            )
        total = {name: sum(each[name] for each in done.values()) for name in next(iter(done.values()))}
        return StepResult(0, total["bytes_removed"], {**total, "tables": done}, _note(total))

    def _lake(self, context: StepContext, table: Table) -> Any:
        connection: Any = context.tables.connection(table.connection)
        if not hasattr(connection, "maintain"):
            raise ConfigError(
                f"{table} needs no upkeep: a connection of type {connection.kind} does it by itself",
                hint="name tables of a lake",
            )
        keep, history = self.settings.keep, connection.settings.log_retention
        if keep > history:
            raise ConfigError(
                f"`keep` ({keep}) is longer than the log of {table} goes back ({history})",
                where=f"connection {table.connection}",
                hint="raise `log_retention` of the connection, or shorten `keep`",
            )
        return connection


def _note(total: Mapping[str, int]) -> str:
    note = f"{total['files_before']} -> {total['files_after']} files, {total['files_removed']} removed"
    if total["skipped"]:
        note += f"; {total['skipped']} parts left as they are, others were writing them"
    return note
