"""Reads a MongoDB collection as batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pymongo.errors import OperationFailure

from levada.batches import Batch
from levada.bson import Decoder, Reply, to_canonical
from levada.connectors.base import Estimate, Query, Table
from levada.connectors.mongodb import times
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.identity import without_id
from levada.connectors.mongodb.namespace import look
from levada.connectors.mongodb.scanlane import patiently
from levada.connectors.mongodb.scanning import SNAPSHOT_TOO_OLD, Scan, marks_of, too_old
from levada.connectors.mongodb.shelf import Read, read_ahead
from levada.errors import ConfigError, LevadaError, Retriable
from levada.observe import Timings
from levada.positions import Position
from levada.windows import Window

if TYPE_CHECKING:
    from levada.connectors.mongodb.client import MongoConnection

_WRITING_STAGES = ("$out", "$merge")


class MongoSource:
    """Reads one collection or view; implements `levada.connectors.base.Source`.

    With `after`, rows come in the order of the table's time column, and a batch carries the highest time
    read so far wherever no later row can have the same one; `after=Position()` starts at the beginning.
    """

    def __init__(self, connection: MongoConnection, table: Table, query: Query) -> None:
        self._connection = connection
        self._table = table
        self.query = query
        self.timings = Timings()

    def read(self, window: Window | None = None, after: Position | None = None) -> Iterator[Batch]:
        """Batches of the window, after a position.

        Raises:
            ConfigError: the query can't be run, or needs a time column that the table has not.
            ScanLost: a resumable scan can't go on behind this position.
            Retriable: the server went away, or lost the cursor; what was read so far is void.
        """
        database, collection = self.namespace
        where = f"{self._connection.name}.{database}.{collection}"
        marks = marks_of(after) if self.query.resumable else {}
        tracked = after is not None and not self.query.resumable
        command = self.command(collection, window, after if tracked else None)
        with translated(where), located(where):
            scan = Scan(self._connection, self.query, (database, collection), self.timings)
            lanes = patiently(
                lambda: scan.resumed(command, marks) if marks else scan.begun(command, tracked=tracked)
            )
        with closing(read_ahead(lanes, self.timings)) as reads:
            located_reads = _located(reads, where, consistent=self.query.consistent)
            if tracked and not self.query.pipeline:
                yield from self._tracked(located_reads)
            else:
                yield from self._batches(located_reads, scan)

    def estimated(self, window: Window | None = None) -> Estimate:
        """How much there is to read, by the collection's statistics; unknown where a condition selects."""
        if self.condition(window) or self.query.pipeline:
            return Estimate()
        database, collection = self.namespace
        with translated(str(self._table)):
            facts = look(self._connection.reader(), database, collection)
        return Estimate(0 if facts.kind == "missing" else facts.documents, facts.mean)

    @property
    def namespace(self) -> tuple[str, str]:
        """Database and collection."""
        return self._connection.namespace(self._table)

    def command(self, collection: str, window: Window | None, after: Position | None) -> dict[str, Any]:
        """The find or aggregate command that reads it."""
        query = self.query
        condition = self.condition(window, after)
        order = dict.fromkeys((self._time(), "_id"), 1) if after is not None else {}
        if not query.pipeline:
            command = {"find": collection, "filter": condition}
            command |= {"projection": projection(query.columns)} if query.columns else {}
            return command | ({"sort": order, "allowDiskUse": True} if order else {})
        stages = [{"$match": condition}] if condition else []
        stages += [{"$sort": order}] if order else []
        stages += reading_stages(query)
        return {
            "aggregate": collection,
            "pipeline": stages,
            "cursor": {},
            "allowDiskUse": True,
        }

    def condition(self, window: Window | None, after: Position | None = None) -> times.Filter:
        """Everything that restricts the rows, as one MongoDB filter."""
        conditions: list[times.Filter] = []
        if window is not None:
            conditions.append(times.in_window(self._time(), window))
        if after is not None:
            conditions.append(times.later(self._time(), after.parts.get("")))
        if self.query.filter:
            conditions.append(dict(self.query.filter))
        if self.query.where:
            from levada.connectors.mongodb.where import compile_where  # brings in a SQL parser

            conditions.append(compile_where(self.query.where))
        return conjunction(conditions)

    @property
    def time(self) -> str | None:
        """The column that says which window a row belongs to."""
        return self._table.time

    def _time(self) -> str:
        if self._table.time is None:
            raise ConfigError(
                f"table {self._table} has no time column, so it has no windows",
                where=str(self._table),
                hint="name it: `time: COLUMN` of the table",
            )
        return self._table.time

    def _batches(self, reads: Iterator[Read], scan: Scan) -> Iterator[Batch]:
        decoder = Decoder()
        for read in reads:
            position = scan.reached(read)
            if len(read.reply.documents):
                yield replace(self._decode(read.reply, decoder, hide_id=scan.adds_id), position=position)

    def _tracked(self, reads: Iterator[Read]) -> Iterator[Batch]:
        """Batches with the highest time so far, wherever the next batch begins with another one."""
        decoder = Decoder()
        held: tuple[Batch, Any] | None = None
        for read in reads:
            documents = read.reply.documents
            if not len(documents):
                continue
            batch = self._decode(read.reply, decoder)
            ends = documents.take([0, -1]).slices()  # type: ignore[arg-type]
            first, last = (times.watermark(document, self._time()) for document in ends)
            if held:
                yield _placed(*held) if held[1] != first else held[0]
            held = (batch, last)
        if held:
            yield _placed(*held)

    def _decode(self, reply: Reply, decoder: Decoder, *, hide_id: bool = False) -> Batch:
        columns, documents = self.query.columns, reply.documents
        with self.timings.spent("decode"):
            if self.query.canonical:
                return Batch(to_canonical(without_id(documents) if hide_id else documents))
            data, rejected = decoder.decode(documents)
            return Batch(ordered(data, columns) if columns else data, rejected=rejected)


