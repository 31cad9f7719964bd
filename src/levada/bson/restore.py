"""Variant text (canonical Extended JSON) -> the BSON value it stands for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from struct import error as StructError  # noqa: N812
from struct import pack
from typing import Any
from uuid import UUID

from levada.bson.decimals import from_decimal
from levada.bson.elements import Malformed

Value = tuple[int, bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOREIGN = (ValueError, TypeError, KeyError, AttributeError, RecursionError, StructError, DecimalException)


def value_of(text: str) -> Value:
    """BSON type and bytes of the value that a text stands for; plain JSON numbers are taken too.

    Raises:
        Malformed: it is not Extended JSON, or BSON can't hold the value.
    """
    try:
        return _value(json.loads(text))
    except _FOREIGN as error:
        raise Malformed(f"not canonical Extended JSON: {text[:80]!r}") from error


def _value(value: Any) -> Value:
    return _PLAIN[type(value)](value)


def _integer(value: int) -> Value:
    return (16, pack("<i", value)) if -(2**31) <= value < 2**31 else (18, pack("<q", value))


def _string(tag: int, text: str) -> Value:
    data = text.encode()
    return tag, pack("<i", len(data) + 1) + data + b"\0"


def _cstring(text: str) -> bytes:
    data = text.encode()
    if b"\0" in data:
        raise ValueError("a name or a pattern holds NUL")
    return data + b"\0"


def _body(members: Iterable[tuple[str, Any]]) -> bytes:
    parts = []
    for name, member in members:
        tag, data = _value(member)
        parts += [bytes([tag]), _cstring(name), data]
    body = b"".join(parts)
    return pack("<i", len(body) + 5) + body + b"\0"


def _array(values: list[Any]) -> Value:
    return 4, _body((str(at), value) for at, value in enumerate(values))


def _object(members: dict[str, Any]) -> Value:
    wrapped = _WRAPPED.get(frozenset(members))
    return (3, _body(members.items())) if wrapped is None else wrapped(members)


def _decimal(value: dict[str, Any]) -> Value:
    packed = from_decimal(Decimal(value["$numberDecimal"]))
    if packed is None:
        raise ValueError("more than 34 digits")
    return 19, packed


def _binary(value: dict[str, Any]) -> Value:
    data = base64.b64decode(value["$binary"]["base64"], validate=True)
    subtype = int(value["$binary"]["subType"], 16)
    if subtype == 2:
        data = pack("<i", len(data)) + data
    return 5, pack("<iB", len(data), subtype) + data


def _date(value: dict[str, Any]) -> Value:
    moment = value["$date"]
    if isinstance(moment, str):
        return 9, pack("<q", (datetime.fromisoformat(moment) - _EPOCH) // timedelta(milliseconds=1))
    return 9, pack("<q", int(moment["$numberLong"]))


def _timestamp(value: dict[str, Any]) -> Value:
    body = value["$timestamp"]
    return 17, pack("<II", body["i"], body["t"])


def _regex(value: dict[str, Any]) -> Value:
    body = value["$regularExpression"]
    return 11, _cstring(body["pattern"]) + _cstring(body["options"])


def _pointer(value: dict[str, Any]) -> Value:
    body = value["$dbPointer"]
    return 12, _string(2, body["$ref"])[1] + _object_id(body["$id"])[1]


def _object_id(value: dict[str, Any]) -> Value:
    data = binascii.unhexlify(value["$oid"])
    if len(data) != 12:
        raise ValueError("an ObjectId has 12 bytes")
    return 7, data


def _scoped(value: dict[str, Any]) -> Value:
    body = _string(2, value["$code"])[1] + _body(_literal_members(value["$scope"]))
    return 15, pack("<i", len(body) + 4) + body


def _literal_members(value: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    return (value["$literal"] if set(value) == {"$literal"} else value).items()


_PLAIN: dict[type, Callable[[Any], Value]] = {
    str: lambda value: _string(2, value),
    bool: lambda value: (8, bytes([value])),
    type(None): lambda _: (10, b""),
    int: _integer,
    float: lambda value: (1, pack("<d", value)),
    list: _array,
    dict: _object,
}

#: The names of an object's members -> the value it stands for.
_WRAPPED: dict[frozenset[str], Callable[[dict[str, Any]], Value]] = {
    frozenset({"$oid"}): _object_id,
    frozenset({"$symbol"}): lambda value: _string(14, value["$symbol"]),
    frozenset({"$numberInt"}): lambda value: (16, pack("<i", int(value["$numberInt"]))),
    frozenset({"$numberLong"}): lambda value: (18, pack("<q", int(value["$numberLong"]))),
    frozenset({"$numberDouble"}): lambda value: (1, pack("<d", float(value["$numberDouble"]))),
    frozenset({"$numberDecimal"}): _decimal,
    frozenset({"$binary"}): _binary,
    frozenset({"$uuid"}): lambda value: (5, pack("<iB", 16, 4) + UUID(value["$uuid"]).bytes),
    frozenset({"$code"}): lambda value: _string(13, value["$code"]),
    frozenset({"$code", "$scope"}): _scoped,
    frozenset({"$timestamp"}): lambda value: (
        17,
        pack("<II", value["$timestamp"]["i"], value["$timestamp"]["t"]),
    ),
    frozenset({"$regularExpression"}): _regex,
    frozenset({"$dbPointer"}): _pointer,
    frozenset({"$date"}): _date,
    frozenset({"$minKey"}): lambda _: (255, b""),
    frozenset({"$maxKey"}): lambda _: (127, b""),
    frozenset({"$undefined"}): lambda _: (6, b""),
    frozenset({"$literal"}): lambda value: (3, _body(value["$literal"].items())),
}
