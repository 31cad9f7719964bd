"""The column that an increment moves along: what its values are, and what the source has of them.

A cursor is a time (dates, timestamps, the time of an ObjectId in `_id`) or a number (integers, decimals; in
MongoDB doubles too). Text is refused: which of two texts is the later one depends on who compares them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from math import floor, isfinite
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bson import json_util
from bson.decimal128 import Decimal128

from levada.connectors.base import Connection, Query, Table
from levada.connectors.sqltext import iso, literal, mark_of, quoted
from levada.errors import ConfigError
from levada.positions import Position

#: What a watermark can be.
Value = datetime | int | float | Decimal

_LOOK_ROWS = 50_000

#: Types of BSON, arrays left out: an index answers each of them.
_TYPES = (
    *("double", "string", "object", "binData", "undefined", "objectId", "bool", "date", "null", "regex"),
    *("dbPointer", "javascript", "symbol", "javascriptWithScope", "int", "timestamp", "long", "decimal"),
    *("minKey", "maxKey"),
)
_NUMBERS = ("double", "int", "long", "decimal")
_ENDLESS = (float("inf"), float("-inf"))


def stored(value: Value) -> Any:
    """A watermark as it stands in a position: JSON."""
    if isinstance(value, datetime):
        return {"$date": iso(value)}
    return {"$numberDecimal": str(value)} if isinstance(value, Decimal) else value


def restored(value: Any) -> Value | None:
    """The watermark of a position."""
    if value is None:
        return None
    found: Value = plain(mark_of(value))
    return found


def plain(value: Any) -> Any:
    """A number of BSON as one of Python."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    return int(value) if isinstance(value, int) else value


