"""Batches as changes: operation, key and version of each row, and the rows that can't be one."""

from __future__ import annotations

import pyarrow as pa
from bson.errors import InvalidBSON

from levada.batches import Batch, Rejected
from levada.bson import Documents
from levada.bson.elements import Malformed
from levada.connectors.base import OPERATIONS, Write
from levada.connectors.mongodb import fields
from levada.connectors.mongodb.apply.fold import UPSERT, Change, Fold, omits_nulls
from levada.connectors.mongodb.apply.keys import Key, Keys
from levada.connectors.mongodb.apply.known import Known
from levada.connectors.mongodb.rows import MAX_DOCUMENT, encoded
from levada.errors import ConfigError

_TEXT_OPERATIONS = {name.encode(): name for name in OPERATIONS}


class _Bad(Exception):
    """Why a row can't be a change."""


class Intake:
    """Makes changes of the batches of one write.

    Args:
        write: what it does to stored rows.
        keys: how rows are told apart.
        fold: for versions.
        known: tells rows that are stored already, which become no changes; None where that can't be.
    """

    def __init__(self, write: Write, keys: Keys, fold: Fold, known: Known | None) -> None:
        self._where = str(write.table)
        self._rules = write.changes
        self._keys = keys
        self._fold = fold
        self._known = known
        self._omits_nulls = omits_nulls(write.changes)
        self._operation = (write.changes.operation or "").encode()

    def of(self, batch: Batch) -> tuple[list[Change], list[Rejected]]:
        """The changes of a batch, in the order of its rows.

        Raises:
            ConfigError: typed rows lack the column of the operation or the version.
        """
        if not batch.canonical:
            batch = Batch(self._prepared(batch.data))
        documents, refused = encoded(batch, omit_nulls=self._omits_nulls)
        rejected, changes = list(refused), []
        if batch.canonical and self._omits_nulls:
            documents = _without_nulls(documents)
        if self._known is not None:
            documents = self._known.left(documents)
        for document, key in zip(documents.slices(), self._keys.of_all(documents), strict=True):
            try:
                changes.append(self._change(document, key))
            except _Bad as bad:
                rejected.append(Rejected(document, str(bad)))
            except (Malformed, InvalidBSON) as error:
                rejected.append(Rejected(document, f"malformed BSON: {error}"))
        return changes, rejected

    def _prepared(self, data: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows with the operation in front, where it is taken out at once."""
        for name in (self._rules.operation, self._rules.version):
            if name and "." not in name and name not in data.schema.names:
                raise ConfigError(
                    f"the rows have no column {name!r}", where=self._where, hint="read that column too"
                )
        operation = self._rules.operation
        if not operation:
            return data
        return data.select([operation, *(name for name in data.schema.names if name != operation)])

    def _change(self, row: bytes, key: Key | None) -> Change:
        operation, document = self._operation_of(row) if self._operation else (UPSERT, row)
        if len(document) > MAX_DOCUMENT:
            raise _Bad(f"larger than {MAX_DOCUMENT} bytes")
        key = key or self._keys.of(document)  # which says what is wrong
        if key is None:
            raise _Bad(self._keys.missing(document))
        if not self._fold.versioned:
            return Change(operation, document, key, None, self._keys.form(key))
        version = self._fold.version(document)
        if version is None:
            raise _Bad(f"version {self._rules.version} is of a type that has no order")
        return Change(operation, document, key, version, self._keys.form(key))

    def _operation_of(self, row: bytes) -> tuple[str, bytes]:
        name = self._operation
        value = fields.at(row, (name,))
        if value is None:
            return UPSERT, row
        document = fields.without(row, name)
        if value[0] == fields.NULL:
            return UPSERT, document
        operation = _TEXT_OPERATIONS.get(value[5:-1]) if value[0] == fields.STRING else None
        if operation is None:
            shown = repr(value[5:-1].decode(errors="replace")) if value[0] == fields.STRING else "no text"
            raise _Bad(f"operation {shown} is none of {', '.join(OPERATIONS)}")
        return operation, document


def _without_nulls(documents: Documents) -> Documents:
    kept = []
    for document in documents.slices():
        try:
            kept.append(fields.without_nulls(document))
        except Malformed:  # it is rejected later
            kept.append(document)
    return Documents.from_list(kept)
