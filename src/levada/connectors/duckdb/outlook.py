"""What a write into a DuckDB table would do, looking only."""

from __future__ import annotations

from levada.connectors.base import Mode, Write, WritePlan
from levada.connectors.duckdb.catalog import Stored
from levada.connectors.keyed import spoken
from levada.connectors.writes import key_of, named, tags
from levada.observe import counted

_HOW = {
    Mode.APPEND: "insert",
    Mode.REPLACE: "delete and insert all rows",
    Mode.REPLACE_WINDOW: "delete and insert the window",
    Mode.UPSERT: "MERGE by {key}",
}


def outlook(write: Write, stored: Stored | None, rows: int) -> WritePlan:
    """What a write would do.

    Args:
        write: checked.
        stored: the table; None if there is none.
        rows: of the table.

    Raises:
        ConfigError: the write names a column that can be two.
    """
    if stored is None:
        notes = [f"{write.table} would be created"]
    else:
        write = named(write, stored.logical)
        notes = [f"{write.table} has {counted(rows, 'row')}"]
    if tags(write):
        notes.append("rows that the same step appended for the window are removed first")
    notes += spoken(write.changes)
    how = _HOW[write.mode].format(key=", ".join(key_of(write)))
    return WritePlan(f"{how}, in one transaction with the position", "the old rows or the new", tuple(notes))
