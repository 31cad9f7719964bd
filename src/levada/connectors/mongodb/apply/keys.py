"""Keys of raw documents, and which of them the server takes for equal.

Two values are equal here when the server says so: numbers across their types, text by the collection's
collation. Most values are told apart by their bytes, once integers of all types have one form; the others
(text under a collation, fractions, documents, arrays, regular expressions) are compared by the server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from struct import Struct
from typing import Any

from bson.decimal128 import Decimal128
from pymongo.database import Database

from levada.bson import Documents, values_at
from levada.connectors.mongodb import fields
from levada.connectors.mongodb.fields import Element
from levada.connectors.mongodb.raw import RAW, parsed
from levada.connectors.mongodb.rows import identity

#: The values of a key's fields.
Key = tuple[Element, ...]

DOUBLE, STRING, BINARY, UNDEFINED, SYMBOL, INT32, INT64, DECIMAL = 1, 2, 5, 6, 14, 16, 18, 19
#: Types whose values are equal only where their bytes are: binary, ObjectId, bool, date, code, timestamp,
#: int64, the least and the greatest key.
_PLAIN = frozenset({BINARY, 0x07, 0x08, 0x09, 0x0D, 0x11, INT64, 0xFF, 0x7F})
_ABSENT = frozenset({fields.NULL, UNDEFINED})
_ODD = b"?"

_F64 = Struct("<d")
_I64 = Struct("<q")
_SIZE = Struct("<I")


class Keys:
    """How rows are told apart.

    Args:
        names: the fields of the key; dots lead into nested documents.
        collation: the collection's; None where it has none, so that text is compared by its bytes.
    """

    def __init__(self, names: Sequence[str], collation: Mapping[str, Any] | None = None) -> None:
        self.names = tuple(names)
        self.collation = dict(collation) if collation else None
        self._paths = [tuple(name.encode().split(b".")) for name in names]
        self._identity = self.names == ("_id",)
        self._plain = _PLAIN if collation else _PLAIN | {STRING}

    def of(self, document: bytes) -> Key | None:
        """The key of a document; None if a field of it is null or missing.

        Raises:
            Malformed: the document is.
        """
        if self._identity:
            found = identity(document)
            return None if found is None or found[0] in _ABSENT else (found,)
        key = []
        for path in self._paths:
            value = fields.at(document, path)
            if value is None or value[0] in _ABSENT:
                return None
            key.append(value)
        return tuple(key)

    def of_all(self, documents: Documents) -> list[Key | None]:
        """The key of each document; None also for malformed ones."""
        columns = [map(_present, values_at(documents, path)) for path in self._paths]
        return [None if None in key else key for key in zip(*columns, strict=True)]

    def missing(self, document: bytes) -> str:
        """Why a document has no key."""
        lacks = [
            name
            for name, path in zip(self.names, self._paths, strict=True)
            if (value := fields.at(document, path)) is None or value[0] in _ABSENT
        ]
        return f"key {', '.join(lacks)} is null or missing"

    def form(self, key: Key, forms: Mapping[Element, bytes] | None = None) -> bytes | None:
        """Bytes that are equal where the keys are; None if only the server can say so.

        Args:
            forms: what `Equality` found out about odd values.
        """
        if len(key) == 1:
            return key[0] if key[0][0] in self._plain else self._form(key[0], forms)
        parts: list[bytes] = []
        for value in key:
            form = self._form(value, forms)
            if form is None:
                return None
            parts += (_SIZE.pack(len(form)), form)
        return b"".join(parts)

    def _form(self, value: Element, forms: Mapping[Element, bytes] | None) -> bytes | None:
        tag = value[0]
        if tag in self._plain:
            return value
        if tag == INT32:
            return b"\x12" + value[1:] + (b"\xff\xff\xff\xff" if value[4] & 0x80 else b"\0\0\0\0")
        if tag == SYMBOL and self.collation is None:
            return b"\x02" + value[1:]
        whole = _whole(value) if tag in (DOUBLE, DECIMAL) else None
        if whole is not None:
            return b"\x12" + _I64.pack(whole)
        return forms.get(value) if forms else None

    def odd(self, keys: Iterable[Key]) -> list[Element]:
        """The values in these keys that only the server can compare, each once."""
        return list(dict.fromkeys(v for key in keys for v in key if self._form(v, None) is None))

    def lane(self, key: Key) -> bytes:
        """Bytes that are equal where the keys are, and may be elsewhere."""
        return self.form(key) or b"".join(self._form(value, None) or _ODD for value in key)


def _present(value: Element | None) -> Element | None:
    return None if value is None or value[0] in _ABSENT else value


def _whole(value: Element) -> int | None:
    """The integer that a double or decimal is; None if it is none of 64 bits."""
    if value[0] == DOUBLE:
        number = _F64.unpack_from(value, 1)[0]
        return int(number) if number.is_integer() and -(2.0**63) <= number < 2.0**63 else None
    decimal = Decimal128.from_bid(value[1:]).to_decimal()
    if not decimal.is_finite():
        return None
    if decimal and (decimal.adjusted() > 18 or decimal != decimal.to_integral_value()):
        return None
    whole = int(decimal)
    return whole if -(2**63) <= whole < 2**63 else None


class Equality:
    """Asks the server which odd values it takes for equal.

    Args:
        database: of the collection.
        collation: the collection's, if it has one.
    """

    def __init__(self, database: Database[Any], collation: Mapping[str, Any] | None) -> None:
        self._database = database
        self._collation = collation

    def forms(self, values: Collection[Element]) -> dict[Element, bytes]:
        """Value -> bytes that are the same for equal ones: those of the first of them, marked as odd."""
        if not values:
            return {}
        known = list(values)
        rows = [
            fields.framed(
                fields.named(b"n", b"\x10" + _SIZE.pack(place))
                + fields.nested(fields.DOCUMENT, b"k", fields.framed(fields.named(b"$literal", value)))
            )
            for place, value in enumerate(known)
        ]
        command: dict[str, Any] = {
            "aggregate": 1,
            "pipeline": [
                {"$documents": [parsed(row) for row in rows]},
                {"$group": {"_id": "$k", "n": {"$push": "$n"}}},
                {"$project": {"_id": 0}},
            ],
            "cursor": {"batchSize": len(known) + 1},
        }
        if self._collation:
            command["collation"] = self._collation
        answer = self._database.command(command, codec_options=RAW)
        found: dict[Element, bytes] = {}
        for group in answer["cursor"]["firstBatch"]:
            places = sorted(group["n"])
            found |= dict.fromkeys((known[place] for place in places), _ODD + known[places[0]])
        return found