def conjunction(conditions: list[times.Filter]) -> times.Filter:
    """All of them, as one filter."""
    if len(conditions) < 2:
        return conditions[0] if conditions else {}
    return {"$and": conditions}


def ordered(data: pa.RecordBatch, columns: tuple[str, ...]) -> pa.RecordBatch:
    """The columns as they were asked for; one that no document has is null."""
    names = list(dict.fromkeys(column.partition(".")[0] for column in columns))
    known = dict(zip(data.schema.names, data.columns, strict=True))
    missing = pa.nulls(data.num_rows)
    fields = [data.schema.field(name) if name in known else pa.field(name, pa.null()) for name in names]
    schema = pa.schema(fields, metadata=data.schema.metadata)
    return pa.record_batch([known.get(name, missing) for name in names], schema=schema)


def projection(columns: tuple[str, ...]) -> dict[str, int]:
    """The projection that keeps these columns and no other, `_id` included only where it is named."""
    wanted: dict[str, int] = dict.fromkeys(columns, 1)
    return wanted if "_id" in wanted else {**wanted, "_id": 0}


def reading_stages(query: Query) -> list[dict[str, Any]]:
    """The query's own stages, and its projection.

    Raises:
        ConfigError: a stage writes.
    """
    for stage in query.pipeline:
        writing = [name for name in stage if name in _WRITING_STAGES]
        if writing:
            raise ConfigError(
                f"a pipeline that is read can't contain {writing[0]}",
                hint="leave it out: where the result goes is said by `to:` and `mode:`",
            )
    stages = [dict(stage) for stage in query.pipeline]
    return stages + ([{"$project": projection(query.columns)}] if query.columns else [])


def _placed(batch: Batch, value: Any) -> Batch:
    return Batch(batch.data, Position({"": value}) if value is not None else None, batch.rejected)


@contextmanager
def located(where: str) -> Iterator[None]:
    """Name the place in an error that names none."""
    try:
        yield
    except LevadaError as error:
        error.where = error.where or where
        raise


def _located(reads: Iterator[Read], where: str, *, consistent: bool) -> Iterator[Read]:
    try:
        with translated(where), located(where):
            yield from reads
    except Retriable as error:
        cause = error.__cause__
        if consistent and isinstance(cause, OperationFailure) and cause.code == SNAPSHOT_TOO_OLD:
            raise too_old(cause, where) from cause
        error.hint = error.hint or "the step is tried again from its beginning"
        raise
