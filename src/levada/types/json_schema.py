"""BSON types in JSON Schema: as MongoDB's validators name them, and as the JSON that stands for them.

| BSON | JSON |
|---|---|
| double | number |
| int, long, timestamp | integer |
| decimal | string, so that no digit is lost |
| string, javascript, symbol | string |
| objectId | string of 24 hexadecimal digits |
| uuid | string, format uuid |
| date | string, format date-time |
| binData | string, base64 |
| bool, null, object, array | the same |
| others | their canonical Extended JSON, an object |

Sources: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/,
https://json-schema.org/draft/2020-12/schema.
"""

from __future__ import annotations

from typing import Any, Final

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

#: Name of a BSON type -> the JSON Schema of its JSON; what is not here is Extended JSON.
JSON: Final[dict[str, dict[str, Any]]] = {
    "double": {"type": "number"},
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "timestamp": {"type": "integer"},
    "decimal": {"type": "string", "pattern": "^(-?[0-9.]+(E[+-]?[0-9]+)?|-?Infinity|NaN)$"},
    "string": {"type": "string"},
    "javascript": {"type": "string"},
    "symbol": {"type": "string"},
    "objectId": {"type": "string", "pattern": "^[0-9a-f]{24}$"},
    "uuid": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date-time"},
    "bool": {"type": "boolean"},
    "null": {"type": "null"},
    "object": {"type": "object"},
    "array": {"type": "array"},
}

EXTENDED_JSON: Final[dict[str, Any]] = {"type": "object"}
BINARY: Final[dict[str, Any]] = {"type": "string", "contentEncoding": "base64"}


def bson_type(name: str) -> str:
    """The name of a type as `bsonType` takes it: binary data has one, whatever its subtype."""
    return "binData" if name == "uuid" or name.startswith("binData") else name


def json_of(name: str) -> dict[str, Any]:
    """The JSON Schema of the values of a BSON type."""
    if name.startswith("binData"):
        return dict(BINARY)
    return dict(JSON.get(name, EXTENDED_JSON))
