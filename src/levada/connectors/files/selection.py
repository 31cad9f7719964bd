"""Which rows are wanted: a window and a watermark by Arrow, exactly; a SQL condition by DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.isotimes import UNITS
from levada.connectors.reading import chosen, named_in
from levada.connectors.sqltext import bounds, mark_of
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOW, _HIGH = -(2**63), 2**63 - 1


class Selection:
    """The rows of a window, newer than a position, for which a condition holds.

    Args:
        schema: of all rows.
        window, after: None takes all.
        time: the column that both look at.
        condition: SQL; None takes all.
        where: the table, for errors.

    Raises:
        ConfigError: the time column is missing or holds no times, or the condition is no SQL.
    """

    def __init__(
        self,
        schema: pa.Schema,
        *,
        window: Window | None,
        after: Position | None,
        time: str | None,
        condition: str | None,
        where: str,
    ) -> None:
        self._window, self._time, self._condition, self._where = window, time, condition, where
        if window and time is not None:
            bounds(window, schema.field(time).type, time)
        self._after = _stored(after, time)
        self._named = sorted(named_in(condition, schema.names, where)) if condition else []

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The wanted rows of a batch that has the columns of `columns`."""
        if self._time is not None and self._time in batch.schema.names:
            if self._window:
                batch = batch.filter(_within(batch.column(self._time), self._window))
            if self._after is not None:
                batch = batch.filter(_beyond(batch.column(self._time), self._after))
        if self._condition:
            batch = chosen(batch, self._condition, self._named, self._where)
        return batch


def _within(column: pa.Array, window: Window) -> pa.Array:
    counts, per_second = _counts(column)
    low, high = (_ceiling(_microseconds(end) * per_second, 10**6) for end in (window.start, window.end))
    inside = pc.and_(pc.greater_equal(counts, _clamped(low)), pc.less(counts, _clamped(high)))
    return inside.fill_null(False)


def _beyond(column: pa.Array, value: Any) -> pa.Array:
    if isinstance(value, datetime):
        counts, per_second = _counts(column)
        return pc.greater(counts, _clamped(_microseconds(value) * per_second // 10**6)).fill_null(False)
    return pc.greater(column, pa.scalar(value)).fill_null(False)


def _counts(column: pa.Array) -> tuple[pa.Array, Any]:
    """A column of times as int64, and how many of them make a second."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32()).cast(pa.timestamp("s"))
    return column.cast(pa.int64()), UNITS[column.type.unit]


def _microseconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND


def _ceiling(value: int, by: int) -> int:
    return -(-value // by)


def _clamped(value: int) -> pa.Scalar:
    return pa.scalar(min(max(value, _LOW), _HIGH), pa.int64())


def _stored(after: Position | None, time: str | None) -> Any:
    if after is None or "" not in after.parts:
        return None
    if time is None:
        raise ConfigError("a watermark needs the table's time column", hint="set `time:` of the table")
    return mark_of(after.parts[""])
