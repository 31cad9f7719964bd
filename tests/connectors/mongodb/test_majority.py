"""Writes while most servers of a replica set can't take them, and the primary stays one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import client_session_shared

from levada.connectors.base import Changes
from levada.connectors.mongodb import MongoConnection, fence
from levada.errors import Retriable
from levada.positions import Position

from .applying import MANY, OUT, OWNER, apply, filler
from .scan_servers import Mongod, connect, until


@pytest.fixture
def members(tmp_path: Path, mongod: str) -> Iterator[list[Mongod]]:
    """A primary, a secondary and an arbiter."""
    made = [Mongod(tmp_path / name) for name in ("primary", "secondary", "arbiter")]
    for member in made:
        member.start()
    config = [{"_id": at, "host": member.address} for at, member in enumerate(made)]
    config[0]["priority"] = 5
    config[2]["arbiterOnly"] = True
    with made[0].client() as client, made[1].client() as second:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": config})
        until(lambda: client.admin.command("hello")["isWritablePrimary"])
        until(lambda: second.admin.command("hello")["secondary"])
    yield made
    for member in made:
        member.kill()


@pytest.fixture
def shop(members: list[Mongod], tmp_path: Path) -> Iterator[MongoConnection]:
    made = connect(f"mongodb://{members[0].address}/?replicaSet=rs0", "shop", tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("rows", [10, MANY], ids=["at once", "streamed"])
def test_a_lost_secondary_ends_a_write_and_later_it_is_done_again(
    members: list[Mongod], shop: MongoConnection, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    apply(shop, [{"k": -1}], changes=Changes(), position=Position({"": 1}, 1))
    monkeypatch.setattr(fence, "MAJORITY_SECONDS", 1)
    monkeypatch.setattr(client_session_shared, "_WITH_TRANSACTION_RETRY_TIME_LIMIT", 1)
    members[1].kill()
    with pytest.raises(Retriable, match="most servers of the replica set"):
        apply(shop, filler(rows), changes=Changes(), position=Position({"": 2}, 2))
    monkeypatch.undo()
    members[1].start()
    apply(shop, filler(rows), changes=Changes(), position=Position({"": 3}, 3))
    assert shop.database()[OUT.name].count_documents({}) == rows + 1
    assert shop.sink(OUT).position(OWNER) == Position({"": 3}, 3)
