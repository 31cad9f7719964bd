"""Digests of documents: BLAKE2b with 16 bytes (RFC 7693), so that equal digests mean equal bytes."""

from __future__ import annotations

import hashlib
from struct import Struct

import numpy as np
import numpy.typing as npt

from levada.bson.documents import Documents
from levada.bson.elements import Malformed, elements

SIZE = 16

_LENGTH = Struct("<i")


def digests(documents: Documents, *, without_id: bool) -> npt.NDArray[np.uint64]:
    """Two numbers for each document.

    Args:
        documents: any bytes; a malformed document is digested as it is.
        without_id: digest the document without its first `_id`.

    Returns:
        uint64 [n, 2].
    """
    raws = documents.slices()
    if without_id:
        raws = [stripped(raw) for raw in raws]
    joined = b"".join(hashlib.blake2b(raw, digest_size=SIZE).digest() for raw in raws)
    return numbers(joined)


def numbers(joined: bytes) -> npt.NDArray[np.uint64]:
    """Digests one after the other as uint64 [n, 2]."""
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def stripped(document: bytes) -> bytes:
    """The document without its first `_id`; as it is where it has none, or is malformed before it."""
    at = 4
    try:
        for _, name, _, end in elements(document, 0, len(document)):
            if name == b"_id":
                return _LENGTH.pack(len(document) - (end - at)) + document[4:at] + document[end:]
            at = end
    except Malformed:
        pass
    return document
