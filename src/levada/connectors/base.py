"""What every connector implements: a connection, sources, sinks and their writers.

The way of the data is `Source.read` -> `Batch`, `Batch`, ... -> `Writer.write` -> `Writer.commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from levada.batches import Batch, Rejected
from levada.positions import Position
from levada.windows import Window


class Mode(StrEnum):
    """How a sink takes rows (docs/reference/write-modes)."""

    APPEND = "append"
    REPLACE = "replace"
    REPLACE_WINDOW = "replace_window"
    UPSERT = "upsert"


@dataclass(frozen=True)
class Table:
    """A dataset at a connection.

    Args:
        connection: name of the connection in the project file.
        name: the table's name there; `database.collection` is allowed for MongoDB.
        key: columns that identify a row.
        time: the column that says which window a row belongs to.
        partition_by: columns, or `day(column)`; the lake's layout.
    """

    connection: str
    name: str
    key: tuple[str, ...] = ()
    time: str | None = None
    partition_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        joint = "/" if self.connection.startswith(("file://", "s3://")) else "."
        return f"{self.connection}{joint}{self.name}"


@dataclass(frozen=True)
class Query:
    """What to read of a table; everything empty reads it whole.

    Args:
        columns: the columns wanted, by their name in the result; empty means all.
        where: a SQL condition.
        filter: a MongoDB filter (MongoDB sources only).
        pipeline: aggregation stages (MongoDB sources only), run after window and filter.
        canonical: whole documents as raw BSON instead of typed columns (MongoDB sources only).
        sql: a query to run there in place of the table, in that system's own SQL (SQL sources only).
        batch_rows: about how many rows a batch should have, at most.
        resumable: every batch carries where the scan is, and `read` goes on behind such a position, in
            another process too (MongoDB collections; views, pipelines and other sources give no such ones).
        order: `id` reads in the order of `_id`, which can go on at any server (MongoDB collections only).
        lanes: ranges of `_id` that are read at once (MongoDB collections only).
        consistent: all rows as they were at one moment (MongoDB replica sets only).
    """

    columns: tuple[str, ...] = ()
    where: str | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)
    pipeline: Sequence[Mapping[str, Any]] = ()
    canonical: bool = False
    sql: str | None = None
    batch_rows: int = 5_000
    resumable: bool = False
    order: Literal["any", "id"] = "any"
    lanes: int = 1
    consistent: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a source expects to read, before it has read it; None where it can't know.

    Args:
        rows: how many.
        row_bytes: the mean size of one, as it is stored.
    """

    rows: int | None = None
    row_bytes: float | None = None


@dataclass(frozen=True)
class Fence:
    """Proof that this writer's run holds the lease.

    Args:
        epoch: grows with every change of owner; sinks refuse a lower one than they have seen.
        valid_until: UTC end of the lease by the clock that granted it, as it was when the write began.
        renewed: gives the end as it is now; for work that takes longer than a lease.
    """

    epoch: int
    valid_until: datetime | None = None
    renewed: Callable[[], datetime] | None = field(default=None, compare=False, repr=False)

    def end(self) -> datetime | None:
        """The end of the lease as it is now; None where there is no lease."""
        return self.renewed() if self.renewed else self.valid_until


@dataclass(frozen=True)
class Changes:
    """What an upsert does to the row that is stored under the key.

    Args:
        operation: a column that says it row by row: `insert` (nothing where the key is stored), `upsert`,
            `update` (nothing where it is not) or `delete`; null means `upsert`. It is not stored itself.
        version: a column; a row whose version is lower than the stored one's changes nothing.
        merge: `replace` the whole row; set the `fields` that the new row has and keep the others; or go
            `deep`, so that nested documents are merged the same way (MongoDB sinks only).
        on_null: what a null does: `write` null, `unset` the field, or `keep` what is stored there (with
            `merge` only). Sinks with columns only know `write` and `keep`.
    """

    operation: str | None = None
    version: str | None = None
    merge: Literal["replace", "fields", "deep"] = "replace"
    on_null: Literal["write", "unset", "keep"] = "write"


#: The values of an `operation` column.
OPERATIONS = ("insert", "upsert", "update", "delete")


@dataclass(frozen=True)
class Write:
    """One write of one owner into one table.

    Args:
        table: where to.
        mode: how.
        owner: who writes (`pipeline/step`); a sink keeps one position per owner and table.
        key: columns that identify a row (`upsert`).
        window: the window the rows belong to; `append` then replaces what the same owner and window
            appended before, `replace_window` replaces the window's rows by the table's time column.
        fence: refuses writers that lost their lease; None for ad-hoc copies.
        changes: what an upsert does to stored rows.
        checkpoints: a text that says what is read; sinks that can keep what has been written when this
            write is killed (their writers have `reached` and `rewind`), together with the batches' positions.
        resume: whether to go on from what an earlier write of the same owner and text kept.
    """

    table: Table
    mode: Mode
    owner: str
    key: tuple[str, ...] = ()
    window: Window | None = None
    fence: Fence | None = None
    changes: Changes = Changes()
    checkpoints: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class WritePlan:
    """What a sink would do for a write, without doing it.

    Args:
        how: in a line.
        readers: what they see meanwhile.
        notes: what else happens or is needed: indexes that would be created, refusals to expect.
    """

    how: str
    readers: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Written:
    """What a commit stored.

    Args:
        rows: rows stored (inserted or updated).
        replaced: rows that were there before and were removed.
        bytes: bytes handed to the sink, as far as known.
        rejected: records the sink could not take.
        unchanged: rows (counted in `rows` too) that were stored like that already.
        deleted: rows that were removed because an operation said so.
        older: rows that changed nothing because a newer version is stored.
    """

    rows: int = 0
    replaced: int = 0
    bytes: int = 0
    rejected: tuple[Rejected, ...] = ()
    unchanged: int = 0
    deleted: int = 0
    older: int = 0


class Source(Protocol):
    """Reads batches of one table."""

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window (None: all), continuing after a position (None: from the start)."""
        ...


class Writer(Protocol):
    """Takes the batches of one write; used as: open, write*, then commit or abort, once."""

    def write(self, batch: Batch) -> None: ...

    def commit(self, position: Position | None) -> Written:
        """Store data and position by the sink's guarantee.

        Raises:
            Fenced: a newer epoch, or the same sequence, was committed meanwhile.
        """
        ...

    def abort(self) -> None:
        """Drop what has not been committed; never raises because of an earlier failure."""
        ...


class Sink(Protocol):
    """Writes batches into one table.

    One that can has `plan(write: Write) -> WritePlan` too: what `open` and its writer would do.
    """

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        ...

    def open(self, write: Write) -> Writer: ...


@dataclass(frozen=True)
class Finding:
    """One line of `levada doctor`.

    Args:
        ok: whether it is as it should be.
        what: what was looked at and found.
        hint: what to do, where it is not ok.
    """

    ok: bool
    what: str
    hint: str | None = None


class Connection(Protocol):
    """A named endpoint of the project, open until `close`. Opening does no I/O; the first use does."""

    name: str
    kind: str

    def describe(self) -> str:
        """Where it leads, without secrets."""
        ...

    def source(self, table: Table, query: Query) -> Source: ...

    def sink(self, table: Table) -> Sink: ...

    def diagnose(self) -> list[Finding]:
        """Reachability, version, rights, and the least role needed; never raises."""
        ...

    def close(self) -> None: ...
