"""Shorthands for tests that apply changes: rows with an operation go in, what is stored comes out."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from levada.connectors.base import Changes, Mode, Table, Write, Written
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.rows import CHUNK_ROWS
from levada.positions import Position

from .conftest import batch

Document = dict[str, Any]

OUT = Table("source", "out")
OWNER = "daily/apply"
MANY = CHUNK_ROWS + 500  # does not fit one transaction
OPS = Changes(operation="op")


def apply(
    connection: MongoConnection,
    *parts: list[Document],
    key: tuple[str, ...] = ("k",),
    changes: Changes = OPS,
    position: Position | None = None,
) -> Written:
    """One write; each part is a batch."""
    writer = connection.sink(OUT).open(Write(OUT, Mode.UPSERT, OWNER, key, changes=changes))
    try:
        for part in parts:
            writer.write(batch(*part))
        return writer.commit(position)
    except BaseException:
        writer.abort()
        raise


def stored(db: Database[Document], *, ids: bool = False) -> list[Document]:
    """What is stored, by the key `k`."""
    rows = db["out"].find({}, None if ids else {"_id": 0})
    return sorted(rows, key=lambda row: str(row.get("k")))


def filler(n: int = MANY) -> list[Document]:
    """Rows under other keys, so that a write does not fit one transaction."""
    return [{"k": f"filler {number:06d}", "n": number} for number in range(n)]
