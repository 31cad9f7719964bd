"""Looks up what is stored under keys, by raw commands; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.database import Database

from levada.bson import Documents, split_reply
from levada.connectors.mongodb import fields
from levada.connectors.mongodb.apply.keys import Key, Keys
from levada.connectors.mongodb.raw import RAW, parsed

MOST_EQUALITIES = 500  # of one `$or`
MOST_PER_KEY = 4  # documents that are read for each key, on average
MOST_BYTES = 16 * 1024 * 1024
#: Types that `$in` does not take for values: documents may hold operators, regular expressions match.
_NOT_LISTED = frozenset({fields.DOCUMENT, 0x0B})


class TooMuch(Exception):
    """More is stored under these keys than one transaction should read."""


class Crowded(TooMuch):
    """One transaction over all of these rows does not come through: others change them, or it is too long."""


def replies(
    database: Database[Any], command: dict[str, Any], session: ClientSession | None
) -> Iterator[Documents]:
    """All replies of a command that returns a cursor."""
    collection = next(iter(command.values()))
    while command:
        answer = database.command(command, session=session, codec_options=RAW)
        reply = split_reply(bytes(answer.raw))
        yield reply.documents
        more = {"getMore": reply.cursor_id, "collection": collection, "batchSize": command.get("batchSize")}
        command = more if reply.cursor_id else {}


class Lookup:
    """Finds the documents under keys.

    Args:
        database, collection: where.
        keys: how they are told apart.
    """

    def __init__(self, database: Database[Any], collection: str, keys: Keys) -> None:
        self._database = database
        self._collection = collection
        self._paths = [name.encode() for name in keys.names]

    def find(self, keys: Sequence[Key], session: ClientSession | None) -> list[bytes]:
        """All documents under these keys, and maybe some under others.

        Raises:
            TooMuch: there are too many, or they are too large.
        """
        listed = [key for key in keys if all(value[0] not in _NOT_LISTED for value in key)]
        found: list[bytes] = []
        if listed:
            most = MOST_PER_KEY * len(listed)
            rows = self._run(self._each_in(listed), most, session)
            if len(rows) > most and len(self._paths) > 1:  # of all combinations too many are stored
                rows = self._one_by_one(listed, session)
            elif len(rows) > most:
                raise TooMuch
            found += rows
        if len(listed) < len(keys):
            kept = set(listed)
            found += self._one_by_one([key for key in keys if key not in kept], session)
        return found

    def _one_by_one(self, keys: Sequence[Key], session: ClientSession | None) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(keys), MOST_EQUALITIES):
            part = keys[start : start + MOST_EQUALITIES]
            rows = self._run(self._any_of(part), MOST_PER_KEY * len(part), session)
            if len(rows) > MOST_PER_KEY * len(part):
                raise TooMuch
            found += rows
        return found

    def _run(self, condition: bytes, most: int, session: ClientSession | None) -> list[bytes]:
        command = {"find": self._collection, "filter": parsed(condition), "limit": most + 1}
        command["batchSize"] = most + 1
        found: list[bytes] = []
        size = 0
        for documents in replies(self._database, command, session):
            found += documents.slices()
            size += int((documents.ends - documents.starts).sum())
            if size > MOST_BYTES and len(found) > MOST_PER_KEY:
                raise TooMuch
        return found

    def _each_in(self, keys: Sequence[Key]) -> bytes:
        conditions = []
        for place, path in enumerate(self._paths):
            values = dict.fromkeys(key[place] for key in keys)
            among = fields.nested(fields.ARRAY, b"$in", fields.array(values))
            conditions.append(fields.nested(fields.DOCUMENT, path, fields.framed(among)))
        return fields.framed(b"".join(conditions))

    def _any_of(self, keys: Sequence[Key]) -> bytes:
        choices = [bytes((fields.DOCUMENT,)) + self._equal(key) for key in keys]
        return fields.framed(fields.nested(fields.ARRAY, b"$or", fields.array(choices)))

    def _equal(self, key: Key) -> bytes:
        conditions = [equal(path, value) for path, value in zip(self._paths, key, strict=True)]
        return fields.framed(b"".join(conditions))


def equal(path: bytes, value: fields.Element) -> bytes:
    """The condition that the value at a path is this one, as a field of a filter."""
    return fields.nested(fields.DOCUMENT, path, fields.framed(fields.named(b"$eq", value)))
