"""One write into one table as one Delta commit: data, position and fence together.

Transaction ids of the Delta log are no guard by themselves: the log takes the same one twice. So every
attempt opens the table, compares, and writes through that same handle; when others committed meanwhile, the
log refuses and the next attempt looks again. Appends give way to other appends; everything else must land on
exactly the version it looked at.
"""

from __future__ import annotations

import random
import time

from deltalake import CommitProperties, Transaction
from deltalake.exceptions import CommitFailedError

from levada.connectors.base import Mode, Written
from levada.connectors.committed import Committed
from levada.connectors.feeding import Feed
from levada.connectors.lake.added import add, addable
from levada.connectors.lake.beside import SCHEMA_APP, epoch_app, new_nonce, nonce_app, position_app, write_app
from levada.connectors.lake.draft import Draft
from levada.connectors.lake.faults import translate
from levada.connectors.lake.plan import Plan, plan
from levada.connectors.lake.storing import Storing, appends
from levada.connectors.lake.table import LakeTable, Snapshot, with_days
from levada.connectors.rounds import Applied
from levada.connectors.staging import Staging
from levada.errors import LevadaError, Retriable
from levada.positions import Position

_LONGEST_PAUSE = 2.0


class Commit:
    """The commit of one write.

    Args:
        table: where to.
        staging: the rows.
        position: stored with them; None or sequence 0 (an ad-hoc copy) stores none.
    """

    def __init__(self, table: LakeTable, staging: Staging, position: Position | None) -> None:
        self._table = table
        self._staging = staging
        self._write = staging.write
        self._position = position if position and position.sequence else None
        self._nonce = new_nonce()
        self._applied = Applied()

    def run(self) -> Written:
        """Commit once, whatever others do meanwhile.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            Retriable: others kept committing.
            Fatal: the table refuses the rows.
        """
        if self._write.mode is Mode.UPSERT:
            self._staging.settle()
        for attempt in range(self._table.settings.commit_attempts):
            if attempt:
                time.sleep(random.uniform(0, min(0.02 * 2**attempt, _LONGEST_PAUSE)))  # noqa: S311
            written = self._attempt()
            if written:
                if isinstance(self._staging.held, Draft):
                    self._staging.held.committed()
                self._tidy()
                return written
        raise Retriable(
            f"others kept committing during {self._table.settings.commit_attempts} attempts",
            where=str(self._write.table),
            hint="run it again, or raise `commit_attempts` of the connection",
        )

    def _attempt(self) -> Written | None:
        """One try; None if others were faster."""
        snapshot = self._table.snapshot() or self._created()
        if snapshot is None:
            return None
        self._guard(snapshot)
        planned = plan(self._write, self._staging.schema, snapshot, self._table.settings.on_type_change)
        replaced = self._count_replaced(snapshot, planned)
        if self._position:
            self._table.beside.put_position(self._write.owner, self._position, self._nonce)
        if not (self._stored(snapshot, planned, replaced) or self._landed()):
            if isinstance(self._staging.held, Draft):
                self._staging.held.keep(False)
            return None
        return self._applied.written(self._staging, replaced)

    def _created(self) -> Snapshot | None:
        planned = plan(self._write, self._staging.schema, None, self._table.settings.on_type_change)
        self._table.create(planned.noted, planned.stored, planned.partitions)
        return self._table.snapshot()

    def _guard(self, snapshot: Snapshot) -> None:
        owner, held = self._write.owner, self._staging.held
        if isinstance(held, Draft) and held.checkpoints:
            held.checkpoints.refuse_overtaken(snapshot.version_of)
        epoch, sequence = (snapshot.version_of(app(owner)) or 0 for app in (epoch_app, position_app))
        Committed(epoch, sequence).then(self._write, self._position)

    def _stored(self, snapshot: Snapshot, planned: Plan, replaced: int) -> bool:
        """Write and commit; False if the log refused because of others, or might have."""
        feed, held = Feed(), self._staging.held
        self._applied = Applied(self._staging.rows)
        try:
            properties = self._properties(snapshot, planned)
            if isinstance(held, Draft) and held.rows and addable(snapshot, planned, replaced):
                add(snapshot, planned, held, properties)
            else:
                self._applied = Storing(snapshot, planned, self._staging, feed, properties).run()
        except CommitFailedError:
            return False
        except LevadaError:
            raise
        except Exception as error:
            if feed.error:
                raise feed.error from error
            if self._landed():
                return True
            raise translate(error, str(self._write.table)) from error
        return True

    def _landed(self) -> bool:
        """Whether the log holds this very commit, although its answer was lost."""
        snapshot = self._table.snapshot()
        return bool(snapshot and snapshot.version_of(self._mark) == self._nonce)

    @property
    def _mark(self) -> str:
        """The transaction whose version tells this commit from others of its owner."""
        owner = self._write.owner
        return nonce_app(owner) if self._position else write_app(owner)

    def _copy_mark(self) -> dict[str, int]:
        """What tells a resumed copy that it has been committed; empty for writes without checkpoints."""
        held = self._staging.held
        if isinstance(held, Draft) and held.checkpoints:
            return {held.checkpoints.application: held.checkpoints.number}
        return {}

    def _properties(self, snapshot: Snapshot, planned: Plan) -> CommitProperties:
        owner, versions = self._write.owner, {self._mark: self._nonce}
        if self._position:
            versions[position_app(owner)] = self._position.sequence
        if self._write.fence:
            versions[epoch_app(owner)] = self._write.fence.epoch
        if not planned.noted.equals(with_days(snapshot.logical, snapshot.days), check_metadata=True):
            versions[SCHEMA_APP] = self._table.beside.put_schema(planned.noted)
        versions |= self._copy_mark()
        plain = appends(snapshot, planned, self._staging)
        return CommitProperties(
            app_transactions=[Transaction(name, version) for name, version in versions.items()],
            max_commit_retries=None if plain else 0,
        )

    def _count_replaced(self, snapshot: Snapshot, planned: Plan) -> int:
        if self._write.mode is Mode.REPLACE:
            return snapshot.count()
        return snapshot.count(planned.replaced) if planned.replaced else 0

    def _tidy(self) -> None:
        if self._position:
            self._table.beside.forget_positions(self._write.owner, self._position.sequence)
