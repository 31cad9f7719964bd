"""The `_id` of a raw document: taken out, compared by the server, written into a position and read again.

A comparison by `$expr` sees every BSON type (a plain `$gt` sees one type bracket), and with a hint it becomes
an exact index range. `min` and `max` would not do: without a `max`, MongoDB leaves out the `_id` MaxKey.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from levada.bson import Documents
from levada.bson.elements import Malformed, elements
from levada.connectors.mongodb.raw import RAW
from levada.errors import Fatal

_LOSSLESS: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_KEY = b"_id\0"


def id_of(document: bytes) -> bytes:
    """The document `{_id: ...}` of a raw document.

    Raises:
        Fatal: it has no `_id`.
    """
    with suppress(Malformed):
        for tag, name, start, end in elements(document, 0, len(document)):
            if name == b"_id":
                return _document(tag, b"_id", document[start:end])
    raise Fatal("a document without _id can't be read in the order of _id", hint="leave out `order: id`")


def compared(operator: str, key: bytes) -> dict[str, Any]:
    """The filter `_id <operator> key` over all BSON types.

    Args:
        operator: `$gt`, `$gte` or `$lt`.
        key: a document `{_id: ...}`.
    """
    literal = RawBSONDocument(_document(key[4], b"$literal", key[5 + len(_KEY) : -1]), RAW)
    return {"$expr": {operator: ["$_id", literal]}}


def without_id(documents: Documents) -> Documents:
    """The same documents without their `_id`."""
    return Documents.from_list([_stripped(document) for document in documents.slices()])


def _stripped(document: bytes) -> bytes:
    at = 4
    for _, name, _, end in elements(document, 0, len(document)):
        if name == b"_id":
            return _framed(document[4:at] + document[end:-1])
        at = end
    return document


def written(key: bytes) -> Any:
    """A key as a JSON value: canonical Extended JSON where that gives the same bytes again, else base64."""
    try:
        text = json_util.dumps(bson.decode(key, _LOSSLESS), json_options=json_util.CANONICAL_JSON_OPTIONS)
        value = json.loads(text)
        if parsed(value) == key:
            return value
    except (BSONError, ValueError, TypeError, OverflowError):
        pass
    return base64.b64encode(key).decode()


def parsed(value: Any) -> bytes:
    """The key that was written so."""
    if isinstance(value, str):
        return base64.b64decode(value)
    read = json_util.loads(json.dumps(value), json_options=json_util.CANONICAL_JSON_OPTIONS)
    return bson.encode(read, codec_options=_LOSSLESS)


def _document(tag: int, name: bytes, value: bytes) -> bytes:
    return _framed(bytes([tag]) + name + b"\0" + value)


def _framed(body: bytes) -> bytes:
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"
