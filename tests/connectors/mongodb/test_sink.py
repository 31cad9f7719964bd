from __future__ import annotations

from datetime import timedelta
from typing import Any

import bson
import pytest
from bson.objectid import ObjectId
from pymongo.database import Database

from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write, Writer, Written
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.rows import CHUNK_ROWS
from levada.errors import ConfigError, Fenced
from levada.positions import Position
from levada.windows import Window

from .conftest import DAY, batch
from .test_scan import every_type

OUT = Table("source", "out", ("_id",), "at")
OWNER = "daily/load"
HOUR = timedelta(hours=1)
MANY = CHUNK_ROWS + 500  # does not fit one transaction

Document = dict[str, Any]


def write(
    connection: MongoConnection,
    mode: Mode,
    *parts: list[Document],
    key: tuple[str, ...] = ("_id",),
    window: Window | None = None,
    position: Position | None = None,
) -> Written:
    writer = connection.sink(OUT).open(Write(OUT, mode, OWNER, key, window))
    for part in parts:
        writer.write(batch(*part))
    return writer.commit(position)


def write_and_commit(writer: Writer, rows: Batch) -> Written:
    writer.write(rows)
    return writer.commit(Position({}, 1))


def stored(db: Database[Document]) -> list[Document]:
    return list(db["out"].find().sort("_id"))


def many(n: int = MANY, **fields: Any) -> list[Document]:
    return [{"_id": number, "at": DAY.start + timedelta(seconds=number), **fields} for number in range(n)]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("filler", [0, MANY], ids=["at once", "streamed"])
def test_every_bson_type_arrives_byte_for_byte(
    connection: MongoConnection, db: Database[Document], mode: Mode, filler: int
) -> None:
    documents = [{**every_type(), "at": DAY.start}, *many(filler)]
    window = DAY if mode is Mode.REPLACE_WINDOW else None
    written = write(connection, mode, documents, window=window)
    assert written.rows == len(documents)
    raw = db.get_collection("out", bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument))
    found = raw.find_one({"_id": documents[0]["_id"]})
    assert found is not None
    assert bytes(found.raw) == bson.encode(documents[0])


@pytest.mark.parametrize("filler", [0, MANY], ids=["at once", "streamed"])
@pytest.mark.parametrize("mode", [Mode.REPLACE, Mode.REPLACE_WINDOW])
def test_the_first_of_two_rows_with_one_id_stays_and_the_other_is_rejected(
    connection: MongoConnection, db: Database[Document], mode: Mode, filler: int
) -> None:
    first, second = {"_id": -1, "at": DAY.start, "n": 1}, {"_id": -1, "at": DAY.start, "n": 2}
    rows = many(filler)
    written = write(connection, mode, [first, *rows], [second], window=DAY)
    assert written.rows == filler + 1
    assert [each.raw for each in written.rejected] == [bson.encode(second)]
    assert written.rejected[0].reason.startswith("duplicate key")
    found = db["out"].find_one({"_id": -1})
    assert found is not None
    assert found["n"] == 1


def test_a_whole_batch_of_doubled_rows_is_rejected_and_counted(
    connection: MongoConnection, db: Database[Document]
) -> None:
    written = write(connection, Mode.REPLACE_WINDOW, many(), many(n=1200), window=DAY)
    assert written.rows == MANY
    assert len(written.rejected) == 1200
    assert db["out"].count_documents({}) == MANY


@pytest.mark.parametrize("n", [10, MANY], ids=["at once", "streamed"])
def test_a_row_that_moved_into_the_window_leaves_its_old_place(
    connection: MongoConnection, db: Database[Document], n: int
) -> None:
    db["out"].insert_many([{"_id": 3, "at": DAY.end, "old": True}, {"_id": "x", "at": DAY.end}])
    written = write(connection, Mode.REPLACE_WINDOW, many(n), window=DAY)
    assert written.rows == n
    assert written.replaced == 1
    assert written.rejected == ()
    assert db["out"].find_one({"_id": 3}) == {"_id": 3, "at": DAY.start + timedelta(seconds=3)}
    assert db["out"].count_documents({}) == n + 1


