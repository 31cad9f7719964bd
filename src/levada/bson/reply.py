"""Raw replies of find, aggregate and getMore: where the documents are, the cursor, the resume token.

Reply format: https://www.mongodb.com/docs/manual/reference/command/find/#output; BSON: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

import numpy as np

from levada.bson.documents import Documents
from levada.bson.elements import Malformed, elements
from levada.errors import Fatal

_INT32 = Struct("<i")
_INT64 = Struct("<q")
_BATCHES = (b"firstBatch", b"nextBatch")


@dataclass(frozen=True)
class Reply:
    """One batch of a cursor.

    Args:
        cursor_id: 0 when the cursor is exhausted.
        documents: slices of the reply.
        resume_token: `postBatchResumeToken` as a raw BSON document; None where there is none.
    """

    cursor_id: int
    documents: Documents
    resume_token: bytes | None


def split_reply(raw: bytes) -> Reply:
    """Find the documents in a raw reply without decoding them.

    Raises:
        Fatal: these bytes are not the reply of a command that returns a cursor.
    """
    try:
        return _split(raw)
    except (Malformed, IndexError) as error:
        raise no_cursor_reply(error) from error


def no_cursor_reply(error: Exception) -> Fatal:
    """The error of a reply without documents, with the reason."""
    return Fatal(
        f"the server's reply is not a cursor reply: {error}",
        hint="check that the command returned ok: 1 before splitting its reply",
    )


def _split(raw: bytes) -> Reply:
    cursor = _document(raw, 0, len(raw)).get(b"cursor")
    if cursor is None or cursor[0] != 3:
        raise Malformed("it has no cursor document")
    fields = _document(raw, *cursor[1:])
    batch = next((fields[name] for name in _BATCHES if name in fields), None)
    if batch is None or batch[0] != 4 or fields.get(b"id", (0,))[0] != 18:
        raise Malformed("its cursor has no id or no batch")
    token = fields.get(b"postBatchResumeToken")
    return Reply(
        cursor_id=_INT64.unpack_from(raw, fields[b"id"][1])[0],
        documents=_batch(raw, *batch[1:]),
        resume_token=None if token is None or token[0] != 3 else raw[token[1] : token[2]],
    )


def _document(raw: bytes, start: int, end: int) -> dict[bytes, tuple[int, int, int]]:
    return {name: (tag, at, to) for tag, name, at, to in elements(raw, start, end)}


def _batch(raw: bytes, start: int, end: int) -> Documents:
    """Split an array of documents; its keys are "0", "1", ... so their lengths are known beforehand."""
    starts: list[int] = []
    ends: list[int] = []
    unpack, at, last = _INT32.unpack_from, start + 4, end - 1
    width, full = 3, 10
    while at < last:
        if len(starts) == full:
            width, full = width + 1, full * 10
        first = at + width
        if raw[at] != 3 or raw[first - 1] or first + 5 > last:
            raise Malformed(f"element {len(starts)} of its batch is not a document")
        at = first + unpack(raw, first)[0]
        if at <= first + 4 or at > last:
            raise Malformed(f"element {len(starts)} of its batch has a wrong length")
        starts.append(first)
        ends.append(at)
    return Documents(raw, np.array(starts, np.int64), np.array(ends, np.int64))
