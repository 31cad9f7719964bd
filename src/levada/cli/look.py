"""Looking at a table: which of its documents are read, and what is collected of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from levada.batches import Batch
from levada.bson import Decoder, Documents, encode, from_canonical
from levada.bson.native_profile import Profiler, profiler
from levada.connectors.base import Connection, Query, Table
from levada.errors import ConfigError, Fatal

#: How the documents were chosen.
RANDOM, FIRST, ALL = "random", "first", "all"


@dataclass(frozen=True)
class Asked:
    """What is looked at.

    Args:
        sample: how many documents; None for all.
        where: a SQL condition.
        filter: a MongoDB filter.
    """

    sample: int | None
    where: str | None
    filter: dict[str, Any]

    @property
    def selects(self) -> bool:
        return bool(self.where or self.filter)


class Look:
    """One look at a table.

    Args:
        connection: where it is.
        table: what it is called there.
        asked: which of its documents.
        progress: takes rows and bytes as they are read.
    """

    def __init__(
        self, connection: Connection, table: Table, asked: Asked, progress: Callable[[int, int], None]
    ) -> None:
        self.table = table
        self.documents = 0
        self.total: int | None = None
        self.way = ALL
        self.selects = asked.selects
        self.rejected: Counter[str] = Counter()
        self._connection = connection
        self._asked = asked
        self._progress = progress
        self._bson = connection.kind == "mongodb"

    def profile(self) -> Profiler:
        """What the documents hold; rows of other systems are looked at as the documents they would be."""
        found = profiler()
        for batch in self._batches():
            found.add(from_canonical(batch.data) if batch.canonical else self._encoded(batch.data))
        return found

    def schema(self) -> pa.Schema:
        """The Arrow schema that a read of these documents ends with.

        Raises:
            ConfigError: there are no rows to see it from.
        """
        decoder = Decoder()
        schema: pa.Schema | None = None
        for batch in self._batches():
            if self._bson:
                rejected = decoder.decode(from_canonical(batch.data))[1]
                self.rejected.update(one.reason for one in rejected)
            schema = decoder.schema if self._bson else batch.data.schema
        if schema is None:
            raise ConfigError(
                "there are no rows to see a schema from",
                where=str(self.table),
                hint="check the name of the table, and --where and --filter",
            )
        return schema

    def _encoded(self, rows: pa.RecordBatch) -> Documents:
        documents, rejected = encode(rows)
        self.rejected.update(one.reason for one in rejected)
        return from_canonical(pa.record_batch([documents], ["document"]))

    def _batches(self) -> Iterator[Batch]:
        left = self._asked.sample
        with closing(self._read()) as batches:
            for batch in batches:
                rows = batch.data.num_rows if left is None else min(left, batch.data.num_rows)
                self.documents += rows
                self._progress(rows, batch.data.nbytes)
                yield replace(batch, data=batch.data.slice(0, rows))
                left = None if left is None else left - rows
                if left == 0:
                    break
        if self.way == ALL and left == 0 and self.documents != self.total:
            self.way, self.total = FIRST, None  # the statistics are wrong
        elif left != 0:
            self.way = ALL  # there were no more
            self.total = self.documents

    def _read(self) -> Generator[Batch, None, None]:
        asked = self._asked
        if not self._bson:
            self.way = ALL if asked.sample is None else FIRST
            yield from self._connection.source(
                self.table, Query(where=asked.where, filter=asked.filter)
            ).read(None, None)
            return
        if not asked.selects:
            self.total = self._estimated()
        if asked.sample is None or (self.total is not None and self.total <= asked.sample):
            yield from self._source().read(None, None)
            return
        self.way = RANDOM
        sample = self._source({"$sample": {"size": asked.sample}}).read(None, None)
        try:
            first = next(sample, None)
        except ConfigError:
            raise
        except Fatal:  # a server without $sample, or a user who may not
            self.way = FIRST
            yield from self._source({"$limit": asked.sample}).read(None, None)
            return
        if first is not None:
            yield first
            yield from sample

    def _source(self, *stages: dict[str, Any]) -> Any:
        asked = self._asked
        query = Query(where=asked.where, filter=asked.filter, pipeline=stages, canonical=True)
        return self._connection.source(self.table, query)

    def _estimated(self) -> int | None:
        estimated = getattr(self._source(), "estimated", None)
        return estimated().rows if estimated else None
