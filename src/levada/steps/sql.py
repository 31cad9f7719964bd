"""`sql`: the result of a SELECT into a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from levada.batches import Batch, Rejected
from levada.config import Columns
from levada.connectors.base import Mode, Query, Table
from levada.engines import Input, Statement, addresses, read_statement
from levada.errors import ConfigError
from levada.steps.base import StepContext, StepResult, StepSettings, Uses
from levada.steps.delivery import Delivered, Delivery, Target, ended
from levada.steps.ends import begin
from levada.steps.increment import ChangeSettings
from levada.steps.outcome import Outcome
from levada.steps.reshape import Reshaping, ShapeSettings
from levada.types import BSON


class SqlSettings(ChangeSettings, ShapeSettings):
    """Settings of `sql`; `shape` takes the result as its columns, and an upsert may change stored rows.

    Args:
        engine: where it computes: `duckdb` in this process, over tables of any connections; `mongodb` inside
            the server, over collections and views of one database.
        query: one SELECT; tables are written `connection.table`, and `$window_start`, `$window_end`, `$now`
            and `$run` stand for the run's values. A table bounded by
            `time >= $window_start and time < $window_end` is read for that window only.
        to: address the rows go to.
        view: with `engine: mongodb`: make `to` a view of the query instead; no row moves.
        mode: append, replace, replace_window or upsert.
        key: columns that identify a row; default: the target table's key.
        types: BSON types of result columns that are not taken unchanged from a table, such as
            `{customer_ref: objectId}`.
        memory_limit: of `duckdb`, for example `4GB`.
    """

    engine: Literal["duckdb", "mongodb"] = "duckdb"
    query: str
    to: str
    view: bool = False
    mode: Mode = Mode.REPLACE
    key: Columns = ()
    types: Mapping[str, str] = Field(default_factory=dict)
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?\s*([KMGT]i?B|%)$")

    @field_validator("query")
    @classmethod
    def _is_one_select(cls, query: str) -> str:
        try:
            addresses(query)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return query

    @model_validator(mode="after")
    def _is_a_plain_view(self) -> Self:
        others = self.model_fields_set - {
            "view",
            "engine",
            "query",
            "to",
            "id",
            "needs",
            "retries",
            "timeout",
        }
        if self.view and (self.engine != "mongodb" or others):
            raise ValueError("`view: true` takes `engine: mongodb`, `query` and `to`")
        return self

    @model_validator(mode="after")
    def _limits_its_own_memory(self) -> Self:
        if self.memory_limit and self.engine != "duckdb":
            raise ValueError(f"memory_limit is DuckDB's; `engine: {self.engine}` has none")
        return self


class SqlStep:
    """Writes the result of a SELECT."""

    settings_model: ClassVar[type[StepSettings]] = SqlSettings

    def __init__(self, settings: SqlSettings) -> None:
        self.settings = settings

    def uses(self) -> Uses:
        return Uses(addresses(self.settings.query), (self.settings.to,))

    def run(self, context: StepContext) -> StepResult:
        table = context.tables.table(self.settings.to)
        if self.settings.view:
            return self._view(context, table)
        settings, key = self.settings, self.settings.key or table.key
        target = Target(table, settings.mode, key, context.window, changes=settings.changes)
        delivery = Delivery(context, target)
        start = delivery.start()
        statement = read_statement(self.settings.query, context.tables.table)
        done = Outcome({})
        done.add(self._deliver(context, delivery, target, statement, start), None)
        return done.result(None, "to quarantine")

    def _view(self, context: StepContext, table: Table) -> StepResult:
        from levada.engines.mongodb import make_view

        statement = read_statement(self.settings.query, context.tables.table)
        if statement.parameters:
            names = ", ".join(f"${name}" for name in sorted(statement.parameters))
            raise ConfigError(f"a view can't have the run's values: {names}", hint="use now(), or a table")
        tables = {address: item.table for address, item in statement.inputs.items()}
        make_view(self.settings.query, tables, context.tables.connection, table)
        return StepResult(0, note="a view")

    def _deliver(
        self, context: StepContext, delivery: Delivery, target: Target, statement: Statement, start: Any
    ) -> Delivered:
        from levada.engines.duckdb import Widened

        def deliver(*, whole: bool) -> Delivered:
            batches, shape = self._batches(context, statement, whole=whole), self.settings.shape
            with ended(batches):  # a SELECT that fails at once leaves no trace of the target
                if shape is None:
                    return delivery.deliver(begin(batches), start)
                carried = [name for name in (self.settings.operation,) if name]
                reshaping = Reshaping(shape, context, target, source="the SELECT's result", carried=carried)
                return reshaping.noted(delivery.deliver(begin(reshaping.of(batches)), start))

        try:
            return deliver(whole=False)
        except Widened:
            return deliver(whole=True)

    def _batches(self, context: StepContext, statement: Statement, *, whole: bool) -> Iterator[Batch]:
        if self.settings.engine == "mongodb":
            yield from self._inside(context, statement)
            return
        from levada.engines.duckdb import select

        rejected: list[Rejected] = []

        def read(item: Input) -> Iterator[Batch]:
            connection = context.tables.connection(item.table.connection)
            query = Query(columns=tuple(sorted(item.columns or ())))
            window = context.window if item.windowed else None
            for batch in connection.source(item.table, query).read(window, None):
                rejected.extend(batch.rejected)
                yield batch

        parameters = _parameters(context, statement)
        found = select(statement, read, parameters, whole=whole, memory_limit=self.settings.memory_limit)
        for batch in found:
            yield Batch(_typed(batch, self.settings.types))
        if rejected:  # at the end, once: a widened read starts over
            yield Batch(pa.RecordBatch.from_pylist([], schema=pa.schema([])), rejected=tuple(rejected))

    def _inside(self, context: StepContext, statement: Statement) -> Iterator[Batch]:
        from levada.engines.mongodb import select

        tables = {address: item.table for address, item in statement.inputs.items()}
        values = _parameters(context, statement)
        used = {name: values[name] for name in statement.parameters}
        for batch in select(self.settings.query, tables, context.tables.connection, used):
            yield Batch(_typed(batch, self.settings.types))


def _parameters(context: StepContext, statement: Statement) -> dict[str, Any]:
    window = context.window
    if window is None and statement.parameters & {"window_start", "window_end"}:
        raise ConfigError(
            "the SQL uses $window_start or $window_end, but this pipeline has no window",
            hint="add `window: day` to the pipeline",
        )
    return {
        "window_start": window and window.start,
        "window_end": window and window.end,
        "now": context.now,
        "run": context.run,
    }


def _typed(batch: pa.RecordBatch, types: Mapping[str, str]) -> pa.RecordBatch:
    if unknown := sorted(set(types).difference(batch.schema.names)):
        raise ConfigError(f"`types` names columns the SELECT does not have: {', '.join(unknown)}")
    fields = [
        field.with_metadata({BSON: types[field.name].encode()}) if field.name in types else field
        for field in batch.schema
    ]
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields))
