"""A MongoDB connection on the shared mongod, and shorthands for moving rows through it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from pymongo import MongoClient
from pymongo.database import Database

from levada.batches import Batch
from levada.bson import Documents, to_canonical
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.windows import Window

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def connection(mongod: str, database: str, tmp_path: Path) -> Iterator[MongoConnection]:
    settings = MongoSettings.model_validate({"uri": mongod, "database": database})
    connection = MongoConnection("source", settings, tmp_path)
    yield connection
    connection.close()


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    return mongo[database]


def batch(*documents: dict[str, Any]) -> Batch:
    """Documents as a canonical batch."""
    return Batch(to_canonical(Documents.from_list([encode(document) for document in documents])))
