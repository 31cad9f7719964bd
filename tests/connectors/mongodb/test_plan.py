"""What a sink would do, told beforehand, and done so."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from levada.connectors.base import Changes, Mode, Query, Table, Write, WritePlan
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.watchers import streams_on
from levada.errors import ConfigError

from .applying import MANY, OUT, OWNER, Document
from .conftest import DAY, Start, batch

TIMED = Table("source", "out", time="at")


def plan(connection: MongoConnection, mode: Mode, table: Table = OUT, **options: Any) -> WritePlan:
    sink: Any = connection.sink(table)
    found = sink.plan(Write(table, mode, OWNER, **options))
    assert isinstance(found, WritePlan)
    return found


def test_a_plan_changes_nothing(connection: MongoConnection, db: Database[Document]) -> None:
    for mode in Mode:
        plan(connection, mode, TIMED, key=("k",), window=DAY)
    assert db.list_collection_names() == []


def test_appends(connection: MongoConnection, db: Database[Document]) -> None:
    told = plan(connection, Mode.APPEND)
    assert told.how == "insert, in transactions of up to 2,000 rows or 4 MB"
    assert told.readers == "rows as they come"
    assert told.notes == (f"{db.name}.out would be created",)
    told = plan(connection, Mode.APPEND, window=DAY)
    assert told.notes[-1] == "rows of this step and window, by _levada_window, are removed first"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "it has a validator: rows that it refuses go to quarantine, the others are stored"),
        ({"validationAction": "warn"}, "it has a validator that only warns: rows that break it are stored"),
        ({"validationLevel": "off"}, None),
    ],
)
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
def test_a_validator_is_told(
    connection: MongoConnection, db: Database[Document], options: Document, says: str | None, mode: Mode
) -> None:
    db.create_collection("out", validator={"$jsonSchema": {"required": ["name"]}}, **options)
    told = [note for note in plan(connection, mode, key=("k",)).notes if "validator" in note]
    assert told == ([says] if says else [])
    writer = connection.sink(OUT).open(Write(OUT, mode, OWNER, ("k",)))
    writer.write(batch({"k": 1, "name": "one"}, {"k": 2}))
    done = writer.commit(None)
    refused = bool(says and "quarantine" in says)
    assert (done.rows, len(done.rejected), db["out"].count_documents({})) == (
        2 - refused,
        refused,
        2 - refused,
    )


def test_a_swap_and_the_streams_it_would_end(connection: MongoConnection, db: Database[Document]) -> None:
    db["out"].insert_many([{"k": number} for number in range(3000)])
    told = plan(connection, Mode.REPLACE)
    assert told.how.startswith("stage and swap")
    assert told.readers == "the old rows or the new ones, whole"
    assert told.notes[0] == f"{db.name}.out has about 3,000 rows"
    with db["out"].watch(), db["out"].watch(), db.watch(), db["other"].watch():
        told = plan(connection, Mode.REPLACE)
    assert told.how == (
        "delete and insert, because a swap would end 2 change streams on it, "
        "in transactions of up to 2,000 rows or 4 MB"
    )
    assert told.readers == "all rows go, then come again"
    with db["out"].watch():
        db["out"].delete_many({"k": {"$gt": 10}})
        told = plan(connection, Mode.REPLACE)
    assert "a swap would end 1 change stream on it: one transaction if not more than 2,000" in told.how


def test_a_stream_that_waits_for_a_change_is_counted_too(
    connection: MongoConnection, db: Database[Document]
) -> None:
    def wait() -> None:
        with db["out"].watch(max_await_time_ms=60_000) as stream:
            stream.next()

    db.create_collection("out")
    waiting = threading.Thread(target=wait)
    waiting.start()
    reading = {"op": "getmore", "ns": f"{db.name}.out"}
    deadline = time.monotonic() + 30
    while not list(db.client.admin.aggregate([{"$currentOp": {}}, {"$match": reading}])):
        assert time.monotonic() < deadline
    assert streams_on(db.client, db.name, "out") == 1
    db["out"].insert_one({})
    waiting.join()
    assert streams_on(db.client, db.name, "out") == 0


@pytest.mark.parametrize("n", [10, MANY])
@pytest.mark.parametrize("inside", [False, True], ids=["through here", "inside the server"])
def test_replacing_a_watched_collection_keeps_its_stream_alive(
    connection: MongoConnection, db: Database[Document], n: int, inside: bool
) -> None:
    db["out"].insert_many([{"_id": f"old {number}"} for number in range(n)])
    rows = [{"_id": number} for number in range(n)]
    db["source"].insert_many(rows)
    sink: Any = connection.sink(OUT)
    write = Write(OUT, Mode.REPLACE, OWNER)
    with db["out"].watch(max_await_time_ms=100) as stream:
        if inside:
            written = sink.merge_pipeline(write, Table("source", f"{db.name}.source"), Query(), None, None)
        else:
            writer = sink.open(write)
            writer.write(batch(*rows))
            written = writer.commit(None)
        assert (written.rows, written.replaced, written.rejected) == (n, n, ())
        kinds = [stream.next()["operationType"] for _ in range(2 * n)]
        assert (kinds.count("delete"), kinds.count("insert")) == (n, n)
        assert stream.alive
    assert sorted(row["_id"] for row in db["out"].find()) == list(range(n))


def test_windows(connection: MongoConnection, db: Database[Document]) -> None:
    told = plan(connection, Mode.REPLACE_WINDOW, TIMED, window=DAY)
    assert told.how.startswith("delete and insert: one transaction if not more than 2,000 rows")
    assert told.readers == "the rows of the window by at change at once, or go and come again"
    with pytest.raises(ConfigError, match="needs the table's time column"):
        plan(connection, Mode.REPLACE_WINDOW, window=DAY)


def test_upserts_and_their_index(connection: MongoConnection, db: Database[Document]) -> None:
    rules = Changes("op", "v", "deep")
    told = plan(connection, Mode.UPSERT, key=("a", "b"), changes=rules)
    assert told.how == "changes by a, b, in transactions of up to 2,000 rows or 4 MB"
    assert told.readers == "rows change as they come"
    command = "db.getCollection('out').createIndex({'a': 1, 'b': 1}, {unique: true})"
    assert told.notes == (
        f"{db.name}.out would be created",
        f"a unique index on a, b would be created: {command}",
        "op says what happens to each row, and is not stored",
        "rows whose v is lower than the stored one's change nothing",
        "merge deep: other fields of stored rows stay",
        "rows that are stored like that already are not written",
    )
    db["out"].create_index([("b", 1), ("a", 1)])
    (note,) = [note for note in plan(connection, Mode.UPSERT, key=("a", "b")).notes if "index" in note]
    assert note.startswith("rows are found by index b_1_a_1, which is not unique")
    db["out"].create_index("a", unique=True)
    (note,) = [note for note in plan(connection, Mode.UPSERT, key=("a", "b")).notes if "index" in note]
    assert note == "rows are found by index b_1_a_1"
    (note,) = [note for note in plan(connection, Mode.UPSERT, key=("_id",)).notes if "index" in note]
    assert note == "rows are found by index _id_"
    with pytest.raises(ConfigError, match="needs a key"):
        plan(connection, Mode.UPSERT)


def test_views_and_time_series(connection: MongoConnection, db: Database[Document]) -> None:
    db.create_collection("out", viewOn="rows")
    assert plan(connection, Mode.APPEND).notes == (f"{db.name}.out is a view: it will be refused",)
    db.drop_collection("out")
    db.create_collection("out", timeseries={"timeField": "at"})
    assert "it takes no transactions" in plan(connection, Mode.APPEND).notes[1]
    assert plan(connection, Mode.REPLACE).how.startswith("refused: time series")


def test_a_server_without_transactions_and_a_user_without_rights(
    start: Start, database: str, tmp_path: Any
) -> None:
    host = start()
    settings = MongoSettings.model_validate({"uri": f"mongodb://{host}", "database": database})
    standalone = MongoConnection("source", settings, tmp_path)
    standalone.database()["out"].insert_one({})
    told = plan(standalone, Mode.REPLACE)
    assert told.how.startswith("stage and swap")
    assert told.notes[1].startswith("this server has no transactions: a killed write leaves a part")
    standalone.close()


def test_a_user_without_rights_over_others_plans_and_replaces(
    start: Start, database: str, tmp_path: Any
) -> None:
    host = start("--auth")
    with MongoClient[Document](f"mongodb://{host}") as admin:
        admin.admin.command("createUser", "root", pwd="root", roles=["root"])
    with MongoClient[Document](f"mongodb://root:root@{host}") as admin:
        role = {"role": "readWrite", "db": database}
        admin[database].command("createUser", "least", pwd="least", roles=[role])
        admin[database]["out"].insert_one({"_id": "old"})
    uri = f"mongodb://least:least@{host}/{database}"
    connection = MongoConnection("source", MongoSettings.model_validate({"uri": uri}), tmp_path)
    assert plan(connection, Mode.REPLACE).how.startswith("stage and swap")
    writer = connection.sink(OUT).open(Write(OUT, Mode.REPLACE, OWNER))
    writer.write(batch({"_id": "new"}))
    assert writer.commit(None).rows == 1
    assert [row["_id"] for row in connection.database()["out"].find()] == ["new"]
    connection.close()
