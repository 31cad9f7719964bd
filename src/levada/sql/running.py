"""Runs a plan: temporary tables, one aggregate, its replies decoded."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from bson.objectid import ObjectId

from levada.connectors.mongodb.wire import RawCursor, Sizes
from levada.sql.decode import ResultDecoder
from levada.sql.plan import Plan, Stage, renamed

if TYPE_CHECKING:
    from pymongo.database import Database

TEMPORARY: Final = "levada.tmp."

#: Documents of the first reply; later ones are as large as replies are fast.
_ROWS: Final = 20_000

#: Temporary tables of a process that was killed are dropped by the next one that makes some.
_ABANDONED: Final = timedelta(days=1)


def command(collection: str | None, pipeline: list[Stage], options: Mapping[str, Any]) -> dict[str, Any]:
    """The aggregate command; text is compared by its code points, whatever the collection's own collation."""
    return {
        "aggregate": 1 if collection is None else collection,
        "pipeline": pipeline,
        "cursor": {},
        "allowDiskUse": True,
        "collation": {"locale": "simple"},
        **options,
    }


def batches(
    database: Database[Any], plan: Plan, options: Mapping[str, Any] | None = None
) -> Generator[pa.RecordBatch]:
    """The result, a batch for each reply of the server; one at least, which may be empty.

    Args:
        database: its client leads to one server.
        options: more for the command: `comment`, `maxTimeMS`.

    Raises:
        PyMongoError: the server refuses, or fails.
        DataError: a value is none of its column's type.
    """
    options = options or {}
    decoder = ResultDecoder(plan)
    with _stored(database, plan, options) as ready:
        asked = command(ready.collection, ready.pipeline, options)
        cursor = RawCursor(database.client, database.name, asked, Sizes(_ROWS))
        with closing(cursor.replies()) as replies:
            for reply in replies:
                yield decoder.decode(reply.documents)


@contextmanager
def _stored(database: Database[Any], plan: Plan, options: Mapping[str, Any]) -> Iterator[Plan]:
    """The plan with its temporary tables filled; they are dropped at the end."""
    names = {one.name: f"{TEMPORARY}{ObjectId()}" for one in plan.stored}
    ready = renamed(plan, names)
    if names:
        _drop_abandoned(database)
    try:
        for one in ready.stored:
            pipeline = [*one.pipeline, {"$out": one.name}]
            database.command(command(one.collection, pipeline, options))
        yield ready
    finally:
        for name in names.values():
            database.drop_collection(name)


def _drop_abandoned(database: Database[Any]) -> None:
    before = datetime.now(UTC) - _ABANDONED
    for name in database.list_collection_names(filter={"name": {"$regex": r"^levada\.tmp\."}}):
        made = name.removeprefix(TEMPORARY)
        if ObjectId.is_valid(made) and ObjectId(made).generation_time < before:
            database.drop_collection(name)