@dataclass(frozen=True)
class Cursor:
    """A column of a source, and what an increment wants to know of it.

    Args:
        connection: of the source.
        table: the source, its time column being the cursor.
        query: the conditions of the copy.
    """

    connection: Connection
    table: Table
    query: Query

    @property
    def name(self) -> str:
        return self.table.time or ""

    @property
    def mongodb(self) -> bool:
        return self.connection.kind == "mongodb"

    @property
    def metered(self) -> bool:
        """Whether reads cost requests to an API, so that nothing is read only to be counted."""
        return bool(getattr(self.connection, "metered", False))

    def kind(self) -> Literal["time", "number"] | None:
        """What its values are; None where there is none yet.

        Raises:
            ConfigError: they are neither times nor numbers.
        """
        if self.metered:
            return "time"
        return self._kind_in_mongodb() if self.mongodb else self._kind_by_column()

    def is_other(self, kind: Literal["time", "number"]) -> bool:
        """Whether it has values of the other kind, and none of this one.

        Raises:
            ConfigError: they are neither times nor numbers.
        """
        if self.metered:
            return kind != "time"
        if not self.mongodb:
            return self._kind_by_column() not in (kind, None)
        types = {"time": (self._time_type,), "number": _NUMBERS}
        other = "number" if kind == "time" else "time"
        return not self._has(types[kind]) and self._has(types[other])

    def _kind_in_mongodb(self) -> Literal["time", "number"] | None:
        if self._has((self._time_type,)):
            return "time"
        if self._has(_NUMBERS):
            return "number"
        if self._any({self.name: {"$ne": None}}):
            raise self._refused("neither dates nor numbers")
        return None

    @property
    def _time_type(self) -> str:
        return "objectId" if self.name == "_id" else "date"

    def _has(self, types: Sequence[str]) -> bool:
        return self._any({self.name: {"$type": list(types)}})

    def _any(self, condition: Mapping[str, Any]) -> bool:
        query = Query(("_id",), filter=condition, batch_rows=1)
        batches = self.connection.source(self.table, query).read(None, None)
        return any(len(batch.data) for batch in batches)

    def _kind_by_column(self) -> Literal["time", "number"] | None:
        kind = self._type
        if kind is None:
            return None
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return "time"
        if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            return "number"
        raise self._refused(str(kind))

    @cached_property
    def _type(self) -> pa.DataType | None:
        """The type of a stored table's column; None where it has no value yet."""
        query = self.narrowed(f"{self.sql} IS NOT NULL")
        query = replace(query, columns=(self.name,), batch_rows=1_000)
        for batch in self.connection.source(self.table, query).read(None, None):
            return batch.data.schema.types[0]
        return None

    def complete(self, moment: datetime) -> datetime:
        """Until when no row can be added any more: a cursor of whole days is complete at midnight.

        One of whole seconds (ids, `datetime` of MySQL) at the end of the second.
        """
        moment = moment.replace(microsecond=0)
        kind = None if self.mongodb or self.metered else self._type
        daily = kind is not None and pa.types.is_date(kind)
        return moment.replace(hour=0, minute=0, second=0) if daily else moment

    def below(self, value: Value | None) -> Value | None:
        """The highest number that the column can hold, not above this one: integers are compared as such."""
        if not isinstance(value, (float, Decimal)) or self.mongodb or self.metered:
            return value
        kind = self._type
        return floor(value) if kind is not None and pa.types.is_integer(kind) else value

    def _refused(self, found: str) -> ConfigError:
        return ConfigError(
            f"{self.name!r} can't say what is new: it holds {found}",
            where=str(self.table),
            hint="name a column of times, integers or decimals",
        )

    @property
    def sql(self) -> str:
        """Its name in a SQL condition."""
        parts = self.name.split(".") if self.mongodb else [self.name]
        return ".".join(map(quoted, parts))

    def without(self, kind: Literal["time", "number"]) -> Query:
        """The rows of the copy without a cursor: null, missing, or (MongoDB) of another type or endless."""
        if not self.mongodb:
            return self.narrowed(f"{self.sql} IS NULL")
        mine = (self._time_type,) if kind == "time" else _NUMBERS
        others = [name for name in _TYPES if name not in (*mine, "null")]
        nothing: list[Mapping[str, Any]] = [{self.name: None}, {self.name: []}]
        found: dict[str, Any] = {"$or": [*nothing, {self.name: {"$type": others}}]}
        found = {"$and": [found, {self.name: {"$not": {"$type": list(mine)}}}]}
        if kind == "number":
            found = {"$or": [found, {self.name: {"$in": [float("nan"), *_ENDLESS]}}]}
        return self.filtered(found)

    def several(self, kind: Literal["time", "number"], low: Value | None, high: Value) -> dict[str, Any]:
        """The filter of rows with more than one cursor, one of them in an interval (MongoDB's arrays)."""
        name, mine = f"${self.name}", [self._time_type] if kind == "time" else [*_NUMBERS]
        values = {"$cond": [{"$isArray": [name]}, name, []]}
        cursors = {"$filter": {"input": values, "cond": {"$in": [{"$type": "$$this"}, mine]}}}
        least = {} if low is None else {"$gte": _bson(low)}
        return {self.name: {**least, "$lte": _bson(high)}, "$expr": {"$gt": [{"$size": cursors}, 1]}}

    def either(self, query: Query, condition: Mapping[str, Any]) -> Query:
        """The rows of the copy that a query finds, and those for which this filter holds (MongoDB)."""
        return replace(query, filter={"$or": [dict(query.filter), self.filtered(condition).filter]})

    def neither(self, query: Query, condition: Mapping[str, Any]) -> Query:
        """The rows of a query for which this filter does not hold (MongoDB)."""
        parts = [dict(query.filter)] if query.filter else []
        return replace(query, filter={"$and": [*parts, {"$nor": [condition]}]})

    def filtered(self, condition: Mapping[str, Any]) -> Query:
        """The rows of the copy for which this filter holds as well (MongoDB)."""
        own = self.query.filter
        return replace(self.query, filter={"$and": [dict(own), dict(condition)]} if own else condition)

    def narrowed(self, condition: str) -> Query:
        """The rows of the copy for which this holds as well."""
        where = f"({self.query.where}\n) AND {condition}" if self.query.where else condition
        return replace(self.query, where=where)

    def beyond(self, low: Value | None, high: Value | None) -> tuple[Query, Position | None]:
        """How to read the rows with numbers in `(low, high]`; None is no end.

        A position is what stored tables skip files by; MongoDB would sort for it.
        """
        if self.mongodb:
            least = {"$gt": -_ENDLESS[0] if low is None else _bson(low)}
            most = {"$lt": _ENDLESS[0]} if high is None else {"$lte": _bson(high)}
            return self.filtered({self.name: {**least, **most}}), None
        after = None if low is None else Position({"": stored(low)})
        if high is not None:
            return self.narrowed(f"{self.sql} <= {_sql(high)}"), after
        return (self.query if after else self.narrowed(f"{self.sql} IS NOT NULL")), after

    def older(self, start: Value) -> Query:
        """The rows before the first window."""
        if isinstance(start, datetime):
            return self.narrowed(f"{self.sql} < TIMESTAMP '{start.replace(tzinfo=None).isoformat(' ')}'")
        if self.mongodb:
            return self.filtered({self.name: {"$gt": -_ENDLESS[0], "$lte": _bson(start)}})
        return self.narrowed(f"{self.sql} <= {_sql(start)}")

    def values(self, query: Query, window: Any, after: Position | None) -> Iterator[pa.Array]:
        """The cursors of rows: timestamps, dates, numbers, or ids of MongoDB as text."""
        query = replace(query, columns=(self.name,), pipeline=(), batch_rows=_LOOK_ROWS)
        for batch in self.connection.source(self.table, query).read(window, after):
            if batch.data.num_columns:
                yield self._column(batch.data)

    def _column(self, data: pa.RecordBatch) -> pa.Array:
        column = data.column(0)
        for member in self.name.split(".")[1:] if self.mongodb else ():
            if not pa.types.is_struct(column.type) or column.type.get_field_index(member) < 0:
                return pa.nulls(len(data))
            column = pc.struct_field(column, [member])
        return column

    def count(self, query: Query) -> int:
        """How many rows there are, by reading the cursor alone; 0 where reads are metered."""
        return 0 if self.metered else sum(len(values) for values in self.values(query, None, None))


