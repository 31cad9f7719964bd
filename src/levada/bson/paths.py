"""The paths of a profile, as people read them: `items[].sku`, types by MongoDB's names, examples as text.

A name that would be taken for something else (one with a dot, a bracket, a star, a quote, or an empty one)
is shown in quotes. `path.*` stands for all names below a path that has too many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from struct import unpack
from uuid import UUID

from levada.bson.decimals import to_decimal
from levada.bson.profile import DOCUMENT, Lengths, Node, Seen

#: Characters of an example that are shown.
SHOWN = 40

NULL = 10

#: BSON type -> its name, as `$type` takes it
#: (https://www.mongodb.com/docs/manual/reference/bson-types/). UUIDs have a name of their own.
TYPE_NAMES = {
    1: "double",
    2: "string",
    3: "object",
    4: "array",
    5: "binData",
    6: "undefined",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    11: "regex",
    12: "dbPointer",
    13: "javascript",
    14: "symbol",
    15: "javascriptWithScope",
    16: "int",
    17: "timestamp",
    18: "long",
    19: "decimal",
    127: "maxKey",
    255: "minKey",
    5 | 4 << 8: "uuid",
}


@dataclass(frozen=True)
class TypeSeen:
    """Values of one type at one path: how many, which share of those that are not null, examples."""

    name: str
    count: int
    share: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Path:
    """One path.

    Args:
        path: as people write it.
        parents: documents that could have the name, or arrays' elements.
        seen: values found, null included.
        types: of the values that are not null, the most frequent first.
        nulls: how many are null.
        missing: documents around it without the name; None where names are folded.
        lengths: of its arrays; None without any.
        folded: whether all names below stand together as `path.*`.
    """

    path: str
    parents: int
    seen: int
    types: tuple[TypeSeen, ...]
    nulls: int
    missing: int | None
    lengths: Lengths | None
    folded: bool


def paths_of(root: Node) -> Iterator[Path]:
    """Every path below the documents themselves, each before what is below it."""
    return _below(root, "")


def types_of(code: int) -> str:
    """The name of a type (`levada.bson.profile.code_of`)."""
    return TYPE_NAMES.get(code) or f"binData:{code >> 8 & 255:02x}"


def _below(node: Node, prefix: str) -> Iterator[Path]:
    documents = node.count(DOCUMENT)
    dot = "." if prefix else ""
    for name, member in node.members.items():
        yield from _at(member, f"{prefix}{dot}{_named(name)}", documents, missing=True)
    if node.others:
        yield from _at(node.others, f"{prefix}{dot}*", documents, missing=False)
    if node.items:
        yield from _at(node.items, f"{prefix}[]", node.lengths.sum if node.lengths else 0, missing=False)


def _at(node: Node, path: str, parents: int, *, missing: bool) -> Iterator[Path]:
    seen = sum(one.count for one in node.types.values())
    if not seen:
        return
    nulls = node.count(NULL)
    types = [(code, one) for code, one in node.types.items() if code != NULL]
    types.sort(key=lambda found: -found[1].count)
    yield Path(
        path=path,
        parents=parents,
        seen=seen,
        types=tuple(_type(code, one, seen - nulls) for code, one in types),
        nulls=nulls,
        missing=parents - seen if missing else (0 if path.endswith("[]") else None),
        lengths=node.lengths,
        folded=node.others is not None,
    )
    yield from _below(node, path)


def _type(code: int, seen: Seen, values: int) -> TypeSeen:
    examples = tuple(text for one in seen.examples if (text := example(code, one)))
    return TypeSeen(types_of(code), seen.count, seen.count / values, examples)


_ODD = re.compile(r'[.\[\]*"\x00-\x1f\x7f]|^$')


def _named(name: str) -> str:
    return json.dumps(name, ensure_ascii=False) if _ODD.search(name) else name


def example(code: int, payload: bytes) -> str:
    """The text of an example; empty where its type says everything."""
    write = _EXAMPLES.get(code & 255)
    text = write(payload) if write else ""
    if code == 5 | 4 << 8:
        text = str(UUID(bytes=payload))
    text = "".join(char if char.isprintable() else " " for char in text)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _text(payload: bytes) -> str:
    return payload.decode(errors="ignore")


def _date(payload: bytes) -> str:
    milliseconds = unpack("<q", payload)[0]
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds").replace(
        "+00:00", "Z"
    )


def _timestamp(payload: bytes) -> str:
    increment, seconds = unpack("<II", payload)
    return f"{seconds}, {increment}"


def _regex(payload: bytes) -> str:
    pattern, _, options = payload.partition(b"\0")
    flags = options.rstrip(b"\0")
    return f"/{_text(pattern)}/{_text(flags)}"


_EXAMPLES: dict[int, Callable[[bytes], str]] = {
    1: lambda payload: repr(unpack("<d", payload)[0]),
    2: _text,
    5: bytes.hex,
    7: bytes.hex,
    8: lambda payload: "true" if payload[0] else "false",
    9: _date,
    11: _regex,
    12: lambda payload: _text(payload[4:-13]),
    13: _text,
    14: _text,
    15: _text,
    16: lambda payload: str(unpack("<i", payload)[0]),
    17: _timestamp,
    18: lambda payload: str(unpack("<q", payload)[0]),
    19: lambda payload: str(to_decimal(payload)),
}
