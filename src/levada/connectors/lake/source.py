"""Reads a Delta table: streamed, projected, files outside the window skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.connectors.lake.faults import translated
from levada.connectors.lake.table import LakeTable, Snapshot, day_predicate
from levada.connectors.reading import (
    Watermark,
    filtered,
    marked,
    named_in,
    projected,
    refuse_mongodb,
    restored,
    slices,
    time_column,
    timed,
)
from levada.connectors.sqltext import beyond, bounds, within
from levada.positions import Position
from levada.windows import Window


class LakeSource:
    """Reads one table.

    Args:
        table: where from.
        query: what of it.
    """

    def __init__(self, table: LakeTable, query: Query) -> None:
        self._table = table
        self._query = query

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, newer than `after`; the last one carries the highest watermark.

        Raises:
            ConfigError: no such table or column, or a condition that is no SQL.
        """
        refuse_mongodb(self._query, str(self._table.table))
        snapshot = self._table.snapshot()
        if snapshot is None:
            raise self._table.missing()
        table = timed(self._table.table, snapshot.logical)
        schema = projected(snapshot.logical, self._query.columns, str(table))
        mark = Watermark(table.time)
        predicate = _predicate(snapshot, table, window, after)
        yield from marked(self._rows(snapshot, schema, predicate, mark), mark)

    def _rows(
        self, snapshot: Snapshot, schema: pa.Schema, predicate: str | None, mark: Watermark
    ) -> Iterator[pa.RecordBatch]:
        where, query = str(self._table.table), self._query
        with translated(where):
            rows = snapshot.scan(self._columns(snapshot, {*schema.names, mark.column}), predicate)
            for batch in filtered(rows, query.where, where, query.batch_rows) if query.where else rows:
                mark.see(batch)
                for part in slices(batch, query.batch_rows):
                    yield restored(part, schema, where)

    def _columns(self, snapshot: Snapshot, wanted: set[str | None]) -> list[str]:
        """What to read: the columns wanted, and those the condition names."""
        stored = snapshot.stored.names
        if self._query.where:
            wanted |= named_in(self._query.where, stored, str(self._table.table))
        return [name for name in stored if name in wanted] or stored[:1]  # rows of no column still count


def _predicate(snapshot: Snapshot, table: Table, window: Window | None, after: Position | None) -> str | None:
    parts = [beyond(table.time, after)] if after else []
    if window:
        parts += _within(snapshot, table, window)
    return " AND ".join(f"({part})" for part in parts if part) or None


def _within(snapshot: Snapshot, table: Table, window: Window) -> list[str]:
    time = time_column(table, snapshot.logical)
    if time not in snapshot.stored.names:  # known, but never had a value
        return ["false"]
    kind = snapshot.stored.field(time).type
    return [day_predicate(snapshot.days, time, *bounds(window, kind, time)), within(time, kind, window)]
