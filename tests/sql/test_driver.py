"""The PEP 249 driver over a real server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, decode
from bson.datetime_ms import DatetimeMS
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.database import Database

from levada.bson import encode, from_canonical
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.errors import ConfigError, LevadaError, Retriable
from levada.sql import driver
from levada.sql.catalog import Field
from levada.sql.decode import arrow_schema
from levada.sql.driver import Connection, connect
from levada.sql.errors import SqlError
from levada.sql.plan import Plan, PlanColumn, Scanned
from levada.sql.types import (
    BIGINT,
    BLOB,
    BOOLEAN,
    DATE,
    DOUBLE,
    INTEGER,
    OBJECTID,
    TIMESTAMP,
    UUID,
    VARCHAR,
    VARIANT,
    SqlType,
    decimal,
    list_of,
    struct,
)

DAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    return mongo[database]


def address(mongod: str, database: str) -> str:
    host, _, options = mongod.partition("/?")
    return f"{host.rstrip('/')}/{database}?{options}"


@pytest.fixture
def connection(mongod: str, database: str) -> Iterator[Connection]:
    with connect(address(mongod, database)) as opened:
        yield opened


def documents(*found: dict[str, Any], **columns: SqlType) -> Plan:
    """A plan that gives these documents."""
    return Plan(
        None,
        [{"$documents": [{"$literal": one} for one in found]}],
        tuple(PlanColumn(name, kind, name) for name, kind in columns.items()),
    )


def test_it_is_a_pep_249_module() -> None:
    assert (driver.apilevel, driver.threadsafety, driver.paramstyle) == ("2.0", 1, "qmark")
    for child, parent in (
        ("InterfaceError", "Error"),
        ("DatabaseError", "Error"),
        *((f"{name}Error", "DatabaseError") for name in ("Data", "Operational", "Integrity", "Internal")),
        *((f"{name}Error", "DatabaseError") for name in ("Programming", "NotSupported")),
    ):
        assert issubclass(getattr(driver, child), getattr(driver, parent))
        assert getattr(Connection, child) is getattr(driver, child)
    assert issubclass(driver.Error, LevadaError)
    assert issubclass(SqlError, driver.ProgrammingError)
    assert issubclass(SqlError, ConfigError)
    assert issubclass(driver.OperationalError, Retriable)


def test_rows_come_as_pythons_values(connection: Connection) -> None:
    key, identity = ObjectId(), uuid.uuid4()
    plan = documents(
        {
            "i": 1,
            "b": Int64(2**40),
            "d": 1.5,
            "m": Decimal128("1.5"),
            "s": "é",
            "t": DAY,
            "day": DAY,
            "o": key,
            "u": Binary(identity.bytes, 4),
            "v": {"a": [1]},
            "st": {"x": 1, "day": DAY, "more": 2},
            "l": [DAY, None],
            "bl": b"x",
            "f": True,
        },
        {"i": None},
        i=INTEGER,
        b=BIGINT,
        d=DOUBLE,
        m=decimal(38, 2),
        s=VARCHAR,
        t=TIMESTAMP,
        day=DATE,
        o=OBJECTID,
        u=UUID,
        v=VARIANT,
        st=struct(("x", INTEGER), ("day", DATE)),
        l=list_of(DATE),
        bl=BLOB,
        f=BOOLEAN,
    )
    first, second = connection.cursor().run(plan).fetchall()
    day = date(2026, 11, 23)
    numbers = (1, 2**40, 1.5, Decimal("1.50"))
    texts = (str(key), str(identity), '{"a":[{"$numberInt":"1"}]}')
    assert first == (*numbers, "é", DAY, day, *texts, {"x": 1, "day": day}, [day, None], b"x", True)
    assert [type(value) for value in first[:4]] == [int, int, float, Decimal]
    assert second == (None,) * 14


def test_missing_and_null_are_null_in_arrow_and_labels_restore_bson(connection: Connection) -> None:
    key, identity = ObjectId(), Binary(uuid.uuid4().bytes, 4)
    plan = documents({"o": key, "u": identity, "day": DAY}, {}, o=OBJECTID, u=UUID, day=DATE)
    table = connection.cursor().run(plan).fetch_arrow()
    assert table.schema.equals(arrow_schema(plan), check_metadata=True)
    raw, rejected = encode(table.to_batches()[0])
    assert rejected == ()
    restored = [decode(one) for one in from_canonical(pa.record_batch([raw], ["d"])).slices()]
    assert restored[0] == {"o": key, "u": identity, "day": DAY.replace(tzinfo=None)}
    assert restored[1] == {"o": None, "u": None, "day": None}


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ([1, Int64(2**60), 1.5], DOUBLE, [1.0, float(2**60), 1.5]),
        ([1.0, 2], BIGINT, [1, 2]),
        ([Decimal128("3"), 2], BIGINT, [3, 2]),
        ([Decimal128("1.50"), 2, Int64(3), Decimal128("1.5000")], decimal(10, 2), ["1.50", "2", "3", "1.50"]),
        ([2.5], decimal(10, 2), ["2.50"]),
        ([b"x", Binary(b"y", 128)], BLOB, [b"x", b"y"]),
        ([[1, 2.5], [Int64(2**40)]], list_of(DOUBLE), [[1.0, 2.5], [float(2**40)]]),
        ([{"a": 1.5}, {"a": Int64(2)}, {}], struct(("a", DOUBLE)), [{"a": 1.5}, {"a": 2.0}, {"a": None}]),
        ([float("inf"), float("-inf")], DOUBLE, [float("inf"), float("-inf")]),
    ],
)
def test_what_a_type_can_hold_is_taken(
    connection: Connection, values: list[Any], kind: SqlType, found: list[Any]
) -> None:
    rows = connection.cursor().run(documents(*({"a": one} for one in values), a=kind)).fetchall()
    if kind.name == "DECIMAL":
        found = [Decimal(one) for one in found]
    assert [row[0] for row in rows] == found


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Int64(2**40), INTEGER),
        (1e30, BIGINT),
        (1.5, BIGINT),
        (Decimal128("1.234"), decimal(10, 2)),
        (Decimal128("NaN"), decimal(10, 2)),
        (datetime(2026, 11, 23, 5, tzinfo=UTC), DATE),
        (5, VARCHAR),
        ("x", INTEGER),
        ("x", TIMESTAMP),
        (Binary(b"short", 4), UUID),
        ([1], struct(("a", DOUBLE))),
        ({"a": 1}, list_of(DOUBLE)),
        (True, DOUBLE),
        (1, BOOLEAN),
    ],
)
def test_what_a_type_can_not_hold_is_an_error(connection: Connection, value: Any, kind: SqlType) -> None:
    with pytest.raises(driver.DataError, match="a value of column 'a' is no "):
        connection.cursor().run(documents({"a": value}, a=kind)).fetchall()


def test_a_time_that_python_lacks_is_in_arrow_only(connection: Connection) -> None:
    plan = documents({"t": DatetimeMS(-(2**50))}, t=TIMESTAMP)
    with pytest.raises(driver.DataError, match="fetch_arrow"):
        connection.cursor().run(plan).fetchall()
    table = connection.cursor().run(plan).fetch_arrow()
    assert table["t"].cast(pa.int64()).to_pylist() == [-(2**50)]


def test_rows_are_fetched_one_by_one_in_parts_and_all(connection: Connection) -> None:
    cursor = connection.cursor().run(documents(*({"n": n} for n in range(10)), n=INTEGER))
    assert cursor.fetchone() == (0,)
    assert cursor.fetchmany() == [(1,)]
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(2,), (3,)]
    assert next(cursor) == (4,)
    assert cursor.fetchmany(2) == [(5,), (6,)]
    assert cursor.fetch_arrow()["n"].to_pylist() == [7, 8, 9]
    assert (cursor.fetchone(), cursor.fetchall(), list(cursor)) == (None, [], [])


def test_many_replies_are_one_result(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_many([{"_id": n, "a": "x" * 100} for n in range(60_000)])
    plan = Plan("t", [{"$sort": {"_id": 1}}], (PlanColumn("id", INTEGER, "_id"),))
    batches = list(connection.cursor().run(plan).fetch_record_batches())
    assert len(batches) > 2
    assert pa.Table.from_batches(batches)["id"].to_pylist() == list(range(60_000))
    big = Plan(
        None, [{"$documents": [{"n": 1}]}, {"$set": {"n": {"$range": [0, 30_000]}}}, {"$unwind": "$n"}], ()
    )
    many = Plan(None, big.pipeline, (PlanColumn("n", INTEGER, "n"),))
    assert len(connection.cursor().run(many).fetchall()) == 30_000


def test_a_result_without_rows_has_its_columns(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_one({"a": 1, "b": "x"})
    cursor = connection.execute("select a, b from t where a > 5")
    assert cursor.fetch_arrow().schema.names == ["a", "b"]
    assert connection.execute("select a from t where a > 5").fetchall() == []


def test_names_may_repeat(connection: Connection) -> None:
    cursor = connection.execute("select 1 as a, 2 as a")
    assert [column[0] for column in cursor.description or ()] == ["a", "a"]
    assert cursor.fetchall() == [(1, 2)]
    assert connection.execute("select 1 as a, 2 as a").fetch_arrow().schema.names == ["a", "a"]


def test_the_description_tells_types(connection: Connection) -> None:
    cursor = connection.cursor()
    assert cursor.description is None
    cursor.execute("select 1 as i, cast('1.5' as decimal(10,2)) as m, 'x' as s, date '2026-01-01' as d")
    i, m, s, d = cursor.description or ()
    assert i[1] == driver.NUMBER
    assert s[1] == driver.STRING
    assert d[1] == driver.DATETIME
    assert s[1] != driver.NUMBER
    assert (m[0], m[1], m[4], m[5]) == ("m", decimal(10, 2), 10, 2)


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ("a > ? and s = ?", (1, "y'; drop")),
        ("a > $1 and s = $2", [1, "y'; drop"]),
        ("a > $low and s = $text", {"low": 1, "text": "y'; drop"}),
        ("a > :low and s = :text", {"low": 1, "text": "y'; drop"}),
    ],
)
def test_parameters_are_bound(connection: Connection, db: Database[Any], where: str, values: Any) -> None:
    db.t.insert_many([{"a": 1, "s": "y'; drop"}, {"a": 2, "s": "y'; drop"}, {"a": 3, "s": "z"}])
    assert connection.execute(f"select a from t where {where}", values).fetchall() == [(2,)]


@pytest.mark.parametrize("text", ["$a", "$$ROOT", "{$ne: null}", "' or 1=1 --", "a\0b", ""])
def test_a_text_is_only_ever_a_text(connection: Connection, db: Database[Any], text: str) -> None:
    db.t.insert_many([{"a": text}, {"a": "other"}])
    assert connection.execute("select ?, count(*) from t where a = ?", [text, text]).fetchall() == [(text, 1)]


def test_a_missing_parameter_is_an_error(connection: Connection) -> None:
    with pytest.raises(driver.ProgrammingError):
        connection.execute("select ?, ?", [1])
    with pytest.raises(driver.ProgrammingError):
        connection.execute("select ?", "x")


def test_executemany_keeps_the_last_result(connection: Connection) -> None:
    assert connection.cursor().executemany("select ? + 1 as n", [[1], [2], [3]]).fetchall() == [(4,)]


def test_what_is_closed_says_so(mongod: str, database: str) -> None:
    connection = connect(address(mongod, database))
    cursor = connection.cursor()
    with pytest.raises(driver.InterfaceError, match="no query has been run"):
        cursor.fetchone()
    cursor.close()
    cursor.close()
    with pytest.raises(driver.InterfaceError, match="cursor is closed"):
        cursor.execute("select 1")
    other = connection.cursor()
    connection.commit()
    connection.rollback()
    connection.close()
    connection.close()
    for call in (connection.cursor, connection.commit, lambda: other.execute("select 1")):
        with pytest.raises(driver.InterfaceError, match="connection is closed"):
            call()


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("mongodb://localhost:1", "names no database"),
        ("postgres://localhost/shop", "is not MongoDB's"),
    ],
)
def test_a_uri_that_says_no_database_is_an_error(uri: str, what: str) -> None:
    with pytest.raises(driver.ProgrammingError, match=what):
        connect(uri)


def test_a_password_is_shown_nowhere() -> None:
    with connect("mongodb://me:verysecret@localhost:1/shop?serverSelectionTimeoutMS=100") as connection:
        assert "verysecret" not in repr(connection)


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    settings = MongoSettings(uri=SecretStr("mongodb://127.0.0.1:1/shop"), server_selection_timeout=0.2)
    mongo = MongoConnection("away", settings, tmp_path)
    with Connection(mongo, "shop", owned=True) as connection, pytest.raises(driver.OperationalError):
        connection.execute("select a from t")


def test_errors_of_the_sql_have_their_place(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_one({"total": 1})
    with pytest.raises(SqlError) as raised:
        connection.execute("select totl from t")
    assert (raised.value.where, "total" in str(raised.value)) == ("line 1, column 8", True)


def test_a_value_of_another_type_is_named_with_its_document(
    connection: Connection, db: Database[Any]
) -> None:
    db.t.insert_many([{"_id": n, "a": n} for n in range(2_000)])
    connection.catalog.table("t")
    db.t.insert_one({"_id": "odd", "a": "12"})
    with pytest.raises(driver.DataError) as raised:
        connection.execute("select a + 1 as b from t").fetchall()
    assert raised.value.what == "column 'a' of 't' is BIGINT, but a document holds '12' (string)"
    assert raised.value.where == f"{db.name}.t, _id 'odd'"


@pytest.mark.parametrize(
    ("query", "path", "odd"),
    [
        ("select st.x + 1 as y from t", "st.x", {"st": {"x": "text"}}),
        ("select upper(st.s) as y from t", "st.s", {"st": {"s": 5}}),
        ("select u.i * 2 as y from t, unnest(l) as u(i)", "l", {"l": [2, "x"]}),
        ("select u.i.p * 2 as y from t, unnest(items) as u(i)", "items.p", {"items": [{"p": "z"}]}),
    ],
)
def test_a_value_of_another_type_inside_a_column_is_found(
    connection: Connection, db: Database[Any], query: str, path: str, odd: dict[str, Any]
) -> None:
    db.t.insert_one({"_id": 1, "st": {"x": 1, "s": "a"}, "l": [1], "items": [{"p": 1.5}]})
    connection.catalog.table("t")
    db.t.insert_one({"_id": 2, **odd})
    with pytest.raises(driver.DataError, match=f"'{path}' of 't' is") as raised:
        connection.execute(query).fetchall()
    assert raised.value.where == f"{db.name}.t, _id 2"


def test_an_offender_that_python_can_not_hold_is_named(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_one({"_id": 1, "a": 1})
    connection.catalog.table("t")
    db.t.insert_one({"_id": 2, "a": DatetimeMS(2**60)})
    with pytest.raises(driver.DataError, match=r"DatetimeMS\(.*\) \(date\)"):
        connection.execute("select a + 1 as b from t").fetchall()


@pytest.mark.parametrize("name", ["a.b", "$a", "", "a b"])
def test_columns_of_odd_names_are_looked_at_for_other_types(
    connection: Connection, db: Database[Any], name: str
) -> None:
    db.t.insert_many([{"_id": 1, name: 1}, {"_id": 2, name: [1]}])
    wrong = {"$multiply": [{"$eq": ["$_id", "$_id"]}, 1]}
    scan = Scanned("t", "t", (Field("_id", BIGINT), Field(name, BIGINT)))
    plan = Plan("t", [{"$set": {"x": wrong}}], (), scans=(scan,))
    with pytest.raises(driver.DataError, match=r"holds \[1\] \(array\)") as raised:
        connection.cursor().run(plan)
    assert (raised.value.where or "").endswith("_id 2")


@pytest.mark.parametrize(
    ("expression", "error", "what"),
    [
        (
            {"$toInt": {"$concat": ["levada: a scalar subquery gave 2 rows", {"$substrCP": ["$s", 0, 0]}]}},
            driver.DataError,
            "^a scalar subquery gave 2 rows;",
        ),
        ({"$toInt": "$s"}, driver.DataError, "'text' can't be converted to a number"),
        ({"$toDate": "$s"}, driver.DataError, "'text' can't be converted to a time"),
        ({"$toObjectId": "$s"}, driver.DataError, "'text' can't be converted to an ObjectId"),
        ({"$toLong": "$big"}, driver.DataError, "beyond the range"),
        ({"$toInt": ["$$ROOT"]}, driver.DataError, "no conversion from object to int"),
        ({"$sqrt": {"$subtract": [0, "$big"]}}, driver.DataError, "outside a function's range"),
        ({"$divide": [1, {"$strLenCP": "$e"}]}, driver.DataError, "division by zero"),
        ({"$nonsense": "$s"}, driver.InternalError, "nonsense"),
    ],
)
def test_errors_of_the_server_are_told_in_words(
    connection: Connection, db: Database[Any], expression: Any, error: type[LevadaError], what: str
) -> None:
    db.t.insert_one({"s": "text", "e": "", "big": 1e300})
    with pytest.raises(error, match=what) as raised:
        connection.cursor().run(Plan("t", [{"$project": {"x": expression}}], ()))
    assert raised.value.where == db.name


def test_an_error_in_a_later_reply_is_told_alike(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_many([{"_id": n, "s": "1" if n < 45_000 else "x"} for n in range(45_001)])
    plan = Plan("t", [{"$project": {"n": {"$toInt": "$s"}}}], (PlanColumn("n", INTEGER, "n"),))
    cursor = connection.cursor().run(plan)
    assert cursor.fetchone() == (1,)
    with pytest.raises(driver.DataError, match="can't be converted"):
        cursor.fetchall()


def test_text_is_compared_by_its_code_points_whatever_the_collation(
    connection: Connection, db: Database[Any]
) -> None:
    db.create_collection("t", collation={"locale": "en", "strength": 1})
    db.t.insert_many([{"s": "a"}, {"s": "A"}, {"s": "á"}])
    assert connection.execute("select count(distinct s) from t").fetchall() == [(3,)]
    assert connection.execute("select count(*) from t where s = 'a'").fetchall() == [(1,)]


def test_a_view_is_read(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_many([{"a": n} for n in range(4)])
    db.command("create", "v", viewOn="t", pipeline=[{"$match": {"a": {"$gte": 2}}}])
    assert connection.execute("select sum(a) from v").fetchall() == [(5,)]


def test_columns_are_named_where_the_document_is_gone(connection: Connection, db: Database[Any]) -> None:
    db.t.insert_one({"_id": 1, "a": 1})
    wrong = {"$multiply": [{"$eq": ["$_id", "$_id"]}, 1]}
    plan = Plan("t", [{"$set": {"x": wrong}}], (), scans=(Scanned("t", "t", (Field("a", BIGINT),)),))
    with pytest.raises(driver.DataError, match=r"which is one of t\.a"):
        connection.cursor().run(plan)


def test_a_connection_of_a_project_can_be_asked(mongod: str, database: str, tmp_path: Path) -> None:
    mongo = MongoConnection("db", MongoSettings(uri=SecretStr(mongod), database=database), tmp_path)
    with connect(mongo) as connection:
        assert connection.execute("select 1 as a").fetchall() == [(1,)]
    assert mongo.client.admin.command("ping")["ok"]
    mongo.close()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (True, True),
        (5, 5),
        (2**40, 2**40),
        (1.5, 1.5),
        (Decimal("1.50"), Decimal("1.50")),
        ("$x", "$x"),
        (b"\0x", b"\0x"),
        (DAY, DAY),
        (date(2026, 11, 23), date(2026, 11, 23)),
        (ObjectId("0" * 24), "0" * 24),
        (uuid.UUID(int=7), str(uuid.UUID(int=7))),
        ([1, 2], [1, 2]),
        (["$a", "b"], ["$a", "b"]),
        (None, None),
    ],
)
def test_a_value_comes_back_as_it_was_bound(
    connection: Connection, db: Database[Any], value: Any, found: Any
) -> None:
    assert connection.execute("select ?", [value]).fetchall() == [(found,)]
    db.t.insert_one({"a": 1})
    assert connection.execute("select $v from t", {"v": value}).fetchall() == [(found,)]
