"""Stores chunks by key: each document replaces the one with its key, or is new."""

from __future__ import annotations

from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, WriteError

from levada.batches import Rejected
from levada.connectors.mongodb.fence import Fence
from levada.connectors.mongodb.insert import Failed, raise_write_error, reason_of
from levada.connectors.mongodb.lanes import Tally
from levada.connectors.mongodb.rows import element, identity, value_at
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

    def key_of(self, document: bytes) -> bytes:
        """The bytes of a document's key, for ordering and comparing."""
        if self._key == ("_id",):
            return identity(document) or b""
        raw = RawBSONDocument(document)
        return b"".join(element(value_at(raw, name)) for name in self._key)

    def refusal(self, document: bytes) -> str | None:
        """Why a document can't be upserted; None if it can."""
        raw = RawBSONDocument(document)
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
        replaced = self._fence.run(lane, lambda session: self._update(statements, session))
        tally.rows += len(part)
        tally.replaced += replaced
        tally.bytes += sum(map(len, part))

    def _statement(self, document: bytes, *, keep_id: bool) -> dict[str, Any]:
        raw = RawBSONDocument(document)
        condition = {name: {"$eq": value_at(raw, name)} for name in self._key}
        change: Any = raw
        if keep_id:
            merged = [{"$literal": raw}, {"_id": {"$ifNull": ["$_id", {"$literal": raw.get("_id")}]}}]
            change = [{"$replaceWith": {"$mergeObjects": merged}}]
        return {"q": condition, "u": change, "upsert": True}

    def _update(self, statements: list[dict[str, Any]], session: ClientSession | None) -> int:
        command = {"update": self._collection, "updates": statements, "ordered": True}
        answer = self._database.command(command, session=session)
        raise_write_error(answer)
        return int(answer.get("nModified", 0))


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
