"""What a write into a Delta table would do, looking only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from levada.connectors.base import Changes, Mode, Write, WritePlan
from levada.connectors.keyed import spoken
from levada.connectors.lake.plan import plan
from levada.connectors.lake.settings import OnTypeChange
from levada.connectors.lake.table import Snapshot, day_columns, partition_columns
from levada.connectors.writes import key_of, named
from levada.observe import counted

_ON_TYPE_CHANGE = {
    OnTypeChange.REWRITE: "the whole table is rewritten",
    OnTypeChange.VARIANT: "values that don't fit go to a side column",
    OnTypeChange.REFUSE: "the write is refused",
}


def outlook(write: Write, snapshot: Snapshot | None, policy: OnTypeChange) -> WritePlan:
    """What a write would do.

    Args:
        write: checked.
        snapshot: the table; None if there is none.
        policy: of the connection.

    Raises:
        ConfigError: the table's layout and the write don't fit.
    """
    notes = _about(write, snapshot)
    how = _how(write, snapshot, policy)
    if snapshot and write.mode is not Mode.REPLACE:
        notes.append(f"where a stored column needs another type, {_ON_TYPE_CHANGE[policy]}")
    notes += spoken(write.changes)
    return WritePlan(f"{how}, in one Delta commit with the position", "the old rows or the new", tuple(notes))


def _how(write: Write, snapshot: Snapshot | None, policy: OnTypeChange) -> str:
    if snapshot is None:
        return "append to a new table"
    if write.mode is Mode.REPLACE:
        return "overwrite the table"
    planned = plan(write, None, snapshot, policy)
    if write.mode is Mode.UPSERT:
        key = ", ".join(key_of(planned.write))
        several = "" if write.changes == Changes() else "; keys that come several times are worked out first"
        return f"MERGE by {key}{several}"
    if planned.replaced is None:
        return "append"
    count = snapshot.count(planned.replaced)
    return f"overwrite {counted(count, 'row')} by predicate: {planned.replaced}" if count else "append"


def _about(write: Write, snapshot: Snapshot | None) -> list[str]:
    if snapshot is None:
        notes = [f"{write.table} would be created"]
        days: Mapping[str, str]
        days, partitions = day_columns(write.table), partition_columns(write.table)
    else:
        table = named(write, snapshot.logical).table
        notes = [
            f"{write.table} has {counted(snapshot.count(), 'row')} at version {snapshot.handle.version()}"
        ]
        days, partitions = snapshot.days, snapshot.partitions
        declared = partition_columns(table)
        if write.mode is Mode.REPLACE and declared and declared != partitions:
            notes.append(f"the partitions change from {_listed(partitions)} to {_listed(declared)}")
            days, partitions = day_columns(table), declared
    if partitions:
        shown = (f"day({days[name]})" if name in days else name for name in partitions)
        notes.append(f"partitioned by {', '.join(shown)}")
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
