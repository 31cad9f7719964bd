"""Values at a path, and what differs between two documents; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from levada.bson.documents import Documents
from levada.bson.elements import Malformed, elements

_ARRAY, _DOCUMENT = 4, 3
_DOT, _DOLLAR = b".", b"$"


def values_at(documents: Documents, path: Sequence[bytes]) -> list[bytes | None]:
    """Type and value bytes at a path in each document.

    Args:
        path: names of fields, each but the last of a nested document.

    Returns:
        None where there is none before the first malformed element.
    """
    return [_at(raw, path) for raw in documents.slices()]


def differences(old: Documents, new: Documents) -> list[bytes | None]:
    """What has to be set in each old document to become the new one, as elements of `$set`.

    Args:
        old, new: as many documents, all without `_id`.

    Returns:
        None where `$set` can't do it: other names or another order of them, a name that comes twice, is a
        path or an operator, a malformed document.
    """
    return [_difference(*pair) for pair in zip(old.slices(), new.slices(), strict=True)]


def _at(raw: bytes, path: Sequence[bytes]) -> bytes | None:
    try:
        for tag, name, start, end in elements(raw, 0, len(raw)):
            if name != path[0]:
                continue
            if len(path) == 1:
                return bytes((tag,)) + raw[start:end]
            return _at(raw[start:end], path[1:]) if tag == _DOCUMENT else None
    except Malformed:
        pass
    return None


def _difference(old: bytes, new: bytes) -> bytes | None:
    found, names = [], set()
    try:
        for before, after in zip_longest(_members(old), _members(new)):
            if before is None or after is None or before[1] != after[1] or after[1] in names:
                return None
            names.add(after[1])
            if before != after:
                if not _settable(*after):
                    return None
                found.append(bytes((after[0],)) + after[1] + b"\0" + after[2])
    except Malformed:
        return None
    return b"".join(found)


def _members(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    for tag, name, start, end in elements(raw, 0, len(raw)):
        yield tag, name, raw[start:end]


def _settable(tag: int, name: bytes, value: bytes) -> bool:
    """Whether `$set` takes a member as it is; a `$` inside of a document may begin an operator."""
    plain = bool(name) and not name.startswith(_DOLLAR) and _DOT not in name
    return plain and (tag not in (_DOCUMENT, _ARRAY) or _DOLLAR not in value)
