"""Writes rows by their `_id`: deletes, then updates, then inserts, as few commands as their size allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from struct import Struct
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError

from levada.bson import Documents, differences
from levada.connectors.mongodb import fields
from levada.connectors.mongodb.apply.fold import Row
from levada.connectors.mongodb.apply.lookup import equal
from levada.connectors.mongodb.insert import Failed, raise_write_error
from levada.connectors.mongodb.raw import Sealed
from levada.connectors.mongodb.rows import MAX_DOCUMENT, chunks

DELETE, UPDATE, INSERT = range(3)
_COMMAND_BYTES = 12_000_000
_NO_ID = b"\x0a"
_SIZE = Struct("<i")


class Moved(PyMongoError):
    """Another writer has changed a row since it was looked up, where there are no transactions."""


class Statement(NamedTuple):
    """What is written for one row.

    Args:
        kind: `DELETE`, `UPDATE` or `INSERT`.
        place: of its group in the transaction.
        old: the stored row.
        new: the document to insert, or the one to put in its place, without `_id`.
    """

    kind: int
    place: int
    old: Row
    new: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of the document that will be stored, about."""
        return len(self.new) + len(self.old.identity or b"") + 4 * (self.kind == UPDATE)


class Statements:
    """Runs statements on one collection.

    Args:
        database, collection: where.
        guarded: change a stored row only if it still is what it was when it was looked up; else nobody can
            have changed it.
    """

    def __init__(self, database: Database[Any], collection: str, *, guarded: bool) -> None:
        self._database = database
        self._collection = collection
        self._guarded = guarded
        self._commands: tuple[tuple[str, str, Callable[[list[Statement]], Iterable[bytes]]], ...] = (
            ("delete", "deletes", self._deletes),
            ("update", "updates", self._updates),
            ("insert", "documents", lambda part: (statement.new for statement in part)),
        )

    def run(self, statements: Sequence[Statement], session: ClientSession | None) -> None:
        """Run statements that are in the order of their kinds.

        Raises:
            Failed: the server does not take one, by its place; those before it were run.
            Moved: a row has changed.
        """
        done = 0
        for kind, alike in groupby(statements, lambda statement: statement.kind):
            for part in chunks(list(alike), len(statements), _COMMAND_BYTES, lambda each: each.size):
                try:
                    self._command(kind, part, session)
                except Failed as failure:
                    raise Failed(done + failure.index, failure.error) from failure
                done += len(part)

    def _command(self, kind: int, part: list[Statement], session: ClientSession | None) -> None:
        name, items, make = self._commands[kind]
        command = {name: self._collection, items: [Sealed(each) for each in make(part)], "ordered": True}
        answer = self._database.command(command, session=session)
        raise_write_error(answer)
        if self._guarded and answer["n"] < len(part):
            raise Moved("a row was changed by another writer")

    def _deletes(self, part: list[Statement]) -> Iterator[bytes]:
        for statement in part:
            yield fields.framed(self._condition(statement) + b"\x10limit\0\x01\0\0\0")

    def _updates(self, part: list[Statement]) -> Iterator[bytes]:
        old = Documents.from_list([statement.old.body for statement in part])
        changes = differences(old, Documents.from_list([statement.new for statement in part]))
        for statement, change in zip(part, changes, strict=True):
            if change and not self._guarded:
                yield _setting(statement.old.identity or _NO_ID, change)
                continue
            known = not self._guarded or _fits_condition(statement)
            yield fields.framed(self._condition(statement) + _change(statement, change if known else None))

    def _condition(self, statement: Statement) -> bytes:
        condition = equal(b"_id", statement.old.identity or _NO_ID)
        if self._guarded and _fits_condition(statement):
            condition += _is(fields.with_id(statement.old.identity, statement.old.body))
        return fields.nested(fields.DOCUMENT, b"q", fields.framed(condition))


def _fits_condition(statement: Statement) -> bool:
    """Whether a condition can name the whole stored row beside the new one."""
    return len(statement.old.body) + len(statement.new) < MAX_DOCUMENT


def _setting(identity: fields.Element, change: bytes) -> bytes:
    """`{q: {_id: {$eq: ...}}, u: {$set: ...}}`: what most updates are, put together at once."""
    value = len(identity) - 1
    setting = len(change) + 5
    return b"".join(
        (
            _SIZE.pack(value + setting + 42),
            b"\x03q\0",
            _SIZE.pack(value + 20),
            b"\x03_id\0",
            _SIZE.pack(value + 10),
            identity[:1],
            b"$eq\0",
            identity[1:],
            b"\0\0\x03u\0",
            _SIZE.pack(setting + 11),
            b"\x03$set\0",
            _SIZE.pack(setting),
            change,
            b"\0\0\0",
        )
    )


def _change(statement: Statement, change: bytes | None) -> bytes:
    """What an update does, as a field: setting what differs costs the server half of a replacement."""
    if change:
        setting = fields.nested(fields.DOCUMENT, b"$set", fields.framed(change))
        return fields.nested(fields.DOCUMENT, b"u", fields.framed(setting))
    if not fields.names_an_operator(statement.new):
        return fields.nested(fields.DOCUMENT, b"u", statement.new)
    document = fields.with_id(statement.old.identity, statement.new)
    stage = fields.nested(fields.DOCUMENT, b"$replaceWith", fields.framed(_literal(document)))
    return fields.nested(fields.ARRAY, b"u", fields.array([b"\x03" + fields.framed(stage)]))


def _is(document: bytes) -> bytes:
    """The condition that the whole document is this one, as a field of a filter."""
    sides = [b"\x02" + b"\x07\0\0\0$$ROOT\0", b"\x03" + fields.framed(_literal(document))]
    return fields.nested(
        fields.DOCUMENT, b"$expr", fields.framed(fields.nested(fields.ARRAY, b"$eq", fields.array(sides)))
    )


def _literal(document: bytes) -> bytes:
    return fields.nested(fields.DOCUMENT, b"$literal", document)
