"""Writes batches into a MongoDB collection, in every mode, under a fence.

| Mode | how | readers meanwhile |
|---|---|---|
| append | inserts; rows of a window carry `_levada_window`, by which a re-run removes them | see rows come |
| replace | a stage with the target's options and indexes, renamed over it | see old or new, whole |
| replace, watched | removes all rows, then inserts | see it refill |
| replace_window | removes the window's rows by the table's time column, then inserts | see it refill |
| upsert | applies changes by key (`levada.connectors.mongodb.apply`) | see rows change |

Without a window, an append gives `_id`s to rows that have none, so that what a killed attempt has left is
found and removed; rows with an `_id` of their own that are there already, byte for byte, are left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from levada.connectors.base import Query, Table, Write, WritePlan, Writer, Written
from levada.connectors.mongodb import strategy
from levada.connectors.mongodb.claim import Claim, check
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.fence import same_collection, stored_position
from levada.connectors.mongodb.scan import MongoSource
from levada.connectors.mongodb.target import Target
from levada.connectors.mongodb.writer import MongoWriter
from levada.positions import Position
from levada.windows import Window

if TYPE_CHECKING:
    from levada.connectors.mongodb.client import MongoConnection


class MongoSink:
    """Writes into one collection; implements `levada.connectors.base.Sink`."""

    def __init__(self, connection: MongoConnection, table: Table) -> None:
        self._connection = connection
        self._table = table

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing."""
        database, collection = self._connection.namespace(self._table)
        with translated(str(self._table)):
            return stored_position(self._connection.client, database, collection, owner)

    def same_table(self, owner: str) -> bool:
        """Whether the collection is the one into which this owner committed last, not one made anew."""
        client, (database, collection) = self._connection.client, self._connection.namespace(self._table)
        with translated(str(self._table)):
            return same_collection(
                client, database, collection, owner, Target(client, database, collection).uuid
            )

    def open(self, write: Write) -> Writer:
        """Take the fence and get ready: from here on, earlier writers of this owner are refused.

        Raises:
            ConfigError: the mode does not go with the table.
            Fenced: a newer epoch has the fence.
        """
        return MongoWriter(self.claim(write))

    @property
    def collation(self) -> dict[str, Any] | None:
        """By which the collection tells texts apart; None where it goes by their bytes."""
        database, collection = self._connection.namespace(self._table)
        with translated(str(self._table)):
            return Target(self._connection.client, database, collection).collation

    def plan(self, write: Write) -> WritePlan:
        """What a write would do; nothing is changed.

        Raises:
            ConfigError: the mode does not go with the table.
        """
        database, collection = self._connection.namespace(self._table)
        check(write)
        with translated(str(self._table)):
            return strategy.plan(
                strategy.Facts.of(self._connection.client, database, collection, write), write
            )

    def merge_pipeline(
        self,
        write: Write,
        source: Table,
        query: Query,
        window: Window | None,
        position: Position | None,
    ) -> Written:
        """Copy between two collections of this connection inside the server, and commit.

        Args:
            write: as for `open`.
            source, query, window: what to read.
            position: to commit with it.
        """
        from levada.connectors.mongodb.merge import merge_inside

        reader = MongoSource(self._connection, source, replace(query, canonical=True))
        return merge_inside(self, write, reader, window, position)

    def claim(self, write: Write) -> Claim:
        """Take the fence, without a writer yet."""
        database, collection = self._connection.namespace(self._table)
        with translated(str(self._table)):
            return Claim(self._connection, database, collection, write)