def seconds(values: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """Seconds since 1970 of a column of times or ObjectIds, rounded down; None for anything else."""
    values = values.drop_null()
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(values.type):
        units = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
        return np.asarray(values.cast(pa.int64())) // units
    if pa.types.is_string(values.type) and pc.all(pc.equal(pc.utf8_length(values), 24)).as_py() is not False:
        return np.fromiter((int(one[:8], 16) for one in values.to_pylist()), np.int64)
    return None


def tops(values: pa.Array, step: int | None) -> dict[Any, Any]:
    """The highest number in each step of the line.

    Args:
        values: numbers, arrays of them, or canonical Extended JSON where a collection mixes their types.
        step: its length; None is one for all.

    Returns:
        Number of the step, counted from zero -> its highest value.
    """
    values = values.drop_null()
    if pa.types.is_integer(values.type) and len(values):
        found = np.asarray(values)
        places, of = np.unique(found // step if step else np.zeros_like(found), return_inverse=True)
        highest = np.full(len(places), np.iinfo(found.dtype).min, found.dtype)
        np.maximum.at(highest, of, found)
        return dict(zip(places.tolist(), highest.tolist(), strict=True))
    known: dict[Any, Any] = {}
    for number in _numbers(values.to_pylist()):
        place = number // step if step else 0
        known[place] = max(number, known.get(place, number))
    return known


def _numbers(values: Iterable[Any]) -> Iterator[Any]:
    """The finite numbers among values, inside of arrays too."""
    for value in values:
        if isinstance(value, list):
            yield from _numbers(value)
            continue
        read = json_util.loads(value) if isinstance(value, str) else value
        found = [
            plain(one) for one in (read if isinstance(read, list) else [read]) if not isinstance(one, bool)
        ]
        yield from (one for one in found if isinstance(one, (int, float, Decimal)) and isfinite(one))


def _sql(value: Value) -> str:
    """Without an exponent, which would make a double of it."""
    return f"{value:f}" if isinstance(value, Decimal) else literal(value)


def _bson(value: Value) -> Any:
    """A number as a filter of MongoDB has it."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        return Decimal128(Decimal(value))
    return value
