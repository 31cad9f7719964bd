"""Whole documents as canonical Extended JSON, one per line, byte for byte.

Format: https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md. Members
keep their order and null ones stay. A document that would read as something else (`{"$oid": ...}` as data)
is wrapped as `{"$literal": {...}}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from struct import Struct

from levada.batches import Rejected
from levada.bson.decimals import to_decimal
from levada.bson.elements import Malformed, check_frame, elements, value_end
from levada.bson.restore import value_of
from levada.bson.variant import MAX_DEPTH
from levada.connectors.jsontext import loads
from levada.types import extjson
from levada.types.extjson import RESERVED, quote

_INT32, _INT64, _DOUBLE = Struct("<i"), Struct("<q"), Struct("<d")


def text_of(document: bytes) -> str:
    """The line of one BSON document.

    Raises:
        Malformed: it is no BSON, a name appears twice in it, or it is nested too deep.
    """
    try:
        return _document(document, 0, len(document), 1)
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error


def document_of(line: str) -> bytes:
    """The BSON document of one line; relaxed Extended JSON is read too.

    Raises:
        ValueError: it is no object in Extended JSON, or BSON can't hold it.
    """
    loads(line)  # refuses what the next call would pass over: a name that appears twice
    tag, data = value_of(line)
    if tag != 3:
        raise ValueError("not a document")
    return data


def texts(documents: list[bytes]) -> tuple[list[str], list[Rejected]]:
    """The lines of documents, and the documents that have none."""
    lines, rejected = [], []
    for document in documents:
        try:
            lines.append(text_of(document))
        except Malformed as error:
            rejected.append(Rejected(document, str(error)))
    return lines, rejected


def _value(raw: bytes, tag: int, start: int, end: int, depth: int) -> str:
    if tag == 3:
        return _document(raw, start, end, depth + 1)
    if tag == 4:
        _check_depth(depth + 1)
        parts = [_value(raw, kind, at, to, depth + 1) for kind, _, at, to in elements(raw, start, end)]
        return f"[{','.join(parts)}]"
    if tag == 15:
        scope = value_end(raw, 2, start + 4, end)
        check_frame(raw, scope, end)
        code = quote(raw[start + 8 : scope - 1].decode())
        return f'{{"$code":{code},"$scope":{_document(raw, scope, end, depth + 1)}}}'
    return _SCALARS[tag](raw[start:end])


def _document(raw: bytes, start: int, end: int, depth: int) -> str:
    _check_depth(depth)
    members: dict[str, str] = {}
    for tag, name, at, to in elements(raw, start, end):
        key = name.decode()
        if key in members:
            raise Malformed("a field name appears twice in one document")
        members[key] = _value(raw, tag, at, to, depth)
    body = ",".join([f"{quote(name)}:{text}" for name, text in members.items()])
    return f'{{"$literal":{{{body}}}}}' if not RESERVED.isdisjoint(members) else f"{{{body}}}"


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"documents are nested deeper than {MAX_DEPTH} levels")


def _double(value: bytes) -> str:
    (number,) = _DOUBLE.unpack(value)
    if math.isnan(number):
        return '{"$numberDouble":"NaN"}'
    if math.isinf(number):
        return f'{{"$numberDouble":"{"-" if number < 0 else ""}Infinity"}}'
    return f'{{"$numberDouble":"{number!r}"}}'


def _decimal(value: bytes) -> str:
    text = str(to_decimal(value)).replace("sNaN", "NaN").removeprefix("-") if _not_a_number(value) else None
    return f'{{"$numberDecimal":"{text or to_decimal(value)}"}}'


def _not_a_number(value: bytes) -> bool:
    return value[15] & 0x7C == 0x7C


def _binary(value: bytes) -> str:
    if value[4] != 2:
        return extjson.binary(value[5:], value[4])
    if len(value) < 9 or _INT32.unpack_from(value, 5)[0] != len(value) - 9:
        raise Malformed("old binary data has a wrong inner length")
    return extjson.binary(value[9:], 2)


def _regex(value: bytes) -> str:
    pattern, options, _ = value.split(b"\0")
    body = f'"pattern":{quote(pattern.decode())},"options":{quote(options.decode())}'
    return f'{{"$regularExpression":{{{body}}}}}'


def _pointer(value: bytes) -> str:
    body = f'"$ref":{quote(value[4:-13].decode())},"$id":{extjson.object_id(value[-12:].hex())}'
    return f'{{"$dbPointer":{{{body}}}}}'


_SCALARS: dict[int, Callable[[bytes], str]] = {
    1: _double,
    2: lambda value: quote(value[4:-1].decode()),
    5: _binary,
    6: lambda _: '{"$undefined":true}',
    7: lambda value: extjson.object_id(value.hex()),
    8: lambda value: "true" if value[0] else "false",
    9: lambda value: extjson.date(_INT64.unpack(value)[0]),
    10: lambda _: "null",
    11: _regex,
    12: _pointer,
    13: lambda value: extjson.code(value[4:-1].decode()),
    14: lambda value: extjson.symbol(value[4:-1].decode()),
    16: lambda value: f'{{"$numberInt":"{_INT32.unpack(value)[0]}"}}',
    17: lambda value: extjson.timestamp(_INT64.unpack(value)[0]),
    18: lambda value: f'{{"$numberLong":"{_INT64.unpack(value)[0]}"}}',
    19: _decimal,
    127: lambda _: '{"$maxKey":1}',
    255: lambda _: '{"$minKey":1}',
}
