"""The rows of one write until its commit, for sinks that commit everything at once.

Rows that can't be stored, or that a re-run could not find again, are set aside as they come: a value
outside the store's range, a null in the key, a time outside the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.batches import Batch, Rejected
from levada.connectors.base import Changes, Mode, Write
from levada.connectors.feeding import reader
from levada.connectors.folding import (
    OPERATION,
    PLACE,
    TAKEN,
    VERSION,
    Folded,
    Numbers,
    check_version,
    codes,
    fold,
    shape_of,
)
from levada.connectors.scratch import scratch
from levada.connectors.screening import outside_window, set_aside
from levada.connectors.spool import Convert, Spool
from levada.connectors.sqltext import quoted
from levada.connectors.writes import key_of, named, untagged
from levada.errors import ConfigError, Retriable
from levada.types import cast, widen
from levada.types.layout import stored_type, to_stored, unstorable_rows
from levada.types.names import TARGETS, Names, Renaming, agree

_NOTHING = Folded(np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.int64))


class Held(Protocol):
    """Keeps the rows of one write; `levada.connectors.spool.Spool` is the plain one."""

    schema: pa.Schema | None
    rows: int
    bytes: int

    def add(self, batch: pa.RecordBatch) -> None: ...

    def batches(self, schema: pa.Schema, convert: Convert = cast) -> Iterator[pa.RecordBatch]:
        """All rows in the order they came (of each partition) in `schema`; may be asked for again."""
        ...

    def close(self) -> None: ...


class Staging:
    """Screened rows of one write.

    Args:
        write: checked by `check_write`; names columns by their original names, or as the table does.
        folder: where they may be spilled to.
        target: whose names the columns get (see `levada.types.names.TARGETS`).
        known: gives the logical schema of the table as it is stored, None if there is none.
        held: what keeps the rows; default: a spool in that folder.
        refused: gives the rows that the target can't hold, and why.
    """

    def __init__(
        self,
        write: Write,
        folder: Path | None,
        *,
        target: str,
        known: Callable[[], pa.Schema | None],
        held: Held | None = None,
        refused: Callable[[pa.RecordBatch], Iterable[tuple[int, str]]] = unstorable_rows,
    ) -> None:
        self.write = write
        self.folder = folder
        self.rejected: list[Rejected] = []
        self.held: Held = Spool(folder) if held is None else held
        self._keep: np.ndarray | None = None
        self._folded: Folded | None = None
        self._codes: list[np.ndarray] = []
        self._shapes: list[tuple[int, int]] = []
        self._columns: dict[tuple[str, ...], int] = {}
        self._target, self._known, self._refused = target, known, refused
        self._renaming: Renaming | None = None
        self._named: tuple[pa.Schema, Write] | None = None

    @property
    def schema(self) -> pa.Schema | None:
        """The logical schema that holds every row; None before the first batch."""
        return self.held.schema

    @property
    def bytes(self) -> int:
        return self.held.bytes

    @property
    def rows(self) -> int:
        """Rows to store; those that count after `settle`."""
        return self.held.rows if self._keep is None else len(self._keep)

    def add(self, batch: Batch) -> None:
        """Keep what can be stored.

        Raises:
            ConfigError: a column the mode needs is missing, or a name appears twice.
        """
        data = self._mapped(untagged(batch.data))
        data = self._screened(data) if data.num_rows else data
        self.held.add(data if self.write.changes == Changes() else self._noted(data))

    def _screened(self, data: pa.RecordBatch) -> pa.RecordBatch:
        write = self._write_of(data.schema)
        data = self._reject(data, dict(self._refused(data)))
        for column in key_of(write) if write.mode is Mode.UPSERT else ():
            data = self._reject_where(data, self._column(data, column).is_null(), f"key {column} is null")
        if write.changes.operation:
            found = codes(self._column(data, write.changes.operation))
            data = self._reject_where(data, pa.array(found < 0), f"{write.changes.operation} is no operation")
        return self._reject(data, outside_window(data, write))

    def _noted(self, data: pa.RecordBatch) -> pa.RecordBatch:
        """Note what the rows are to do; without the column that says it, which is not stored."""
        changes = self._write_of(data.schema).changes
        if changes.operation and data.num_rows:
            self._codes.append(codes(data.column(changes.operation)))
        if changes.operation in data.schema.names:
            data = data.drop_columns([changes.operation])
        if changes.merge != "replace" and changes.on_null == "write":
            self._shapes.append((len(data), shape_of(data.schema.names, self._columns)))
        return data

    def _mapped(self, data: pa.RecordBatch) -> pa.RecordBatch:
        """Rows by the names that the target takes."""
        try:
            if self._renaming is None:
                names = Names(TARGETS[self._target], self._known())
                names.learn(self.held.schema)  # of a write that is resumed
                self._renaming = Renaming(names.mapped)
            return self._renaming.of(data)
        except ConfigError as error:
            raise error.located(str(self.write.table)) from error

    def _write_of(self, schema: pa.Schema) -> Write:
        """The write by the names of the rows."""
        if self._named is None or not self._named[0].equals(schema, check_metadata=True):
            self._named = schema, named(self.write, schema)
        return self._named[1]

    def batches(self, schema: pa.Schema, convert: Convert = cast) -> Iterator[pa.RecordBatch]:
        """The rows to store, brought into `schema`, in the order they came."""
        for batch, _, _ in self._kept(schema, convert):
            yield batch

    def changes(
        self, schema: pa.Schema, convert: Convert = cast
    ) -> Iterator[tuple[pa.RecordBatch, dict[str, pa.Array]]]:
        """The rows to store, and of each what it does: the columns of `taken`."""
        for batch, low, high in self._kept(schema, convert):
            yield batch, self.folded.taken(low, high) if len(self.taken) else {}

    @property
    def taken(self) -> pa.Schema:
        """`levada.connectors.folding.TAKEN`; no columns in a write that adds or replaces all its rows."""
        return pa.schema([]) if self.write.changes == Changes() else TAKEN

    @property
    def folded(self) -> Folded:
        """What `fold` has found."""
        assert self._folded is not None, "not folded yet"
        return self._folded

    def _kept(self, schema: pa.Schema, convert: Convert) -> Iterator[tuple[pa.RecordBatch, int, int]]:
        """Batches of rows to store, and the places of their rows among all that are kept."""
        first = 0
        for batch in self.held.batches(schema, convert):
            if self._keep is None:
                yield batch, first, first + len(batch)
            else:
                low, high = np.searchsorted(self._keep, [first, first + len(batch)])
                yield batch.take(pa.array(self._keep[low:high] - first)), int(low), int(high)
            first += len(batch)

    def fold(self, memory_limit: str = "512MB") -> Folded:
        """Of several changes of a key keep as few as do the same (see `levada.connectors.folding`).

        Raises:
            ConfigError: the version's values can't be compared.
        """
        if self._folded is None:
            self._folded = self._fold(memory_limit) if self.schema and self.rows else _NOTHING
            self._keep = self._folded.places
        return self._folded

    def _fold(self, memory_limit: str) -> Folded:
        assert self.schema is not None
        write = named(self.write, self.schema)
        extra = []
        if write.changes.operation:
            extra.append(pa.field(OPERATION, pa.int8()))
        if write.changes.version:
            version = self._field(write.changes.version)
            check_version(version, str(write.table))
            extra.append(pa.field(VERSION, stored_type(version.type)))
        places, operations, rounds = fold(
            self._numbered(key_of(write), extra, write.changes.version),
            write.changes,
            memory_limit,
            self.folder,
        )
        return Folded(places, operations, rounds, self._shapes_at(places), tuple(self._columns) or ((),))

    def _shapes_at(self, places: Numbers) -> Numbers:
        if len(self._columns) < 2:
            return np.zeros(len(places), np.int64)
        ends = np.cumsum([rows for rows, _ in self._shapes])
        numbers = np.array([number for _, number in self._shapes], np.int64)
        return numbers[np.searchsorted(ends, places, side="right")]

    def _field(self, name: str) -> pa.Field:
        assert self.schema is not None
        if name not in self.schema.names:
            raise ConfigError(
                f"the rows have no column {name!r}", where=str(self.write.table), hint="read that column too"
            )
        return self.schema.field(name)

    def settle(self) -> None:
        """Bring an upsert's rows down to those that count."""
        if self.write.changes == Changes():
            self.last_of_each_key()
        else:
            self.fold()

    def last_of_each_key(self, memory_limit: str = "512MB") -> None:
        """Of rows with the same key keep the last one, by the order they came in."""
        if self.schema is None or self._keep is not None or not self.rows:
            return
        key = key_of(named(self.write, self.schema))
        names = ", ".join(quoted(f"k{i}") for i in range(len(key)))
        with scratch(self.folder, memory_limit) as connection:
            connection.register("keys", self._numbered(key))
            found = connection.sql(
                f"SELECT max({PLACE}) AS place FROM keys GROUP BY {names} ORDER BY place"  # noqa: S608
            ).to_arrow_table()
        if found.num_rows < self.rows:
            self._keep = found["place"].to_numpy()

    def close(self) -> None:
        self.held.close()

    def _numbered(
        self, key: Sequence[str], extra: Sequence[pa.Field] = (), version: str | None = None
    ) -> pa.RecordBatchReader:
        """The keys in their stored types, under short names, with each row's place and what else is asked."""
        schema = self.schema
        assert schema is not None
        types = [stored_type(schema.field(column).type) for column in key]
        keys = [pa.field(f"k{i}", kind) for i, kind in enumerate(types)]
        numbered = pa.schema([*keys, (PLACE, pa.int64()), *extra])
        operations = np.concatenate(self._codes) if self._codes else np.empty(0, np.int8)

        def generate() -> Iterator[pa.RecordBatch]:
            first = 0
            for batch in self.held.batches(schema):
                last = first + len(batch)
                found = {
                    name: batch.column(column).cast(kind)
                    for name, column, kind in zip(numbered.names, key, types, strict=False)
                }
                found[PLACE] = pa.array(np.arange(first, last, dtype=np.int64))
                found[OPERATION] = pa.array(operations[first:last])
                if version:
                    found[VERSION] = batch.column(version).cast(numbered.field(VERSION).type)
                yield pa.RecordBatch.from_arrays([found[name] for name in numbered.names], schema=numbered)
                first = last

        return reader(numbered, generate())

    def _column(self, data: pa.RecordBatch, name: str) -> pa.Array:
        if name not in data.schema.names:
            raise ConfigError(
                f"the rows have no column {name!r}", where=str(self.write.table), hint="read that column too"
            )
        return data.column(name)

    def _reject_where(self, data: pa.RecordBatch, mask: pa.Array, reason: str) -> pa.RecordBatch:
        if not pc.any(mask).as_py():
            return data
        return self._reject(data, dict.fromkeys(pc.indices_nonzero(mask).to_pylist(), reason))

    def _reject(self, data: pa.RecordBatch, bad: dict[int, str]) -> pa.RecordBatch:
        kept, rejected = set_aside(data, bad)
        self.rejected += rejected
        return kept


def encoded(batch: pa.RecordBatch, stored: pa.Schema, hidden: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Rows in logical types as they are stored.

    Args:
        batch: visible columns.
        stored: all columns of the store.
        hidden: values of columns that the batch does not have; what is in neither is null.
    """
    known = set(batch.schema.names)
    visible = to_stored(batch, pa.schema([field for field in stored if field.name in known]))
    columns = [
        visible.column(field.name)
        if field.name in known
        else hidden.get(field.name, pa.nulls(len(batch), field.type))
        for field in stored
    ]
    return pa.RecordBatch.from_arrays(columns, schema=stored)


def widened(known: pa.Schema, incoming: pa.Schema, target: str, where: str) -> pa.Schema:
    """The logical schema that holds the rows that are stored and the new ones.

    Raises:
        Retriable: the table has been given names since, by another writer, that the new rows don't have.
    """
    if not len(known):
        return incoming
    if not agree(TARGETS[target], known, incoming):
        raise Retriable(
            "another writer has named columns of this table differently meanwhile",
            where=where,
            hint="run it again, without --resume",
        )
    return widen(known, incoming)
