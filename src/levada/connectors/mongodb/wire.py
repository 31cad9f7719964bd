"""Raw commands to MongoDB: cursors whose replies stay bytes.

PyMongo's cursors build one object per document; a command whose reply is left alone is 3 to 4 times faster.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from levada.bson import Reply, split_reply
from levada.connectors.mongodb.raw import RAW
from levada.observe import Timings

REFRESH_SECONDS = 600.0  # a session ends after 30 minutes without a command
REPLY_BYTES = 2 * 1024 * 1024  # larger replies are slower, smaller ones too


class Sizes:
    """How many documents to ask for, so that a reply has about `REPLY_BYTES`.

    Args:
        rows: the most documents of one reply.
        mean: mean bytes of a document, as far as known beforehand.
        target: bytes that a reply should have.
    """

    def __init__(self, rows: int, mean: float | None = None, target: int = REPLY_BYTES) -> None:
        self._rows = rows
        self._mean = mean
        self._target = target

    @property
    def next(self) -> int:
        if not self._mean:
            return self._rows
        return max(1, min(self._rows, int(self._target / self._mean)))

    def saw(self, documents: int, size: int) -> None:
        """Learn from a reply: growing documents count at once, shrinking ones by and by."""
        if documents:
            mean = size / documents
            self._mean = max(mean, (self._mean + mean) / 2) if self._mean else mean


class RawCursor:
    """The replies of one find or aggregate, in one session, from one server.

    Args:
        client: of the server that shall hold the cursor (see `MongoConnection.node`).
        database, command: what to run; the command's first key names it, its value is the collection, or 1
            where an aggregate begins with `$documents`.
        sizes: documents per reply.
        timings: told how long each reply was waited for, as `read`.
    """

    def __init__(
        self,
        client: MongoClient[Any],
        database: str,
        command: Mapping[str, Any],
        sizes: Sizes,
        timings: Timings | None = None,
    ) -> None:
        self._client = client
        self._database = client[database]
        self._command = dict(command)
        collection = next(iter(command.values()))
        self._collection = "$cmd.aggregate" if collection == 1 else collection
        self._sizes = sizes
        self._timings = timings or Timings()
        self._id = 0
        self._session: ClientSession | None = None
        self._refreshed = time.monotonic()

    def replies(self) -> Generator[Reply]:
        """Every reply; the server's cursor is gone when this ends, however it ends."""
        with self._client.start_session(causal_consistency=False) as session:
            self._session = session
            try:
                yield self._run(self._opening(), session)
                while self._id:
                    more = {"getMore": self._id, "collection": self._collection}
                    yield self._run(more | {"batchSize": self._sizes.next}, session)
            finally:
                self._session = None
                self._kill(session)

    def keep_alive(self) -> None:
        """To be called while nobody reads: a session that is not used ends, and its cursor with it."""
        if self._session and time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._refreshed = time.monotonic()
            with suppress(PyMongoError):  # what it means is seen at the next read
                self._client.admin.command("refreshSessions", [self._session.session_id])

    def _opening(self) -> dict[str, Any]:
        size = {"batchSize": self._sizes.next}
        return self._command | ({"cursor": size} if "aggregate" in self._command else size)

    def _run(self, command: dict[str, Any], session: ClientSession) -> Reply:
        with self._timings.spent("read"):
            answer = self._database.command(
                command, session=session, read_preference=self._client.read_preference, codec_options=RAW
            )
            raw = bytes(answer.raw)
        self._refreshed = time.monotonic()
        reply = split_reply(raw)
        self._id = reply.cursor_id
        self._sizes.saw(len(reply.documents), len(raw))
        return reply

    def _kill(self, session: ClientSession) -> None:
        if self._id:
            with suppress(PyMongoError):  # the server closes it with the session
                command = {"killCursors": self._collection, "cursors": [self._id]}
                self._database.command(command, session=session, read_preference=self._client.read_preference)
            self._id = 0
