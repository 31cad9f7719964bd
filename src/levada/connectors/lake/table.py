"""One Delta table: its place, its state at one version, its columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from levada.connectors.base import Table
from levada.connectors.lake.beside import SCHEMA_APP, Beside
from levada.connectors.lake.faults import translated
from levada.connectors.lake.settings import LakeSettings
from levada.connectors.sqltext import quoted
from levada.errors import ConfigError
from levada.types.layout import HIDDEN_PREFIX, from_stored, readable_schema

#: Metadata of the logical schema: generated column -> the column it is the day of.
GENERATED = b"levada.generated"


@dataclass(frozen=True)
class Snapshot:
    """A table at one version.

    Args:
        handle: the driver's table; writing through it fails if others committed what it doesn't know.
        logical: visible columns in their logical types, generated ones left out.
        stored: the columns of the Delta table, all of them.
        days: generated partition column -> the time column it is the day of.
    """

    handle: DeltaTable
    logical: pa.Schema
    stored: pa.Schema
    days: Mapping[str, str]

    @property
    def partitions(self) -> list[str]:
        return list(self.handle.metadata().partition_columns)

    def version_of(self, application: str) -> int | None:
        version = self.handle.transaction_version(application)
        return None if version is None else int(version)

    def scan(self, columns: list[str] | None = None, predicate: str | None = None) -> pa.RecordBatchReader:
        """Rows as stored, streamed."""
        return pa.RecordBatchReader.from_stream(self.handle.scan(columns=columns, predicate=predicate))

    def count(self, predicate: str | None = None) -> int:
        if predicate is None:
            return int(self.handle.count())
        narrow = [min(self.stored, key=lambda field: field.type.num_fields).name]
        return sum(len(batch) for batch in self.scan(narrow, predicate))

    def hidden(self) -> pa.Schema:
        """Levada's own columns of the table, generated partitions included."""
        return pa.schema([f for f in self.stored if f.name.startswith(HIDDEN_PREFIX) or f.name in self.days])

    def restored(self, reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Stored rows in logical types."""
        for batch in reader:
            yield from_stored(batch, schema)


class LakeTable:
    """Where a table lies and how to open it.

    Args:
        table: of the project.
        settings: of the connection.
        root: the lake's folder or URI.
    """

    def __init__(self, table: Table, settings: LakeSettings, root: str) -> None:
        self.table = table
        self.settings = settings
        self.uri = f"{root}/{_folder(table)}"
        self._options = settings.options() if settings.remote else {}
        self.beside = Beside(self.uri, self._options)

    def snapshot(self) -> Snapshot | None:
        """The table as it is now; None if there is none.

        Raises:
            Fatal: it can't be read.
        """
        with translated(str(self.table)):
            try:
                handle = DeltaTable(self.uri, storage_options=self._options or None)
            except TableNotFoundError:
                return None
            stored = pa.schema(handle.schema().to_arrow())
            number = handle.transaction_version(SCHEMA_APP)
        logical = self.beside.schema(number) if number is not None else None
        return _snapshot(handle, logical or pa.schema([]), stored)

    def create(self, logical: pa.Schema, stored: pa.Schema, partitions: list[str]) -> None:
        """Create the table, empty; fine if someone else did meanwhile.

        Raises:
            Retriable, Fatal: it can't be created.
        """
        where = str(self.table)
        schema = Transaction(SCHEMA_APP, self.beside.put_schema(logical))
        # Without retries: a second attempt would put a second table on top of the one it lost against.
        properties = CommitProperties(app_transactions=[schema], max_commit_retries=0)
        with translated(where):
            try:
                DeltaTable.create(
                    self.uri,
                    stored,
                    mode="error",
                    partition_by=partitions,
                    configuration={"delta.logRetentionDuration": _interval(self.settings.log_retention)},
                    storage_options=self._options or None,
                    commit_properties=properties,
                )
            except CommitFailedError:
                return
            except DeltaError as error:
                if "already exists" not in str(error):
                    raise

    def missing(self) -> ConfigError:
        return ConfigError(
            f"there is no table {self.table.name!r} in the lake",
            where=self.uri,
            hint="`levada doctor` lists the tables; a pipeline creates one with its first write",
        )


def day_columns(table: Table) -> dict[str, str]:
    """Generated partition column -> its time column, from `partition_by: [day(column)]`.

    Raises:
        ConfigError: a function that is not `day`, or two of them.
    """
    days: dict[str, str] = {}
    for part in table.partition_by:
        function, bracket, column = part.partition("(")
        if not bracket:
            continue
        if function.strip() != "day" or not column.endswith(")") or "day" in days:
            raise ConfigError(
                f"partition {part!r} can't be made", where=str(table), hint="use columns and one day(column)"
            )
        days["day"] = column[:-1].strip()
    return days


def partition_columns(table: Table) -> list[str]:
    """The partition columns as the store names them."""
    return ["day" if "(" in part else part for part in table.partition_by]


def with_days(logical: pa.Schema, days: Mapping[str, str]) -> pa.Schema:
    """The logical schema, which columns are generated noted in its metadata."""
    metadata = {key: value for key, value in (logical.metadata or {}).items() if key != GENERATED}
    if days:
        metadata[GENERATED] = json.dumps(dict(days), sort_keys=True).encode()
    return logical.with_metadata(metadata or None)


def day_predicate(days: Mapping[str, str], column: str, low: str, high: str | None) -> str:
    """The condition on generated partitions that holds for every row between two times of a column."""
    parts = []
    for day, source in days.items():
        if source == column:
            parts.append(f"{quoted(day)} >= '{low[:10]}'" if high is None else _days(day, low, high))
    return " AND ".join(parts)


def _days(day: str, low: str, high: str) -> str:
    return f"{quoted(day)} >= '{low[:10]}' AND {quoted(day)} <= '{high[:10]}'"


def _snapshot(handle: DeltaTable, logical: pa.Schema, stored: pa.Schema) -> Snapshot:
    noted: dict[str, Any] = json.loads((logical.metadata or {}).get(GENERATED, b"{}"))
    days = {day: source for day, source in noted.items() if day in stored.names}
    visible = pa.schema([field for field in stored if field.name not in days])
    return Snapshot(handle, readable_schema(with_days(logical, {}), visible), stored, days)


def _folder(table: Table) -> str:
    parts = table.name.split("/")
    if any(part in {"", ".", ".."} or part.startswith("_") or "\\" in part for part in parts):
        raise ConfigError(
            f"{table.name!r} can't be a table of a lake",
            where=str(table),
            hint="use a name such as transactions or raw/transactions, not starting with an underscore",
        )
    return table.name


def _interval(duration: timedelta) -> str:
    return f"interval {int(duration.total_seconds())} seconds"
