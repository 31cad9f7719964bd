"""What changes make of a stored document, one after the other.

The last one to change something wins; with a version, one that is lower than the stored one changes nothing,
and of equal ones the later wins. A delete leaves nothing behind: the next change finds no row.
The result is the same wherever the changes are cut into transactions, unless the server refuses one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from levada.connectors.base import Changes
from levada.connectors.mongodb import fields
from levada.connectors.mongodb.apply.keys import Key
from levada.connectors.mongodb.apply.versions import NONE, Version, version_of
from levada.connectors.mongodb.fields import Element
from levada.connectors.mongodb.rows import identity

INSERT, UPSERT, UPDATE, DELETE = "insert", "upsert", "update", "delete"


class Change(NamedTuple):
    """One change of the row under a key.

    Args:
        operation: one of `levada.connectors.base.OPERATIONS`.
        document: the new row as raw BSON; of a delete only the key and the version matter.
        key: the values of its key's fields.
        version: what it is compared by; None where versions don't matter.
        form: of the key, as by `Keys.form`.
    """

    operation: str
    document: bytes
    key: Key
    version: Version | None = None
    form: bytes | None = None


class Row(NamedTuple):
    """A document in two parts.

    Args:
        identity: its `_id`; None leaves it to the server.
        body: the document without it.
    """

    identity: Element | None
    body: bytes

    @classmethod
    def of(cls, document: bytes) -> Row:
        return cls(identity(document), fields.without_id(document))


@dataclass(frozen=True)
class Folded:
    """What becomes of a row.

    Args:
        row: as it is afterwards; None if there is none.
        anew: whether a stored one was deleted before, so that the new one may have another `_id`.
        changed: whether any change had an effect.
        older: changes that were older than what they found.
    """

    row: Row | None
    anew: bool
    changed: bool
    older: int


class Fold:
    """The rules of one write.

    Args:
        rules: what changes do to stored rows; nulls that are left out anyway have been (`omits_nulls`).
    """

    def __init__(self, rules: Changes) -> None:
        self._deep = rules.merge == "deep"
        self._replaces = rules.merge == "replace"
        self._on_null = rules.on_null
        self._version = tuple(rules.version.encode().split(b".")) if rules.version else None

    @property
    def whole(self) -> bool:
        """Whether a row becomes what the change says, whatever it was."""
        return self._replaces

    @property
    def plain(self) -> bool:
        """Whether the last upsert wins, whatever came before."""
        return self._replaces and self._version is None

    @property
    def versioned(self) -> bool:
        return self._version is not None

    def version(self, document: bytes) -> Version | None:
        """The version of a document; None if it can't be compared.

        Raises:
            Malformed: the document is.
        """
        return version_of(fields.at(document, self._version)) if self._version else None

    def of(self, stored: Row | None, changes: Sequence[Change]) -> Folded:
        """The changes of one key, in order.

        Args:
            stored: what they find.
        """
        row, anew, changed, older = stored, False, False, 0
        for change in changes:
            if row is not None and self._version and (change.version or NONE) < self._stored(row):
                older += 1
            elif change.operation == DELETE:
                if row is not None:
                    row, anew, changed = None, True, True
            elif change.operation != (UPDATE if row is None else INSERT):
                row, changed = self._applied(row, change.document), True
        return Folded(row, anew, changed, older)

    def first(self, document: bytes) -> bytes:
        """What is stored of a new row."""
        if self._replaces or self._on_null == "write":
            return document
        return fields.merged(fields.EMPTY, document, deep=self._deep, on_null=self._on_null)

    def _stored(self, row: Row) -> Version:
        return self.version(row.body) or NONE

    def _applied(self, row: Row | None, document: bytes) -> Row:
        if row is None:
            return Row.of(self.first(document))
        body = fields.without_id(document)
        if self._replaces:
            return row._replace(body=body)
        return row._replace(body=fields.merged(row.body, body, deep=self._deep, on_null=self._on_null))


def omits_nulls(rules: Changes) -> bool:
    """Whether nulls of new rows are left out before anything else."""
    return rules.on_null == "unset" and rules.merge == "replace"
