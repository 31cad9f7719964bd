"""Rows on their way into MongoDB: raw documents in bounded chunks, with an `_id` and a tag where needed.

BSON: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pyarrow as pa
from bson import encode as encode_document
from bson.binary import Binary
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from levada.batches import CANONICAL, Batch, Rejected
from levada.bson import Documents, encode, from_canonical
from levada.connectors.mongodb.fields import may_have
from levada.connectors.mongodb.raw import EXACT, parsed

CHUNK_ROWS = 2_000
CHUNK_BYTES = 4_000_000
MAX_DOCUMENT = 16 * 1024 * 1024
WINDOW_TAG = "_levada_window"

_ID = b"_id\0"
_FIXED_SIZES = {0x01: 8, 0x07: 12, 0x09: 8, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
_STRING = 0x02
_ORDINAL = struct.Struct(">I")
_LENGTH = struct.Struct("<i")
T = TypeVar("T")


class Numbering:
    """`_id`s for the rows of one attempt to write: ObjectIds with a common prefix and rising numbers.

    The sink remembers the prefix until the commit: what an attempt that was killed has left is a range of
    `_id`s. Prefix: seconds since 1970 and 4 random bytes; then the row's number.
    """

    def __init__(self) -> None:
        self.prefix = struct.pack(">I", int(time.time())) + os.urandom(4)
        self._next = 0

    def identify(self, document: bytes) -> bytes:
        """The document with an `_id` in front."""
        element = b"\x07_id\0" + self.prefix + _ORDINAL.pack(self._next)
        self._next += 1
        return _LENGTH.pack(len(document) + len(element)) + element + document[4:]


def attempt_range(prefix: bytes) -> dict[str, Any]:
    """The filter of all rows that an attempt has numbered."""
    from bson.objectid import ObjectId

    first, last = (ObjectId(bytes(prefix) + end * 4) for end in (b"\0", b"\xff"))
    return {"_id": {"$gte": first, "$lte": last}}


class Rows:
    """Turns batches into raw documents.

    Args:
        numbering: gives `_id`s to rows that have none; None leaves that to the server.
        tag: value of the field `_levada_window`; None writes no such field.
    """

    def __init__(self, numbering: Numbering | None = None, tag: str | None = None) -> None:
        self._numbering = numbering
        self._tag = encode_document({WINDOW_TAG: tag})[4:-1] if tag is not None else b""

    def of(self, batch: Batch) -> tuple[list[bytes], list[Rejected]]:
        """The documents to store, and what can't be one."""
        documents, refused = encoded(batch)
        rejected, good = list(refused), []
        for document in documents.slices():
            try:
                prepared = self._prepare(document)
            except InvalidBSON as error:
                rejected.append(Rejected(document, f"malformed BSON: {error}"))
                continue
            if len(prepared) > MAX_DOCUMENT:
                rejected.append(Rejected(document, f"larger than {MAX_DOCUMENT} bytes"))
            else:
                good.append(prepared)
        return good, rejected

    def _prepare(self, document: bytes) -> bytes:
        if self._tag:
            document = _without(document, WINDOW_TAG)
            document = _LENGTH.pack(len(document) + len(self._tag)) + document[4:-1] + self._tag + b"\0"
        if self._numbering and identity(document) is None:
            return self._numbering.identify(document)
        return document


def encoded(batch: Batch, *, omit_nulls: bool = False) -> tuple[Documents, tuple[Rejected, ...]]:
    """The documents of a batch, and the rows that can't be one.

    Args:
        omit_nulls: leave null members of typed rows out; documents of a canonical batch stay as they are.
    """
    if batch.canonical:
        return from_canonical(batch.data), ()
    column, rejected = encode(batch.data, omit_nulls=omit_nulls)
    return from_canonical(pa.record_batch([column], schema=CANONICAL)), rejected


def _without(document: bytes, name: str) -> bytes:
    if name.encode() not in document:
        return document
    fields = RawBSONDocument(document, EXACT)
    if name not in fields:
        return document
    return encode_document({key: value for key, value in fields.items() if key != name})


def chunks(
    items: list[T],
    rows: int = CHUNK_ROWS,
    size: int = CHUNK_BYTES,
    bytes_of: Callable[[T], int] = len,  # type: ignore[assignment]
) -> Iterator[list[T]]:
    """Cut into chunks of at most `rows` documents and about `size` bytes."""
    start, held = 0, 0
    for at, item in enumerate(items):
        length = bytes_of(item)
        if at > start and (at - start == rows or held + length > size):
            yield items[start:at]
            start, held = at, 0
        held += length
    if start < len(items):
        yield items[start:]


def identity(document: bytes) -> bytes | None:
    """The type and value bytes of a document's `_id`; None if it has none."""
    if document[5:9] == _ID:
        kind = document[4]
        if kind in _FIXED_SIZES:
            return bytes((kind,)) + document[9 : 9 + _FIXED_SIZES[kind]]
        if kind == _STRING:
            return bytes((kind,)) + document[9 : 13 + _LENGTH.unpack_from(document, 9)[0]]
    elif not may_have(document, _ID):
        return None
    fields = parsed(document)
    return element(fields["_id"]) if "_id" in fields else None


def element(value: Any) -> bytes:
    """Type and value bytes of one value."""
    encoded = encode_document({"": value})
    return encoded[4:5] + encoded[6:-1]


def prefix_of(attempt: Any) -> bytes | None:
    """The prefix that a sink has remembered; None if there is none."""
    return bytes(attempt) if isinstance(attempt, (bytes, Binary)) else None
