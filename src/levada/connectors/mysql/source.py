"""Reads a table, a view or a query of MySQL or MariaDB as a stream of record batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Estimate, Query, Table
from levada.connectors.mysql.columns import Column, Rows, chosen, of_query, of_table, quoted
from levada.connectors.mysql.conditions import beyond, ranges, text, translated, within
from levada.connectors.mysql.queries import one_query
from levada.connectors.mysql.server import Server
from levada.connectors.mysql.stream import stream
from levada.connectors.reading import Watermark, refuse_mongodb
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

#: Rows of a range, where a table is read in ranges.
_RANGE = 1_000_000


@dataclass(frozen=True)
class Shape:
    """What a read asks for.

    Args:
        columns: of the statement, in its order; behind those that are wanted, the time column where it
            is not among them.
        wanted: how many of them are wanted.
        known: all columns of the table.
        time: the time column.
        lane: the column that lanes part.
    """

    columns: tuple[Column, ...]
    wanted: int
    known: tuple[Column, ...]
    time: Column | None
    lane: Column | None


class MysqlSource:
    """Reads one table, view or query.

    Args:
        server: where it lies.
        table: of the project.
        query: what of it.
        folder: where rows wait that come faster than they are taken; None means the system's temporary one.
    """

    def __init__(self, server: Server, table: Table, query: Query, folder: Path | None) -> None:
        self._server = server
        self._table = table
        self._query = query
        self._folder = folder
        self._where = str(table)
        self._sql = None if query.sql is None else one_query(query.sql, self._where)

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, newer than `after`; the last one carries the highest watermark.

        Raises:
            ConfigError: no such table or column, no right to it, or a condition that is no SQL.
            Retriable: the server went away.
        """
        refuse_mongodb(self._query, self._where)
        with self._server.asking():
            shape = self._shape(window is not None or after is not None)
            groups = self._groups(shape, self._condition(shape, window, after))
        rows = Rows(
            shape.columns,
            shape.wanted,
            [column.name for column in shape.known],
            self._server.settings,
            self._where,
        )
        mark = Watermark(shape.time.name if shape.time else None)
        held: Batch | None = None
        for raw in stream(self._server, groups, self._query.batch_rows, self._where, self._folder):
            if held is not None:
                yield held
            batch, rejected = rows.batch(raw)
            mark.see(batch)
            held = Batch(_wanted(batch, shape), None, rejected)
        if held is None:  # no rows, but their types are known
            held = Batch(_wanted(pa.RecordBatch.from_pylist([], rows.schema), shape))
        yield Batch(
            held.data, mark.position, held.rejected
        )  # the highest watermark is safe with the last one

    def estimated(self, window: Window | None = None) -> Estimate:
        """How much there is to read, by the server's statistics; unknown where a condition selects."""
        if window is not None or self._query.where or self._sql:
            return Estimate()
        facts = self._statistics()
        rows, size = facts.get("n"), facts.get("size")
        return Estimate(None if rows is None else int(rows), float(size) if size else None)

    def _statistics(self) -> dict[str, str | None]:
        sql = (
            "SELECT CAST(TABLE_ROWS AS CHAR) AS n, CAST(AVG_ROW_LENGTH AS CHAR) AS size "  # noqa: S608
            "FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() "
            f"AND TABLE_NAME = {text(self._table.name)}"
        )
        found = self._server.rows(sql, where=self._where)
        return found[0] if found else {}

    def _shape(self, timed: bool) -> Shape:
        sql, where = self._sql, self._where
        known = of_query(self._server, sql, where) if sql else of_table(self._server, self._table.name, where)
        columns = chosen(known, self._query.columns, where)
        wanted = len(columns)
        time = self._time(known, timed)
        if time is not None and time not in columns:
            columns.append(time)
        keys = [column for column in known if column.key]
        lane = keys[0] if len(keys) == 1 and keys[0].whole else None
        return Shape(tuple(columns), wanted, tuple(known), time, lane)

    def _time(self, known: Sequence[Column], needed: bool) -> Column | None:
        name = self._table.time
        if name is None:
            return None
        if not needed and not any(column.name.lower() == name.lower() for column in known):
            return None  # a query may leave it out
        return chosen(known, (name,), self._where)[0]

    def _condition(self, shape: Shape, window: Window | None, after: Position | None) -> str:
        zone = self._server.settings.timezone
        where = self._query.where
        parts = [where and translated(where, shape.known, zone, self._where)]
        if window is not None:
            if shape.time is None:
                raise ConfigError(
                    "a window needs a time column", where=self._where, hint="set `time:` of the table"
                )
            parts.append(within(shape.time, window, zone))
        if after is not None:
            parts.append(beyond(shape.time, after, zone))
        return " AND ".join(f"({part})" for part in parts if part) or "1 = 1"

    def _groups(self, shape: Shape, condition: str) -> list[list[str]]:
        """Statements: one, or as many at once as there are lanes."""
        listed = ", ".join(column.selected(place) for place, column in enumerate(shape.columns))
        source = f"({self._sql}\n) AS q" if self._sql else quoted(self._table.name)
        statement = f"SELECT {listed} FROM {source} WHERE {condition}"  # noqa: S608
        lanes = 1 if self._query.consistent else self._query.lanes
        parts = self._ranges(shape.lane, lanes) if lanes > 1 and shape.lane else []
        if not parts:
            return [[statement]]
        statements = [f"{statement} AND {part}" for part in parts]
        return [statements[first : first + lanes] for first in range(0, len(statements), lanes)]

    def _ranges(self, lane: Column, lanes: int) -> list[str]:
        name = quoted(lane.name)
        ends = (
            f"SELECT CAST(MIN({name}) AS CHAR) AS low, CAST(MAX({name}) AS CHAR) AS high "  # noqa: S608
            f"FROM {quoted(self._table.name)}"
        )
        found = self._server.rows(ends, where=self._where)[0]
        if found["low"] is None:
            return []
        rows = int(self._statistics().get("n") or 0)
        return ranges(
            lane, int(found["low"]), int(found["high"]), lanes * -(-max(rows, 1) // (_RANGE * lanes))
        )


def _wanted(batch: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
    """Without the time column that was read for the watermark alone."""
    extra = range(shape.wanted, len(shape.columns))
    return batch.select([place for place in range(batch.num_columns) if place not in extra])
