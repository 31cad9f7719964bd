"""The orders in which a collection can be read, and how each goes on behind what was read.

| Order | goes on by | where |
|---|---|---|
| natural | the server's resume token, a record number | the same node, while it runs |
| id | `_id` greater than the last one, over all BSON types | any node |
| whole | nothing: it can only begin again | any node, while nothing was handed on |

A mark is where an order is, as a JSON value (format 1); docs/reference/connectors/mongodb.md shows it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Protocol

import bson
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from levada.bson import Reply
from levada.connectors.mongodb import identity
from levada.connectors.mongodb.namespace import Facts
from levada.connectors.mongodb.raw import RAW
from levada.errors import Retriable, ScanLost

FORMAT = 1
Command = dict[str, Any]

#: The server's answer when the record that a resume token names is gone.
RECORD_GONE = 211


class Order(Protocol):
    """How a scan moves on; `advance` after every reply, `command` whenever a cursor has to be opened."""

    resumes: bool

    def command(self, now: Facts) -> Command: ...

    def advance(self, reply: Reply) -> None: ...

    def mark(self) -> dict[str, Any] | None: ...


class Whole:
    """Any command; it can't be continued."""

    resumes = False

    def __init__(self, command: Command) -> None:
        self._command = command

    def command(self, _now: Facts) -> Command:
        return self._command

    def advance(self, reply: Reply) -> None: ...

    def mark(self) -> None:
        return None


class Natural:
    """A find in the order of the records.

    Args:
        find: the command, without order.
        facts: of the node and collection whose records these are.
        token: a resume token as raw BSON; None begins at the first record.
    """

    resumes = True

    def __init__(self, find: Command, facts: Facts, token: bytes | None = None) -> None:
        self._find = find | {"hint": {"$natural": 1}, "$_requestResumeToken": True}
        self.facts = facts
        self._token = token

    @property
    def behind(self) -> bool:
        """Whether it goes on behind a record, whose number must still hold."""
        return self._token is not None

    def command(self, now: Facts) -> Command:
        refuse_another(self.facts, now)
        if self._token is None:
            return self._find
        return self._find | now.only_this() | {"$_resumeAfter": RawBSONDocument(self._token, RAW)}

    def advance(self, reply: Reply) -> None:
        token = reply.resume_token
        if token is not None and bson.decode(token).get("$recordId") is not None:
            self._token = token  # a scan that found no record has an empty one

    def step_back(self, client: MongoClient[Any], database: str) -> None:
        """Once the token's record is gone: take the last record before it, which no scan is behind of."""
        number = bson.decode(self._token or b"")["$recordId"]
        stages = [
            {"$project": {"_id": 0, "number": {"$meta": "recordId"}}},
            {"$match": {"number": {"$lte": Int64(number)}}},
            {"$limit": 1},
        ]
        command = {"aggregate": self._find["find"], "pipeline": stages, "cursor": {}}
        command |= {"hint": {"$natural": -1}} | self.facts.only_this()
        found = client[database].command(command, read_preference=client.read_preference)
        first = next(iter(found["cursor"]["firstBatch"]), None)
        token = {**bson.decode(self._token or b""), "$recordId": Int64(first["number"])} if first else None
        self._token = bson.encode(token) if token else None

    def mark(self) -> dict[str, Any]:
        facts = self.facts
        where = {"node": facts.node, "file": facts.file, "life": facts.life, "uuid": facts.uuid}
        token = base64.b64encode(self._token).decode() if self._token else None
        return {"format": FORMAT, "kind": "natural", **where, "token": token}


class ById:
    """A find in the order of `_id`, of one range of it.

    Args:
        find: the command, without order.
        facts: of the collection.
        low: the first `_id` of the range, as a document; None is open.
        high: the first `_id` behind it; None is open.
        last: the last `_id` that was read.
    """

    resumes = True

    def __init__(
        self,
        find: Command,
        facts: Facts,
        low: bytes | None = None,
        high: bytes | None = None,
        last: bytes | None = None,
    ) -> None:
        self._find = find | {"hint": {"_id": 1}, "sort": {"_id": 1}}
        self.facts = facts
        self._low, self._high, self._last = low, high, last

    def command(self, now: Facts) -> Command:
        refuse_another(self.facts, now, any_node=True)
        bounds = []
        if self._last is not None:
            bounds.append(identity.compared("$gt", self._last))
        elif self._low is not None:
            bounds.append(identity.compared("$gte", self._low))
        if self._high is not None:
            bounds.append(identity.compared("$lt", self._high))
        condition = self._find["filter"]
        parts = [*([condition] if condition else []), *bounds]
        checked = now.only_this() if self._last is not None else {}
        return self._find | {"filter": {"$and": parts} if parts else {}} | checked

    def advance(self, reply: Reply) -> None:
        if len(reply.documents):
            self._last = identity.id_of(reply.documents.take([-1]).slices()[0])  # type: ignore[arg-type]

    def mark(self) -> dict[str, Any]:
        edges = {"from": self._low, "to": self._high, "id": self._last}
        values = {name: None if key is None else identity.written(key) for name, key in edges.items()}
        return {"format": FORMAT, "kind": "id", "uuid": self.facts.uuid, **values}


def restored(mark: Mapping[str, Any], find: Command, now: Facts) -> Natural | ById:
    """The order that goes on behind a mark.

    Raises:
        ScanLost: the collection is another one, or the records are those of another node.
    """
    if mark.get("format", FORMAT) > FORMAT:
        raise ScanLost(
            f"the position of the scan has format {mark['format']}, this Levada reads up to {FORMAT}",
            hint="upgrade Levada on this machine, or start over",
        )
    if mark["uuid"] != now.uuid:
        raise ScanLost(
            "the collection was dropped, replaced or restored since the position was stored",
            hint="read it again from the beginning",
        )
    if mark["kind"] == "id":
        keys = (None if mark[name] is None else identity.parsed(mark[name]) for name in ("from", "to", "id"))
        return ById(find, now, *keys)
    if (mark["node"], mark["file"], mark["life"]) != now.numbering:
        raise ScanLost(
            f"the position counts the records of {mark['node'] or 'another server'}, and "
            f"{now.node or 'this server'} has other files, or was restarted or rolled back since then",
            hint="read from the beginning; `order: id` can go on at any server",
        )
    return Natural(find, now, base64.b64decode(mark["token"]) if mark["token"] else None)


def refuse_another(then: Facts, now: Facts, *, any_node: bool = False) -> None:
    """Raise where a scan would go on in another collection, or behind another node's records."""
    if then.uuid == now.uuid and (any_node or then.same(now)):
        return
    raise Retriable(
        "the collection was dropped or replaced while it was read"
        if then.uuid != now.uuid
        else "the server was restarted or rolled back meanwhile, which numbers its latest records anew",
        hint="the step is tried again from its beginning, `levada copy --resume` goes on where it can; "
        "with `order: id` a scan goes on by itself",
    )
