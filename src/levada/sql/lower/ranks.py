"""The order of a window: as `$sort` takes it, as one key for ranks, as one number for distances."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128

from levada.sql.errors import SqlError
from levada.sql.expression import Bound, Frame, Interval, SortKey
from levada.sql.expressions import ordering
from levada.sql.expressions.emit import Row, value
from levada.sql.expressions.ordering import NEGATIVE
from levada.sql.expressions.pieces import constant as emitted_constant
from levada.sql.expressions.table import Emitted
from levada.sql.plan import Stage

_TURNED: Final = frozenset({"INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "DATE", "TIMESTAMP", "BOOLEAN"})


class Ranks:
    """The ORDER BY of a window.

    Args:
        row: of documents whose fields are the columns.
    """

    def __init__(self, order: tuple[SortKey, ...], row: Row) -> None:
        self.order = order
        self._values = [value(key.expr, row) for key in order]
        #: Fields that must be computed before, and the specification of the order itself.
        self.fields: Stage = {}
        self.sort: dict[str, int] = {}
        self._by_keys()
        #: The field of the composed key, and its order; None: no one key has this order.
        self.composed: Stage = {}
        self.composed_sort: dict[str, int] | None = None
        self._by_one_key()

    def _by_keys(self) -> None:
        parts = [
            part
            for key, one in zip(self.order, self._values, strict=True)
            for part in ordering.parts(key, one)
        ]
        for place, part in enumerate(parts):
            path = part.value[1:] if _is_path(part.value) else f"o{place}"
            if path == f"o{place}":
                self.fields[path] = part.value
            self.sort.setdefault(path, part.direction)

    def _by_one_key(self) -> None:
        if not self.order:
            return
        fixed = {_direction(key) for key in self.order if key.expr.type.name not in _TURNED}
        pairs = list(zip(self.order, self._values, strict=True))
        if len(fixed) > 1:
            self.fields["key"] = {
                f"k{place}": {"$ifNull": [one, None]} for place, one in enumerate(self._values)
            }
            return
        direction = fixed.pop() if fixed else _direction(self.order[0])
        parts = [part for key, one in pairs for part in _turned(key, one, direction)]
        dense = [{"$ifNull": [part, None]} for part in parts]
        if len(parts) == 1 and not self.order[0].expr.nullable and _is_path(parts[0]):
            self.composed_sort = {parts[0][1:]: direction}
            return
        self.composed = {
            "one": dense[0] if len(parts) == 1 else {f"k{n}": one for n, one in enumerate(dense)}
        }
        self.composed_sort = {"one": direction}


def _is_path(emitted: Emitted) -> bool:
    return isinstance(emitted, str) and emitted.startswith("$") and not emitted.startswith("$$")


def _direction(key: SortKey) -> int:
    return -1 if key.descending else 1


def _turned(key: SortKey, emitted: Emitted, direction: int) -> list[Emitted]:
    """A key as parts of a key of another direction."""
    if _direction(key) == direction:
        return [part.value for part in ordering.parts(key, emitted)]
    place = _place(key, emitted)
    return [{"$multiply": [place, direction]}, negative(key, emitted)]


def _place(key: SortKey, emitted: Emitted) -> Emitted:
    """0, 1, 2 for NULLs, NaN and other values, in the order they come in."""
    last = 2 if key.descending or key.expr.type.name != "DOUBLE" else 1
    null = 0 if key.nulls_first else 3
    nan = 1 if key.descending else 2
    if key.expr.type.name != "DOUBLE":
        return {"$cond": [{"$gt": [emitted, None]}, last, null]}
    number = {"$gte": [emitted, NEGATIVE]}
    return {"$cond": [number, last, {"$cond": [{"$gt": [emitted, None]}, nan, null]}]}


def negative(key: SortKey, emitted: Emitted) -> Emitted:
    """A value that sorts the other way round."""
    if key.expr.type.name == "BOOLEAN":
        emitted = {"$cond": [emitted, 1, 0]}
    elif key.expr.type.temporal:
        emitted = {"$toLong": emitted}
    return {"$multiply": [emitted, -1]}


# Distances.

#: Beyond every double, in the order of infinity, NaN and NULL; adding a distance does not change them.
_INFINITY: Final = Decimal128(Decimal(10) ** 400)
_NAN: Final = Decimal128(Decimal(10) ** 401)
_NULL: Final = Decimal128(Decimal(10) ** 402)


#: Times that no calendar reaches, for NULL.
_FIRST: Final = DatetimeMS(-(10**15))
_LAST: Final = DatetimeMS(10**15)


def _minus(value_: Decimal128) -> Decimal128:
    return Decimal128(-value_.to_decimal())


def distance_key(key: SortKey, row: Row, frame: Frame) -> Emitted:
    """The key of a RANGE with distances, as one that ascends and is never null."""
    kind = key.expr.type
    if not (kind.numeric or kind.temporal):
        raise SqlError(f"a RANGE with distances needs a key that is a number or a time, not {kind}")
    emitted = value(key.expr, row)
    if _months(frame):
        if key.descending:
            raise SqlError("a RANGE of months takes an ascending key on MongoDB")
        return {"$ifNull": [emitted, _FIRST if key.nulls_first else _LAST]}
    if kind.temporal:
        emitted = {"$toLong": emitted}
    if key.descending:
        emitted = {"$multiply": [emitted, -1]}
    if kind.name == "DOUBLE":
        emitted = _doubles(emitted, descending=key.descending)
    if not key.expr.nullable:
        return emitted
    return {"$ifNull": [emitted, _minus(_NULL) if key.nulls_first else _NULL]}


def _doubles(emitted: Emitted, *, descending: bool) -> Emitted:
    branches = [
        {"case": {"$eq": [emitted, float("inf")]}, "then": _INFINITY},
        {"case": {"$eq": [emitted, float("-inf")]}, "then": _minus(_INFINITY)},
        {"case": {"$eq": [emitted, float("nan")]}, "then": _minus(_NAN) if descending else _NAN},
    ]
    return {"$switch": {"branches": branches, "default": emitted}}


def _months(frame: Frame) -> bool:
    return any(isinstance(one.offset, Interval) and one.offset.months for one in (frame.start, frame.end))


def distances(key: SortKey, frame: Frame) -> Stage:
    """The frame, as `$setWindowFields` takes it."""
    temporal = key.expr.type.temporal
    months = _months(frame)
    ends: list[Any] = []
    for bound in (frame.start, frame.end):
        if bound.offset is None:
            ends.append(0 if bound.kind == "current row" else "unbounded")
            continue
        length = _length(bound, temporal=temporal, months=months)
        ends.append(emitted_constant(-length if bound.kind == "preceding" else length))
    return {"range": ends, **({"unit": "month"} if months else {})}


def _length(bound: Bound, *, temporal: bool, months: bool) -> Any:
    offset = bound.offset
    if isinstance(offset, Interval) != temporal:
        raise SqlError("the distance of a RANGE is a number for numbers and an INTERVAL for times")
    if not isinstance(offset, Interval):
        return offset
    if months:
        if offset.days or offset.milliseconds:
            raise SqlError("a RANGE on MongoDB takes months, or days and shorter, not both")
        return offset.months
    return offset.days * 86_400_000 + offset.milliseconds
