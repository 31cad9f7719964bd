"""What documents hold: every path with its types, how often each, the lengths of arrays, a few examples.

Memory is bounded: more than `MAX_NAMES` names below one path, or more than `MAX_PATHS` paths together, are
folded into one path (`Node.others`), and examples are few and short. Documents and arrays more than
`MAX_LEVELS` deep are counted, but not looked into. A document that can't be decoded is counted by reason.

This is the reference; the native codec's `bsonarrow.Profile` gives the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from levada.bson.decode import MAX_LEVELS
from levada.bson.documents import Documents
from levada.bson.elements import Malformed, check_frame, elements, value_end
from levada.bson.variant import MAX_DEPTH, text_of

MAX_NAMES = 1_000
MAX_PATHS = 20_000

#: Examples of one type at one path, and bytes of each.
EXAMPLES = 3
CUT = 200

DOCUMENT, ARRAY, SCOPED = 3, 4, 15
_TEXTS = frozenset({2, 13, 14})


class Value(NamedTuple):
    """A value taken apart: what an example keeps of a scalar, a document's members, an array's elements."""

    code: int
    payload: bytes = b""
    members: Sequence[tuple[str, Value]] = ()
    items: Sequence[Value] = ()


@dataclass
class Seen:
    """Values of one type at one path.

    Args:
        count: how many.
        examples: the first distinct ones, cut: texts in UTF-8, others as BSON stores them.
    """

    count: int = 0
    examples: list[bytes] = field(default_factory=list)

    def add(self, example: bytes) -> None:
        if len(self.examples) < EXAMPLES and example[:CUT] not in self.examples:
            self.examples.append(example[:CUT])


@dataclass(frozen=True)
class Lengths:
    """Lengths of the arrays at one path: the least, the most, and all together."""

    least: int
    most: int
    sum: int

    def __add__(self, other: Lengths) -> Lengths:
        return Lengths(min(self.least, other.least), max(self.most, other.most), self.sum + other.sum)


@dataclass
class Node:
    """Everything seen at one path.

    Args:
        types: code (see `code_of`) -> what was seen of that type.
        lengths: of its arrays; None without any.
        members: of its documents, by name.
        items: the elements of its arrays.
        others: all names of its documents together, once there were too many; `members` is empty then.
    """

    types: dict[int, Seen] = field(default_factory=dict)
    lengths: Lengths | None = None
    members: dict[str, Node] = field(default_factory=dict)
    items: Node | None = None
    others: Node | None = None

    def count(self, code: int) -> int:
        return self.types[code].count if code in self.types else 0


@dataclass(frozen=True)
class Profiled:
    """What a profile found.

    Args:
        documents: sound documents.
        rejected: why documents can't be decoded -> how many.
        root: the documents themselves.
    """

    documents: int
    rejected: dict[str, int]
    root: Node


class Profile:
    """Collects what documents hold."""

    def __init__(self) -> None:
        self._root = Node()
        self._paths = 0
        self._rejected: Counter[str] = Counter()

    def add(self, documents: Documents) -> None:
        """Look at more documents."""
        for raw in _slices(documents):
            try:
                value = _whole(raw)
            except Malformed as error:
                self._rejected[str(error)] += 1
            else:
                self._add(self._root, value, 0)

    def result(self) -> Profiled:
        return Profiled(self._root.count(DOCUMENT), dict(self._rejected), self._root)

    def _add(self, node: Node, value: Value, level: int) -> None:
        """A value found in a document or an array of this level."""
        seen = node.types.setdefault(value.code, Seen())
        seen.count += 1
        if value.code not in (DOCUMENT, ARRAY):
            seen.add(value.payload)
        elif level < MAX_LEVELS and value.code == DOCUMENT:
            for name, member in value.members:
                self._add(self._member(node, name), member, level + 1)
        elif level < MAX_LEVELS:
            self._add_items(node, value.items, level + 1)

    def _add_items(self, node: Node, items: Sequence[Value], level: int) -> None:
        for item in items:
            if node.items is None:
                node.items = self._new()
            self._add(node.items, item, level)
        one = Lengths(len(items), len(items), len(items))
        node.lengths = node.lengths + one if node.lengths else one

    def _new(self) -> Node:
        self._paths += 1
        return Node()

    def _member(self, node: Node, name: str) -> Node:
        if node.others is None:
            if name in node.members:
                return node.members[name]
            if len(node.members) < MAX_NAMES and self._paths < MAX_PATHS:
                node.members[name] = self._new()
                return node.members[name]
            self._fold(node)
        if node.others is None:
            node.others = self._new()
        return node.others

    def _fold(self, node: Node) -> None:
        """Make one of all members, if there are any."""
        members, node.members = node.members, {}
        for member in members.values():
            node.others = self._merged(node.others, member)

    def _merged(self, node: Node | None, other: Node | None) -> Node | None:
        if node is None or other is None:
            return node or other
        self._paths -= 1
        for code, seen in other.types.items():
            known = node.types.setdefault(code, Seen())
            known.count += seen.count
            for example in seen.examples:
                known.add(example)
        if other.lengths:
            node.lengths = node.lengths + other.lengths if node.lengths else other.lengths
        node.items = self._merged(node.items, other.items)
        if node.others or other.others:
            self._fold(node)
            self._fold(other)
            node.others = self._merged(node.others, other.others)
            return node
        for name, member in other.members.items():
            node.members[name] = self._merged(node.members.get(name), member) or member
        if len(node.members) > MAX_NAMES:
            self._fold(node)
        return node


def code_of(tag: int, value: bytes) -> int:
    """The number of a type: BSON's own, for binary data the subtype 8 bits higher; a UUID of another size
    than 16 bytes has bit 16."""
    if tag != 5:
        return tag
    odd = value[4] == 4 and len(value) != 21
    return tag | value[4] << 8 | odd << 16


def _slices(documents: Documents) -> Iterator[bytes]:
    view = memoryview(documents.buffer)
    for start, end in zip(documents.starts.tolist(), documents.ends.tolist(), strict=True):
        yield bytes(view[start:end]) if 0 <= start <= end <= len(view) else b""


def _whole(raw: bytes) -> Value:
    try:
        check_frame(raw, 0, len(raw))
    except Malformed as error:
        raise Malformed("the length or terminator of the document is wrong") from error
    return Value(DOCUMENT, members=_members(raw, 0, len(raw), 1))


def _members(raw: bytes, start: int, end: int, depth: int) -> list[tuple[str, Value]]:
    _check_depth(depth)
    members: dict[str, Value] = {}
    for tag, name, at, to in elements(raw, start, end):
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise Malformed("a field name is not UTF-8") from error
        if text in members:
            raise Malformed("a field name appears twice in one document")
        members[text] = _value(raw, tag, at, to, depth)
    return list(members.items())


def _value(raw: bytes, tag: int, start: int, end: int, depth: int) -> Value:
    if tag == DOCUMENT:
        return Value(tag, members=_members(raw, start, end, depth + 1))
    if tag == ARRAY:
        _check_depth(depth + 1)
        parts = elements(raw, start, end)
        return Value(tag, items=[_value(raw, kind, at, to, depth + 1) for kind, _, at, to in parts])
    if tag == SCOPED:
        _check_scoped(raw, start, end, depth)
    elif tag in _CHECKED:
        text_of(raw, tag, start, end, depth)
    value = raw[start:end]
    return Value(code_of(tag, value), _PAYLOADS.get(tag, bytes)(value))


def _check_scoped(raw: bytes, start: int, end: int, depth: int) -> None:
    scope = value_end(raw, 2, start + 4, end)
    check_frame(raw, scope, end)
    text_of(raw, 2, start + 4, scope, depth)
    _members(raw, scope, end, depth + 1)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed(f"documents are nested deeper than {MAX_DEPTH} levels")


#: Types whose values can be malformed inside.
_CHECKED = frozenset({2, 5, 11, 12, 13, 14})

#: BSON type -> what an example keeps of a value's bytes; of the others it keeps all.
_PAYLOADS: dict[int, Callable[[bytes], bytes]] = {
    **dict.fromkeys(_TEXTS, lambda value: value[4:-1]),
    5: lambda value: value[5:],
    SCOPED: lambda value: value[8 : value_end(value, 2, 4, len(value)) - 1],
}
