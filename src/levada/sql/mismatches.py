"""The document that has a value of another type than its column's, once a query has met one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.errors import PyMongoError

from levada.sql.catalog import Field
from levada.sql.expressions.filters import foreign
from levada.sql.faults import DataError
from levada.sql.plan import Scanned
from levada.sql.types import SqlType

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

#: Values that Python can't hold must not keep a document from being named.
_LENIENT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)

#: How long a document is looked for, in each column.
_SEARCH_MS: Final = 60_000


def mismatch(database: Database[Any], scans: tuple[Scanned, ...]) -> DataError:
    """The first document that is found, else the columns that it may be."""
    found = offender(database, scans)
    if found is not None:
        return found
    columns = [f"{scan.table}.{field.name}" for scan in scans for field in scan.unproven]
    return DataError(
        f"a value is of another type than its column, which is one of {', '.join(columns)}",
        where=database.name,
        hint="bson_type(column) tells the types there are",
    )


def offender(database: Database[Any], scans: tuple[Scanned, ...]) -> DataError | None:
    """The first document with a value of another type, in a column or inside of one."""
    with suppress(PyMongoError):  # too slow, or the server went away: what is known already is told
        for scan in scans:
            collection = database[scan.collection].with_options(codec_options=_LENIENT)
            for look in (_outer, _inner):
                for field in scan.unproven:
                    found = look(collection, scan.table, field)
                    if found is not None:
                        return found
    return None


def _outer(collection: Collection[Any], table: str, field: Field) -> DataError | None:
    value = {"$getField": {"field": {"$literal": field.name}, "input": "$$ROOT"}}
    others = foreign(field.type)
    stages: list[dict[str, Any]] = [
        {"$match": {"$expr": {"$in": [{"$type": value}, others]}}},
        {"$limit": 1},
        {"$project": {"type": {"$type": value}, "value": value}},
    ]
    with collection.aggregate(stages, maxTimeMS=_SEARCH_MS) as cursor:
        found = next(iter(cursor), None)
    if found is None:
        return None
    held = f"a document holds {_short(found.get('value'))} ({found['type']})"
    return _told(collection, f"column {field.name!r} of {table!r} is {field.type}, but {held}", found)


def _inner(collection: Collection[Any], table: str, field: Field) -> DataError | None:
    for path, kind, others in _leaves(field.name, field.type):
        found = collection.find_one(
            {path: {"$type": others}}, {field.name: 1}, max_time_ms=_SEARCH_MS, sort=[("$natural", 1)]
        )
        if found is not None:
            held = f"a document holds something else there: {_short(found[field.name])}"
            return _told(collection, f"{path!r} of {table!r} is {kind}, but {held}", found)
    return None


def _leaves(path: str, kind: SqlType) -> Iterator[tuple[str, SqlType, list[str]]]:
    """Paths inside a column, the type at each, and the BSON types that it must not have."""
    if kind.name == "LIST" and kind.item is not None:
        yield from _node(path, kind.item, listed=True)
    for name, part in kind.fields:
        if name and not name.startswith("$") and "." not in name:
            yield from _node(f"{path}.{name}", part, listed=False)


def _node(path: str, kind: SqlType, *, listed: bool) -> Iterator[tuple[str, SqlType, list[str]]]:
    """`$type` looks into arrays: of a list, the array itself is no item; of items, a list looks like them."""
    others = [name for name in foreign(kind) if not (listed and name == "array")]
    if others and kind.name != "LIST":
        yield path, kind, others
    yield from _leaves(path, kind)


def _told(collection: Collection[Any], what: str, document: dict[str, Any]) -> DataError:
    return DataError(
        what,
        where=f"{collection.full_name}, _id {document.get('_id')!r}",
        hint="mend the document, or declare the column in a validator; bson_type tells the types there are",
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
