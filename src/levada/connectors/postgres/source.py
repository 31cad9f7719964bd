"""Reads a PostgreSQL table, view or query as a stream of record batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.connectors.base import Estimate, Query, Table
from levada.connectors.postgres.catalog import Catalog, Column, Place, Relation, Stored, query_columns
from levada.connectors.postgres.conditions import beyond, translated, within
from levada.connectors.postgres.lanes import Lanes
from levada.connectors.postgres.selection import Item, Selection, item_of
from levada.connectors.postgres.session import Server, Session
from levada.connectors.reading import Watermark, one_select, projected, refuse_mongodb, time_column, timed
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

#: Each statement sees the moment of its own begin: rows are read by one statement, behind a lock. A snapshot
#: from before it would find a table empty that another transaction has truncated and filled meanwhile.
_READ_ONLY = "ISOLATION LEVEL READ COMMITTED, READ ONLY"
#: Several statements see the moment of the snapshot they are given.
_AT_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"

Part = tuple[pa.RecordBatch, pa.RecordBatch, tuple[Rejected, ...]]
Parts = Generator[Part, None, None]


@dataclass(frozen=True)
class _Plan:
    """One read, worked out."""

    selection: Selection
    relation: Relation | None
    body: str
    condition: str
    time: str | None

    def sql(self, also: str = "") -> str:
        condition = f"({self.condition}) AND {also}" if also else self.condition
        return f"SELECT {self.selection.sql()} FROM {self.body} WHERE {condition}"  # noqa: S608


class PostgresSource:
    """Reads one table or view, or the result of a query.

    Args:
        server: where it lies.
        table: of the project.
        query: what of it.
    """

    def __init__(self, server: Server, table: Table, query: Query) -> None:
        self._server = server
        self._settings = server.settings
        self._table = table
        self._query = query
        self._place = Place.of(table.name, self._settings.schema_name)

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, newer than `after`; the last one carries the highest watermark.

        All rows are as they were at one moment, with several lanes too.

        Raises:
            ConfigError: no such table or column, or a condition that is no SQL.
        """
        refuse_mongodb(self._query, str(self._table))
        mark = Watermark(self._table.time)
        last: Batch | None = None
        for data, rejected in self._parts(window, after, mark):
            if last is not None:
                yield last
            last = Batch(data, None, rejected)
        if last is not None:
            yield Batch(last.data, mark.position, last.rejected)

    def estimated(self, window: Window | None = None) -> Estimate:
        """How many rows the server expects, and their mean size on disk.

        Raises:
            ConfigError: no such table or column, or a condition that is no SQL.
        """
        with self._reading() as session:
            plan = self._plan(session, window, None)
            if plan is None:
                return Estimate(0)
            relation = plan.relation
            size = (
                relation.bytes / relation.rows if relation and relation.rows > 0 and relation.bytes else None
            )
            explained = session.rows(f"EXPLAIN (FORMAT JSON) {plan.sql()}", copy=False)[0][0]
            return Estimate(_planned_rows(explained), size)

    def _parts(
        self, window: Window | None, after: Position | None, mark: Watermark
    ) -> Iterator[tuple[pa.RecordBatch, tuple[Rejected, ...]]]:
        with self._reading() as session:
            plan = self._plan(session, window, after)
            if plan is None:
                return
            mark.column = plan.time
            for read, handed, rejected in self._all(session, plan):
                mark.see(read)
                for first in range(0, max(len(handed), 1), self._query.batch_rows):
                    yield handed.slice(first, self._query.batch_rows), () if first else rejected

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._server.session(str(self._table)) as session:
            session.begin(_READ_ONLY)
            yield session

    def _all(self, session: Session, plan: _Plan) -> Iterator[Part]:
        pieces = _pieces(plan.relation, self._query.lanes)
        if len(pieces) < 2:
            yield from _streamed(session, plan.sql(), plan.selection)
            return
        ((snapshot,),) = session.rows("SELECT pg_export_snapshot()")
        readers: list[Callable[[Session], Parts]] = [
            partial(self._lane, snapshot, plan.sql(piece), plan.selection.again()) for piece in pieces
        ]
        for read, handed, rejected in Lanes(self._server, str(self._table), readers):
            yield read, plan.selection.widened(handed), rejected

    def _lane(self, snapshot: str, sql: str, selection: Selection, session: Session) -> Parts:
        session.begin(_AT_SNAPSHOT, snapshot)
        yield from _streamed(session, sql, selection)

    def _plan(self, session: Session, window: Window | None, after: Position | None) -> _Plan | None:
        """None where the table was written without columns so far."""
        where, relation = str(self._table), None
        if self._query.sql is not None:
            query = one_select(self._query.sql, "postgres", where)
            stored = Stored(query_columns(session, query), pa.schema([]))
            body = f"({query}\n) AS q"
        else:
            catalog = Catalog(session, self._place.schema)
            relation = catalog.held(self._place.table)
            found = catalog.table(self._place.table)
            if found is None:
                self._check_written(catalog)
                return None
            stored, body = found, self._place.sql
        items = {
            one.name: item_of(one, stored, self._settings)
            for one in stored.columns
            if one.name in stored.logical.names
        }
        logical = _typed(stored.logical, items)
        table = timed(self._table, logical)
        wanted = projected(logical, self._query.columns, where).names
        time = stored.column(table.time) if table.time else None
        read = [name for name in logical.names if name in items and (name in wanted or name == table.time)]
        selection = Selection(
            [items[name] for name in read],
            wanted,
            [logical.field(name) for name in wanted if name not in items],
            logical.metadata,
            self._settings.out_of_range == "reject",
            where,
        )
        condition = self._condition((stored.columns, logical), (table, time), window, after)
        return _Plan(selection, relation, body, condition, table.time)

    def _condition(
        self,
        known: tuple[Sequence[Column], pa.Schema],
        timed: tuple[Table, Column | None],
        window: Window | None,
        after: Position | None,
    ) -> str:
        (columns, logical), (table, time) = known, timed
        parts = []
        if self._query.where:
            parts.append(translated(self._query.where, columns, logical, self._settings, str(table)))
        if window:
            name = time_column(table, logical)
            arrow = logical.field(name).type
            parts.append("false" if time is None else within(time, arrow, window, self._settings))
        if after:
            arrow = logical.field(table.time).type if table.time in logical.names else None
            parts.append(beyond(time, arrow, after, self._settings) or "true")
        return " AND ".join(f"({part})" for part in parts) or "true"

    def _check_written(self, catalog: Catalog) -> None:
        if not catalog.written(self._place.table):
            raise ConfigError(
                f"there is no table {self._place.table!r} in schema {self._place.schema!r}",
                where=self._settings.place,
                hint="`levada doctor` lists the tables; a pipeline creates one with its first write",
            )


