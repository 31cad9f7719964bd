"""Change streams that would end if a collection were renamed over."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure


def streams_on(client: MongoClient[Any], database: str, collection: str) -> int | None:
    """How many change streams watch this collection; None if this user may not see those of others.

    Streams on a whole database or deployment go on after a rename, so they are not counted. A stream between
    two reads is an idle cursor; one that waits in a read is an operation.
    """
    watching = {
        "ns": f"{database}.{collection}",
        "cursor.originatingCommand.pipeline.0.$changeStream": {"$exists": True},
    }
    for everyone in (True, False):
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": everyone, "idleCursors": True}},
            {"$match": watching},
            {"$group": {"_id": "$cursor.cursorId"}},
            {"$count": "streams"},
        ]
        try:
            found = list(client.admin.aggregate(stages))
        except OperationFailure:
            continue  # not every user, and not every deployment, may look
        streams = int(found[0]["streams"]) if found else 0
        return streams if everyone or streams else None
    return None
