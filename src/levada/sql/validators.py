"""The columns that a collection's validator promises.

A property's `title` may say what BSON has no type for: `DATE` (of a date), `DECIMAL(15,2)` (of a decimal).

Source: https://www.mongodb.com/docs/manual/reference/operator/query/jsonSchema/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from levada.sql.catalog import Field
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

Schema = Mapping[str, Any]

_NULL: Final = "null"

#: BSON types that a property allows, beside null -> its type in SQL; the first row that holds them all.
_TYPES: Final[tuple[tuple[frozenset[str], SqlType], ...]] = (
    (frozenset({"bool"}), BOOLEAN),
    (frozenset({"int"}), INTEGER),
    (frozenset({"int", "long"}), BIGINT),
    (frozenset({"int", "long", "double"}), DOUBLE),
    (frozenset({"string", "symbol", "javascript"}), VARCHAR),
    (frozenset({"date"}), TIMESTAMP),
    (frozenset({"objectId"}), OBJECTID),
    (frozenset({"binData"}), BLOB),
)

#: Words of JSON Schema's `type` -> BSON's.
_JSON: Final = {"boolean": "bool"}

_DECIMAL = re.compile(r"DECIMAL\((\d{1,2}), ?(\d{1,2})\)", re.IGNORECASE)
_WIDEST = 38


@dataclass(frozen=True)
class Promised:
    """What a validator keeps.

    Args:
        fields: proven columns.
        closed: whether it allows no others.
    """

    fields: tuple[Field, ...] = ()
    closed: bool = False


@dataclass(frozen=True)
class Seen:
    """What is seen of the same fields, for what a validator can't say: the places of decimals."""

    types: Mapping[str, SqlType] = field(default_factory=dict)

    def of(self, name: str) -> SqlType | None:
        return self.types.get(name)


def schema_of(options: Schema) -> Schema | None:
    """The `$jsonSchema` of a collection's options, where the server refuses what breaks it."""
    strict = options.get("validationLevel", "strict") == "strict"
    refuses = options.get("validationAction", "error") == "error"
    found = _schemas(options.get("validator") or {}) if strict and refuses else iter(())
    return next(found, None)


def _schemas(validator: Schema) -> Iterator[Schema]:
    if isinstance(validator.get("$jsonSchema"), Mapping):
        yield validator["$jsonSchema"]
    for part in validator.get("$and") or ():
        yield from _schemas(part)


def promised(schema: Schema, seen: Seen | None = None) -> Promised:
    """The columns of a schema, in its order; a property that allows several families has none."""
    seen = seen or Seen()
    properties: Schema = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    fields = []
    for name, rule in properties.items():
        kind = type_of(rule, seen.of(name))
        if kind is not None:
            nullable = name not in required or _NULL in (_allowed(rule) or ())
            fields.append(Field(name, kind, nullable, proven=True))
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    return Promised(tuple(fields), closed)


def type_of(rule: Schema, seen: SqlType | None = None) -> SqlType | None:
    """The type of a property; None: the validator does not settle it."""
    names = _allowed(rule)
    if names is None:
        return None
    names = names - {_NULL}
    if names == {"object"}:
        return _struct(rule, seen)
    if names == {"array"}:
        return _list(rule, seen)
    if names and names <= {"decimal", "int", "long"} and "decimal" in names:
        return _decimal(rule, seen)
    kind = next((kind for known, kind in _TYPES if names and names <= known), None)
    if kind == TIMESTAMP and str(rule.get("title", "")).upper() == "DATE":
        return DATE
    return UUID if kind == BLOB and seen == UUID else kind


def _allowed(rule: Schema) -> frozenset[str] | None:
    """BSON types that a property allows; None: any."""
    given = rule.get("bsonType", rule.get("type"))
    if given is None:
        return None
    names = [given] if isinstance(given, str) else list(given)
    return frozenset(_JSON.get(name, name) for name in names)


def _struct(rule: Schema, seen: SqlType | None) -> SqlType | None:
    properties: Schema = rule.get("properties") or {}
    known = dict(seen.fields) if seen is not None else {}
    fields = [(name, type_of(part, known.get(name)) or VARIANT) for name, part in properties.items()]
    closed = rule.get("additionalProperties") is False and not rule.get("patternProperties")
    return struct(*fields) if fields and closed else None


def _list(rule: Schema, seen: SqlType | None) -> SqlType | None:
    items = rule.get("items")
    if not isinstance(items, Mapping):
        return None
    item = type_of(items, seen.item if seen is not None else None)
    return None if item is None else list_of(item)


def _decimal(rule: Schema, seen: SqlType | None) -> SqlType | None:
    titled = _DECIMAL.fullmatch(str(rule.get("title", "")))
    if titled:
        return decimal(*map(int, titled.groups()))
    step = rule.get("multipleOf")
    if step is not None:
        exponent = Decimal(str(step)).as_tuple().exponent
        return decimal(_WIDEST, max(0, -int(exponent)))
    return seen if seen is not None and seen.name == "DECIMAL" else None