@pytest.mark.parametrize("n", [10, MANY], ids=["at once", "streamed"])
@pytest.mark.parametrize("mode", [Mode.REPLACE_WINDOW, Mode.UPSERT, Mode.APPEND, Mode.REPLACE])
def test_what_the_validator_refuses_is_rejected_and_the_rest_stored(
    connection: MongoConnection, db: Database[Document], mode: Mode, n: int
) -> None:
    db.create_collection("out", validator={"bad": {"$exists": False}})
    rows = many(n)
    for at in (0, 5, n - 1):
        rows[at]["bad"] = 1
    written = write(connection, mode, rows, window=DAY if mode is Mode.REPLACE_WINDOW else None)
    assert written.rows == n - 3
    assert {bson.decode(each.raw)["_id"] for each in written.rejected} == {0, 5, n - 1}
    assert all("121" in each.reason for each in written.rejected)
    assert db["out"].count_documents({}) == n - 3


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
@pytest.mark.parametrize("rows", [10, MANY], ids=["at once", "streamed"])
def test_where_the_server_takes_no_row_nothing_is_replaced_and_no_position_moves_on(
    connection: MongoConnection, db: Database[Document], mode: Mode, rows: int
) -> None:
    db.create_collection("out", validator={"good": True})
    db["out"].insert_one({"_id": -1, "good": True})
    written = write(connection, mode, many(rows), position=Position({}, 1))
    assert (written.rows, len(written.rejected)) == (0, rows)
    assert [each["_id"] for each in stored(db)] == [-1]
    assert connection.sink(OUT).position(OWNER) is None


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.UPSERT, Mode.REPLACE_WINDOW])
def test_a_second_unique_index_rejects_by_name(
    connection: MongoConnection, db: Database[Document], mode: Mode
) -> None:
    db["out"].create_index("serial", unique=True)
    rows = [{**row, "serial": number // 2 if number < 4 else number} for number, row in enumerate(many(10))]
    written = write(connection, mode, rows, window=DAY if mode is Mode.REPLACE_WINDOW else None)
    rejected = {bson.decode(each.raw)["_id"] for each in written.rejected}
    assert len(rejected & {0, 1}) == len(rejected & {2, 3}) == 1
    assert len(rejected) == 2
    assert all("serial" in each.reason for each in written.rejected)
    assert written.rows == 8


def test_sixteen_megabytes_are_stored_and_one_byte_more_is_rejected(
    connection: MongoConnection, db: Database[Document]
) -> None:
    room = 16 * 1024 * 1024 - len(bson.encode({"_id": 1, "x": ""}))
    rows = [{"_id": 1, "x": "x" * room}, {"_id": 2, "x": "x" * (room + 1)}, {"_id": 3}]
    written = write(connection, Mode.REPLACE, rows)
    assert written.rows == 2
    assert [each.reason for each in written.rejected] == ["larger than 16777216 bytes"]
    assert sorted(row["_id"] for row in db["out"].find({}, {"_id": 1})) == [1, 3]


def test_replace_keeps_indexes_options_and_shows_old_or_new(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db.create_collection("out", validator={"at": {"$type": "date"}}, collation={"locale": "pt"})
    db["out"].create_index("at", name="by_time")
    db["out"].create_index("serial", unique=True, sparse=True)
    db["out"].insert_one({"_id": "old", "at": DAY.start})
    before = db["out"].index_information(), db["out"].options()
    writer = connection.sink(OUT).open(Write(OUT, Mode.REPLACE, OWNER))
    writer.write(batch(*many()))
    assert [row["_id"] for row in stored(db)] == ["old"]
    written = writer.commit(None)
    assert (written.rows, written.replaced) == (MANY, 1)
    assert (db["out"].index_information(), db["out"].options()) == before
    assert [row["_id"] for row in stored(db)] == list(range(MANY))
    assert [name for name in db.list_collection_names() if "stage" in name] == []


def test_upsert_by_a_business_key_keeps_the_stored_id(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many([{"_id": "old", "sku": "a", "n": 1, "gone": True}, {"_id": "other", "sku": "z"}])
    rows = [{"_id": "new", "sku": "a", "n": 2}, {"_id": "b", "sku": "b", "n": 3}]
    written = write(connection, Mode.UPSERT, rows, key=("sku",))
    assert (written.rows, written.replaced, written.rejected) == (2, 1, ())
    assert stored(db) == [
        {"_id": "b", "sku": "b", "n": 3},
        {"_id": "old", "sku": "a", "n": 2},
        {"_id": "other", "sku": "z"},
    ]
    assert db["out"].index_information()["sku_1"]["unique"]


@pytest.mark.parametrize("filler", [0, MANY], ids=["at once", "streamed"])
def test_the_last_of_several_rows_with_one_key_wins(
    connection: MongoConnection, db: Database[Document], filler: int
) -> None:
    rows = [{"_id": -1, "n": n} for n in range(5)]
    written = write(connection, Mode.UPSERT, rows[:3], many(filler), rows[3:])
    assert written.rows == filler + 1
    found = db["out"].find_one({"_id": -1})
    assert found is not None
    assert found["n"] == 4
    again = write(connection, Mode.UPSERT, rows[:3], many(filler), rows[3:])
    assert (again.rows, again.replaced) == (filler + 1, filler + 1)


def test_a_key_is_a_value_and_never_a_condition(connection: MongoConnection, db: Database[Document]) -> None:
    db["out"].insert_one({"_id": 1, "sku": "a"})
    rows: list[Document] = [
        {"sku": {"$gt": ""}, "n": 1},
        {"$set": {"x": 1}, "sku": "b"},
        {"sku": None},
        {"n": 2},
    ]
    for _ in range(2):  # new, then stored already
        written = write(connection, Mode.UPSERT, rows, key=("sku",))
        assert {each.reason for each in written.rejected} == {"key sku is null or missing"}
        assert (written.rows, len(written.rejected)) == (2, 2)
        found = [{name: row[name] for name in row if name != "_id"} for row in stored(db)]
        assert sorted(found, key=len) == [{"sku": "a"}, *rows[:2]]
    rows[1]["$set"] = {"x": 2}
    write(connection, Mode.UPSERT, rows, key=("sku",))
    assert db["out"].find_one({"_id": 1}) == {"_id": 1, "sku": "a"}
    changed = db["out"].find_one({"sku": "b"}, {"_id": 0})
    assert changed == rows[1]


def test_an_index_on_the_key_that_cannot_be_made_is_named(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many([{"sku": "a"}, {"sku": "a"}])
    with pytest.raises(ConfigError, match=r"createIndex\(\{'sku': 1\}\)") as told:
        write(connection, Mode.UPSERT, [{"sku": "b"}], key=("sku",))
    assert told.value.what.endswith("can't be created: several documents have sku: 'a'")
    db["out"].create_index("sku")
    assert write(connection, Mode.UPSERT, [{"sku": "b"}], key=("sku",)).rows == 1


@pytest.mark.parametrize("n", [10, MANY], ids=["at once", "streamed"])
def test_an_append_with_ids_of_its_own_can_be_repeated(
    connection: MongoConnection, db: Database[Document], n: int
) -> None:
    write(connection, Mode.APPEND, many(n))
    changed = many(n)
    changed[3]["changed"] = True
    written = write(connection, Mode.APPEND, changed)
    assert written.rows == n - 1
    assert [each.raw for each in written.rejected] == [bson.encode(changed[3])]
    assert stored(db) == many(n)


def test_appends_without_ids_and_windows_all_stay(
    connection: MongoConnection, db: Database[Document]
) -> None:
    rows = [{"n": number} for number in range(MANY)]
    for _ in range(2):
        assert write(connection, Mode.APPEND, rows).rows == MANY
    assert db["out"].count_documents({}) == 2 * MANY
    assert all(isinstance(row["_id"], ObjectId) for row in db["out"].find({}, {"_id": 1}))


def test_what_an_unfinished_append_has_left_is_removed(
    connection: MongoConnection, db: Database[Document]
) -> None:
    rows = [{"n": number} for number in range(3 * MANY)]
    write(connection, Mode.APPEND, rows[:5])
    writer = connection.sink(OUT).open(Write(OUT, Mode.APPEND, OWNER))
    writer.write(batch(*rows))
    writer._stream([], last=True).drain()  # type: ignore[attr-defined]
    assert db["out"].count_documents({}) == 3 * MANY + 5
    assert write(connection, Mode.APPEND, rows[5:10]).rows == 5
    assert sorted(row["n"] for row in stored(db)) == list(range(10))


def test_a_window_tag_that_comes_with_the_rows_is_not_kept(
    connection: MongoConnection, db: Database[Document]
) -> None:
    write(connection, Mode.APPEND, [{"_id": 1, "_levada_window": "another"}], window=DAY)
    (row,) = stored(db)
    assert row == {"_id": 1, "_levada_window": f"{OWNER} {DAY}"}
    write(connection, Mode.APPEND, [{"_id": 2}], window=DAY)
    assert [row["_id"] for row in stored(db)] == [2]


@pytest.mark.parametrize("mode", list(Mode))
def test_of_two_writers_of_one_owner_the_older_is_refused_and_leaves_nothing(
    connection: MongoConnection, db: Database[Document], mode: Mode
) -> None:
    sink = connection.sink(OUT)
    old = sink.open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(1)))
    old.write(batch(*many(by="old")))
    new = sink.open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(2)))
    seen = {row["_id"] for row in stored(db)}
    late = batch(*[{"_id": f"late {number}", "at": DAY.start} for number in range(5 * MANY)])
    with pytest.raises(Fenced):
        write_and_commit(old, late)
    old.abort()
    new.write(batch(*many(by="new")))
    new.commit(Position({}, 1))
    assert {row["_id"] for row in stored(db) if isinstance(row["_id"], str)} <= seen
    if mode is not Mode.APPEND:
        assert {row["by"] for row in stored(db)} == {"new"}
    with pytest.raises(Fenced, match="epoch 2, ours is 1"):
        sink.open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(1)))


