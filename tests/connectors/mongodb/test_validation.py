"""What a validator says of a document, as a reason."""

from __future__ import annotations

from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import WriteError

from levada.connectors.mongodb.validation import unsatisfied

Document = dict[str, Any]
NESTED = {
    "required": ["ltv"],
    "properties": {
        "ltv": {"minimum": 100},
        "a": {"properties": {"b": {"bsonType": "int"}}},
        "list": {"items": {"bsonType": "int"}},
    },
}


@pytest.mark.parametrize(
    ("validator", "document", "reason"),
    [
        ({"$jsonSchema": NESTED}, {"ltv": 1}, 'ltv: {"minimum": 100}'),
        ({"$jsonSchema": NESTED}, {}, "ltv is missing"),
        ({"$jsonSchema": NESTED}, {"ltv": 100, "a": {"b": "x"}}, 'a.b: {"bsonType": "int"}'),
        ({"$jsonSchema": NESTED}, {"ltv": 100, "list": [1, "x"]}, 'list.1: {"bsonType": "int"}'),
        (
            {"$jsonSchema": {"properties": {"_id": {}}, "additionalProperties": False}},
            {"z": 1},
            "z is not allowed",
        ),
        (
            {"$jsonSchema": {"anyOf": [{"required": ["q"]}, {"required": ["r"]}]}},
            {},
            "q is missing; r is missing",
        ),
        ({"$jsonSchema": {"required": list("vwxyz")}}, {}, "v is missing; w is missing; x is missing; …"),
        ({"$and": [{"a": {"$gt": 5}}, {"b": 1}]}, {"a": 1, "b": 1}, '{"a": {"$gt": 5}}'),
        ({"bad": {"$ne": True}}, {"bad": True}, '{"bad": {"$ne": true}}'),
    ],
)
def test_the_rule_and_the_path_are_named(
    mongo: MongoClient[Document], database: str, validator: Document, document: Document, reason: str
) -> None:
    collection = mongo[database].create_collection("c", validator=validator)
    with pytest.raises(WriteError) as refused:
        collection.insert_one(document)
    assert unsatisfied(refused.value.details) == reason


def test_it_reads_raw_answers_too(mongo: MongoClient[Document], database: str) -> None:
    mongo[database].create_collection("c", validator={"$jsonSchema": NESTED})
    raw = mongo[database].client.codec_options.with_options(document_class=RawBSONDocument)
    answer = mongo[database].command({"insert": "c", "documents": [{"ltv": 1}]}, codec_options=raw)
    assert unsatisfied(answer["writeErrors"][0]) == 'ltv: {"minimum": 100}'


@pytest.mark.parametrize("details", [None, {}, {"errInfo": {}}, {"errInfo": {"details": None}}])
def test_a_server_that_says_nothing_gives_nothing(details: Document | None) -> None:
    assert unsatisfied(details) == ""
