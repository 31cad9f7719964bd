"""Which of some keys a collection holds at this moment: asked of the primary, key by key.

A scan may have been answered by a secondary that lags, or have missed a row that was moved while it ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pymongo import MongoClient

from levada.batches import Batch
from levada.connectors.mongodb.apply.fold import DELETE, Change
from levada.connectors.mongodb.apply.groups import Group, Grouping
from levada.connectors.mongodb.apply.keys import Equality, Keys
from levada.connectors.mongodb.apply.lookup import Lookup, TooMuch
from levada.connectors.mongodb.rows import encoded
from levada.connectors.mongodb.target import Target
from levada.errors import Fatal

_ROWS = 2_000


def held(
    client: MongoClient[Any], database: str, collection: str, keys: pa.RecordBatch
) -> npt.NDArray[np.bool_]:
    """Whether each key is stored.

    Args:
        keys: one column for each field of the key, labelled as the collection's own values would be.

    Raises:
        Fatal: a key can't be a value of a document.
    """
    documents, rejected = encoded(Batch(keys))
    if rejected:
        raise Fatal(f"a key can't be looked up: {rejected[0].reason}", where=f"{database}.{collection}")
    target = Target(client, database, collection)
    names = Keys(keys.schema.names, target.collation)
    grouping = Grouping(names, Equality(target.database, target.collation))
    lookup = Lookup(target.database, collection, names)
    found = np.zeros(len(keys), np.bool_)
    changes = [
        Change(DELETE, document, key)
        for document, key in zip(documents.slices(), names.of_all(documents), strict=True)
        if key is not None
    ]
    places = {id(change): place for place, change in enumerate(changes)}
    for start in range(0, len(changes), _ROWS):
        for group in _stored(grouping, lookup, grouping.of(changes[start : start + _ROWS])):
            found[[places[id(change)] for change in group.changes]] = True
    return found


def _stored(grouping: Grouping, lookup: Lookup, groups: list[Group]) -> Iterator[Group]:
    try:
        stored = grouping.stored(groups, lookup.find([group.key for group in groups], None))
    except TooMuch:
        half = len(groups) // 2
        if not half:
            yield from groups  # there are too many documents of this key to read, so there are some
            return
        yield from _stored(grouping, lookup, groups[:half])
        yield from _stored(grouping, lookup, groups[half:])
    else:
        yield from (group for group in groups if group.form in stored)
