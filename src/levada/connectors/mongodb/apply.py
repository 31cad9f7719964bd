"""Applies keyed changes to one collection: the one way in which stored rows are changed by key.

A chunk of changes is one transaction under the fence. It looks up what is stored under the keys, folds the
changes of each key into what becomes of its row, and writes the difference: deletes, then updates by `_id`,
then inserts. Rows that are stored like that already are not written. Another writer who is at the same rows
makes the transaction conflict, and it is done again on what is stored then.

A document that the server refuses aborts its transaction: what came before it is done again without it, and
the rest goes on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pymongo.client_session import ClientSession
from pymongo.database import Database

from levada.batches import Rejected
from levada.connectors.mongodb import applywrite, fields
from levada.connectors.mongodb.applyfold import DELETE, INSERT, Change, Fold, Row
from levada.connectors.mongodb.applygroups import Group, Grouping
from levada.connectors.mongodb.applykeys import Equality, Keys
from levada.connectors.mongodb.applylookup import Lookup, TooMuch
from levada.connectors.mongodb.applywrite import Moved, Statement, Statements
from levada.connectors.mongodb.faults import DUPLICATE_KEY
from levada.connectors.mongodb.fence import RETRIES, Fence
from levada.connectors.mongodb.insert import Failed, reason_of
from levada.connectors.mongodb.lanes import Tally
from levada.connectors.mongodb.rows import MAX_DOCUMENT

_LEAST_PART = 64


#: What becomes of a group.
NEW, CHANGED, SAME, DELETED = "new", "changed", "same", "deleted"
_NOTHING = Row(None, b"")


@dataclass(slots=True)
class Outcome:
    """What becomes of the groups of one transaction, by their places.

    Args:
        statements: what is written, in order.
        done: place, the count of `Tally` it is one of, and how many bytes.
        last: of each group that changes something, the change that made it so.
        older: changes that were older than what they found.
        rejected: groups that can't be applied.
    """

    statements: list[Statement] = field(default_factory=list)
    done: list[tuple[int, str, int]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)
    older: dict[int, int] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)


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


class Applier:
    """Applies changes to one collection, those of one key in their order.

    Args:
        database, collection: the target.
        fence: of the writer.
        keys: how rows are told apart.
        fold: what changes do to rows.
        unique: whether the server keeps the key unique.
        empty: whether the collection has no rows; new rows are then inserted without looking.
    """

    def __init__(
        self,
        database: Database[Any],
        collection: str,
        fence: Fence,
        keys: Keys,
        fold: Fold,
        *,
        unique: bool = True,
        empty: bool = False,
    ) -> None:
        self._fence = fence
        self._fold = fold
        self._blind = empty and unique
        self._grouping = Grouping(keys, Equality(database, keys.collation))
        self._lookup = Lookup(database, collection, keys)
        guarded = not fence.transactions and (fold.versioned or not fold.whole)
        self._statements = Statements(database, collection, guarded=guarded)
        self._by_body = unique and fold.whole and "_id" not in keys.names
        self._written: list[npt.NDArray[np.int64]] = []  # hashes of keys: 8 bytes for each row
        self._new = 0
        self._lock = threading.Lock()
        self.looked_up = 0
        self.found_unchanged = 0

    def store(self, lane: int, changes: list[Change]) -> Tally:
        """Apply a chunk."""
        tally, pending = Tally(), self._grouping.of(changes)
        size = len(pending)
        while pending:
            part, pending = pending[:size], pending[size:]
            try:
                self._count(part, self._run(lane, part), tally)
                size = max(2 * size, _LEAST_PART)
            except TooMuch:
                size = len(part) // 2
                pending = (part if size else self._unsuitable(part[0], tally)) + pending
            except Refused as refused:
                good, others = self._sorted(part, refused, tally)
                pending = good + others + pending
                size = len(good) or len(part)
        return tally

    def store_in(self, changes: list[Change], session: ClientSession | None) -> Tally:
        """Apply changes in a transaction that has begun.

        Raises:
            Refused: one of them can't be stored, and the transaction is lost.
            TooMuch: the stored rows are too many or too large to be looked at in one transaction.
        """
        part, tally = self._grouping.of(changes), Tally()
        self._written, self._new = [], 0  # it may be the second attempt
        self._count(part, self._work(part, session), tally)
        self.settle(tally)
        return tally

    def settle(self, tally: Tally) -> None:
        """Count a row that came several times once, and as replaced if it was there before."""
        hashes = np.concatenate(self._written) if self._written else np.array([], np.int64)
        tally.rows = len(np.unique(hashes))
        tally.replaced = max(0, tally.rows - self._new)

    def _run(self, lane: int, part: list[Group]) -> Outcome:
        for attempt in range(RETRIES):
            try:
                return self._fence.run(lane, lambda session: self._work(part, session))
            except Moved:
                if attempt == RETRIES - 1:
                    raise
        raise AssertionError

    def _work(self, part: list[Group], session: ClientSession | None) -> Outcome:
        outcome = self._decided(part, session)
        outcome.statements.sort(key=lambda statement: statement.kind)
        try:
            self._statements.run(outcome.statements, session)
        except Failed as failure:
            at, duplicate = failure.index, failure.error.code == DUPLICATE_KEY
            culprit, reason = outcome.statements[at].place, reason_of(failure.error)
            raise Refused(outcome, culprit, at, reason, duplicate=duplicate) from failure
        return outcome

    def _decided(self, part: list[Group], session: ClientSession | None) -> Outcome:
        outcome = Outcome()
        found: list[bytes] = []
        if not self._blind:
            found = self._lookup.find([group.key for group in part], session)
        same, found = self._unchanged(part, found)
        outcome.done += [(place, SAME, 0) for place in same]
        if len(same) == len(part):
            return outcome
        stored = self._grouping.stored(part, found)
        skipped = set(same)
        for place, group in enumerate(part):
            if place not in skipped:
                self._decide(place, group, stored.get(group.form, ()), outcome)
        return outcome

    def _unchanged(self, part: list[Group], found: list[bytes]) -> tuple[list[int], list[bytes]]:
        """Places of groups whose row is stored byte for byte, and what else was found."""
        if not self._by_body or not found:
            return [], found
        bodies = {fields.without_id(document): document for document in found}
        same = []
        for place, group in enumerate(part):
            change = group.changes[0]
            if len(group.changes) > 1 or change.operation == DELETE:
                continue
            if bodies.pop(fields.without_id(change.document), None) is not None:
                same.append(place)
        return same, list(bodies.values())

    def _decide(self, place: int, group: Group, found: Sequence[bytes], outcome: Outcome) -> None:
        if len(found) > 1:
            outcome.rejected[place] = f"{len(found)} documents are stored under its key"
            return
        old = Row.of(found[0]) if found else None
        folded = self._fold.of(old, group.changes)
        new = folded.row
        if folded.older:
            outcome.older[place] = folded.older
        if folded.last is None:
            if old is not None and any(change.operation == INSERT for change in group.changes):
                outcome.done.append((place, SAME, 0))
            return
        outcome.last[place] = folded.last
        if old is None:
            if new is not None:
                self._put(Statement(applywrite.INSERT, place, _NOTHING, fields.with_id(*new)), NEW, outcome)
        elif new is None:
            outcome.statements.append(Statement(applywrite.DELETE, place, old))
            outcome.done.append((place, DELETED, 0))
        elif folded.anew and new.identity not in (None, old.identity):
            outcome.statements.append(Statement(applywrite.DELETE, place, old))
            self._put(Statement(applywrite.INSERT, place, _NOTHING, fields.with_id(*new)), CHANGED, outcome)
        elif new.body == old.body:
            outcome.done.append((place, SAME, 0))
        else:
            self._put(Statement(applywrite.UPDATE, place, old, new.body), CHANGED, outcome)

    def _put(self, statement: Statement, done: str, outcome: Outcome) -> None:
        if statement.size > MAX_DOCUMENT:
            reason = f"with what is stored, larger than {MAX_DOCUMENT} bytes"
            raise Refused(outcome, statement.place, 0, reason)
        outcome.statements.append(statement)
        outcome.done.append((statement.place, done, statement.size))

    def _sorted(self, part: list[Group], refused: Refused, tally: Tally) -> tuple[list[Group], list[Group]]:
        """The groups that were taken before one was refused, and the others; the culprit is blamed."""
        if self._blind and refused.duplicate:
            self._blind = False
            return [], part
        outcome, culprit = refused.outcome, part[refused.culprit]
        left = {statement.place for statement in outcome.statements[refused.at :]} | {refused.culprit}
        if not refused.at:  # nothing was written, and not all may have been looked at
            left = set(range(len(part)))
        good = [group for place, group in enumerate(part) if place not in left]
        others = [part[place] for place in sorted(left) if place != refused.culprit]
        if not self._fence.transactions and good:  # nothing takes them back
            self._count(part, outcome, tally, left)
            good = []
        culprit.tries += 1
        if self._fence.transactions or not refused.duplicate or culprit.tries == RETRIES:
            change = culprit.changes.pop(outcome.last[refused.culprit])
            tally.rejected.append(Rejected(change.document, refused.reason))
        return good, [culprit, *others] if culprit.changes else others

    @staticmethod
    def _unsuitable(group: Group, tally: Tally) -> list[Group]:
        reason = "too many documents are stored under its key"
        tally.rejected += [Rejected(change.document, reason) for change in group.changes]
        return []

    def _count(self, part: list[Group], outcome: Outcome, tally: Tally, left: Collection[int] = ()) -> None:
        """Count what a transaction has done, but for the groups that are left."""
        done = [each for each in outcome.done if each[0] not in left]
        kinds = Counter(kind for _, kind, _ in done)
        tally.bytes += sum(size for _, _, size in done)
        tally.unchanged += kinds[SAME]
        tally.deleted += kinds[DELETED]
        tally.older += sum(count for place, count in outcome.older.items() if place not in left)
        for place, reason in outcome.rejected.items():
            if place not in left:
                tally.rejected += [Rejected(change.document, reason) for change in part[place].changes]
        forms = [hash(part[place].form) for place, kind, _ in done if kind != DELETED]
        with self._lock:
            self._written.append(np.array(forms, np.int64))
            self._new += kinds[NEW]
            self.looked_up += len(part)
            self.found_unchanged += kinds[SAME]
