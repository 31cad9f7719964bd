"""Long commands that an earlier writer of the same owner may still be running in the server."""

from __future__ import annotations

import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from levada.connectors.mongodb.fence import Fence
from levada.errors import Retriable

STOP_SECONDS = 30.0


def stop_earlier(client: MongoClient[Any], fence: Fence) -> None:
    """Kill the server-side copies of earlier writers of this owner, and wait until they are gone.

    Raises:
        Retriable: one does not end.
    """
    deadline = time.monotonic() + STOP_SECONDS
    while running := _running(client, fence):
        if time.monotonic() > deadline:
            raise Retriable(
                f"operation {running[0]} of an earlier run does not end",
                hint=f"kill it: db.killOp({running[0]!r})",
            )
        for operation in running:
            client.admin.command("killOp", op=operation)
        time.sleep(0.02)


def _running(client: MongoClient[Any], fence: Fence) -> list[Any]:
    """Operations with the comment of another writer of this owner and collection, this user's only."""
    start = fence.comment_of_owner
    stages: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": False}},
        {"$match": {"command.comment": {"$gte": start, "$lt": start + "~", "$ne": fence.comment}}},
        {"$project": {"opid": 1}},
    ]
    try:
        return [found["opid"] for found in client.admin.aggregate(stages)]
    except OperationFailure:
        return []  # not every deployment shows them; the guard in the command itself remains
