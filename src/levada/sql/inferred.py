"""The SQL types of documents that were looked at."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from levada.bson.profile import Node
from levada.sql.types import (
    BIGINT,
    BLOB,
    BOOLEAN,
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
from levada.types.kinds import PRECISION, kind_of

#: Kind (`levada.types.kinds`) -> type; of the others see below, or there is none and it is a VARIANT.
_KINDS: Final = {
    "bool": BOOLEAN,
    "int32": INTEGER,
    "int64": BIGINT,
    "double": DOUBLE,
    "string": VARCHAR,
    "javascript": VARCHAR,
    "symbol": VARCHAR,
    "date": TIMESTAMP,
    "binary": BLOB,
    "objectId": OBJECTID,
    "uuid": UUID,
}

_NULL, _UNDEFINED = 10, 6

#: Codes (`levada.bson.profile.code_of`) that occur together and still have one type in SQL.
_TOGETHER: Final = ((frozenset({1, 16, 18}), DOUBLE), (frozenset({2, 13, 14}), VARCHAR))


def inferred(field: pa.Field, node: Node | None, *, whole: bool) -> SqlType:
    """The type of a field.

    Args:
        field: what the decoder made of the documents.
        node: what a profile saw of the same documents; None: it folded the names.
        whole: whether these are all documents. Else an integer is a BIGINT: drivers write small numbers as
            int32 and larger ones as int64, so a sample without an int64 tells nothing.
    """
    kind = kind_of(field)
    if kind == "variant":
        return _together(node)
    if kind == "int32":
        return INTEGER if whole else BIGINT
    if kind == "decimal":
        return decimal(PRECISION, field.type.scale)
    if kind == "document":
        return _document(field, node, whole=whole)
    if kind == "array":
        items = None if node is None else node.items
        return list_of(inferred(field.type.value_field, items, whole=whole))
    return _KINDS.get(kind.partition(":")[0], VARIANT)


def _document(field: pa.Field, node: Node | None, *, whole: bool) -> SqlType:
    members = {} if node is None else node.members
    fields = [(one.name, inferred(one, members.get(one.name), whole=whole)) for one in field.type]
    return struct(*fields) if fields else VARIANT


def _together(node: Node | None) -> SqlType:
    codes = frozenset(node.types) - {_NULL, _UNDEFINED} if node else frozenset()
    if codes and all(code & 0xFF == 5 for code in codes):
        return BLOB
    return next((kind for known, kind in _TOGETHER if codes and codes <= known), VARIANT)
