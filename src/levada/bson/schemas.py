"""Schemas that a profile's documents obey: for MongoDB's validators and in JSON Schema 2020-12.

They say what was seen: the types of every path, names that no document lacked as required.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levada.bson.paths import types_of
from levada.bson.profile import DOCUMENT, Node
from levada.types.json_schema import DRAFT, bson_type, json_of

Schema = dict[str, Any]


def validator(root: Node) -> Schema:
    """`{"$jsonSchema": ...}`, as `collMod` and `createCollection` take it."""
    return {"$jsonSchema": _validator(root)}


def json_schema(root: Node) -> Schema:
    """JSON Schema 2020-12 of the documents written as JSON (`levada.types.json_schema`)."""
    return {"$schema": DRAFT} | _json_schema(root)


def _validator(node: Node) -> Schema:
    names = list(dict.fromkeys(bson_type(types_of(code)) for code in node.types))
    schema: Schema = {"bsonType": names[0] if len(names) == 1 else names}
    return schema | _nested(node, _validator)


def _json_schema(node: Node) -> Schema:
    names = [types_of(code) for code in node.types]
    parts: list[Schema] = []
    for name in names:
        part = json_of(name)
        if part not in parts:
            parts.append(part)
    nested = _nested(node, _json_schema)
    return parts[0] | nested if len(parts) == 1 else {"anyOf": parts} | nested


def _nested(node: Node, schema_of: Callable[[Node], Schema]) -> Schema:
    """What is said of members and elements; it binds documents and arrays only."""
    found: Schema = {}
    members = {name: member for name, member in node.members.items() if member.types}
    if members:
        documents = node.count(DOCUMENT)
        always = [name for name, member in members.items() if _values(member) == documents]
        found |= {"required": always} if always else {}
        found["properties"] = {name: schema_of(member) for name, member in members.items()}
    if node.others:
        found["additionalProperties"] = schema_of(node.others)
    if node.items:
        found["items"] = schema_of(node.items)
    return found


def _values(node: Node) -> int:
    return sum(seen.count for seen in node.types.values())
