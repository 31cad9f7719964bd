"""How a query is read: in which order, in how many lanes, at which moment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import bson
from bson.timestamp import Timestamp
from pymongo import MongoClient

from levada.connectors.base import Query
from levada.connectors.mongodb import identity
from levada.connectors.mongodb.namespace import Facts
from levada.connectors.mongodb.orders import ById, Command, Natural, Order, Whole
from levada.connectors.mongodb.raw import RAW
from levada.errors import ConfigError

Kind = Literal["whole", "natural", "id"]

#: The key of a scan in a position; lanes are `scan.0`, `scan.1`, ...
SCAN = "scan"

_SAMPLES = 200  # documents drawn for every lane


def choose(query: Query, facts: Facts, *, tracked: bool, indexed: Callable[[], bool]) -> Kind:
    """The order to read in.

    Args:
        query: what is read.
        facts: of the collection.
        tracked: whether rows must come in the order of their time.
        indexed: whether the server would read the query by an index; asked only where it decides.

    Raises:
        ConfigError: the query asks for an order that it can't have.
    """
    wants_id = query.order == "id" or query.lanes > 1
    if tracked or query.pipeline or facts.kind != "collection":
        if wants_id and facts.kind != "missing":
            raise ConfigError(
                "only the documents of a collection can be read in the order of _id or in lanes, "
                "not a pipeline, a view or an increment",
                hint="leave out `order` and `lanes`",
            )
        return "whole"
    if wants_id:
        return "id"
    if not query.resumable and indexed():
        return "whole"
    stored = facts.file is not None or not query.resumable
    return "natural" if facts.tokens and stored else "id"


def begin(kind: Kind, command: Command, facts: Facts, edges: list[bytes]) -> dict[str, Order]:
    """Lane -> its order, from the start."""
    if kind == "whole":
        return {SCAN: Whole(command)}
    if kind == "natural":
        return {SCAN: Natural(command, facts)}
    if not edges:
        return {SCAN: ById(command, facts)}
    ranges = zip([None, *edges], [*edges, None], strict=True)
    return {f"{SCAN}.{at}": ById(command, facts, low, high) for at, (low, high) in enumerate(ranges)}


def edges(client: MongoClient[Any], database: str, collection: str, lanes: int) -> list[bytes]:
    """Keys that cut a collection into about equal ranges of `_id`, by a sample; fewer if it is small.

    The first range is open below and the last above, so that they cover every BSON type.
    """
    if lanes < 2:
        return []
    stages = [
        {"$sample": {"size": _SAMPLES * lanes}},
        {"$bucketAuto": {"groupBy": "$_id", "buckets": lanes}},
        {"$project": {"_id": "$_id.min"}},
    ]
    command = {"aggregate": collection, "pipeline": stages, "cursor": {}}
    answer = client[database].command(command, read_preference=client.read_preference, codec_options=RAW)
    return [identity.id_of(bucket.raw) for bucket in answer["cursor"]["firstBatch"]][1:]


def indexed(client: MongoClient[Any], database: str, command: Command) -> bool:
    """Whether the server reads it by an index: then natural order would cost a whole scan."""
    explain = {"explain": command, "verbosity": "queryPlanner"}
    answer = client[database].command(explain, read_preference=client.read_preference)
    return "COLLSCAN" not in _stages(answer.get("queryPlanner", {}).get("winningPlan"))


def _stages(plan: Any) -> set[str]:
    found: set[str] = set()
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            found.add(str(node.get("stage")))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def moment(client: MongoClient[Any], facts: Facts) -> Timestamp:
    """The time of a snapshot that begins now.

    Raises:
        ConfigError: the server has no snapshots of this collection.
    """
    if not (facts.replica_set or facts.router):
        raise ConfigError(
            "a consistent read needs a replica set, and this is a standalone server",
            hint="start it with --replSet (one member is enough), or leave out `consistent`",
        )
    if facts.capped:
        raise ConfigError("a capped collection has no snapshots", hint="leave out `consistent`")
    now: Timestamp = client.admin.command("ping", read_preference=client.read_preference)["operationTime"]
    return now


def fingerprint(command: Command) -> str:
    """Tells queries apart, so that a position is not used with another one."""
    what = [command.get("filter"), command.get("projection"), command.get("collation")]
    raw = bson.encode({"what": what}, codec_options=RAW)
    return hashlib.sha256(raw + json.dumps(command.get("find")).encode()).hexdigest()[:16]
