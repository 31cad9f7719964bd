"""Some documents of a table, and the types of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from levada.bson import Decoder
from levada.bson.native_profile import profiler
from levada.connectors.mongodb.wire import RawCursor, Sizes
from levada.sql.inferred import inferred
from levada.sql.types import SqlType

if TYPE_CHECKING:
    from pymongo.database import Database

Stages = list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """What was seen.

    Args:
        types: of the fields, in the order in which they were met.
        documents: how many were looked at.
        sure: how sure that is, one phrase.
    """

    types: Mapping[str, SqlType]
    documents: int
    sure: str


def sampled(database: Database[Any], name: str, size: int, rows: int | None) -> Sample:
    """Look at the oldest and the newest documents, and at some between; at all, where there are few.

    Args:
        rows: about how many there are; None: not known (a view), and only the first ones are looked at.
    """
    whole = rows is not None and rows <= size
    decoder, profile, documents = Decoder(), profiler(), 0
    for stages in _looks(size, rows):
        command = {"aggregate": name, "pipeline": stages, "cursor": {}}
        cursor = RawCursor(database.client, database.name, command, Sizes(size))
        with closing(cursor.replies()) as replies:
            for reply in replies:
                decoder.decode(reply.documents)
                profile.add(reply.documents)
                documents += len(reply.documents)
    whole = whole or (rows is None and documents < size)
    members = profile.result().root.members
    types = {one.name: inferred(one, members.get(one.name), whole=whole) for one in decoder.schema}
    return Sample(types, documents, _sure(documents, rows, whole=whole))


def _looks(size: int, rows: int | None) -> list[Stages]:
    if rows is None or rows <= size:
        return [[{"$limit": size}]]
    ends, between = size // 4, size // 2
    oldest: Stages = [{"$sort": {"_id": 1}}, {"$limit": ends}]
    newest: Stages = [{"$sort": {"_id": -1}}, {"$limit": ends}]
    return [oldest, newest, [{"$sample": {"size": between}}]]


def _sure(documents: int, rows: int | None, *, whole: bool) -> str:
    if whole:
        return "the only document" if documents == 1 else f"all {documents:,} documents"
    return f"{documents:,} of about {rows:,} documents" if rows else f"the first {documents:,} documents"
