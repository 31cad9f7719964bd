"""Stores chunks by `insert`, each in one transaction under the fence; tells apart what the server refuses.

A document that fails aborts its transaction, so the good ones before it are stored again, the failing one is
looked at alone, and the rest goes on in smaller pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, WriteError

from levada.batches import Rejected
from levada.connectors.mongodb.faults import DUPLICATE_KEY, UNSTORABLE, translate
from levada.connectors.mongodb.fence import Fence
from levada.connectors.mongodb.lanes import Tally
from levada.connectors.mongodb.raw import RAW, Sealed, parsed
from levada.connectors.mongodb.rows import element, identity
from levada.connectors.mongodb.validation import unsatisfied

DUPLICATE = "duplicate key"


class Verdict(Enum):
    """What becomes of a document whose `_id` is stored already."""

    THERE = "it is the same document: it counts as stored"
    REPLACES = "it takes the stored one's place"
    REJECTED = "the stored one stays"


Judge = Callable[[RawBSONDocument, bytes], Verdict]


class Failed(Exception):
    """One document of a command was not taken."""

    def __init__(self, index: int, error: WriteError) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error


class Inserter:
    """Inserts raw documents into one collection.

    Args:
        database, collection: the target, or its stage.
        fence: of the writer.
        judge: given the stored document with the same `_id`, and the new one, decides.
    """

    def __init__(self, database: Database[Any], collection: str, fence: Fence, judge: Judge) -> None:
        self._database = database
        self._collection = collection
        self._fence = fence
        self._judge = judge

    def store(self, lane: int, documents: list[bytes]) -> Tally:
        """Store a chunk; returns what became of it."""
        tally = Tally()
        size = len(documents)
        while documents:
            part = documents[:size]
            try:
                self._insert_all(lane, part, tally)
                size *= 2
            except Failed as failure:
                part = self._settle(lane, part, failure, tally)
                size = max(16, size // 4)
            documents = documents[len(part) :]
        return tally

    def store_in(self, documents: list[bytes], session: ClientSession | None) -> Tally:
        """Store documents in a transaction that has begun.

        Raises:
            Failed: the server does not take one of them, and the transaction is lost.
        """
        self._insert(documents, session)
        return Tally(len(documents), 0, sum(map(len, documents)))

    def _settle(self, lane: int, part: list[bytes], failure: Failed, tally: Tally) -> list[bytes]:
        """Deal with a part that failed; returns how much of it is done."""
        if _same_id(failure.error):
            try:
                self._among_stored(lane, part, tally)
            except Failed as other:
                failure = other
            else:
                return part
        good = part[: failure.index]
        if good:
            self._among_stored(lane, good, tally)
        tally.rejected.append(Rejected(part[failure.index], reason_of(failure.error)))
        return part[: failure.index + 1]

    def _insert_all(self, lane: int, part: list[bytes], tally: Tally) -> None:
        self._fence.run(lane, lambda session: self._insert(part, session))
        tally.rows += len(part)
        tally.bytes += sum(map(len, part))

    def _among_stored(self, lane: int, part: list[bytes], tally: Tally) -> None:
        tally.add(self._fence.run(lane, lambda session: self._sort_out(part, session)))

    def _sort_out(self, part: list[bytes], session: ClientSession | None) -> Tally:
        """Store a part of which some `_id`s are stored already."""
        known = self._stored(part, session)
        tally, fresh, places = Tally(), [], []
        for at, document in enumerate(part):
            key = identity(document) or b""
            stored = known.get(key) if key else None
            verdict = self._verdict(stored, document) if stored is not None else None
            if verdict is None or verdict is Verdict.REPLACES:
                known[key] = parsed(document)
            if verdict is None:
                fresh.append(document)
                places.append(at)
            elif verdict is Verdict.REPLACES:
                self._replace(document, session)
            if verdict is Verdict.REJECTED:
                tally.rejected.append(Rejected(document, f"{DUPLICATE}: its _id is stored already"))
            else:
                tally.rows += 1
                tally.bytes += len(document)
            tally.replaced += verdict is Verdict.REPLACES
        try:
            self._insert(fresh, session)
        except Failed as failure:
            raise Failed(places[failure.index], failure.error) from failure
        return tally

    def _verdict(self, stored: RawBSONDocument, document: bytes) -> Verdict:
        if not self._fence.transactions and stored.raw == document:
            return Verdict.THERE  # most likely stored by this very chunk: nothing took it back
        return self._judge(stored, document)

    def _stored(self, part: list[bytes], session: ClientSession | None) -> dict[bytes, RawBSONDocument]:
        ids = [parsed(document)["_id"] for document in part if identity(document)]
        found: Iterable[RawBSONDocument] = self._database.get_collection(
            self._collection, codec_options=RAW
        ).find({"_id": {"$in": ids}}, session=session)
        return {element(document["_id"]): document for document in found}

    def _replace(self, document: bytes, session: ClientSession | None) -> None:
        raw = parsed(document)
        statement = {"q": {"_id": {"$eq": raw["_id"]}}, "u": raw}
        answer = self._database.command({"update": self._collection, "updates": [statement]}, session=session)
        raise_write_error(answer)

    def _insert(self, part: list[bytes], session: ClientSession | None) -> None:
        if not part:
            return
        documents = [Sealed(document) for document in part]
        # Outside of a transaction nothing takes the earlier documents back, so they must come in order.
        command = {"insert": self._collection, "documents": documents, "ordered": True}
        raise_write_error(self._database.command(command, session=session))


def raise_write_error(answer: Mapping[str, Any]) -> None:
    """Raise the first write error of a command's answer, if there is one."""
    errors = answer.get("writeErrors")
    if not errors:
        return
    first = errors[0]
    kind = DuplicateKeyError if first["code"] == DUPLICATE_KEY else WriteError
    error = kind(first.get("errmsg", ""), first["code"], dict(first))
    if first["code"] != DUPLICATE_KEY and first["code"] not in UNSTORABLE:
        raise translate(error)
    raise Failed(first["index"], error)


def _same_id(error: WriteError) -> bool:
    pattern = (error.details or {}).get("keyPattern")
    return error.code == DUPLICATE_KEY and (pattern is None or list(pattern) == ["_id"])


def reason_of(error: WriteError) -> str:
    """Why the server did not take a document."""
    if error.code == DUPLICATE_KEY:
        pattern = (error.details or {}).get("keyPattern", {})
        return f"{DUPLICATE}: {', '.join(pattern)} is stored already"
    said = (error.details or {}).get("errmsg", "")
    broken = unsatisfied(error.details)
    return f"not taken by the server (code {error.code}): {said}{': ' if broken else ''}{broken}"[:500]
