"""A target whose fence has been taken for one write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.client_session import ClientSession

from levada.connectors.base import Changes, Mode, Write
from levada.connectors.mongodb import times
from levada.connectors.mongodb.fence import Fence, has_transactions
from levada.connectors.mongodb.keyindex import KeyIndex, ensure_key_index, key_index
from levada.connectors.mongodb.operations import stop_earlier
from levada.connectors.mongodb.rows import CHUNK_ROWS, WINDOW_TAG, attempt_range, prefix_of
from levada.connectors.mongodb.strategy import swap_hindrance
from levada.connectors.mongodb.target import Target
from levada.errors import ConfigError, Retriable

if TYPE_CHECKING:
    from levada.connectors.mongodb.client import MongoConnection


class Claim:
    """A target whose fence has been taken, with what a killed attempt left removed.

    Args:
        connection: of the sink.
        database, collection: where.
        write: by whom and how.
    """

    def __init__(self, connection: MongoConnection, database: str, collection: str, write: Write) -> None:
        check(write)
        self.client = connection.client
        self.write = write
        self.target = Target(self.client, database, collection)
        self.removed = 0
        transactions = has_transactions(self.client) and self.target.plain
        self.target.prepare()
        self.index = KeyIndex(None, unique=False)
        if write.mode is Mode.UPSERT:
            collation = self.target.collation
            self.index = ensure_key_index(self.target.database, collection, write.key, collation)
        self._uuid = self.target.uuid
        self.swaps = write.mode is Mode.REPLACE and swap_hindrance(self.target) is None
        if self.tag is not None:
            self.target.database[collection].create_index(WINDOW_TAG, sparse=True)
        self.fence = Fence(self.client, database, collection, write, transactions=transactions)
        self.fence.uuid = lambda: self.target.uuid if self.swaps else self._uuid
        self.fence.take()
        stop_earlier(self.client, self.fence)
        if prefix := prefix_of(self.fence.stored.get("attempt")):
            self.target.delete(attempt_range(prefix), self.fence)

    @property
    def tag(self) -> str | None:
        """The value of `_levada_window` in this write's rows."""
        if self.write.mode is Mode.APPEND and self.write.window:
            return f"{self.write.owner} {self.write.window}"
        return None

    @property
    def rows_of_window(self) -> dict[str, Any] | None:
        """The filter of the rows that this write removes first; None where it removes none."""
        if self.tag is not None:
            return {WINDOW_TAG: self.tag}
        if self.write.mode is Mode.REPLACE and not self.swaps:
            return {}
        if self.write.mode is Mode.REPLACE_WINDOW and self.write.window and self.write.table.time:
            return times.in_window(self.write.table.time, self.write.window)
        return None

    @property
    def is_empty(self) -> bool:
        """Whether the target has no rows."""
        return self.target.database[self.target.name].find_one({}, {"_id": 1}) is None

    @property
    def room_is_small(self) -> bool:
        """Whether the rows that are replaced fit one transaction."""
        condition = self.rows_of_window
        if condition is None:
            return True
        found = self.target.database[self.target.name].count_documents(condition, limit=CHUNK_ROWS + 1)
        return found <= CHUNK_ROWS

    def remove(self, session: ClientSession | None) -> int:
        """Remove the rows that are replaced, in a transaction that has begun; returns how many."""
        condition = self.rows_of_window
        if condition is None:
            return 0
        collection = self.target.database[self.target.name]
        return collection.delete_many(condition, session=session).deleted_count

    def refuse_if_replaced(self) -> None:
        """Look whether the collection still is the one that has been written to, and keeps its key unique.

        Raises:
            Retriable: somebody has dropped or replaced it, or the index.
        """
        target, key = self.target, self.write.key
        what = None
        if not self.swaps and target.uuid != self._uuid:
            what = "the collection"
        elif self.index.unique:
            indexes = target.database[target.name].list_indexes()
            what = (
                None if key_index(indexes, key, target.collation).unique else f"its index on {', '.join(key)}"
            )
        if what:
            raise Retriable(
                f"{what} was dropped or replaced while rows were written",
                where=str(target),
                hint="the step is tried again from its beginning",
            )

    def make_room(self) -> None:
        """Remove the rows that are replaced, in bounded transactions of their own."""
        condition = self.rows_of_window
        if condition is not None:
            self.removed += self.target.delete(condition, self.fence)


def check(write: Write) -> None:
    """Raise ConfigError if a write lacks what its mode needs."""
    if write.mode is Mode.UPSERT and not write.key:
        raise ConfigError(
            f"mode upsert into {write.table} needs a key", where=str(write.table), hint="add `key: COLUMN`"
        )
    if write.mode is not Mode.UPSERT and write.changes != Changes():
        raise ConfigError(
            f"mode {write.mode} into {write.table} has no stored rows to change",
            where=str(write.table),
            hint="use mode upsert with operation, version, merge and on_null",
        )
    if write.changes.on_null == "keep" and write.changes.merge == "replace":
        raise ConfigError(
            "on_null keep needs merge: a row that is replaced as a whole keeps nothing",
            where=str(write.table),
            hint="write `merge: fields` or `merge: deep`, or another `on_null`",
        )
    if write.mode is Mode.REPLACE_WINDOW and (write.window is None or write.table.time is None):
        lacks = "a window" if write.window is None else "the table's time column"
        raise ConfigError(
            f"mode replace_window into {write.table} needs {lacks}",
            where=str(write.table),
            hint="give the pipeline a `window:` and the table a `time:`",
        )
