"""Levada's side of the benchmark: one scenario per call, figures as JSON.

python ours.py SCENARIO URI NAMESPACE [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake  # noqa: F401 - both sides import before the clock starts
import pyarrow as pa
from pymongo import MongoClient

import levada
from levada.bson import split_reply
from levada.connectors.base import Query, Table
from levada.connectors.mongodb import MongoConnection, scan  # noqa: F401
from levada.connectors.mongodb.raw import RAW

sys.path.insert(0, str(Path(__file__).parents[1]))

from scenarios import timed


def address(uri: str, namespace: str) -> str:
    server, _, options = uri.partition("/?")
    return f"{server}/{namespace}?{options}"


def replies(uri: str, namespace: str, _folder: str | None) -> int:
    """Raw replies, thrown away: what the server and the driver can deliver."""
    database, _, collection = namespace.partition(".")
    with MongoClient[dict[str, Any]](uri) as client, client.start_session() as session:
        rows = client[database][collection].estimated_document_count()
        command: dict[str, Any] = {"find": collection, "batchSize": 5_000}
        while True:
            answer = client[database].command(command, session=session, codec_options=RAW)
            number = split_reply(bytes(answer.raw)).cursor_id
            if not number:
                return rows
            command = {"getMore": number, "collection": collection, "batchSize": 5_000}


def arrow(uri: str, namespace: str, _folder: str | None) -> int:
    table = levada.read(address(uri, namespace)).read_all()
    return int(table.num_rows)


def batches(uri: str, namespace: str, _folder: str | None) -> int:
    """Arrow batches as they stream by."""
    from levada.connectors.addresses import Addresses

    addresses = Addresses(None)
    table: Table = addresses.table(address(uri, namespace))
    source = addresses.connection(table.connection).source(table, Query())
    rows = sum(batch.data.num_rows for batch in source.read(None, None))
    addresses.close()
    return rows


def lake(uri: str, namespace: str, folder: str | None) -> int:
    return levada.copy(address(uri, namespace), f"file://{folder}/lake", mode="replace").rows


SCENARIOS: dict[str, Callable[[str, str, str | None], int]] = {
    "replies": replies,
    "batches": batches,
    "arrow": arrow,
    "lake": lake,
}


def main() -> None:
    scenario, uri, namespace, *folder = sys.argv[1:]
    pa.array([1])
    timed(lambda: SCENARIOS[scenario](uri, namespace, folder[0] if folder else None))


if __name__ == "__main__":
    main()
