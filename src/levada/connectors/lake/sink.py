"""Writes a Delta table: batches are staged, and stored by one commit."""

from __future__ import annotations

from pathlib import Path

from levada.batches import Batch
from levada.connectors.base import Mode, Write, Written
from levada.connectors.lake.beside import nonce_app, position_app
from levada.connectors.lake.commit import Commit
from levada.connectors.lake.draft import Draft
from levada.connectors.lake.plan import plan
from levada.connectors.lake.table import LakeTable
from levada.connectors.staging import Staging, check_write
from levada.errors import PositionLost
from levada.positions import Position


class LakeSink:
    """Writes into one table.

    Args:
        table: where to.
        folder: where batches may be kept until the commit.
    """

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
        return LakeWriter(self._table, Staging(write, self._folder, self._draft(write)))

    def _draft(self, write: Write) -> Draft | None:
        """Where rows can become files before the commit; None where they meet rows that are stored."""
        if write.mode is Mode.UPSERT:
            return None
        snapshot = self._table.snapshot()
        planned = plan(write, None, snapshot, self._table.settings.on_type_change)
        if planned.partitions != list(planned.days):
            return None
        if snapshot and planned.replaced and snapshot.count(planned.replaced):
            return None
        return Draft(self._table, write, snapshot)


class LakeWriter:
    """Takes the batches of one write."""

    def __init__(self, table: LakeTable, staging: Staging) -> None:
        self._table = table
        self._staging = staging

    def write(self, batch: Batch) -> None:
        self._staging.add(batch)

    def commit(self, position: Position | None) -> Written:
        """Store rows and position in one commit.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            Retriable, Fatal: the lake can't be written; nothing of this write is visible.
        """
        try:
            return Commit(self._table, self._staging, position).run()
        finally:
            self._staging.close()

    def abort(self) -> None:
        self._staging.close()
