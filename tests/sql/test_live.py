"""The catalog of a live database, against documents whose types are known."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from levada.sql.catalog import Field, TableSchema
from levada.sql.errors import SqlError
from levada.sql.live import LiveCatalog

DAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def db(mongo: MongoClient[dict[str, Any]], database: str) -> Database[dict[str, Any]]:
    return mongo[database]


def table(db: Database[Any], name: str = "t", **options: Any) -> TableSchema:
    found = LiveCatalog(db, **options).table(name)
    assert found is not None
    return found


def types(found: TableSchema) -> dict[str, str]:
    return {field.name: str(field.type) for field in found.fields}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True], "BOOLEAN"),
        ([1, 2], "INTEGER"),
        ([1, Int64(2)], "BIGINT"),
        ([1.5], "DOUBLE"),
        ([1, 1.5], "DOUBLE"),
        ([1, Int64(2), 1.5], "DOUBLE"),
        ([Int64(2), 1.5], "DOUBLE"),
        ([Decimal128("1.5"), Decimal128("1.234")], "DECIMAL(38,3)"),
        ([Decimal128("1.5"), 7, Int64(8)], "DECIMAL(38,1)"),
        ([Decimal128("1.5"), 1.5], "VARIANT"),
        ([Decimal128("NaN")], "VARIANT"),
        (["x", Code("f()")], "VARCHAR"),
        ([b"x", Binary(b"y", 128)], "BLOB"),
        ([Binary(uuid.uuid4().bytes, 4)], "UUID"),
        ([DAY], "TIMESTAMP"),
        ([ObjectId()], "OBJECTID"),
        ([{"a": 1, "b": {"c": "x"}}], "STRUCT(a INTEGER, b STRUCT(c VARCHAR))"),
        ([{"a": 1}, {"a": "x", "b": 2}], "STRUCT(a VARIANT, b INTEGER)"),
        ([[1], [2, None]], "INTEGER[]"),
        ([[{"a": 1}], [{"a": 1.5}]], "STRUCT(a DOUBLE)[]"),
        ([[]], "VARIANT[]"),
        ([{}], "VARIANT"),
        ([None], "VARIANT"),
        ([1, "x"], "VARIANT"),
        ([[1], 1], "VARIANT"),
    ],
)
def test_types_are_those_of_the_values(db: Database[Any], values: list[Any], kind: str) -> None:
    db.t.insert_many([{"a": value} for value in [*values, None]])
    assert types(table(db))["a"] == kind


def test_integers_of_a_part_of_the_documents_may_grow(db: Database[Any]) -> None:
    db.t.insert_many([{"a": n, "b": [n], "c": {"d": n}} for n in range(100)])
    assert types(table(db, sample=10)) == {
        "_id": "OBJECTID",
        "a": "BIGINT",
        "b": "BIGINT[]",
        "c": "STRUCT(d BIGINT)",
    }


def test_fields_of_the_oldest_and_the_newest_documents_are_seen(db: Database[Any]) -> None:
    db.t.insert_one({"_id": 0, "old": "x"})
    db.t.insert_many([{"_id": n, "a": 1} for n in range(1, 500)])
    db.t.insert_one({"_id": 500, "new": 1.5})
    found = table(db, sample=20)
    assert {"old": "VARCHAR", "new": "DOUBLE"}.items() <= types(found).items()
    assert found.sure == "20 of about 501 documents"
    assert (found.rows, found.origin) == (501, "sample")


def test_few_documents_are_all_looked_at(db: Database[Any]) -> None:
    db.t.insert_many([{"a": n} for n in range(25)])
    assert table(db).sure == "all 25 documents"


def test_names_are_found_in_any_case_where_only_one_is_alike(db: Database[Any]) -> None:
    for name in ("Orders", "both", "Both"):
        db[name].insert_one({"a": 1})
    catalog = LiveCatalog(db)
    assert [catalog.table(name) is not None for name in ("ORDERS", "both", "BOTH")] == [True, True, False]
    assert sorted(catalog.names()) == ["Both", "Orders", "both"]


def test_odd_names_are_columns_like_others(db: Database[Any]) -> None:
    db.t.insert_one({"a.b": 1, "$c": "x", "": 1.5, "é": True})
    assert list(types(table(db))) == ["_id", "a.b", "$c", "", "é"]


def test_an_empty_collection_is_told_and_an_absent_one_is_none(db: Database[Any]) -> None:
    db.create_collection("empty")
    catalog = LiveCatalog(db)
    assert catalog.table("absent") is None
    with pytest.raises(SqlError, match="collection 'empty' has no documents"):
        catalog.table("empty")


def test_it_looks_once_until_it_is_refreshed(db: Database[Any]) -> None:
    db.t.insert_one({"a": 1})
    catalog = LiveCatalog(db)
    before = catalog.table("t")
    db.t.insert_one({"b": 1})
    assert catalog.table("t") is before
    catalog.refresh()
    after = catalog.table("t")
    assert after is not None
    assert list(types(after)) == ["_id", "a", "b"]


def test_a_null_identity_is_seen(db: Database[Any]) -> None:
    db.t.insert_many([{"_id": None, "a": 1}, {"_id": 1, "a": 1}])
    db.u.insert_one({"_id": 1, "a": 1})
    assert table(db).fields[0].nullable
    assert not table(db, "u").fields[0].nullable


SCHEMA = {
    "bsonType": "object",
    "required": ["_id", "n", "m"],
    "additionalProperties": False,
    "properties": {
        "_id": {"bsonType": "objectId"},
        "n": {"bsonType": "int"},
        "m": {"bsonType": ["long", "int", "null"]},
        "x": {"bsonType": ["double", "null"]},
        "day": {"bsonType": "date", "title": "DATE"},
        "price": {"bsonType": "decimal", "title": "DECIMAL(15,2)"},
        "step": {"bsonType": "decimal", "multipleOf": Decimal128("0.001")},
        "seen": {"bsonType": ["decimal", "int"]},
        "tags": {"bsonType": "array", "items": {"bsonType": "string"}},
        "at": {
            "bsonType": "object",
            "additionalProperties": False,
            "properties": {"lat": {"bsonType": "double"}, "any": {}},
        },
        "open": {"bsonType": "object", "properties": {"a": {"bsonType": "int"}}},
        "mixed": {"bsonType": ["int", "string"]},
        "flag": {"type": "boolean"},
    },
}


def validated(db: Database[Any], schema: dict[str, Any] = SCHEMA, **options: Any) -> None:
    db.create_collection("t", validator={"$jsonSchema": schema}, **options)


def test_a_strict_validator_proves_columns(db: Database[Any]) -> None:
    validated(db)
    db.t.insert_one({"n": 1, "m": Int64(1), "seen": Decimal128("1.25"), "mixed": "x", "open": {"a": 1}})
    found = table(db)
    proven = {field.name: (str(field.type), field.nullable) for field in found.fields if field.proven}
    assert proven == {
        "_id": ("OBJECTID", False),
        "n": ("INTEGER", False),
        "m": ("BIGINT", True),
        "x": ("DOUBLE", True),
        "day": ("DATE", True),
        "price": ("DECIMAL(15,2)", True),
        "step": ("DECIMAL(38,3)", True),
        "seen": ("DECIMAL(38,2)", True),
        "tags": ("VARCHAR[]", True),
        "at": ("STRUCT(lat DOUBLE, any VARIANT)", True),
        "flag": ("BOOLEAN", True),
    }
    assert found.origin == "validator"


def test_what_a_validator_leaves_open_is_sampled(db: Database[Any]) -> None:
    schema = {key: value for key, value in SCHEMA.items() if key != "additionalProperties"}
    validated(db, schema)
    db.t.insert_one({"n": 1, "m": 1, "mixed": "x", "more": 1.5, "open": {"a": 1, "b": "x"}})
    found = {field.name: field for field in table(db).fields}
    assert found["more"] == Field("more", found["more"].type)
    assert (str(found["more"].type), str(found["mixed"].type)) == ("DOUBLE", "VARCHAR")
    assert str(found["open"].type) == "STRUCT(a INTEGER, b VARCHAR)"
    assert not found["open"].proven
    assert found["n"].proven


def test_an_empty_table_has_the_columns_of_its_validator(db: Database[Any]) -> None:
    validated(db)
    assert "price" in types(table(db))


@pytest.mark.parametrize("options", [{"validationAction": "warn"}, {"validationLevel": "moderate"}])
def test_a_validator_that_lets_other_documents_in_proves_nothing(
    db: Database[Any], options: dict[str, Any]
) -> None:
    validated(db, **options)
    db.t.insert_one({"n": 1, "m": 1})
    assert not any(field.proven for field in table(db).fields)


def test_a_validator_that_is_younger_than_a_document_proves_nothing(db: Database[Any]) -> None:
    db.t.insert_many([{"n": 1, "m": 1}, {"n": "text", "m": 1}])
    db.command("collMod", "t", validator={"$jsonSchema": SCHEMA})
    found = table(db)
    assert not any(field.proven for field in found.fields)
    assert types(found)["n"] == "VARIANT"


def test_indexes_that_may_serve_a_query_are_known(db: Database[Any]) -> None:
    db.t.insert_many([{"a": 1, "b": [1, 2], "c": {"d": [1]}, "s": "x", "p": [1, 2]}])
    db.t.create_index("a", unique=True, name="one")
    db.t.create_index([("b", 1), ("a", -1)], name="two")
    db.t.create_index("c.d", sparse=True, name="thin")
    db.t.create_index("a", partialFilterExpression={"a": {"$gt": 5}}, name="part")
    db.t.create_index("s", collation={"locale": "en", "strength": 2}, name="folded")
    db.t.create_index([("s", "hashed")], name="hashed")
    db.t.create_index([("$**", 1)], name="wild")
    db.t.create_index([("p", "2d")], name="place")
    db.t.create_index("s", hidden=True, name="hidden")
    found = {index.name: index for index in table(db).indexes}
    assert set(found) == {"_id_", "one", "two", "thin", "part"}
    assert (found["one"].unique, found["one"].multikey, found["one"].complete) == (True, frozenset(), True)
    assert (found["two"].keys, found["two"].multikey) == ((("b", 1), ("a", -1)), frozenset({"b"}))
    assert (found["thin"].multikey, found["thin"].complete) == (frozenset({"c.d"}), False)
    assert not found["part"].complete


def test_a_view_is_a_table_without_indexes_and_size(db: Database[Any]) -> None:
    db.t.insert_many([{"a": n, "b": "x"} for n in range(5)])
    db.command("create", "v", viewOn="t", pipeline=[{"$project": {"_id": 0, "a": {"$toString": "$a"}}}])
    found = table(db, "v")
    assert (types(found), found.indexes, found.rows) == ({"a": "VARCHAR"}, (), None)


def test_a_time_series_is_a_table(db: Database[Any]) -> None:
    db.create_collection("t", timeseries={"timeField": "at", "metaField": "m"})
    db.t.insert_many([{"at": DAY, "m": "x", "v": 1.5}])
    assert types(table(db)) == {"at": "TIMESTAMP", "m": "VARCHAR", "_id": "OBJECTID", "v": "DOUBLE"}
    assert list(LiveCatalog(db).names()) == ["t"]


def test_a_document_that_cannot_be_decoded_is_left_out_of_the_sample(db: Database[Any]) -> None:
    db.t.insert_one({"a": "fine"})
    db.t.insert_one(RawBSONDocument(bson.encode({"_id": 1, "a": "text"}).replace(b"text", b"\xff\xfext")))
    assert types(table(db))["a"] == "VARCHAR"
