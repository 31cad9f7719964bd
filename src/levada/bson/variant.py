"""One BSON value -> its variant text (`levada.types.extjson`), with every length checked."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from levada.bson.decimals import to_decimal
from levada.bson.elements import Malformed, check_frame, elements, value_end
from levada.types import extjson

#: Documents and arrays may be nested this deep, the whole document being the first level.
MAX_DEPTH = 200

_INT32 = Struct("<i")
_INT64 = Struct("<q")
_DOUBLE = Struct("<d")


def text_of(raw: bytes, tag: int, start: int, end: int, depth: int) -> str:
    """The text of the value `raw[start:end]` of type `tag`, found at this depth.

    Raises:
        Malformed: the bytes are not such a value.
    """
    if tag == 3:
        return _document(raw, start, end, depth + 1)
    if tag == 4:
        _check_depth(depth + 1)
        return extjson.array(
            [text_of(raw, kind, at, to, depth + 1) for kind, _, at, to in elements(raw, start, end)]
        )
    if tag == 15:
        return _code_with_scope(raw, start, end, depth)
    try:
        return _WRITERS[tag](raw[start:end])
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"documents are nested deeper than {MAX_DEPTH} levels")


def _document(raw: bytes, start: int, end: int, depth: int) -> str:
    _check_depth(depth)
    members: dict[bytes, str] = {}
    for tag, name, at, to in elements(raw, start, end):
        if name in members:
            raise Malformed("a field name appears twice in one document")
        members[name] = text_of(raw, tag, at, to, depth)
    try:
        return extjson.document([(name.decode(), text) for name, text in members.items()])
    except UnicodeDecodeError as error:
        raise Malformed("a field name is not UTF-8") from error


def _code_with_scope(raw: bytes, start: int, end: int, depth: int) -> str:
    scope = value_end(raw, 2, start + 4, end)
    check_frame(raw, scope, end)
    try:
        code = raw[start + 8 : scope - 1].decode()
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error
    return f'{{"$code":{extjson.quote(code)},"$scope":{_document(raw, scope, end, depth + 1)}}}'


def _string(value: bytes) -> str:
    return extjson.quote(value[4:-1].decode())


def _binary(value: bytes) -> str:
    if value[4] != 2:
        return extjson.binary(value[5:], value[4])
    if len(value) < 9 or _INT32.unpack_from(value, 5)[0] != len(value) - 9:
        raise Malformed("old binary data has a wrong inner length")
    return extjson.binary(value[9:], 2)


def _regex(value: bytes) -> str:
    pattern, options, _ = value.split(b"\0")
    body = f'"pattern":{extjson.quote(pattern.decode())},"options":{extjson.quote(options.decode())}'
    return f'{{"$regularExpression":{{{body}}}}}'


def _pointer(value: bytes) -> str:
    target = f'"$ref":{extjson.quote(value[4:-13].decode())},"$id":{extjson.object_id(value[-12:].hex())}'
    return f'{{"$dbPointer":{{{target}}}}}'


#: BSON type -> text of a value's bytes.
_WRITERS: dict[int, Callable[[bytes], str]] = {
    1: lambda value: extjson.double(_DOUBLE.unpack(value)[0]),
    2: _string,
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
    16: lambda value: extjson.integer(_INT32.unpack(value)[0]),
    17: lambda value: extjson.timestamp(_INT64.unpack(value)[0]),
    18: lambda value: extjson.integer(_INT64.unpack(value)[0]),
    19: lambda value: extjson.decimal(to_decimal(value)),
    127: lambda _: '{"$maxKey":1}',
    255: lambda _: '{"$minKey":1}',
}
