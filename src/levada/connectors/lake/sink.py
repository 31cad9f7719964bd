"""Writes a Delta table: batches are staged, and stored by one commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levada.batches import Batch, Rejected
from levada.connectors.base import Mode, Write, WritePlan, Written
from levada.connectors.lake.beside import nonce_app, position_app
from levada.connectors.lake.checkpoints import Checkpoints
from levada.connectors.lake.commit import Commit
from levada.connectors.lake.draft import Draft
from levada.connectors.lake.outlook import outlook
from levada.connectors.lake.plan import plan, refuse_other_days
from levada.connectors.lake.table import LakeTable, Snapshot, day_columns, partition_columns
from levada.connectors.staging import Staging
from levada.connectors.writes import check_write
from levada.errors import ConfigError, PositionLost
from levada.observe import Timings
from levada.positions import Position


class LakeSink:
    """Writes into one table.

    Args:
        table: where to.
        folder: where batches may be kept until the commit.
    """

    keeps_checkpoints = True

    def __init__(self, table: LakeTable, folder: Path | None) -> None:
        self._table = table
        self._folder = folder

    def position(self, owner: str) -> Position | None:
        """What this owner committed last; None if nothing.

        Raises:
            PositionLost: the table says there is one, but its file is gone.
        """
        snapshot = self._table.snapshot()
        if snapshot is None:
            return None
        sequence = snapshot.version_of(position_app(owner))
        nonce = snapshot.version_of(nonce_app(owner))
        if sequence is None or nonce is None:
            return None
        position = self._table.beside.position(owner, sequence, nonce)
        if position is None:
            raise PositionLost(
                f"the table holds commit {sequence} of {owner}, but not where it ended",
                where=self._table.uri,
                hint="restore the table's folder `_levada` from the same backup as its data",
            )
        return position

    def open(self, write: Write) -> LakeWriter:
        """Start a write.

        Raises:
            ConfigError: the write lacks what its mode needs.
        """
        check_write(write)
        snapshot = self._table.snapshot()
        if snapshot:
            refuse_other_days(write, snapshot)
        known = snapshot.logical if snapshot else None
        draft = self._draft(write, snapshot)
        if write.resume and write.mode is Mode.APPEND:
            self._refuse_to_repeat(draft, snapshot)
        staging = Staging(write, self._folder, target="lake", known=lambda: known, held=draft)
        return LakeWriter(self._table, staging, draft)

    def plan(self, write: Write) -> WritePlan:
        """What a write would do, looking only.

        Raises:
            ConfigError: the write lacks what its mode needs, or the table's layout does not fit.
        """
        check_write(write)
        snapshot = self._table.snapshot()
        if snapshot:
            refuse_other_days(write, snapshot)
        return outlook(write, snapshot, self._table.settings.on_type_change)

    def _refuse_to_repeat(self, draft: Draft | None, snapshot: Snapshot | None) -> None:
        """Refuse to begin an append that may have been committed by a copy without checkpoints."""
        kept = draft.checkpoints if draft else None
        if (kept and (kept.complete or kept.found)) or snapshot is None or not snapshot.count():
            return
        if draft:
            draft.close()
        if kept:
            kept.remove()
        raise ConfigError(
            "there is no stopped copy of the same to resume, and the table has rows",
            where=self._table.uri,
            hint="leave out --resume to append, or use mode replace; copies with a condition, and tables "
            "partitioned by plain columns, keep checkpoints only if they began with --resume",
        )

    def _draft(self, write: Write, snapshot: Snapshot | None) -> Draft | None:
        """Where rows can become files before the commit; None where they meet rows that are stored."""
        if write.mode is Mode.UPSERT:
            return None
        if snapshot is None and partition_columns(write.table) != list(day_columns(write.table)):
            return None
        planned = plan(write, None, snapshot, self._table.settings.on_type_change)
        if planned.partitions != list(planned.days):
            return None
        if snapshot and planned.replaced and snapshot.count(planned.replaced):
            return None
        return Draft(self._table, write, snapshot, self._checkpoints(write, snapshot))

    def _checkpoints(self, write: Write, snapshot: Snapshot | None) -> Checkpoints | None:
        if write.checkpoints is None:
            return None
        copy = f"{write.owner} {write.mode} {write.window} {write.checkpoints}"
        version_of = snapshot.version_of if snapshot else lambda _: None
        checkpoints = Checkpoints(self._table.beside, copy, version_of)
        if write.resume:
            checkpoints.take_up()
        else:
            checkpoints.clear()
        return checkpoints


class LakeWriter:
    """Takes the batches of one write."""

    def __init__(self, table: LakeTable, staging: Staging, draft: Draft | None) -> None:
        self._table = table
        self._staging = staging
        self._draft = draft
        self.timings = Timings()

    @property
    def timings(self) -> Timings:
        """Told where the time goes."""
        return self._timings

    @timings.setter
    def timings(self, timings: Timings) -> None:
        self._timings = timings
        if self._draft:
            self._draft.timings = timings

    @property
    def reached(self) -> Position | None:
        """Where the source goes on from; None: at its beginning."""
        return self._draft.position if self._draft else None

    @property
    def complete(self) -> bool:
        """Whether the write that is resumed had been committed before it was killed."""
        return bool(self._draft and self._draft.checkpoints and self._draft.checkpoints.complete)

    @property
    def taken_up(self) -> tuple[int, int]:
        """Rows stored, and records rejected, by the write that is resumed."""
        if not self._draft or not self._draft.checkpoints:
            return 0, 0
        held = self._draft.checkpoints.held[: self._draft.checkpoints.inherited]
        files = [file for checkpoint in held for file in checkpoint.files]
        return sum(file.rows for file in files), sum(checkpoint.rejected for checkpoint in held)

    @property
    def rejected(self) -> Sequence[Rejected]:
        """Rows that were set aside so far, by this process."""
        return self._staging.rejected

    def rewind(self) -> bool:
        """Go back to an earlier `reached`; False if there is none."""
        return self._draft.rewind() if self._draft else False

    def write(self, batch: Batch) -> None:
        before = len(self._staging.rejected)
        with self.timings.spent("stage"):
            self._staging.add(batch)
        if self._draft:
            rejected = len(batch.rejected) + len(self._staging.rejected) - before
            self._draft.reached(batch.position, rejected)

    def commit(self, position: Position | None) -> Written:
        """Store rows and position in one commit.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            Retriable, Fatal: the lake can't be written; nothing of this write is visible.
        """
        try:
            with self.timings.spent("commit"):
                return Commit(self._table, self._staging, position).run()
        finally:
            self._staging.close()

    def abort(self) -> None:
        self._staging.close()
