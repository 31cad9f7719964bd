"""Reads a resource page by page: its rows as typed columns, those of a window or behind a watermark."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.bson import Decoder, Documents
from levada.connectors.base import Query, Table
from levada.connectors.reading import chosen, named_in, projected, refuse_mongodb, slices
from levada.connectors.rest.client import Client
from levada.connectors.rest.columns import Column, array_of, column
from levada.connectors.rest.documents import document_of, embedded, original
from levada.connectors.rest.settings import Resource
from levada.connectors.rest.span import Span, parameters, span_of, time_column
from levada.connectors.sqltext import iso
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

#: Rows that a repetition is looked for in; pages shift by a few rows while they are read.
RECENT = 100_000

Found = tuple[pa.RecordBatch, tuple[Rejected, ...]]


class RestSource:
    """Reads one resource.

    Args:
        client: makes the requests.
        table: of the project.
        resource: what the settings say of it.
        query: what of it.
    """

    def __init__(self, client: Client, table: Table, resource: Resource, query: Query) -> None:
        self._client = client
        self._table = table
        self._resource = resource
        self._query = query

    def read(self, window: Window | None, after: Position | None) -> Iterator[Batch]:
        """Batches of the window, or newer than `after`; the last one carries the highest time.

        A row that has no readable time where one is asked for, no object, or a value that a declared column
        can't hold is rejected.

        Raises:
            ConfigError: the credentials, a path, a column or a condition are wrong.
            Fatal: a page lacks its rows, or the pages don't end.
            Retriable: the server did not answer in the tries there are.
        """
        query, where = self._query, str(self._table)
        refuse_mongodb(query, where)
        if query.sql:
            raise ConfigError(
                "an API takes no SQL", where=where, hint="use `where:`, or `params` of the resource"
            )
        span = span_of(self._table, self._resource, window, after)
        rows = _Rows(self._resource, span)
        last: Found | None = None
        for batch, rejected in self._pages(rows, span):
            if not len(batch) and not rejected:
                continue
            if last is not None:
                yield Batch(last[0], None, last[1])
            last = batch, rejected
        rows.check(query.columns, where)
        if last is not None:
            yield Batch(last[0], rows.position, last[1])

    def _pages(self, rows: _Rows, span: Span) -> Iterator[Found]:
        query, body = parameters(span, self._resource)
        for page in self._client.pages(self._resource, query, body, str(self._table)):
            batch, rejected = rows.of(page.rows, f"{page.url}, page {page.number}")
            batch = self._wanted(batch)
            parts = list(slices(batch, self._query.batch_rows)) or [batch]
            for at, part in enumerate(parts):
                yield part, rejected if at == 0 else ()

    def _wanted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        query, where = self._query, str(self._table)
        if query.where:
            named = sorted(named_in(query.where, batch.schema.names, where))
            batch = chosen(batch, query.where, named, where)
        if not query.columns:
            return batch
        absent = [name for name in query.columns if name not in batch.schema.names]
        for name in absent:
            batch = batch.append_column(name, pa.nulls(len(batch)))
        return batch.select(projected(batch.schema, query.columns, where).names)


class _Rows:
    """Rows of pages -> typed batches; the schema only widens.

    Args:
        resource: its declared columns and its key.
        span: the times wanted.
    """

    def __init__(self, resource: Resource, span: Span) -> None:
        self._span = span
        self._key = resource.key
        self._columns = {name: column(name, kind) for name, kind in resource.columns.items()}
        if span.field is not None and span.field not in self._columns:
            self._columns[span.field] = time_column(span.field, span.format)
        self._decoder = Decoder()
        self._recent: OrderedDict[bytes, None] = OrderedDict()
        self._highest: datetime | None = None
        self._any = False

    @property
    def position(self) -> Position | None:
        """The highest time of all rows."""
        return None if self._highest is None else Position({"": {"$date": iso(self._highest)}})

    def of(self, rows: list[Any], where: str) -> Found:
        """The wanted rows of a page."""
        kept: list[Any] = []
        documents: list[bytes] = []
        declared: list[dict[str, Any]] = []
        rejected: list[Rejected] = []
        for at, row in enumerate(rows, 1):
            try:
                if not self._wants(row):
                    continue
                values = _converted(row, self._columns)
                document = document_of({name: None if name in values else row[name] for name in row})
            except (ValueError, ArithmeticError, RecursionError) as error:
                rejected.append(Rejected(original(row), f"{where}, row {at}: {error}"))
                continue
            kept.append(row)
            documents.append(document)
            declared.append(values)
        return self._batch(documents, declared, kept, rejected, where)

    def check(self, names: tuple[str, ...], where: str) -> None:
        """Check that columns asked for exist.

        Raises:
            ConfigError: no row had one.
        """
        if self._any:
            known = pa.schema(
                [
                    pa.field(name, pa.null())
                    for name in {**dict.fromkeys(self._decoder.schema.names), **self._columns}
                ]
            )
            projected(known, names, where)

    def _wants(self, row: Any) -> bool:
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - told like other bad rows
        span = self._span
        when = span.time_of(row)
        if when is not None and not span.wants(when):
            return False
        if self._repeated(row):
            return False
        if when is not None and (self._highest is None or when > self._highest):
            self._highest = when
        return True

    def _repeated(self, row: dict[str, Any]) -> bool:
        """Whether the very same row, by key and content, has just been read."""
        if not self._key or any(row.get(name) is None for name in self._key):
            return False
        digest = hashlib.blake2b(embedded(row).encode(), digest_size=16).digest()
        if digest in self._recent:
            self._recent.move_to_end(digest)
            return True
        self._recent[digest] = None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return False

    def _batch(
        self,
        documents: list[bytes],
        declared: list[dict[str, Any]],
        rows: list[Any],
        rejected: list[Rejected],
        where: str,
    ) -> Found:
        batch, bad = self._decoder.decode(Documents.from_list(documents))
        self._any = self._any or bool(len(batch))
        if bad:
            reasons = {found.raw: found.reason for found in bad}
            pairs = zip(documents, rows, strict=True)
            refused = [(row, reasons[raw]) for raw, row in pairs if raw in reasons]
            rejected += [Rejected(original(row), f"{where}: {why}") for row, why in refused]
            declared = [values for raw, values in zip(documents, declared, strict=True) if raw not in reasons]
        return self._with_declared(batch, declared), tuple(rejected)

    def _with_declared(self, batch: pa.RecordBatch, declared: list[dict[str, Any]]) -> pa.RecordBatch:
        """The columns of a batch, declared ones in their places; those that no row had so far come last."""
        if not self._columns:
            return batch
        names = list(dict.fromkeys([*batch.schema.names, *self._columns]))
        fields, arrays = [], []
        for name in names:
            known = self._columns.get(name)
            fields.append(known.field if known else batch.schema.field(name))
            found = [values.get(name) for values in declared] if known else None
            arrays.append(array_of(found, known.field) if known and found is not None else batch.column(name))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=batch.schema.metadata))


def _converted(row: dict[str, Any], columns: dict[str, Column]) -> dict[str, Any]:
    found = {}
    for name, declared in columns.items():
        value = row.get(name)
        try:
            found[name] = None if value is None else declared.convert(value)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(f"{name}: {error}") from None
    return found
