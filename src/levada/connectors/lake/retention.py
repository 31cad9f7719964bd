"""Removes rows by their age."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time

from deltalake import CommitProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from levada.connectors.base import Fence
from levada.connectors.lake.beside import epoch_app
from levada.connectors.lake.faults import translate
from levada.connectors.lake.table import LakeTable, Snapshot
from levada.connectors.reading import projected
from levada.connectors.sqltext import before, quoted
from levada.errors import Fenced, Retriable

_PRUNER = "levada/prune"


def delete_before(place: LakeTable, column: str, cutoff: datetime, fence: Fence | None) -> int:
    """Remove rows whose time lies before the cutoff; rows without a time stay. Returns how many.

    Where the table is partitioned by the day of that column, whole days go by their partition alone, without
    a look into their files, and at most the cutoff's own day is written again.

    Raises:
        ConfigError: no such column, or it holds no times.
        Fenced: a newer epoch has pruned this table.
        Retriable: others kept committing.
    """
    return sum(_deleted(place, column, cutoff, fence, part) for part in (_whole_days, _rest))


def _deleted(
    place: LakeTable,
    column: str,
    cutoff: datetime,
    fence: Fence | None,
    part: Callable[[Snapshot, str, datetime], str | None],
) -> int:
    where = str(place.table)
    for _ in range(place.settings.commit_attempts):
        snapshot = place.snapshot()
        if snapshot is None:
            return 0
        name = projected(snapshot.logical, (column,), where).names[0]
        if name not in snapshot.stored.names:  # known, but never had a value
            return 0
        condition = part(snapshot, name, cutoff)
        deleted = _delete(snapshot, condition, fence, where) if condition else 0
        if deleted is not None:
            return deleted
    raise Retriable("others kept committing", where=where, hint="run it again")


def _whole_days(snapshot: Snapshot, column: str, cutoff: datetime) -> str | None:
    """The partitions whose rows are all older; None where the table has none of that column."""
    day = _day_of(snapshot, column)
    return f"{quoted(day)} < '{cutoff.astimezone(UTC).date()}'" if day else None


def _rest(snapshot: Snapshot, column: str, cutoff: datetime) -> str | None:
    """The older rows that are left; None where there can be none."""
    older = before(column, snapshot.stored.field(column).type, cutoff)
    day, moment = _day_of(snapshot, column), cutoff.astimezone(UTC)
    if day is None:
        return older
    return f"{quoted(day)} = '{moment.date()}' AND {older}" if moment.time() != time(0) else None


def _day_of(snapshot: Snapshot, column: str) -> str | None:
    return next((day for day, source in snapshot.days.items() if source == column), None)


def _delete(snapshot: Snapshot, condition: str, fence: Fence | None, where: str) -> int | None:
    """Delete and commit; None if others were faster."""
    application = epoch_app(_PRUNER)
    seen = snapshot.version_of(application)
    if fence and seen is not None and seen > fence.epoch:
        raise Fenced(f"epoch {fence.epoch} may not prune, the table has seen {seen}", where=where)
    transactions = [Transaction(application, fence.epoch)] if fence else None
    properties = CommitProperties(app_transactions=transactions, max_commit_retries=0)
    try:
        deleted = snapshot.handle.delete(condition, commit_properties=properties)
    except CommitFailedError:
        return None
    except DeltaError as error:
        raise translate(error, where) from error
    return int(deleted.get("num_deleted_rows") or 0)
