"""Windows and watermarks as MongoDB filters on a table's time column.

A row belongs to a window when its time column holds a BSON date in it (for `_id`: an ObjectId of that time).
Rows where it is missing, null or of another type belong to no window.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import json_util
from bson.objectid import ObjectId

from levada.connectors.mongodb.raw import parsed, value_at
from levada.errors import ConfigError
from levada.windows import Window

Filter = dict[str, Any]
_MILLISECOND = timedelta(milliseconds=1)


def in_window(column: str, window: Window) -> Filter:
    """The rows whose time lies in `[start, end)`."""
    return {column: {"$gte": _bound(column, window.start), "$lt": _bound(column, window.end)}}


def later(column: str, watermark: Any) -> Filter:
    """The rows after a watermark; None means all rows that have a time.

    Args:
        watermark: a JSON value of a position, in MongoDB Extended JSON.
    """
    if watermark is None:
        return {column: {"$type": "objectId" if column == "_id" else "date"}}
    value = _read(watermark)
    if column == "_id" and isinstance(value, datetime):
        value = _bound(column, value)
    return {column: {"$gt": value}}


def before(column: str, moment: datetime) -> Filter:
    """The rows before a moment."""
    return {column: {"$lt": _bound(column, moment)}}


def watermark(document: bytes, column: str) -> Any:
    """The time of a document as a position's JSON value; None if it has none."""
    value = value_at(parsed(document), column)
    return None if value is None else _write(value)


def contains(window: Window, value: Any) -> bool:
    """Whether the value of a time column belongs to a window."""
    if isinstance(value, ObjectId):
        value = value.generation_time
    if isinstance(value, datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        return value in window
    return False


def ceil_to(moment: datetime, step: timedelta) -> datetime:
    """The first multiple of `step` not before a moment: BSON dates have no microseconds."""
    over = (moment - datetime(1970, 1, 1, tzinfo=UTC)) % step
    return moment + (step - over) if over else moment


def _bound(column: str, moment: datetime) -> Any:
    if column != "_id":
        return ceil_to(moment, _MILLISECOND)
    try:
        return ObjectId.from_datetime(ceil_to(moment, timedelta(seconds=1)))
    except (OverflowError, ValueError) as error:
        raise ConfigError(f"{moment} can't be the time of an ObjectId (1970 to 2106)") from error


def _read(value: Any) -> Any:
    return json_util.loads(json.dumps(value), json_options=json_util.CANONICAL_JSON_OPTIONS)


def _write(value: Any) -> Any:
    return json.loads(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS))
