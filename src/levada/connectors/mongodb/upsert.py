"""Stores chunks by key: each document replaces the one with its key, or is new."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, WriteError

from levada.batches import Rejected
from levada.connectors.mongodb.fence import Fence
from levada.connectors.mongodb.insert import Failed, raise_write_error, reason_of
from levada.connectors.mongodb.lanes import Tally
from levada.connectors.mongodb.raw import parsed, value_at
from levada.connectors.mongodb.rows import element, identity
from levada.errors import ConfigError

_IMMUTABLE_FIELD = 66
_DOLLAR = 0x24


class Upserter:
    """Writes keyed documents into one collection, in order.

    The stored document keeps its `_id`; everything else becomes what the new document says.

    Args:
        database, collection: the target.
        fence: of the writer.
        key: the fields that identify a document.
    """

    def __init__(self, database: Database[Any], collection: str, fence: Fence, key: tuple[str, ...]) -> None:
        self._database = database
        self._collection = collection
        self._fence = fence
        self._key = key
        self._written: list[npt.NDArray[np.int64]] = []  # hashes of keys: 8 bytes for each row
        self._new = 0
        self._lock = threading.Lock()

    def settle(self, tally: Tally) -> None:
        """Count a row that came several times once, and as replaced if it was there before."""
        hashes = np.concatenate(self._written) if self._written else np.array([], np.int64)
        tally.rows = len(np.unique(hashes))
        tally.replaced = tally.rows - self._new

    def key_of(self, document: bytes) -> bytes:
        """The bytes of a document's key, for ordering and comparing."""
        if self._key == ("_id",):
            return identity(document) or b""
        raw = parsed(document)
        return b"".join(element(value_at(raw, name)) for name in self._key)

    def refusal(self, document: bytes) -> str | None:
        """Why a document can't be upserted; None if it can."""
        raw = parsed(document)
        missing = [name for name in self._key if value_at(raw, name) is None]
        if missing:
            return f"key {', '.join(missing)} is null or missing"
        if document[4] and document[5] == _DOLLAR:
            return "the name of its first field starts with $"
        return None

    def store(self, lane: int, documents: list[bytes]) -> Tally:
        """Store a chunk; of several documents with one key the last stays."""
        last = {self.key_of(document): document for document in documents}
        tally, pending, size = Tally(), list(last.values()), len(last)
        while pending:
            part = pending[:size]
            try:
                self._run(lane, part, tally)
                size *= 2
            except Failed as failure:
                if failure.index:
                    self._run(lane, part[: failure.index], tally)
                self._alone(lane, part[failure.index], failure.error, tally)
                part = part[: failure.index + 1]
                size = max(16, size // 4)
            pending = pending[len(part) :]
        return tally

    def _alone(self, lane: int, document: bytes, error: WriteError, tally: Tally) -> None:
        """A document that failed: with the stored one's `_id` in place of its own, if that was the reason."""
        if error.code == _IMMUTABLE_FIELD:
            try:
                self._run(lane, [document], tally, keep_id=True)
            except Failed as failure:
                error = failure.error
            else:
                return
        tally.rejected.append(Rejected(document, reason_of(error)))

    def _run(self, lane: int, part: list[bytes], tally: Tally, *, keep_id: bool = False) -> None:
        statements = [self._statement(document, keep_id=keep_id) for document in part]
        new = self._fence.run(lane, lambda session: self._update(statements, session))
        self._count(part, new)
        tally.bytes += sum(map(len, part))

    def _count(self, part: list[bytes], new: int) -> None:
        hashes = np.fromiter((hash(self.key_of(document)) for document in part), np.int64, len(part))
        with self._lock:
            self._written.append(hashes)
            self._new += new

    def store_in(self, documents: list[bytes], session: ClientSession | None) -> Tally:
        """Store documents in a transaction that has begun.

        Raises:
            Failed: the server does not take one of them, and the transaction is lost.
        """
        last = list({self.key_of(document): document for document in documents}.values())
        new = self._update([self._statement(document, keep_id=False) for document in last], session)
        return Tally(len(last), len(last) - new, sum(map(len, last)))

    def _statement(self, document: bytes, *, keep_id: bool) -> dict[str, Any]:
        raw = parsed(document)
        condition = {name: {"$eq": value_at(raw, name)} for name in self._key}
        change: Any = raw
        if keep_id:
            merged = [{"$literal": raw}, {"_id": {"$ifNull": ["$_id", {"$literal": raw.get("_id")}]}}]
            change = [{"$replaceWith": {"$mergeObjects": merged}}]
        return {"q": condition, "u": change, "upsert": True}

    def _update(self, statements: list[dict[str, Any]], session: ClientSession | None) -> int:
        if not statements:
            return 0
        command = {"update": self._collection, "updates": statements, "ordered": True}
        answer = self._database.command(command, session=session)
        raise_write_error(answer)
        return len(answer.get("upserted", ()))


def ensure_key_index(database: Database[Any], collection: str, key: tuple[str, ...]) -> None:
    """Make sure that a key is looked up by an index, creating a unique one if there is none.

    Raises:
        ConfigError: it can't be created; the hint is the command to run.
    """
    if key == ("_id",):
        return
    for index in database[collection].list_indexes():
        fields = list(index["key"])[: len(key)]
        if set(fields) == set(key) and not index.get("partialFilterExpression") and not index.get("sparse"):
            return
    try:
        database[collection].create_index([(name, 1) for name in key], unique=True)
    except OperationFailure as error:
        fields_text = ", ".join(f"{name!r}: 1" for name in key)
        raise ConfigError(
            f"the key {', '.join(key)} has no index, and a unique one can't be created: {error}",
            where=f"{database.name}.{collection}",
            hint=f"run db.getCollection({collection!r}).createIndex({{{fields_text}}}) as its owner",
        ) from error
