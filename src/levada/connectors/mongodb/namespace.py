"""What a server knows of a collection before it is read: its kind, its identity, its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import Binary
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

_UNAUTHORIZED = 13
_TOKENS_SINCE = 9  # wire version of MongoDB 4.4
_UUID_CHECK_SINCE = 17  # of 6.0


@dataclass(frozen=True)
class Facts:
    """One namespace, seen by one server.

    Args:
        kind: `collection`, `view`, `timeseries`; `missing` if there is nothing of that name, `unknown` if
            this user may not look.
        node: host:port of the server by its own word; empty for a standalone server and a mongos.
        file: the storage engine's name of the collection on this node. It survives restarts; another node, a
            resync, a restored backup or a collection made anew have another one.
        life: for how long record numbers hold on this node. A member of a replica set that is restarted, or
            rolls back, replays its latest writes and numbers their records anew; a standalone one does not.
        uuid: of the collection, the same on all nodes.
        clustered, capped: as created.
        router: whether a mongos answers.
        replica_set: whether there are snapshots.
        wire: the server's newest wire version.
        documents, mean: how many by its statistics, and their mean bytes; None where it does not say.
    """

    kind: str
    node: str = ""
    file: str | None = None
    life: str = ""
    uuid: str | None = None
    clustered: bool = False
    capped: bool = False
    router: bool = False
    replica_set: bool = False
    wire: int = 0
    documents: int | None = None
    mean: float | None = None

    @property
    def tokens(self) -> bool:
        """Whether a scan in natural order can be resumed here, by a record number."""
        return (
            self.kind == "collection" and not (self.router or self.clustered) and self.wire >= _TOKENS_SINCE
        )

    def same(self, other: Facts) -> bool:
        """Whether both are the same records of the same collection."""
        return (self.numbering, self.uuid) == (other.numbering, other.uuid)

    @property
    def numbering(self) -> tuple[str, str | None, str]:
        """Equal where a record has the same number."""
        return self.node, self.file, self.life

    def only_this(self) -> dict[str, Any]:
        """Makes a command fail on another collection of the same name."""
        if self.uuid is None or self.wire < _UUID_CHECK_SINCE:
            return {}
        return {"collectionUUID": Binary(bytes.fromhex(self.uuid), 4)}


def look(client: MongoClient[Any], database: str, collection: str) -> Facts:
    """Ask one server; `client` must lead to that one alone.

    Raises:
        AutoReconnect: it can't be read at present.
    """
    preference = client.read_preference
    hello = client.admin.command("hello", read_preference=preference)
    if not any((hello.get("isWritablePrimary"), hello.get("secondary"), hello.get("msg") == "isdbgrid")):
        raise AutoReconnect("the server is starting up, or recovering")
    server: dict[str, Any] = {
        "node": hello.get("me", ""),
        "life": _life(client, hello),
        "router": hello.get("msg") == "isdbgrid",
        "replica_set": "setName" in hello,
        "wire": hello["maxWireVersion"],
    }
    try:
        entry = _entry(client, database, collection)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return Facts("unknown", **server)
    if entry is None:
        return Facts("missing", **server)
    if entry["type"] != "collection":
        return Facts(entry["type"], **server)
    options = entry.get("options", {})
    uuid = entry.get("info", {}).get("uuid")
    return Facts(
        "collection",
        **server,
        **_statistics(client, database, collection),
        uuid=bytes(uuid).hex() if uuid is not None else None,
        clustered=bool(options.get("clusteredIndex")),
        capped=bool(options.get("capped")),
    )


def _life(client: MongoClient[Any], hello: Mapping[str, Any]) -> str:
    version = hello.get("topologyVersion")
    if version is None or "setName" not in hello:
        return ""
    try:
        rollbacks = client.admin.command("replSetGetRBID", read_preference=client.read_preference)["rbid"]
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        rollbacks = f"at change {version['counter']}"  # a rollback changes the member's state too
    return f"{version['processId']} {rollbacks}"


def _entry(client: MongoClient[Any], database: str, collection: str) -> Mapping[str, Any] | None:
    found = client[database].command(
        {"listCollections": 1, "filter": {"name": collection}}, read_preference=client.read_preference
    )
    return next(iter(found["cursor"]["firstBatch"]), None)


def _statistics(client: MongoClient[Any], database: str, collection: str) -> dict[str, Any]:
    try:
        found = client[database].command("collStats", collection, read_preference=client.read_preference)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return {}
    return {
        "documents": found.get("count"),
        "mean": found.get("avgObjSize") or None,
        "file": found.get("wiredTiger", {}).get("uri"),
    }
