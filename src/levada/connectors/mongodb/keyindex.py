"""The index by which rows are found by their key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

from levada.connectors.mongodb.faults import DUPLICATE_KEY
from levada.errors import ConfigError


@dataclass(frozen=True)
class KeyIndex:
    """How a collection finds rows by a key.

    Args:
        found: name of the index that does; None if there is none.
        unique: whether the server keeps the key unique.
    """

    found: str | None
    unique: bool


def key_index(
    indexes: Iterable[Mapping[str, Any]], key: Sequence[str], collation: Mapping[str, Any] | None
) -> KeyIndex:
    """What a collection's indexes do for a key.

    Args:
        indexes: as `listIndexes` tells them.
        key: fields.
        collation: the collection's; an index with another one does not serve equality of text.
    """
    if tuple(key) == ("_id",):
        return KeyIndex("_id_", unique=True)
    found, unique = None, False
    for index in indexes:
        fields = list(index["key"])
        if index.get("partialFilterExpression") or index.get("collation") != collation:
            continue
        if index.get("unique") and set(fields) <= set(key):
            unique = True
        usable = set(fields[: len(key)]) == set(key) and not (index.get("sparse") or index.get("hidden"))
        usable = usable and _finds_equals(index["key"])
        if usable and found is None:
            found = str(index["name"])
    return KeyIndex(found, unique)


def _finds_equals(fields: Mapping[str, Any]) -> bool:
    """Whether equality is looked up by an index: not where words or places are a part of it."""
    return all(kind == "hashed" or not isinstance(kind, str) for kind in fields.values())


def creation(collection: str, key: Sequence[str], *, unique: bool) -> str:
    """The command that creates an index on a key, for mongosh."""
    fields = ", ".join(f"{name!r}: 1" for name in key)
    options = ", {unique: true}" if unique else ""
    return f"db.getCollection({collection!r}).createIndex({{{fields}}}{options})"


def ensure_key_index(
    database: Database[Any], collection: str, key: Sequence[str], collation: Mapping[str, Any] | None
) -> KeyIndex:
    """Make sure that a key is looked up by an index, creating a unique one if there is none.

    Raises:
        ConfigError: it can't be created; the hint is the command to run.
    """
    there = key_index(database[collection].list_indexes(), key, collation)
    if there.found:
        return there
    try:
        name = database[collection].create_index([(name, 1) for name in key], unique=True)
    except OperationFailure as error:
        raise _refused(error, f"{database.name}.{collection}", collection, key) from error
    return KeyIndex(name, unique=True)


def _refused(error: OperationFailure, where: str, collection: str, key: Sequence[str]) -> ConfigError:
    details = error.details or {}
    what = f"the key {', '.join(key)} has no index, and a unique one can't be created"
    if error.code == DUPLICATE_KEY:
        twice = ", ".join(
            f"{name}: {'null' if value is None else repr(value)}"
            for name, value in details.get("keyValue", {}).items()
        )
        return ConfigError(
            f"{what}: several documents have {twice or 'the same one'}",
            where=where,
            hint="is that the key? Remove the doubles, or do with an index that is not unique: "
            f"run {creation(collection, key, unique=False)}",
        )
    return ConfigError(
        f"{what}: {details.get('errmsg') or error}",
        where=where,
        hint=f"run {creation(collection, key, unique=True)} as its owner",
    )