def _typed(logical: pa.Schema, items: dict[str, Item]) -> pa.Schema:
    fields = [items[one.name].field if one.name in items else one for one in logical]
    return pa.schema(fields, metadata=logical.metadata)


def _streamed(session: Session, sql: str, selection: Selection) -> Iterator[Part]:
    seen = False
    with session.stream(sql) as reader:
        for raw in reader:
            if len(raw):
                seen = True
                yield selection.made(raw)
        if not seen:  # the columns are known though there are no rows
            yield selection.made(pa.RecordBatch.from_pylist([], reader.schema))


def _pieces(relation: Relation | None, lanes: int) -> list[str]:
    """Conditions that split a table by its pages, open at both ends; none where it can't be split."""
    if relation is None or relation.kind not in ("r", "p", "m"):
        return []
    count = min(lanes, relation.pages)
    edges = [f"'({relation.pages * at // count},0)'::tid" for at in range(1, count)] if count > 1 else []
    lows = ["", *(f"ctid >= {edge}" for edge in edges)]
    highs = [*(f"ctid < {edge}" for edge in edges), ""]
    return [" AND ".join(filter(None, pair)) for pair in zip(lows, highs, strict=True)]


def _planned_rows(explained: object) -> int | None:
    import json

    plan = json.loads(explained) if isinstance(explained, str) else explained
    try:
        return int(plan[0]["Plan"]["Plan Rows"])  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        return None
