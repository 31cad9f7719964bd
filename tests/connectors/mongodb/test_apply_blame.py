"""Which change is blamed for what the server does not take, and what becomes of the row that it meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from pymongo import MongoClient
from pymongo.database import Database

from levada.connectors.base import Changes
from levada.connectors.mongodb import MongoConnection, MongoSettings, fields
from levada.connectors.mongodb.raw import parsed

from .applying import apply, filler, stored
from .conftest import Start

Document = dict[str, Any]
FIELDS = Changes(merge="fields")


@pytest.mark.parametrize("more", [0, 2_500], ids=["at once", "streamed"])
def test_of_several_changes_of_a_key_only_the_refused_one_is_set_aside(
    connection: MongoConnection, db: Database[Document], more: int
) -> None:
    db.create_collection("out", validator={"v": {"$ne": 13}})
    rows: list[Document] = [{"k": "a", "v": 1}, {"k": "a", "v": 13}, {"k": "a", "w": 2}]
    written = apply(connection, [*rows, *filler(more)], changes=FIELDS)
    assert len(written.rejected) == 1
    assert stored(db)[0] == {"k": "a", "v": 1, "w": 2}


@pytest.fixture
def standalone(start: Start, tmp_path: Path) -> Iterator[MongoConnection]:
    settings = MongoSettings.model_validate({"uri": f"mongodb://{start()}", "database": "shop"})
    connection = MongoConnection("source", settings, tmp_path)
    yield connection
    connection.close()


def test_without_transactions_a_row_stays_whose_successor_is_refused(standalone: MongoConnection) -> None:
    client: MongoClient[Document] = standalone.client
    db = client["shop"]
    db.create_collection("out", validator={"bad": {"$exists": False}})
    twice = encode({"_id": 1, "k": 1, "$x": 1, "r": 1})[4:-1] + encode({"r": 2})[4:-1]
    db.command("insert", "out", documents=[parsed(fields.framed(twice))])
    written = apply(standalone, [{"k": 1, "bad": 1}], changes=FIELDS)
    assert len(written.rejected) == 1
    assert db["out"].count_documents({"k": 1}) == 1
