"""Decides what is written for a chunk of changes, given what is stored under their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from levada.connectors.mongodb import fields
from levada.connectors.mongodb.apply import statements
from levada.connectors.mongodb.apply.fold import DELETE, INSERT, UPSERT, Change, Fold, Row
from levada.connectors.mongodb.apply.groups import Group
from levada.connectors.mongodb.apply.statements import Statement
from levada.connectors.mongodb.rows import MAX_DOCUMENT, identity

#: What becomes of a group.
NEW, CHANGED, SAME, DELETED = "new", "changed", "same", "deleted"
_NOTHING = Row(None, b"")


@dataclass(slots=True)
class Outcome:
    """What becomes of the groups of one transaction, by their places.

    Args:
        statements: what is written, in order.
        done: place, the count of `Tally` it is one of, and how many bytes.
        older: changes that were older than what they found.
        rejected: groups that can't be applied.
        blind: whether nobody has looked at what is stored.
    """

    statements: list[Statement] = field(default_factory=list)
    done: list[tuple[int, str, int]] = field(default_factory=list)
    older: dict[int, int] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)
    blind: bool = False


class Refused(Exception):
    """One group of a transaction can't be stored.

    Args:
        outcome: of the transaction.
        culprit: its place.
        at: how many statements the server had taken before.
        reason: for people.
        duplicate: whether another row has a value that is unique.
    """

    def __init__(
        self, outcome: Outcome, culprit: int, at: int, reason: str, *, duplicate: bool = False
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.culprit = culprit
        self.at = at
        self.reason = reason
        self.duplicate = duplicate


class Decision:
    """What is written for some groups.

    Args:
        fold: what changes do to rows.
        part: the groups; outcomes speak of their places here.
        blind: whether the collection was empty, so that nobody has looked.
        isolated: whether all statements are taken back where one is refused.
    """

    def __init__(self, fold: Fold, part: Sequence[Group], *, blind: bool, isolated: bool) -> None:
        self._fold = fold
        self._part = part
        self._isolated = isolated
        self._same: set[int] = set()
        self._bodies: dict[int, bytes] = {}  # of single changes, without `_id`
        self.outcome = Outcome(blind=blind)

    @property
    def complete(self) -> bool:
        """Whether all rows were found unchanged."""
        return len(self._same) == len(self._part)

    def leave(self, found: list[bytes]) -> list[Row]:
        """Leave the rows alone that are stored byte for byte; returns what else was found.

        Equal bytes without `_id` mean an equal key, so that no key has to be read. Only where rows are
        replaced as a whole, by a unique key without `_id`.
        """
        if not found:
            return []
        bodies = {fields.without_id(document): document for document in found}
        for place, group in enumerate(self._part):
            change = group.changes[0]
            if len(group.changes) > 1 or change.operation == DELETE:
                continue
            body = fields.without_id(change.document)
            if bodies.pop(body, None) is None:
                self._bodies[place] = body
                continue
            self._same.add(place)
            if change.operation != INSERT:  # which does nothing to a stored row, and counts as nothing
                self.outcome.done.append((place, SAME, 0))
        return [Row(identity(document), body) for body, document in bodies.items()]

    def make(self, rows: Sequence[Row], stored: Mapping[bytes, Sequence[int]]) -> None:
        """Decide about the other groups.

        Args:
            rows: that are stored.
            stored: their places by the forms of the groups' keys.

        Raises:
            Refused: a merged row would be too large.
        """
        for place, group in enumerate(self._part):
            if place in self._same:
                continue
            found = stored.get(group.form, ())
            if len(found) > 1:
                self.outcome.rejected[place] = f"{len(found)} documents are stored under its key"
            elif not found and len(group.changes) == 1:
                self._first(place, group.changes[0])
            elif place in self._bodies and self._fold.plain and group.changes[0].operation != INSERT:
                self._replace(place, rows[found[0]], self._bodies[place])
            else:
                self._fold_into(place, group, rows[found[0]] if found else None)
        self.outcome.statements.sort(key=lambda statement: statement.kind)

    def _first(self, place: int, change: Change) -> None:
        """The only change of a key that is not stored."""
        if change.operation in (UPSERT, INSERT):
            self._insert(place, self._fold.first(change.document), NEW)

    def _fold_into(self, place: int, group: Group, old: Row | None) -> None:
        folded = self._fold.of(old, group.changes)
        if folded.older:
            self.outcome.older[place] = folded.older
        if folded.changed:
            self._write(place, old, folded.row, anew=folded.anew)

    def _write(self, place: int, old: Row | None, new: Row | None, *, anew: bool) -> None:
        if old is None:
            if new is not None:
                self._insert(place, fields.with_id(*new), NEW)
        elif new is None:
            self._delete(place, old)
            self.outcome.done.append((place, DELETED, 0))
        elif anew and new.identity not in (None, old.identity):
            self._delete(place, old)
            self._insert(place, fields.with_id(*new), CHANGED)
        else:
            self._replace(place, old, new.body)

    def _replace(self, place: int, old: Row, body: bytes) -> None:
        if body == old.body:
            self.outcome.done.append((place, SAME, 0))
        elif fields.names_an_operator(body) and any(map(fields.repeats_a_name, (old.body, body))):
            self._put_anew(place, old, body)  # servers have crashed of such an update (6.0)
        else:
            self._put(Statement(statements.UPDATE, place, old, body), CHANGED)

    def _put_anew(self, place: int, old: Row, body: bytes) -> None:
        if not self._isolated:
            self.outcome.rejected[place] = (
                "a name with $ beside a repeated one, on a server without transactions"
            )
            return
        self._delete(place, old)
        self._insert(place, fields.with_id(old.identity, body), CHANGED)

    def _delete(self, place: int, old: Row) -> None:
        self.outcome.statements.append(Statement(statements.DELETE, place, old))

    def _insert(self, place: int, document: bytes, done: str) -> None:
        self._put(Statement(statements.INSERT, place, _NOTHING, document), done)

    def _put(self, statement: Statement, done: str) -> None:
        if statement.size > MAX_DOCUMENT:
            reason = f"with what is stored, larger than {MAX_DOCUMENT} bytes"
            raise Refused(self.outcome, statement.place, 0, reason)
        self.outcome.statements.append(statement)
        self.outcome.done.append((statement.place, done, statement.size))
