"""The fence and the position a sink keeps beside its data, in `_levada_positions` of the same database.

One document per owner, collection and lane, and one (lane -1) that only says who is the owner (format 1):
`{_id: {owner, table, lane}, format, epoch, writer, session?, writes, position?, collection?, window?,
attempt?, updated_at}`; `collection` is the UUID of the one that the position was committed to.
Every bulk write is a transaction that also counts `writes` up, on condition that `writer` is still its own:
whoever takes the fence over, with the same or a higher epoch, makes that condition fail. `session` is where
the transactions run: a process that was killed or paused in the middle of one would block the next owner for
the minute that the server gives it, so the next owner ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

from bson.codec_options import CodecOptions
from pymongo import MongoClient, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from levada.connectors.base import Write
from levada.connectors.mongodb.faults import retriable
from levada.errors import Fatal, Fenced
from levada.positions import Position
from levada.windows import Window

POSITIONS = "_levada_positions"
FORMAT = 1
LANES = 2
_CLAIM = -1  # no transaction holds this document, so it says at once who comes next
RETRIES = 5
MAJORITY_SECONDS = 300  # that a commit waits for other servers, one of which may be gone for good

Document = dict[str, Any]
T = TypeVar("T")


class Fence:
    """One writer's claim on one collection, and its transactions.

    Args:
        client: of the sink.
        database, collection: the target.
        write: owner and epoch.
        transactions: whether the server has them for this collection; else the fence is looked at before
            each write, and a write already on its way can't be stopped.
    """

    def __init__(
        self, client: MongoClient[Any], database: str, collection: str, write: Write, *, transactions: bool
    ) -> None:
        self._client = client
        self._documents = positions(client, database)
        self._owner = write.owner
        self._table = collection
        self._epoch = write.fence.epoch if write.fence else None
        self.transactions = transactions
        self.writer = uuid4().hex
        self.stored: Document = {}
        self.uuid: Callable[[], Any] = lambda: None  # of the collection, as it is now
        self._sessions: list[ClientSession] = []

    @property
    def comment(self) -> str:
        """Marks this writer's commands in `$currentOp`."""
        return f"{self.comment_of_owner}{self.stored.get('epoch', 0)}:{self.writer}"

    @property
    def comment_of_owner(self) -> str:
        """What the comments of all writers of this owner and collection start with."""
        return f"levada:{self._owner}:{self._documents.database.name}.{self._table}:"

    def take(self) -> None:
        """Refuse all earlier writers of this owner from now on.

        Raises:
            Fenced: a newer epoch has it.
        """
        self._take(_CLAIM)
        self._end_earlier()
        if self.transactions:
            self._sessions = [self._client.start_session(causal_consistency=False) for _ in range(LANES)]
        stored = [self._take(lane) for lane in range(LANES)]
        self.stored = stored[0] or {}

    def _end_earlier(self) -> None:
        for lane in range(LANES):
            stored = self._documents.find_one({"_id": self._id(lane)}) or {}
            if "session" in stored:
                self._client.admin.command("killSessions", [stored["session"]])

    def release(self) -> None:
        """Give the sessions back, and forget them first: from then on the client uses them for others.

        The next owner would kill what it finds stored. Where forgetting fails, they are not given back.
        """
        sessions, self._sessions = self._sessions, []
        if sessions:
            ours = {"_id": {"$in": [self._id(lane) for lane in range(LANES)]}, "writer": self.writer}
            self._documents.update_many(ours, {"$unset": {"session": 1}})
        for session in sessions:
            session.end_session()

    def _take(self, lane: int) -> Document | None:
        condition: Document = {"_id": self._id(lane), "format": {"$not": {"$gt": FORMAT}}}
        if self._epoch is not None:
            condition["epoch"] = {"$lte": self._epoch}
        change: Document = {
            "$set": {"writer": self.writer, "format": FORMAT},
            "$currentDate": {"updated_at": True},
        }
        if self._sessions and lane != _CLAIM:
            change["$set"]["session"] = self._sessions[lane].session_id
        if self._epoch is None:
            change["$setOnInsert"] = {"epoch": 0}
        else:
            change["$set"]["epoch"] = self._epoch
        for attempt in range(RETRIES):
            try:
                return self._documents.find_one_and_update(
                    condition, change, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                self._refuse_if_newer(lane, last=attempt == RETRIES - 1)
        raise AssertionError

    def _refuse_if_newer(self, lane: int, *, last: bool) -> None:
        stored = self._documents.find_one({"_id": self._id(lane)}) or {}
        _check_format(stored, self._documents.database.name)
        if last or (self._epoch is not None and stored.get("epoch", 0) > self._epoch):
            raise self._fenced(stored)

    def run(self, lane: int, work: Callable[[ClientSession | None], T]) -> T:
        """Do `work` in one transaction with the fence; it is called again after a conflict or a step-down.

        Raises:
            Fenced: another writer of this owner has the fence now.
        """
        try:
            return self._transact(lane, work) if self.transactions else self._unfenced(lane, work)
        except PyMongoError as error:
            stored = self._documents.find_one({"_id": self._id(_CLAIM)}) or {}
            if stored.get("writer") != self.writer:
                raise self._fenced(stored) from error
            raise

    def _transact(self, lane: int, work: Callable[[ClientSession | None], T]) -> T:
        def both(session: ClientSession) -> T:
            self._hold(lane, session)
            return work(session)

        return self._sessions[lane].with_transaction(
            both, ReadConcern("local"), majority(), ReadPreference.PRIMARY
        )

    def _unfenced(self, lane: int, work: Callable[[ClientSession | None], T]) -> T:
        for attempt in range(RETRIES):
            try:
                self._hold(lane, None)
                return work(None)
            except PyMongoError as error:
                if attempt == RETRIES - 1 or not retriable(error):
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError

    def hold(self) -> None:
        """Check that the fence is still this writer's.

        Raises:
            Fenced: it is not.
        """
        for lane in range(LANES):
            self._unfenced(lane, lambda _session: None)

    def _hold(self, lane: int, session: ClientSession | None) -> None:
        found = self._documents.update_one(
            {"_id": self._id(lane), "writer": self.writer}, {"$inc": {"writes": 1}}, session=session
        )
        if not found.matched_count:
            raise self._fenced({})

    def begin_attempt(self, attempt: Any) -> None:
        """Remember which rows the coming writes store, until the commit (see `rows.Numbering`)."""
        self.run(0, lambda session: self._change({"$set": {"attempt": attempt}}, session))

    def commit(self, position: Position | None, window: Window | None) -> None:
        """Store the position in a transaction of its own.

        Raises:
            Fenced: another writer has the fence, or the position is not newer than the stored one.
        """
        self.run(0, lambda session: self.store(position, window, session))

    def store(self, position: Position | None, window: Window | None, session: ClientSession | None) -> None:
        """Store the position in a transaction that `run` has begun."""
        change: Document = {"$currentDate": {"updated_at": True}, "$unset": {"attempt": 1}, "$set": {}}
        if position is not None:
            self.refuse_if_older(position, session)
            change["$set"] |= {"position": position.to_dict(), "collection": self.uuid()}
        if window is not None:
            change["$set"]["window"] = str(window)
        if not change["$set"]:
            del change["$set"]
        self._change(change, session)

    def follow(self, replaced: Any) -> None:
        """Let all positions that were committed to a collection speak of the one in its place."""
        if replaced is not None:
            theirs = {"_id.table": self._table, "collection": replaced}
            self._documents.update_many(theirs, {"$set": {"collection": self.uuid()}})

    def refuse_if_older(self, position: Position, session: ClientSession | None = None) -> None:
        """Raise Fenced if a position is not newer than the stored one."""
        stored = self._documents.find_one({"_id": self._id(0)}, session=session) or {}
        known = stored.get("position")
        if known and Position.from_dict(known).sequence >= position.sequence:
            raise Fenced(
                f"commit {position.sequence} of {self._owner} is stored already",
                where=self._table,
                hint="another run of this step was faster; nothing is lost",
            )

    def _change(self, change: Document, session: ClientSession | None) -> None:
        self._documents.update_one({"_id": self._id(0), "writer": self.writer}, change, session=session)

    def _id(self, lane: int) -> Document:
        return {"owner": self._owner, "table": self._table, "lane": lane}

    def _fenced(self, stored: Document) -> Fenced:
        newer = f" (epoch {stored['epoch']}, ours is {self._epoch})" if "epoch" in stored else ""
        return Fenced(
            f"another writer has taken over for {self._owner}{newer}",
            where=self._table,
            hint="this run's data was refused from there on; the other run stores it",
        )


def majority() -> WriteConcern:
    """Acknowledged by most servers, or an error that they can't."""
    return WriteConcern("majority", wtimeout=1000 * MAJORITY_SECONDS)


def positions(client: MongoClient[Any], database: str) -> Collection[Document]:
    """The collection of fences and positions beside the data."""
    options: CodecOptions[Document] = CodecOptions(tz_aware=True)
    return client.get_database(
        database,
        codec_options=options,
        write_concern=majority(),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )[POSITIONS]


def stored_position(client: MongoClient[Any], database: str, collection: str, owner: str) -> Position | None:
    """What an owner committed last into a collection; None if nothing, or if the collection is gone.

    Raises:
        Fatal: it was written by a newer Levada.
    """
    key = {"owner": owner, "table": collection, "lane": 0}
    stored = positions(client, database).find_one({"_id": key})
    _check_format(stored or {}, database)
    if not stored or "position" not in stored:
        return None
    there = positions(client, database).database.list_collection_names(filter={"name": collection})
    return Position.from_dict(stored["position"]) if there else None


def same_collection(client: MongoClient[Any], database: str, collection: str, owner: str, uuid: Any) -> bool:
    """Whether the collection of this UUID is the one into which an owner committed last; True if unknown."""
    stored = positions(client, database).find_one({"_id": {"owner": owner, "table": collection, "lane": 0}})
    return stored is None or stored.get("collection") in (None, uuid)


def has_transactions(client: MongoClient[Any]) -> bool:
    """Whether the deployment has transactions: replica sets and sharded clusters do, standalones don't."""
    hello = client.admin.command("hello")
    return "setName" in hello or hello.get("msg") == "isdbgrid"


def _check_format(stored: Document, database: str) -> None:
    if stored.get("format", FORMAT) > FORMAT:
        raise Fatal(
            f"{database}.{POSITIONS} has format {stored['format']}, this Levada reads up to {FORMAT}",
            hint="upgrade Levada on this machine; the document was left as it is",
        )
