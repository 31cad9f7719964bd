"""Rows that need no writing, found without asking the server about each.

A load that mostly finds its rows stored already reads the whole target once, in natural order and by raw
replies, and keeps 16 bytes of each document: a cryptographic digest of it without its `_id`. A row with such
a digest is stored already. It is what is stored that is compared, not what an earlier load remembers of it,
so changes by others are seen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from pymongo.database import Database
from pymongo.errors import PyMongoError

from levada.bson import Documents, digests
from levada.connectors.mongodb.apply.keys import Keys
from levada.connectors.mongodb.apply.lookup import replies

MOST_DOCUMENTS = 20_000_000  # 16 bytes each, 40 while they are sorted
LEAST_ROWS = 10_000  # looked up before
#: A document is read in sequence about 8 times faster than it is looked up; the target is read when looking
#: up has cost half of that, since a load that met so many unchanged rows mostly has as many to come.
ADVANTAGE = 16
_MOST_TOUCHED = 1_000_000
_REPLY_DOCUMENTS = 5_000

Digests = npt.NDArray[np.uint64]


class Table:
    """A set of digests, and which of them have been met.

    Args:
        digests: uint64 [n, 2].
    """

    def __init__(self, digests: Digests) -> None:
        order = np.argsort(digests[:, 0], kind="stable")
        self._high = digests[order, 0]
        self._low = digests[order, 1]
        self._met = np.zeros(len(digests), np.bool_)

    @property
    def met(self) -> int:
        return int(np.count_nonzero(self._met))

    def places(self, digests: Digests) -> npt.NDArray[np.int64]:
        """Where each digest is; -1 where it is not in the set."""
        if not len(self._high):
            return np.full(len(digests), -1, np.int64)
        places = np.minimum(np.searchsorted(self._high, digests[:, 0]), len(self._high) - 1)
        same = (self._high[places] == digests[:, 0]) & (self._low[places] == digests[:, 1])
        return np.where(same, places, -1)

    def meet(self, places: npt.NDArray[np.int64]) -> None:
        self._met[places] = True


class Known:
    """The rows of one write that are stored already, as far as one look at the whole target tells.

    Args:
        database, collection: the target.
        keys: how rows are told apart.
    """

    def __init__(self, database: Database[Any], collection: str, keys: Keys) -> None:
        self._database = database
        self._collection = collection
        self._keys = keys
        self._without_id = "_id" not in keys.names
        self._table: Table | None = None
        self._given_up = False
        self._touched: set[bytes] = set()
        self._met = 0

    @property
    def rows(self) -> int:
        """How many stored rows have been met."""
        return self._met + (self._table.met if self._table else 0)

    def due(self, looked_up: int, unchanged: int) -> bool:
        """Whether reading everything pays, after so many rows have been looked up."""
        if self._table or self._given_up or looked_up < LEAST_ROWS or 2 * unchanged < looked_up:
            return False
        stored = self._database[self._collection].estimated_document_count()
        return stored <= min(MOST_DOCUMENTS, ADVANTAGE * looked_up)

    def read(self) -> None:
        """Read the target. No change of this write may be on its way."""
        command = {
            "find": self._collection,
            "batchSize": _REPLY_DOCUMENTS,
            "readConcern": {"level": "majority"},
        }
        try:
            with (
                self._database.client.start_session(causal_consistency=False) as session,
                ThreadPoolExecutor(1, thread_name_prefix="levada-mongodb-digest") as pool,
            ):
                found = [
                    pool.submit(digests, documents, without_id=self._without_id)
                    for documents in replies(self._database, command, session)
                ]
        except PyMongoError:  # rows are looked up, as before
            self._given_up = True
            return
        self._table = Table(np.concatenate([np.empty((0, 2), np.uint64), *(one.result() for one in found)]))

    def left(self, documents: Documents) -> Documents:
        """The documents that are not known to be stored, in their order."""
        if self._table is None:
            return documents
        places = self._table.places(digests(documents, without_id=self._without_id))
        new = places < 0
        self._touch(documents.take(new))
        if self._touched:
            new |= self._changed(documents, new)
        self._table.meet(places[~new])
        if len(self._touched) > _MOST_TOUCHED:
            self._forget()
        return documents.take(new)

    def _touch(self, documents: Documents) -> None:
        self._touched.update(self._keys.lane(key) for key in self._keys.of_all(documents) if key is not None)

    def _changed(self, documents: Documents, new: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Rows that look known, but whose key has been given another row since the target was read."""
        changed = np.zeros(len(documents), np.bool_)
        known = np.flatnonzero(~new)
        keys = self._keys.of_all(documents.take(known))
        changed[known] = [key is None or self._keys.lane(key) in self._touched for key in keys]
        return changed

    def _forget(self) -> None:
        self._met, self._table, self._given_up = self.rows, None, True
        self._touched.clear()
