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
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from bson import decode
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure

from levada.batches import Rejected
from levada.connectors.mongodb.apply.decide import DELETED, NEW, SAME, Decision, Outcome, Refused
from levada.connectors.mongodb.apply.fold import INSERT, UPSERT, Change, Fold, Row
from levada.connectors.mongodb.apply.groups import Group, Grouping
from levada.connectors.mongodb.apply.keys import Equality, Keys
from levada.connectors.mongodb.apply.lookup import Crowded, Lookup, TooMuch
from levada.connectors.mongodb.apply.statements import Moved, Statements
from levada.connectors.mongodb.faults import DUPLICATE_KEY, INVALID_BSON, TOO_LARGE
from levada.connectors.mongodb.fence import RETRIES, Fence
from levada.connectors.mongodb.insert import Failed, reason_of
from levada.connectors.mongodb.lanes import Tally

_LEAST_PART = 64
_PATIENCE = 3  # attempts at a transaction that others are in the way of
_MOST_MOVES = 100  # attempts at one row without transactions
_LENIENT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)


class Applier:
    """Applies changes to one collection, those of one key in their order.

    Args:
        database, collection: the target.
        fence: of the writer.
        keys: how rows are told apart.
        fold: what changes do to rows.
        unique: whether the server keeps the key unique.
        empty: whether the collection has no rows; rows are then inserted without looking, until the server
            says that one is there.
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
        self._blind = empty and unique and fence.transactions  # which take back what came before
        self._grouping = Grouping(keys, Equality(database, keys.collation))
        self._lookup = Lookup(database, collection, keys)
        self._statements = Statements(database, collection, guarded=not fence.transactions)
        self._by_body = unique and fold.whole and "_id" not in keys.names
        self._written: list[npt.NDArray[np.int64]] = []  # hashes of keys: 8 bytes for each row
        self._new = 0
        self._lock = threading.Lock()
        self._attempts = 0
        self.looked_up = 0
        self.found_unchanged = 0

    def store(self, lane: int, changes: list[Change]) -> Tally:
        """Apply a chunk."""
        tally, pending = Tally(), self._grouping.of(changes)
        size = most = len(pending)
        later: list[Group] = []
        while pending or later:
            if not pending:
                pending, later = later, []
            part, pending = pending[:size], pending[size:]
            try:
                self._count(part, self._run(lane, part), tally)
                most += 1 + most // 8
                size = min(most, max(2 * size, _LEAST_PART))
            except TooMuch:
                size = most = len(part) // 2
                pending = (part if size else self._unsuitable(part[0], tally)) + pending
            except Refused as refused:
                good, others = self._sorted(part, refused, tally, later)
                pending = good + others + pending
                size = len(good) or len(part)
            except OperationFailure as error:
                if error.code != INVALID_BSON or not _without_malformed(part, tally):
                    raise
                pending = [group for group in part if group.changes] + pending
        return tally

    def store_in(self, changes: list[Change], session: ClientSession | None) -> Tally:
        """Apply changes in a transaction that has begun.

        Raises:
            Refused: one of them can't be stored, and the transaction is lost.
            OperationFailure: the same, where one is malformed (code 22).
            TooMuch: the stored rows are too many or too large to be looked at in one transaction.
            Crowded: others are at the same rows all the time.
        """
        part, tally = self._grouping.of(changes), Tally()
        self._attempts += 1
        if self._attempts > _PATIENCE:
            raise Crowded
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
        """Apply a part; one that others are in the way of too often is too large, unless it is one row."""
        attempts = count(1)

        def work(session: ClientSession | None) -> Outcome:
            if len(part) > 1 and next(attempts) > _PATIENCE:
                raise Crowded
            return self._work(part, session)

        for _ in range(_MOST_MOVES):
            with suppress(Moved):
                return self._in_transaction(lane, work, part)
        return self._in_transaction(lane, work, part)

    def _in_transaction(
        self, lane: int, work: Callable[[ClientSession | None], Outcome], part: list[Group]
    ) -> Outcome:
        try:
            return self._fence.run(lane, work)
        except OperationFailure as error:
            if error.code not in TOO_LARGE or len(part) == 1:
                raise
            raise Crowded from error

    def _work(self, part: list[Group], session: ClientSession | None) -> Outcome:
        outcome = self._decided(part, session)
        try:
            self._statements.run(outcome.statements, session)
        except Failed as failure:
            at, duplicate = failure.index, failure.error.code == DUPLICATE_KEY
            culprit, reason = outcome.statements[at].place, reason_of(failure.error)
            raise Refused(outcome, culprit, at, reason, duplicate=duplicate) from failure
        return outcome

    def _decided(self, part: list[Group], session: ClientSession | None) -> Outcome:
        blind = self._blind and all(_only_adds(group) for group in part)
        found = [] if blind else self._lookup.find([group.key for group in part], session)
        decision = Decision(self._fold, part, blind=blind, isolated=session is not None)
        rows = decision.leave(found) if self._by_body else [Row.of(document) for document in found]
        if not decision.complete:
            keyed = [row.body for row in rows] if self._by_body else found
            decision.make(rows, self._grouping.stored(part, keyed))
        return decision.outcome

    def _sorted(
        self, part: list[Group], refused: Refused, tally: Tally, later: list[Group]
    ) -> tuple[list[Group], list[Group]]:
        """The groups that were taken before one was refused, and the others.

        The culprit is blamed; of several changes the second half goes to `later`, until it is clear which
        one to blame.
        """
        outcome, culprit = refused.outcome, part[refused.culprit]
        if outcome.blind and refused.duplicate:
            self._blind = False
            return [], part
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
            if len(culprit.changes) == 1:
                tally.rejected.append(Rejected(culprit.changes[0].document, refused.reason))
                return good, others
            later.append(culprit.halve())
        return good, [culprit, *others]

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


def _only_adds(group: Group) -> bool:
    """Whether the server would notice that the row is there: by the insert of its key."""
    return all(change.operation in (UPSERT, INSERT) for change in group.changes)


def _without_malformed(part: list[Group], tally: Tally) -> bool:
    """Take out the changes whose documents the server can't read; says whether there were any."""
    before = len(tally.rejected)
    for group in part:
        for change in list(group.changes):
            try:
                decode(change.document, _LENIENT)
            except InvalidBSON as error:
                group.changes.remove(change)
                tally.rejected.append(Rejected(change.document, f"malformed BSON: {error}"))
    return len(tally.rejected) > before
