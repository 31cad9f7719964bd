"""Documents as fields of raw bytes: taken apart, put together and merged; no value is decoded.

BSON: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from levada.bson.digest import stripped
from levada.bson.elements import FIXED, PREFIXED, REGEX, Malformed, elements, value_end

#: Type and value bytes of one value.
Element = bytes

ARRAY = 0x04
DOCUMENT = 0x03
NULL = 0x0A
STRING = 0x02
EMPTY = b"\5\0\0\0\0"

_Typed = tuple[int, bytes]
_ID = b"_id\0"
_TAGS = frozenset((*FIXED, *PREFIXED, REGEX))
_DOLLAR = b"$"
_LENGTH = Struct("<i")


def framed(body: bytes) -> bytes:
    """A document of these elements."""
    return _LENGTH.pack(len(body) + 5) + body + b"\0"


def named(name: bytes, element: Element) -> bytes:
    """An element under a name, as it stands in a document."""
    return element[:1] + name + b"\0" + element[1:]


def array(values: Iterable[Element]) -> bytes:
    """The value bytes of an array."""
    return framed(b"".join(named(b"%d" % place, value) for place, value in enumerate(values)))


def nested(tag: int, name: bytes, value: bytes) -> bytes:
    """A document or an array under a name."""
    return bytes((tag,)) + name + b"\0" + value


def at(document: bytes, path: tuple[bytes, ...]) -> Element | None:
    """The value at a path through nested documents; None where there is none.

    Raises:
        Malformed: the document is, before that value.
    """
    found: Element | None = _member(document, 0, path[0])
    for name in path[1:]:
        if found is None or found[0] != DOCUMENT:
            return None
        found = _member(found, 1, name)
    return found


def _member(raw: bytes, start: int, name: bytes) -> Element | None:
    place, last, size = start + 4, len(raw) - 1, len(name)
    while place < last:
        stop = raw.find(b"\0", place + 1, last)
        if stop < 0:
            raise Malformed("a field name has no end")
        fixed = FIXED.get(raw[place])
        end = stop + 1 + fixed if fixed is not None else value_end(raw, raw[place], stop + 1, last)
        if end > last:
            raise Malformed("a value is longer than its document")
        if stop - place - 1 == size and raw.startswith(name, place + 1):
            return raw[place : place + 1] + raw[stop + 1 : end]
        place = end
    return None


def without_id(document: bytes) -> bytes:
    """The document without its first `_id`; as it is where it has none, or is malformed before it."""
    if document[5:9] == _ID:
        size = FIXED.get(document[4])
        if size is None and document[4] == STRING:
            size = 4 + _LENGTH.unpack_from(document, 9)[0]
        if size is not None and 0 <= size < len(document) - 9:
            return _LENGTH.pack(len(document) - 5 - size) + document[9 + size :]
    elif not may_have(document, _ID):
        return document
    return stripped(document)


def may_have(document: bytes, name: bytes) -> bool:
    """Whether a field of this name, which ends with NUL, can be anywhere in a document."""
    place = document.find(name)
    while place > 0:
        if document[place - 1] in _TAGS:
            return True
        place = document.find(name, place + 1)
    return False


def with_id(identity: Element | None, body: bytes) -> bytes:
    """The document `body`, which has no `_id`, with one in front."""
    if identity is None:
        return body
    return framed(named(b"_id", identity) + body[4:-1])


def without(document: bytes, name: bytes) -> bytes:
    """The document without its first field of this name."""
    place = 4
    for _, found, _, end in elements(document, 0, len(document)):
        if found == name:
            return framed(document[4:place] + document[end:-1])
        place = end
    return document


def without_nulls(document: bytes) -> bytes:
    """The document without fields that are null, at any depth; elements of arrays stay."""
    if b"\x0a" not in document:
        return document
    kept = []
    for tag, name, start, end in elements(document, 0, len(document)):
        if tag != NULL:
            kept.append(nested(tag, name, _pruned(tag, document[start:end])))
    return framed(b"".join(kept))


def _pruned(tag: int, value: bytes) -> bytes:
    if tag == DOCUMENT:
        return without_nulls(value)
    if tag != ARRAY or b"\x0a" not in value:
        return value
    items = elements(value, 0, len(value))
    return framed(
        b"".join(nested(kind, name, _pruned(kind, value[start:end])) for kind, name, start, end in items)
    )


def merged(stored: bytes, new: bytes, *, deep: bool, on_null: str = "write") -> bytes:
    """A document with another one's fields put into it, at their old places, new ones at the end.

    Args:
        stored, new: whole documents.
        deep: merge nested documents in the same way, instead of replacing them.
        on_null: `unset` takes the field out, and leaves out nulls inside of other values; `keep` leaves out
            nulls where fields are merged.
    """
    found = [(name, (tag, stored[start:end])) for tag, name, start, end in elements(stored, 0, len(stored))]
    members = dict(found)
    repeated: list[bytes] = []
    if len(members) < len(found):
        members, repeated = _told_apart(found)
    for tag, name, start, end in elements(new, 0, len(new)):
        value = new[start:end]
        if tag == NULL and on_null == "keep":
            continue
        for other in repeated:
            if other.startswith(name + b"\0"):
                members.pop(other, None)
        if tag == NULL and on_null == "unset":
            members.pop(name, None)
            continue
        if deep and tag == DOCUMENT:
            old_tag, old = members.get(name, (NULL, b""))
            value = merged(old if old_tag == DOCUMENT else EMPTY, value, deep=True, on_null=on_null)
        elif on_null == "unset":
            value = _pruned(tag, value)
        members[name] = (tag, value)
    if repeated:
        return framed(
            b"".join(nested(tag, name.partition(b"\0")[0], v) for name, (tag, v) in members.items())
        )
    return framed(b"".join(nested(tag, name, value) for name, (tag, value) in members.items()))


def _told_apart(members: Iterable[tuple[bytes, _Typed]]) -> tuple[dict[bytes, _Typed], list[bytes]]:
    """Members by their names, those that come again with a NUL and a number behind; and the latter."""
    named_so: dict[bytes, _Typed] = {}
    repeated = []
    for place, (name, value) in enumerate(members):
        if name in named_so:
            repeated.append(b"%b\0%d" % (name, place))
        named_so[repeated[-1] if name in named_so else name] = value
    return named_so, repeated


def repeats_a_name(document: bytes) -> bool:
    """Whether a name comes twice, at any depth."""
    names = set()
    for tag, name, start, end in elements(document, 0, len(document)):
        if name in names or (tag in (DOCUMENT, ARRAY) and repeats_a_name(document[start:end])):
            return True
        names.add(name)
    return False


def names_an_operator(document: bytes) -> bool:
    """Whether a field at the top has a name that starts with `$`."""
    if _DOLLAR not in document:
        return False
    return any(name.startswith(_DOLLAR) for _, name, _, _ in elements(document, 0, len(document)))
