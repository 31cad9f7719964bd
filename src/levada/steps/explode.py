"""Embedded arrays on the way: rows of a child table, or text.

```
orders:  _id  at   items: [{sku, taxes: [..]}, ..]      explode: [items, items.taxes]
             │
             ├─ orders                     _id, at, everything else
             ├─ orders__items              _id, at, position, sku
             └─ orders__items_taxes        _id, at, items_position, position, value
```

What becomes of a value is decided by the value alone, never by what the batch around it holds: an array
becomes rows; any other value stays in the parent's column as canonical Extended JSON, and is counted.
Elements that are documents become columns, other ones the column `value`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.bson.mixed import Column, arrays, documents, flattened
from levada.errors import ConfigError, Fatal
from levada.types import field_of, kind_of
from levada.types.cast import convert, struct
from levada.types.kinds import NAME, NAMED, original_name

POSITION, VALUE = "position", "value"


@dataclass(frozen=True)
class Node:
    """What is to be done at one path.

    Args:
        path: dotted, from the top of the documents.
        explode: make rows of its arrays.
        text: write its values as canonical Extended JSON.
        inner: member -> what is to be done there.
    """

    path: str
    explode: bool = False
    text: bool = False
    inner: Mapping[str, Node] = field(default_factory=dict)

    @property
    def explodes(self) -> bool:
        """Whether arrays at this path or below become rows."""
        return self.explode or any(node.explodes for node in self.inner.values())


def tree(explode: Iterable[str], text: Iterable[str]) -> Node:
    """The paths as a tree.

    Raises:
        ValueError: a path is empty or named twice, or lies in one that becomes text.
    """
    explode, text = list(explode), list(text)
    for one in [*explode, *text]:
        if not all(one.split(".")):
            raise ValueError(f"{one!r} is no path: write names with dots between them")
        if [*explode, *text].count(one) > 1:
            raise ValueError(f"{one!r} is named twice")
        if above := [each for each in text if one.startswith(f"{each}.")]:
            raise ValueError(f"{one!r} lies in {above[0]!r}, which becomes JSON")
    return _node("", explode, text)


def _node(path: str, explode: list[str], text: list[str]) -> Node:
    start = f"{path}." if path else ""
    below = [one.removeprefix(start) for one in [*explode, *text] if one.startswith(start) and one != path]
    names = dict.fromkeys(one.split(".")[0] for one in below)
    inner = {name: _node(start + name, explode, text) for name in names}
    return Node(path, path in explode, path in text, inner)


@dataclass(frozen=True)
class _Names:
    """The names of a child table's own columns.

    Args:
        carried: the position that its children carry.
        position: its own position.
        prefix: put before members that have the name of another column.
    """

    carried: str
    position: str
    prefix: str


@dataclass(frozen=True)
class _Rows:
    """Rows of one table that come from one batch.

    Args:
        carried: the columns that children of it carry too.
        found: path -> the children's rows.
    """

    carried: list[Column]
    found: dict[str, pa.RecordBatch]


class Explosion:
    """Makes of batches of one table batches of that table and its children.

    Args:
        explode: paths of arrays; those inside of arrays need them too.
        text: paths whose values become canonical Extended JSON.
        key: columns that identify a row of the table.
        time: its time column.
    """

    def __init__(
        self, explode: Sequence[str], text: Sequence[str], key: Sequence[str], time: str | None = None
    ) -> None:
        self._tree = tree(explode, text)
        #: Columns that every row of a child has of its parent.
        self.shared = tuple(dict.fromkeys([*key, *([time] if time else [])]))
        self._key = tuple(key)
        self.paths = tuple(sorted(explode, key=lambda path: path.count(".")))
        self._names: dict[str, _Names] = {}
        for path in self.paths:  # what is above comes first
            self._names[path] = self._names_of(path)
        self._holds: dict[str, set[str]] = {path: set() for path in self.paths}
        self.kept: Counter[str] = Counter()

    def of(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, pa.RecordBatch]]:
        """The batch without what became rows, and those rows, by path; `kept` counts what became none.

        Raises:
            ConfigError: a key column is missing, or a path leads through an array that is not exploded.
            Fatal: elements of one array can't be told apart in columns.
        """
        if not batch.num_columns:
            return batch, {}
        columns = list(zip(batch.schema, batch.columns, strict=True))
        rows = _Rows(self._carried(columns), {})
        rest = self._document(columns, self._tree, rows)
        for path in self.paths:
            if path not in rows.found:
                rows.found[path] = self._none(path, rows.carried)
        return _batch(rest, batch.schema.metadata), rows.found

    def _carried(self, columns: list[Column]) -> list[Column]:
        found = {original_name(known): (known, values) for known, values in columns}
        missing = [name for name in self._key if name not in found]
        if missing and self.paths:
            raise ConfigError(
                f"the rows have no column {missing[0]!r}, so their elements could not be told apart",
                hint="read that column too, or name others with `key:`",
            )
        return [found[name] for name in self.shared if name in found]

    def _names_of(self, path: str) -> _Names:
        taken = {*self.shared, *(names.carried for above, names in self._above(path))}
        position = _free(POSITION, taken)
        carried = _free(f"{path.replace('.', '_')}_{POSITION}", taken)
        return _Names(carried, position, path.rpartition(".")[2] + "_")

    def _above(self, path: str) -> list[tuple[str, _Names]]:
        return [(above, self._names[above]) for above in self.paths if path.startswith(f"{above}.")]

    def _none(self, path: str, carried: list[Column]) -> pa.RecordBatch:
        """No rows, by the columns that a child table has at least."""
        positions = [*(names.carried for _, names in self._above(path)), self._names[path].position]
        none = [(known, values.slice(0, 0)) for known, values in carried]
        return _batch([*none, *(_position(name, pa.array([], pa.int32())) for name in positions)])

    def _document(self, columns: Sequence[Column], node: Node, rows: _Rows | None) -> list[Column]:
        """The members of documents after what is to be done at and below them.

        Args:
            rows: of the table that the members' rows are; None inside of an array.
        """
        rest: list[Column] = []
        for known, values in columns:
            inner = node.inner.get(original_name(known))
            column = (known, values) if inner is None else self._value(known, values, inner, rows)
            rest += [] if column is None else [column]
        return rest

    def _value(self, known: pa.Field, values: pa.Array, node: Node, rows: _Rows | None) -> Column | None:
        if node.text:
            written = _renamed(field_of("variant", ""), known)
            return written, convert(values, known, written)
        if not node.explode or rows is None:
            return self._inside(known, values, node, rows)
        found, others = arrays(values, known)
        if found is not None:
            self._emit(node, found, rows)
        if others is None:
            return None
        self.kept[node.path] += len(others) - others.null_count
        return _renamed(field_of("variant", ""), known), others

    def _inside(self, known: pa.Field, values: pa.Array, node: Node, rows: _Rows | None) -> Column:
        """A value that stays, with something to be done in it."""
        kind = kind_of(known)
        if kind == "document":
            members = self._document(list(zip(values.type, values.flatten(), strict=True)), node, rows)
            return _struct(known, members, values)
        if kind == "array":
            _refuse_within(node)
            return self._elements(known, values, node)
        if kind == "variant" and node.explodes:
            return self._inside_variant(known, values, node, rows)
        return known, values

    def _inside_variant(self, known: pa.Field, values: pa.Array, node: Node, rows: _Rows | None) -> Column:
        members, there, _ = documents(values, known)
        found, _ = arrays(values, known)
        if found is not None:
            _refuse_within(node)
        if members is None:
            return known, values
        rest = self._document(members, node, rows)
        kind = pa.struct([member for member, _ in rest])
        documents_left = struct([part for _, part in rest], kind, len(values), pc.invert(there))
        texts = convert(documents_left, pa.field(known.name, kind), known)
        return known, pc.if_else(there, texts, values)

    def _elements(self, known: pa.Field, values: pa.Array, node: Node) -> Column:
        """An array that stays, with something to be done in its elements."""
        plain = values if pa.types.is_list(values.type) else values.cast(pa.list_(values.type.value_field))
        row, _, elements = flattened(plain)
        element, changed = self._inside(plain.type.value_field, elements, node, None)
        lengths = np.bincount(np.asarray(row), minlength=len(plain))
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        kind = pa.list_(element)
        mask = plain.is_null() if plain.null_count else None
        made = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), changed, type=kind, mask=mask)
        return known.with_type(kind), made

    def _emit(self, node: Node, lists: Column, rows: _Rows) -> None:
        """Add the rows of a child table."""
        known, values = lists
        names = self._names[node.path]
        row, place, elements = flattened(values)
        carried = [(column, part.take(row)) for column, part in rows.carried]
        fixed = [*carried, _position(names.position, place)]
        below = _Rows([*carried, _position(names.carried, place)], rows.found)
        members, _, others = documents(elements, known.type.value_field)
        inside = self._document(members or [], node, below)
        taken = {column.name for column, _ in fixed}
        columns = [(_unlike(member, taken, names.prefix), part) for member, part in inside]
        if others is not None:
            columns.append((_unlike(others[0].with_name(VALUE), taken, names.prefix), others[1]))
        self._note(node.path, [column.name for column, _ in columns], others is not None)
        rows.found[node.path] = _batch([*fixed, *columns])

    def _note(self, path: str, names: list[str], others: bool) -> None:
        """Refuse two sorts of values in the column `value`, in whatever batches they come."""
        own = names[-1:] if others else []
        holds = self._holds[path]
        holds |= {f"other {name}" for name in own} | {
            f"member {name}" for name in names[: len(names) - len(own)]
        }
        twice = [name for name in own or [VALUE] if {f"other {name}", f"member {name}"} <= holds]
        if twice:
            raise Fatal(
                f"the array {path!r} holds documents with a member {twice[0]!r}, and also plain values",
                hint=f"leave it as it is, or write it as text: `json: {path}`",
            )


def _refuse_within(node: Node) -> None:
    if node.explodes:
        inner = next(one.path for one in node.inner.values() if one.explodes)
        raise ConfigError(
            f"{node.path!r} holds arrays, so {inner!r} can be exploded only together with it",
            hint=f"explode {node.path} too",
        )


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name


def _unlike(member: pa.Field, taken: set[str], prefix: str) -> pa.Field:
    """The field by a name that no other column has; two names never become one."""
    name = original_name(member)
    bare = name
    while bare.startswith(prefix):
        bare = bare.removeprefix(prefix)
    return _renamed(member, pa.field(prefix + name, pa.null())) if bare in taken else member


def _renamed(one: pa.Field, like: pa.Field) -> pa.Field:
    """The field with the name of another one, and what that one's metadata says of the name."""
    names = {key: text for key, text in (like.metadata or {}).items() if key in (NAME, NAMED)}
    kept = {key: text for key, text in (one.metadata or {}).items() if key not in (NAME, NAMED)}
    return pa.field(like.name, one.type, True, {**kept, **names} or None)


def _position(name: str, places: pa.Array) -> Column:
    return pa.field(name, pa.int32()), places


def _struct(known: pa.Field, members: list[Column], before: pa.Array) -> Column:
    kind = pa.struct([member for member, _ in members])
    nulls = before.is_null() if before.null_count else None
    return known.with_type(kind), struct([part for _, part in members], kind, len(before), nulls)


def _batch(columns: list[Column], metadata: Any = None) -> pa.RecordBatch:
    schema = pa.schema([known for known, _ in columns], metadata=metadata)
    return pa.RecordBatch.from_arrays([values for _, values in columns], schema=schema)