def test_a_paused_transaction_does_not_block_the_next_owner(
    connection: MongoConnection, db: Database[Document]
) -> None:
    sink = connection.sink(OUT)
    old: Any = sink.open(Write(OUT, Mode.REPLACE_WINDOW, OWNER, window=DAY, fence=Fence(1)))
    session = old._claim.fence._sessions[0]
    session.start_transaction()
    old._claim.fence._hold(0, session)
    new = sink.open(Write(OUT, Mode.REPLACE_WINDOW, OWNER, window=DAY, fence=Fence(2)))
    new.write(batch(*many(5)))
    assert new.commit(Position({}, 1)).rows == 5
    old.abort()


def test_views_and_unfit_targets_are_refused(connection: MongoConnection, db: Database[Document]) -> None:
    db.create_collection("out", viewOn="rows")
    with pytest.raises(ConfigError, match="is a view"):
        write(connection, Mode.APPEND, [{"_id": 1}])
    db.drop_collection("out")
    db.create_collection("out", timeseries={"timeField": "at"})
    with pytest.raises(ConfigError, match="time series"):
        write(connection, Mode.REPLACE, many(2))


def test_time_series_take_appends(connection: MongoConnection, db: Database[Document]) -> None:
    db.create_collection("out", timeseries={"timeField": "at"})
    written = write(connection, Mode.APPEND, many(), position=Position({}, 1))
    assert written.rows == MANY
    assert db["out"].count_documents({}) == MANY
    assert connection.sink(OUT).position(OWNER) == Position({}, 1)


