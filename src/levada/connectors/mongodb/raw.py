"""Raw documents whose fields are looked at one by one."""

from __future__ import annotations

from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

#: Values that Python can't hold must not keep a document from being looked at.
RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
#: The same for rewriting a document: text that is not UTF-8 is an error, not replaced.
EXACT = RAW.with_options(unicode_decode_error_handler="strict")


def parsed(document: bytes) -> RawBSONDocument:
    """A view of a document; its fields are decoded at the first look.

    Raises:
        bson.errors.InvalidBSON: the bytes are not a document.
    """
    return RawBSONDocument(document, RAW)


class Sealed:
    """A document that is sent as it is: a `RawBSONDocument` without the price of looking inside."""

    __slots__ = ("raw",)
    _type_marker = 101  # by which PyMongo's encoder knows a RawBSONDocument

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


def value_at(document: RawBSONDocument, path: str) -> Any:
    """The value at a dotted path; None where it is missing."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, RawBSONDocument) else None
    return value
