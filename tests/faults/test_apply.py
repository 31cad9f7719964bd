"""Changes of stored rows while the primary steps down."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from levada.batches import Batch
from levada.bson import Documents, to_canonical
from levada.connectors.base import Changes, Mode, Table, Write, Written
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.errors import Retriable
from levada.positions import Position

from .conftest import Document, Server, until

OUT = Table("target", "shop.out", ("k",))
ROWS = 24_000
PART = 3_000


def rows(turn: int) -> list[Document]:
    """Every third row is new in each turn, every fourth is deleted, the others change."""
    kinds = {0: "delete", 1: "upsert", 2: "upsert", 3: "update"}
    return [
        {"op": kinds[number % 4], "k": number, "v": turn, "turn": turn}
        for number in range(ROWS)
        if turn > 0 or number % 3
    ]


def expected() -> dict[int, int]:
    """After turn 0, in which all are inserted, and turn 1."""
    there = {row["k"] for row in rows(0)}
    return {n: 1 for n in range(ROWS) if n % 4 in (1, 2) or (n % 4 == 3 and n in there)}


def deliver(connection: MongoConnection, documents: list[Document], sequence: int) -> Written:
    changes = Changes(operation="op", version="v")
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, "daily/apply", ("k",), changes=changes))
    try:
        for start in range(0, ROWS, PART):
            raws = [bson.encode(row) for row in documents[start : start + PART]]
            writer.write(Batch(to_canonical(Documents.from_list(raws))))
        return writer.commit(Position({"": sequence}, sequence))
    except BaseException:
        writer.abort()
        raise


@pytest.mark.parametrize("kill", [False, True], ids=["step-down", "kill -9"])
def test_changes_end_right_whatever_happens_to_the_primary(
    server: Server, tmp_path: Path, kill: bool
) -> None:
    settings = MongoSettings.model_validate({"uri": server.uri})
    connection = MongoConnection("target", settings, tmp_path)
    out: Any = connection.database("shop")["out"]
    deliver(connection, [{**row, "op": "insert"} for row in rows(0)], 1)
    disturbed = threading.Event()

    def disturb() -> None:
        with MongoClient[Document](server.uri) as client:
            until(lambda: client["shop"]["out"].count_documents({"turn": 1}, limit=2_000) == 2_000)
            if kill:
                server.kill()
                server.start()
            else:
                with suppress(AutoReconnect):
                    client.admin.command("replSetStepDown", 1, force=True)
            disturbed.set()

    thread = threading.Thread(target=disturb)
    thread.start()
    attempts = 0
    while True:
        attempts += 1
        try:
            deliver(connection, rows(1), 2)
            break
        except Retriable:
            assert attempts < 20
            until(lambda: _writable(connection))
    thread.join()
    assert disturbed.is_set()
    found = list(out.find())
    assert {row["k"]: row["turn"] for row in found} == expected()
    assert len(found) == len(expected())
    assert connection.sink(OUT).position("daily/apply") == Position({"": 2}, 2)
    connection.close()


def _writable(connection: MongoConnection) -> bool:
    try:
        return bool(connection.client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False
