"""One write into one table as one Delta commit: data, position and fence together.

Transaction ids of the Delta log are no guard by themselves: the log takes the same one twice. So every
attempt opens the table, compares, and writes through that same handle; when others committed meanwhile, the
log refuses and the next attempt looks again. Appends give way to other appends; everything else must land on
exactly the version it looked at.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from levada.connectors.base import Mode, Written
from levada.connectors.lake.added import add, addable
from levada.connectors.lake.beside import SCHEMA_APP, epoch_app, new_nonce, nonce_app, position_app, write_app
from levada.connectors.lake.draft import Draft
from levada.connectors.lake.faults import translate
from levada.connectors.lake.plan import Plan, plan
from levada.connectors.lake.table import LakeTable, Snapshot, with_days
from levada.connectors.spool import Spool
from levada.connectors.sqltext import quoted
from levada.connectors.staging import Staging, key_of
from levada.errors import Fenced, LevadaError, Retriable
from levada.positions import Position
from levada.types.layout import Change

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

    def run(self) -> Written:
        """Commit once, whatever others do meanwhile.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is committed already.
            Retriable: others kept committing.
            Fatal: the table refuses the rows.
        """
        if self._write.mode is Mode.UPSERT:
            self._staging.last_of_each_key()
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
        staging = self._staging
        return Written(staging.rows, replaced, staging.bytes, tuple(staging.rejected))

    def _created(self) -> Snapshot | None:
        planned = plan(self._write, self._staging.schema, None, self._table.settings.on_type_change)
        self._table.create(planned.noted, planned.stored, planned.partitions)
        return self._table.snapshot()

    def _guard(self, snapshot: Snapshot) -> None:
        owner, fence = self._write.owner, self._write.fence
        epoch = snapshot.version_of(epoch_app(owner))
        if fence and epoch is not None and epoch > fence.epoch:
            raise Fenced(
                f"{owner} has epoch {fence.epoch}, the table has seen {epoch}",
                where=str(self._write.table),
                hint="another run took over; nothing was written",
            )
        held = self._staging.held
        if isinstance(held, Draft) and held.checkpoints:
            held.checkpoints.refuse_overtaken(snapshot.version_of)
        sequence = snapshot.version_of(position_app(owner))
        if self._position and sequence is not None and sequence >= self._position.sequence:
            raise Fenced(
                f"{owner} is at commit {self._position.sequence}, the table has {sequence} already",
                where=str(self._write.table),
                hint="another run was faster, or this one committed before it died; nothing was written",
            )

    def _stored(self, snapshot: Snapshot, planned: Plan, replaced: int) -> bool:
        """Write and commit; False if the log refused because of others, or might have."""
        rows, held = _Rows(), self._staging.held
        try:
            properties = self._properties(snapshot, planned)
            if isinstance(held, Draft) and held.rows and addable(snapshot, planned, replaced):
                add(snapshot, planned, held, properties)
            else:
                _store(snapshot, planned, self._staging, rows, properties)
        except CommitFailedError:
            return False
        except LevadaError:
            raise
        except Exception as error:
            if rows.error:
                raise rows.error from error
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
        plain = _appends(snapshot, planned, self._staging)
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


class _Rows:
    """Hands rows to the driver and remembers the error that stopped them: the driver keeps its text only."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def reader(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(schema, self._watched(batches))

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            yield from batches
        except Exception as error:
            self.error = error
            raise


def _appends(snapshot: Snapshot, planned: Plan, staging: Staging) -> bool:
    """Whether the write only adds rows, so that other appends don't matter."""
    mode = planned.write.mode
    if planned.change >= Change.SETTLE or mode is Mode.REPLACE or planned.replaced:
        return False
    return mode is Mode.APPEND or not (_merges(snapshot, planned) and staging.rows)


def _merges(snapshot: Snapshot, planned: Plan) -> bool:
    known = set(snapshot.stored.names)
    return planned.write.mode is Mode.UPSERT and known.issuperset(key_of(planned.write))


def _store(
    snapshot: Snapshot, planned: Plan, staging: Staging, rows: _Rows, properties: CommitProperties
) -> None:
    news = planned.new_rows(staging)
    grows = "merge" if planned.stored != snapshot.stored else None
    if planned.write.mode is Mode.REPLACE:
        _overwrite(snapshot, planned, rows.reader(planned.stored, news), properties)
    elif planned.change >= Change.SETTLE:
        with _kept(snapshot, planned, staging) as kept:
            again = chain(kept.batches(planned.stored), news)
            _overwrite(snapshot, planned, rows.reader(planned.stored, again), properties)
    elif planned.replaced:
        write_deltalake(
            snapshot.handle,
            rows.reader(planned.stored, news),
            mode="overwrite",
            predicate=planned.replaced,
            schema_mode=grows,
            commit_properties=properties,
        )
    elif staging.rows and _merges(snapshot, planned):
        _merge(snapshot, planned, rows.reader(planned.stored, news), properties)
    else:
        write_deltalake(
            snapshot.handle,
            rows.reader(planned.stored, news),
            mode="append",
            schema_mode=grows,
            commit_properties=properties,
        )


@contextmanager
def _kept(snapshot: Snapshot, planned: Plan, staging: Staging) -> Iterator[Spool]:
    """The table's rows that stay, out of the driver's hands: it can't read one table while it writes one."""
    kept = planned.kept_rows(snapshot)
    if planned.write.mode is Mode.UPSERT and _merges(snapshot, planned):
        kept = planned.without_keys(kept, staging)
    with closing(Spool(staging.folder)) as spool:
        for batch in kept:
            spool.add(batch)
        yield spool


def _overwrite(
    snapshot: Snapshot, planned: Plan, reader: pa.RecordBatchReader, properties: CommitProperties
) -> None:
    write_deltalake(
        snapshot.handle,
        reader,
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=planned.partitions or None,
        commit_properties=properties,
    )


def _merge(
    snapshot: Snapshot, planned: Plan, reader: pa.RecordBatchReader, properties: CommitProperties
) -> None:
    names = [quoted(name) for name in planned.stored.names]
    match = " AND ".join(f"t.{quoted(column)} = s.{quoted(column)}" for column in key_of(planned.write))
    updates = {name: f"s.{name}" for name in names}
    (
        snapshot.handle.merge(
            reader,
            match,
            source_alias="s",
            target_alias="t",
            merge_schema=planned.stored != snapshot.stored,
            commit_properties=properties,
        )
        .when_matched_update(updates)
        .when_not_matched_insert(updates)
        .execute()
    )
