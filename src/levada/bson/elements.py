"""Walking one BSON document element by element, with every length checked.

The plain way, for single documents and for those that the vectorised walk leaves over. Sizes by
https://bsonspec.org/spec.html:

| type | value |
|---|---|
| 1 double, 9 date, 17 timestamp, 18 int64 | 8 bytes |
| 2 string, 13 code, 14 symbol | int32 n >= 1, n bytes, the last one NUL |
| 3 document, 4 array | int32 n >= 5 that counts itself, the last byte NUL |
| 5 binary | int32 n >= 0, subtype, n bytes |
| 6 undefined, 10 null, 127 maxKey, 255 minKey | nothing |
| 7 ObjectId | 12 bytes |
| 8 bool | 1 byte, 0 or 1 |
| 11 regex | two C strings |
| 12 DBPointer | a string, 12 bytes |
| 15 code with scope | int32 n >= 14 that counts itself, a string, a document |
| 16 int32 | 4 bytes |
| 19 Decimal128 | 16 bytes |
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

#: Bytes of a value whose size its type alone decides.
FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}

#: Type -> (least int32 length, bytes to add to it for the whole value, whether its last byte is NUL).
PREFIXED = {
    2: (1, 4, True),
    3: (5, 0, True),
    4: (5, 0, True),
    5: (0, 5, False),
    12: (1, 16, False),
    13: (1, 4, True),
    14: (1, 4, True),
    15: (14, 0, True),
}

REGEX = 11

_INT32 = Struct("<i")


class Malformed(ValueError):
    """These bytes are not BSON; the text says why."""


def elements(raw: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, int, int]]:
    """Type, name, start and end of every value of the document `raw[start:end]`.

    Raises:
        Malformed: a length, a terminator or a type is wrong.
    """
    check_frame(raw, start, end)
    return elements_from(raw, start + 4, end - 1)


def elements_from(raw: bytes, at: int, last: int) -> Iterator[tuple[int, bytes, int, int]]:
    """The same from an element at `at` on, in a document whose terminator is at `last`.

    Raises:
        Malformed: a length, a terminator or a type is wrong.
    """
    while at < last:
        stop = raw.find(0, at + 1, last)
        if stop < 0:
            raise Malformed("a field name has no end")
        to = value_end(raw, raw[at], stop + 1, last)
        yield raw[at], raw[at + 1 : stop], stop + 1, to
        at = to


def check_frame(raw: bytes, start: int, end: int) -> None:
    """Check the length prefix and the terminator of a document.

    Raises:
        Malformed: one of them is wrong.
    """
    if end - start < 5 or start < 0 or end > len(raw) or _INT32.unpack_from(raw, start)[0] != end - start:
        raise Malformed("the length of a document is wrong")
    if raw[end - 1]:
        raise Malformed("a document has no terminator")


def value_end(raw: bytes, tag: int, at: int, last: int) -> int:
    """One past the value of type `tag` that begins at `at`, inside a document whose terminator is at `last`.

    Raises:
        Malformed: the type is unknown or the value does not fit.
    """
    if tag in FIXED:
        to = at + FIXED[tag]
    elif tag in PREFIXED:
        to = _prefixed_end(raw, tag, at, last)
    elif tag == REGEX:
        pattern = raw.find(0, at, last)
        to = raw.find(0, pattern + 1, last) + 1 if pattern >= 0 else 0
        if to <= 0:
            raise Malformed("a regular expression has no end")
    else:
        raise Malformed(f"unknown BSON type {tag}")
    if to > last:
        raise Malformed("a value is longer than its document")
    if tag == 8 and raw[at] > 1:
        raise Malformed("a boolean is neither 0 nor 1")
    return to


def _prefixed_end(raw: bytes, tag: int, at: int, last: int) -> int:
    least, extra, terminated = PREFIXED[tag]
    if at + 4 > last:
        raise Malformed("a value is longer than its document")
    length = _INT32.unpack_from(raw, at)[0]
    to: int = at + length + extra
    if length < least or to > last:
        raise Malformed("the length of a value is wrong")
    if (terminated and raw[to - 1]) or (tag == 12 and raw[to - 13]):
        raise Malformed("a string or document has no terminator")
    return to
