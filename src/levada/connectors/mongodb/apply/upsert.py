"""The upsert of one write: its intake, its applier, and what it knows of rows that are stored already."""

from __future__ import annotations

from pymongo.client_session import ClientSession

from levada.batches import Batch, Rejected
from levada.connectors.mongodb.apply.applier import Applier
from levada.connectors.mongodb.apply.fold import Change, Fold
from levada.connectors.mongodb.apply.intake import Intake
from levada.connectors.mongodb.apply.keys import Keys
from levada.connectors.mongodb.apply.known import Known
from levada.connectors.mongodb.claim import Claim
from levada.connectors.mongodb.lanes import Tally


class Applying:
    """Turns batches into changes and applies them.

    Args:
        claim: of a write in mode upsert.
    """

    def __init__(self, claim: Claim) -> None:
        write, target = claim.write, claim.target
        fold = Fold(write.changes)
        self._keys = Keys(write.key, target.collation)
        self._applier = Applier(
            target.database,
            target.name,
            claim.fence,
            self._keys,
            fold,
            unique=claim.index.unique,
            empty=claim.is_empty,
        )
        whole = fold.whole and claim.index.unique and write.changes.operation is None
        self._known = Known(target.database, target.name, self._keys) if whole else None
        self._intake = Intake(write, self._keys, fold, self._known)
        self.store = self._applier.store

    def of(self, batch: Batch) -> tuple[list[Change], list[Rejected]]:
        """The changes of a batch, and the rows that can't be one."""
        return self._intake.of(batch)

    def key_of(self, change: Change) -> bytes:
        """Bytes that are the same for changes of one key."""
        return change.form or self._keys.lane(change.key)

    def store_in(self, changes: list[Change], session: ClientSession | None) -> Tally:
        """Apply all changes in a transaction that has begun."""
        return self._applier.store_in(changes, session)

    @property
    def known_is_due(self) -> bool:
        """Whether to read the whole target, because most rows are stored already."""
        applier = self._applier
        return self._known is not None and self._known.due(applier.looked_up, applier.found_unchanged)

    def read_known(self) -> None:
        """Read it; no change may be on its way."""
        if self._known is not None:
            self._known.read()

    def settle(self, tally: Tally) -> None:
        """Count each row once, and those that needed no change."""
        self._applier.settle(tally)
        known = self._known.rows if self._known else 0
        tally.rows += known
        tally.replaced += known
        tally.unchanged += known