def test_typed_rows_come_back_typed(connection: MongoConnection, db: Database[Document]) -> None:
    db["rows"].insert_many([{"_id": ObjectId(), "d": bson.Decimal128("1.50"), "at": DAY.start, "l": [1]}] * 1)
    writer = connection.sink(OUT).open(Write(OUT, Mode.APPEND, OWNER))
    for part in connection.source(Table("source", "rows"), Query()).read(None, None):
        writer.write(part)
    writer.commit(None)
    assert stored(db) == list(db["rows"].find())


def test_prune_removes_what_is_older_and_nothing_else(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many(many())
    db["out"].insert_many([{"_id": "none", "at": None}, {"_id": "text", "at": "2020-01-01"}])
    assert connection.delete_before(OUT, "at", DAY.start + timedelta(seconds=2100), None) == 2100
    assert connection.delete_before(OUT, "at", DAY.start + timedelta(seconds=2100), None) == 0
    assert db["out"].count_documents({}) == MANY - 2100 + 2


def test_prune_stops_when_the_lease_has_ended(connection: MongoConnection, db: Database[Document]) -> None:
    db["out"].insert_many(many(5))
    with pytest.raises(Fenced, match="lease ended"):
        connection.delete_before(OUT, "at", DAY.end, Fence(1, DAY.start - 365 * 24 * HOUR))
    assert db["out"].count_documents({}) == 5


def test_prune_goes_on_as_long_as_the_lease_is_renewed(
    connection: MongoConnection, db: Database[Document]
) -> None:
    db["out"].insert_many(many(5))
    long_ago, later = DAY.start - 365 * 24 * HOUR, DAY.start + 365 * 24 * HOUR
    fence = Fence(1, long_ago, lambda: later)
    assert connection.delete_before(OUT, "at", DAY.end, fence) == 5


def test_prune_refuses_a_column_without_dates(connection: MongoConnection, db: Database[Document]) -> None:
    assert connection.delete_before(OUT, "at", DAY.end, None) == 0  # nothing there yet
    db["out"].insert_many(many(5))
    with pytest.raises(ConfigError, match="no row has a date in 'att'"):
        connection.delete_before(OUT, "att", DAY.end, None)
    assert db["out"].count_documents({}) == 5


def test_the_position_of_a_collection_that_was_dropped_is_gone(
    connection: MongoConnection, db: Database[Document]
) -> None:
    write(connection, Mode.UPSERT, many(3), position=Position({"": 7}, 1))
    assert connection.sink(OUT).position(OWNER) == Position({"": 7}, 1)
    db.drop_collection("out")
    assert connection.sink(OUT).position(OWNER) is None


@pytest.mark.parametrize("rows", [3, MANY], ids=["at once", "streamed"])
def test_a_finished_writer_forgets_its_sessions_before_others_get_them(
    connection: MongoConnection, db: Database[Document], rows: int
) -> None:
    write(connection, Mode.REPLACE_WINDOW, many(rows), window=DAY, position=Position({}, 1))
    writer = connection.sink(OUT).open(Write(OUT, Mode.REPLACE_WINDOW, OWNER, window=DAY))
    writer.abort()
    assert db["_levada_positions"].count_documents({"_id.owner": OWNER}) > 0
    assert db["_levada_positions"].count_documents({"session": {"$exists": True}}) == 0
