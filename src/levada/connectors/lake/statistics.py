"""What a table's log says of the values of a file, so that readers can skip it.

By https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics: rows, nulls, and the least
and greatest value of columns. Readers may skip a column without them, but deltalake's pyarrow dataset takes
bounds that are absent for ones that no value meets, as soon as the file has bounds of another column. So a
file has bounds of all its columns, or of none: binary and nested ones, which no reader compares, aside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_LONGEST_TEXT = 32
_LAST = "\U0010ffff"

#: Least and greatest value, and whether they are values of the column themselves.
Bounds = tuple[Any, Any, bool]


class Statistics:
    """Of one file while it is written."""

    def __init__(self) -> None:
        self._unbounded: set[str] = set()

    def saw(self, rows: pa.Table) -> None:
        """Look at a row group for numbers that JSON, or the order of numbers, does not have."""
        for name, column in zip(rows.column_names, rows.columns, strict=True):
            if pa.types.is_floating(column.type) and pc.any(pc.invert(pc.is_finite(column))).as_py():
                self._unbounded.add(name)

    def of(self, footer: pq.FileMetaData) -> dict[str, Any]:
        """As the log has them."""
        nulls: dict[str, int] = {}
        bounds: dict[str, Bounds | None] = {}
        for at in range(footer.num_columns):
            column = footer.schema.column(at)
            groups = [footer.row_group(group).column(at).statistics for group in range(footer.num_row_groups)]
            if column.path != column.name or not all(group and group.has_null_count for group in groups):
                if column.path == column.name and not _binary(column):
                    bounds[column.name] = None
                continue
            nulls[column.name] = sum(group.null_count for group in groups)
            filled = [group for group in groups if group.num_values]
            if filled and not _binary(column):
                bounds[column.name] = None if column.name in self._unbounded else _bounds(filled)
        found: dict[str, Any] = {"numRecords": footer.num_rows, "nullCount": nulls}
        known = {name: each for name, each in bounds.items() if each is not None}
        if len(known) == len(bounds):
            found["minValues"] = {name: least for name, (least, _, _) in known.items()}
            found["maxValues"] = {name: most for name, (_, most, _) in known.items()}
            found["tightBounds"] = all(tight for _, _, tight in known.values())
        return found


def _binary(column: pq.ColumnSchema) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY" and column.logical_type.type == "NONE")


def _bounds(groups: list[Any]) -> Bounds | None:
    """Values that none is below or above; None where that can't be said."""
    if not all(group.has_min_max for group in groups):
        return None
    try:
        least, most = min(group.min for group in groups), max(group.max for group in groups)
    except (OverflowError, ValueError, NotImplementedError):  # a time beyond Python's
        return None
    low, high = _WRITTEN.get(type(least), (_unknown, _unknown))
    written = low(least), high(most)
    if None in written:
        return None
    return *written, isinstance(least, date) or written == (least, most)


def _day(value: date) -> str | None:
    return value.isoformat() if value.year >= 1000 else None


def _moment(value: datetime) -> str | None:
    moment = value.astimezone(UTC) if value.tzinfo else value  # a naive one is nobody's local time
    zone = "Z" if value.tzinfo else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}{zone}" if value.year >= 1000 else None


def _above(text: str) -> str | None:
    """A text of bounded length that none of this beginning is above."""
    if len(text) <= _LONGEST_TEXT:
        return text
    return None if text[_LONGEST_TEXT] == _LAST else text[:_LONGEST_TEXT] + _LAST


def _unknown(_value: Any) -> None:
    return None


def _same(value: Any) -> Any:
    return value


#: Python type -> how its lower and its upper bound are written.
_WRITTEN: Mapping[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    bool: (_same, _same),
    int: (_same, _same),
    float: (_same, _same),
    str: (lambda text: text[:_LONGEST_TEXT], _above),
    Decimal: (math.floor, math.ceil),  # readers take a fraction for a double
    date: (_day, _day),
    datetime: (_moment, _moment),
}
