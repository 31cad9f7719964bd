"""Rows that a re-run of a window could not find again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.batches import Rejected
from levada.connectors.base import Mode, Write
from levada.connectors.sqltext import bounds
from levada.errors import ConfigError
from levada.types.layout import row_text, stored_type


def outside_window(data: pa.RecordBatch, write: Write) -> dict[int, str]:
    """Rows of a replaced window whose time is null or lies outside of it, with the reason.

    Raises:
        ConfigError: the rows have no time column, or it holds no times.
    """
    window, time = write.window, write.table.time
    if write.mode is not Mode.REPLACE_WINDOW or window is None or time is None:
        return {}
    if time not in data.schema.names:
        raise ConfigError(
            f"the rows have no column {time!r}", where=str(write.table), hint="read that column too"
        )
    column = data.column(time)
    stored = stored_type(column.type)
    low, high = (pa.scalar(end).cast(stored) for end in bounds(window, column.type, time))
    column = column.cast(stored)
    inside = pc.and_(pc.greater_equal(column, low), pc.less(column, high)).fill_null(False)
    rows = pc.indices_nonzero(pc.invert(inside)).to_pylist()
    return dict.fromkeys(rows, f"{time} lies outside the window {window}")


def set_aside(data: pa.RecordBatch, bad: dict[int, str]) -> tuple[pa.RecordBatch, list[Rejected]]:
    """The batch without some of its rows, and those rows as JSON with the reason."""
    if not bad:
        return data, []
    good = np.ones(len(data), dtype=bool)
    good[list(bad)] = False
    return data.filter(pa.array(good)), [Rejected(row_text(data, row), why) for row, why in bad.items()]
