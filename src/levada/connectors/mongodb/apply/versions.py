"""The order of versions: the server's order of BSON values, of types that have a sensible one.

Order of types: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/. Text is compared by
its bytes, whatever the collection's collation.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from bson.decimal128 import Decimal128

from levada.connectors.mongodb.fields import Element

#: Something that compares with others of its kind.
Version = tuple[Any, ...]

#: Of rows without a version: lower than all others.
NONE: Version = (0,)

_NUMBER, _TEXT, _OBJECT_ID, _BOOL, _DATE, _TIMESTAMP = range(1, 7)
_FORMATS = {
    0x10: Struct("<i"),
    0x12: Struct("<q"),
    0x01: Struct("<d"),
    0x09: Struct("<q"),
    0x11: Struct("<Q"),
}
_NULLS = (0x0A, 0x06)
_DECIMAL = 0x13


def version_of(element: Element | None) -> Version | None:
    """What a version is compared by; None if its type has no order to speak of."""
    if element is None or element[0] in _NULLS:
        return NONE
    tag = element[0]
    if tag in (0x10, 0x12, 0x01, _DECIMAL):
        return _number(element)
    if tag in (0x02, 0x0E):
        return (_TEXT, element[5:-1])
    if tag == 0x07:
        return (_OBJECT_ID, element[1:])
    if tag == 0x08:
        return (_BOOL, element[1])
    if tag in (0x09, 0x11):
        return (_DATE if tag == 0x09 else _TIMESTAMP, _FORMATS[tag].unpack_from(element, 1)[0])
    return None


def _number(element: Element) -> Version:
    if element[0] == _DECIMAL:
        number: Any = Decimal128.from_bid(element[1:]).to_decimal()
        nan = number.is_nan()
    else:
        number = _FORMATS[element[0]].unpack_from(element, 1)[0]
        nan = number != number  # noqa: PLR0124 - how NaN is told
    return (_NUMBER, 0, 0) if nan else (_NUMBER, 1, number)
