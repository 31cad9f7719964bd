"""Keys that are looked for once more before rows are removed."""

from __future__ import annotations

from pathlib import Path

from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

import levada

from .scan_servers import Document, Mongod, until


def test_a_secondary_that_lags_removes_nothing(
    mongod: str, mongo: MongoClient[Document], database: str, tmp_path: Path
) -> None:
    members = [Mongod(tmp_path / name, "--setParameter", "enableTestCommands=1") for name in ("1", "2")]
    for member in members:
        member.start()
    passive = {"_id": 1, "host": members[1].address, "priority": 0}
    config = {"_id": "rs0", "members": [{"_id": 0, "host": members[0].address}, passive]}
    source = f"mongodb://{members[0].address}/shop.rows?replicaSet=rs0&readPreference=secondary"
    target = mongod.replace("/?", f"/{database}.dst?")
    try:
        with members[0].client() as client:
            client.admin.command("replSetInitiate", config)
            until(lambda: client.admin.command("hello")["isWritablePrimary"])
            rows = client.get_database("shop", write_concern=WriteConcern(1))["rows"]
            rows.insert_many([{"_id": n} for n in range(10)])
            with members[1].client() as second:
                until(lambda: second["shop"]["rows"].count_documents({}) == 10)
                second.admin.command("configureFailPoint", "rsSyncApplyStop", mode="alwaysOn")
            rows.insert_many([{"_id": n} for n in range(10, 20)])
            mongo[database]["dst"].insert_many([{"_id": n} for n in range(20)])
            rows.delete_many({"_id": {"$gte": 18}})
            done = levada.copy(source, target, mode="upsert", key="_id", deletes="compare")
            assert done.rows == 10  # the secondary knows no more yet
            assert done.values["deleted"] == 2
            assert mongo[database]["dst"].count_documents({"_id": {"$lt": 18}}) == 18
    finally:
        for member in members:
            member.kill()
