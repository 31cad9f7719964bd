"""Documents of a result -> Arrow columns of exactly the plan's types.

The native codec decodes by a schema that is known beforehand. Where a reply holds something that this schema
does not (a long where a DOUBLE is meant, a symbol where text is), the values of that column are looked at one
by one: what its type can hold is taken, anything else is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from levada.bson import Decoder, Documents
from levada.sql.faults import DataError
from levada.sql.plan import Plan, PlanColumn
from levada.sql.singly import singly
from levada.sql.types import SqlType
from levada.types.kinds import BSON, DIGITS, PRECISION, UTC_MS, kind_of

#: Type -> Arrow type, and the label that restores it in BSON.
_ARROW: Final[Mapping[str, tuple[pa.DataType, str]]] = {
    "BOOLEAN": (pa.bool_(), ""),
    "INTEGER": (pa.int32(), ""),
    "BIGINT": (pa.int64(), ""),
    "DOUBLE": (pa.float64(), ""),
    "VARCHAR": (pa.string(), ""),
    "BLOB": (pa.binary(), ""),
    "TIMESTAMP": (UTC_MS, "date"),
    "DATE": (pa.date32(), "date"),
    "OBJECTID": (pa.string(), "objectId"),
    "UUID": (pa.string(), "uuid"),
    "VARIANT": (pa.string(), "variant"),
    "NULL": (pa.int32(), ""),
}


def arrow_schema(plan: Plan) -> pa.Schema:
    """The schema of a plan's result: names as in SQL, which may repeat; labels for writing it back."""
    return pa.schema([arrow_field(one.name, one.type).with_nullable(one.nullable) for one in plan.columns])


def arrow_field(name: str, kind: SqlType) -> pa.Field:
    """The field of a type, labelled as `levada.types.kinds` says."""
    if kind.name == "DECIMAL":
        labels = {BSON: b"decimal", DIGITS: str(max(kind.precision - kind.scale, 0)).encode()}
        return pa.field(name, pa.decimal128(PRECISION, kind.scale), metadata=labels)
    if kind.name == "STRUCT":
        return pa.field(name, pa.struct([arrow_field(*member) for member in kind.fields]))
    if kind.name == "LIST":
        return pa.field(name, pa.list_(arrow_field("item", _item(kind))))
    arrow, label = _ARROW[kind.name]
    return pa.field(name, arrow, metadata={BSON: label.encode()} if label else None)


class ResultDecoder:
    """Decodes the replies of one query.

    Args:
        plan: says which fields the documents have, and their types.
    """

    def __init__(self, plan: Plan) -> None:
        self.schema = arrow_schema(plan)
        self._columns = plan.columns
        self._known = pa.schema([_physical(one.field, one.type) for one in plan.columns])

    def decode(self, documents: Documents) -> pa.RecordBatch:
        """The rows of one reply.

        Raises:
            DataError: a value is none of its column's type.
        """
        decoder = Decoder(self._known)  # a new one: what one reply widens shall not slow the others down
        batch, rejected = decoder.decode(documents)
        if rejected:
            raise DataError(f"a row of the result can't be decoded: {rejected[0].reason}")
        columns = [self._column(batch, place, documents) for place in range(len(self._columns))]
        if not columns:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * len(documents), pa.struct([])))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _column(self, batch: pa.RecordBatch, place: int, documents: Documents) -> pa.Array:
        column, target = self._columns[place], self.schema.field(place)
        if _holds(self._known.field(place), batch.schema.field(place)):
            return _cast(batch.column(place), target, column)
        return singly(documents, column, target)


def _holds(known: pa.Field, found: pa.Field) -> bool:
    """Whether a decoded column has the values that were expected, if in a wider form."""
    kinds = kind_of(known), kind_of(found)
    if kinds[0] != kinds[1]:
        return False
    if kinds[0] == "document":
        places = [found.type.get_field_index(member.name) for member in known.type]
        return all(_holds(*pair) for pair in zip(known.type, map(found.type.field, places), strict=True))
    if kinds[0] == "array":
        return _holds(known.type.value_field, found.type.value_field)
    return True


def _physical(name: str, kind: SqlType) -> pa.Field:
    """The field as the codec decodes it: a date has a time of day, digits of a decimal may be few."""
    if kind.name == "DATE":
        return pa.field(name, UTC_MS, metadata={BSON: b"date"})
    if kind.name == "DECIMAL":
        field = arrow_field(name, kind)
        return field.with_metadata({BSON: b"decimal", DIGITS: b"1"})
    if kind.name == "STRUCT":
        return pa.field(name, pa.struct([_physical(*member) for member in kind.fields]))
    if kind.name == "LIST":
        return pa.field(name, pa.list_(_physical("item", _item(kind))))
    return arrow_field(name, kind)


def _cast(values: pa.Array, target: pa.Field, column: PlanColumn) -> pa.Array:
    """The same values by the target's type; one that would change is an error."""
    if values.type.equals(target.type, check_metadata=True):
        return values
    try:
        return _convert(values, target.type)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"a value of column {column.name!r} is no {column.type}: {error}",
            hint="CAST it to a type that holds it, or ROUND it",
        ) from error


def _convert(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Arrow's own cast, but for dates, which it cuts, and nested types."""
    for holds, change in _CHANGES:
        if holds(target):
            return change(values, target)
    return values.cast(target)


def _structs(values: pa.Array, target: pa.DataType) -> pa.Array:
    members = [_convert(values.field(field.name), field.type) for field in target]
    nulls = values.is_null() if values.null_count else None
    return pa.StructArray.from_arrays(members, fields=list(target), mask=nulls)


def _lists(values: pa.Array, target: pa.DataType) -> pa.Array:
    edges = values.offsets
    items = values.values.slice(edges[0].as_py(), edges[-1].as_py() - edges[0].as_py())
    moved = pc.subtract(edges, edges[0])
    nulls = values.is_null() if values.null_count else None
    converted = _convert(items, target.value_type)
    return pa.ListArray.from_arrays(moved, converted, type=target, mask=nulls)


def _days(values: pa.Array, target: pa.DataType) -> pa.Array:
    days = values.cast(target)
    if (
        not pa.types.is_date(values.type)
        and not pc.all(pc.equal(days.cast(values.type), values), min_count=0).as_py()
    ):
        late = values.filter(pc.not_equal(days.cast(values.type), values))[0]
        raise pa.ArrowInvalid(f"{late} is not at midnight")
    return days


_CHANGES: Final[Iterable[tuple[Callable[[pa.DataType], bool], Callable[..., pa.Array]]]] = (
    (pa.types.is_struct, _structs),
    (pa.types.is_list, _lists),
    (pa.types.is_date32, _days),
)


def _item(kind: SqlType) -> SqlType:
    if kind.item is None:
        raise TypeError(f"{kind} has no items")
    return kind.item


def rows_of(batch: pa.RecordBatch) -> list[tuple[Any, ...]]:
    """Rows as Python's values.

    Raises:
        DataError: Python has no such value (a time before the year 1).
    """
    if not batch.num_columns:
        return [()] * batch.num_rows
    try:
        return list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"a value of the result can't be held by Python: {error}", hint="take it by fetch_arrow()"
        ) from error
