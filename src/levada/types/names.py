"""Field names that a target takes, one table of rules per target, and the way back to the original ones.

A name that the target takes stays as it is. Any other one is mapped:

1. a character that the target does not take becomes `_xHHHH_`, its code in four hexadecimal digits;
2. the empty name becomes `_x_`;
3. an underscore of a name that already reads like one of those becomes `_x005f_`, so that no two names give
   one; so does the first underscore of a name that begins like Levada's own columns (`_levada_`), and the
   last one of a column that ends like a side column (`__variant`, lakes only); and of a column called like
   one that every table has (`ctid`, PostgreSQL only) the first letter;
4. a name that is too long is cut, and `__` and 12 hexadecimal digits of its SHA-256 put behind it;
5. of names that the target can't tell apart (`id` and `ID`) the one that was there first keeps its name, the
   others get `__` and 12 digits of their SHA-256.

A mapped field carries its original name in its metadata, `levada.name`, together with the name it was given,
`levada.named`: renamed since, it keeps its new name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import pyarrow as pa

from levada.errors import ConfigError
from levada.types.kinds import NAME, NAMED, original_name
from levada.types.layout import HIDDEN_PREFIX

#: Columns of this ending hold what another column's type can't (see `levada.connectors.lake.side`).
SIDE_SUFFIX: Final = "__variant"

_DIGITS = 12
_MOST_DIGITS = 64
_EMPTY = "_x_"


def _ascii_folded(name: str) -> str:
    return name.translate(_ASCII)


def _folded(name: str) -> str:
    """The same text for names that Unicode's rules or Java's `equalsIgnoreCase` take for one."""
    return name.upper().casefold().replace("i\u0307", "i")


_ASCII = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True)
class Rules:
    """What names a target takes.

    Args:
        forbidden: characters it does not take, as in a regular expression's brackets.
        longest: bytes of UTF-8 that a name may have.
        folded: gives one text for names that the target can't tell apart.
        ending: how columns of Levada's own end, in lower case; None where there are none.
        why: of these rules, for people.
        taken: names that columns of the target's own have already.
    """

    forbidden: str
    longest: int
    folded: Callable[[str], str]
    ending: str | None
    why: str
    taken: frozenset[str] = frozenset()

    def plain(self, name: str, *, column: bool) -> str:
        """The name by itself, not looking at others.

        Args:
            column: whether it stands at the top.
        """
        if name in ("", _EMPTY):
            return _escaped("_") + _EMPTY[1:] if name else _EMPTY
        text = self._escapes.sub(lambda found: _escaped(found[0]), name)
        if self.folded(text).startswith(HIDDEN_PREFIX) or (column and text in self.taken):
            text = _escaped(text[0]) + text[1:]
        if column and self.ending and self.folded(text).endswith(self.ending):
            before, _, after = text.rpartition("_")
            text = before + _escaped("_") + after
        return text if len(text.encode()) <= self.longest else self.hashed(name, text, _DIGITS)

    def hashed(self, name: str, text: str, digits: int) -> str:
        """A text as short as need be, told apart by the hash of the original name."""
        room = self.longest - len("__") - digits
        return _hashed(name, text.encode()[:room].decode(errors="ignore"), digits)

    @cached_property
    def _escapes(self) -> re.Pattern[str]:
        return re.compile(f"_(?=x[0-9a-f]{{4}}[_{self.forbidden}])|[{self.forbidden}]")


#: Target -> its rules. Tried on deltalake 1.6, DuckDB 2.0, PostgreSQL 18; what is not here, they take.
#: Characters Spark refuses: `checkFieldName` of its ParquetSchemaConverter; control characters can't stand
#: in a folder's name.
#: Length: https://docs.aws.amazon.com/glue/latest/webapi/API_Column.html.
TARGETS: Final[dict[str, Rules]] = {
    "lake": Rules(
        forbidden=r"\x00-\x20,;{}()=\x7f",
        longest=255,
        folded=_folded,
        ending=SIDE_SUFFIX,
        why="what Delta takes without column mapping, so that Spark reads it; the length is AWS Glue's limit",
    ),
    "duckdb": Rules(
        forbidden=r"\x00",
        longest=65_535,
        folded=_ascii_folded,
        ending=None,
        why="names are C strings; very long ones make every statement slow",
    ),
    "postgres": Rules(
        forbidden=r"\x00",
        longest=63,
        folded=str,
        ending=None,
        why="names are C strings of `NAMEDATALEN - 1` bytes, which longer ones are cut to",
        taken=frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}),
    ),
}


def _hashed(name: str, text: str, digits: int) -> str:
    return f"{text}__{hashlib.sha256(name.encode()).hexdigest()[:digits]}"


def _escaped(character: str) -> str:
    return f"_x{ord(character):04x}_"


@dataclass
class _Level:
    """The names of one document, by their original ones."""

    given: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    inner: dict[str, _Level] = field(default_factory=dict)

    def below(self, name: str) -> _Level:
        return self.inner.setdefault(name, _Level())


class Names:
    """The names of one table's fields at a target; more are given as more fields come.

    Args:
        rules: of the target.
        known: the table as it is stored; names that were given once stay.
    """

    def __init__(self, rules: Rules, known: pa.Schema | None = None) -> None:
        self._rules = rules
        self._top = _Level()
        self.learn(known)

    def learn(self, known: pa.Schema | None) -> None:
        """Keep the names that fields have."""
        if known is not None:
            self._learn(self._top, filter(self._learnable, known))

    def _learnable(self, known: pa.Field) -> bool:
        """Whether a column is anyone's; a side column's name is one that no field is ever given."""
        ending = self._rules.ending
        return not ending or not self._rules.folded(known.name).endswith(ending)

    def mapped(self, schema: pa.Schema) -> pa.Schema:
        """The schema with names that the target takes, at every level; itself where all are.

        Raises:
            ConfigError: a name appears twice.
        """
        plain = originals(schema)
        before = list(plain)
        fields = self._mapped(self._top, before, column=True)
        renamed = plain if _same(before, fields) else pa.schema(fields, metadata=schema.metadata)
        return schema if renamed.equals(schema, check_metadata=True) else renamed

    def _learn(self, level: _Level, fields: Iterable[pa.Field]) -> None:
        for known in sorted(fields, key=lambda one: bool(original_name(one) == one.name)):  # renamed first
            name = original_name(known)
            level.given.setdefault(name, known.name)
            level.taken.add(self._rules.folded(known.name))
            inside = _documents(known.type)
            if inside is not None:
                self._learn(level.below(name), inside)

    def _mapped(self, level: _Level, fields: Iterable[pa.Field], *, column: bool = False) -> list[pa.Field]:
        seen: set[str] = set()
        return [self._field(level, one, seen, column=column) for one in fields]

    def _field(self, level: _Level, one: pa.Field, seen: set[str], *, column: bool) -> pa.Field:
        name = one.name
        if name in seen:
            raise ConfigError(
                f"the name {name[:80]!r} appears twice", hint="rename one of them on the way, or leave it out"
            )
        seen.add(name)
        given = level.given.get(name)
        if given is None:
            given = level.given[name] = self._free(level, name, column=column)
            level.taken.add(self._rules.folded(given))
        return _renamed(one, given, name, lambda inside: self._mapped(level.below(name), inside))

    def _free(self, level: _Level, name: str, *, column: bool) -> str:
        """A name that no other field of the level has."""
        rules, text = self._rules, self._rules.plain(name, column=column)
        candidate, digits = text, _DIGITS
        while rules.folded(candidate) in level.taken:
            candidate = rules.hashed(name, text, digits)
            digits = min(digits + _DIGITS, _MOST_DIGITS)
        return candidate


def originals(schema: pa.Schema) -> pa.Schema:
    """The schema with the original names, at every level; itself where they are.

    A field of another origin that has such a name itself, as a side column can, gets one with a hash.
    """
    before = list(schema)
    fields = _restored(before)
    return schema if _same(before, fields) else pa.schema(fields, metadata=schema.metadata)


def agree(rules: Rules, known: pa.Schema, schema: pa.Schema) -> bool:
    """Whether a mapped schema names fields as a known one does, and takes no name of its other fields."""
    return bool(Names(rules, known).mapped(schema).equals(schema))


def stored_name(schema: pa.Schema, name: str) -> str:
    """The name that a column has in a schema, given that one or its original one; as it is if there is none.

    Raises:
        ConfigError: it is the name of one column and the original name of another one.
    """
    found = [one.name for one in schema if name in (one.name, original_name(one))]
    if len(found) > 1:
        other = next(one for one in found if one != name)
        mine = original_name(schema.field(name))
        raise ConfigError(
            f"the column {name!r} can be two: {mine!r} is stored as {name!r}, and {name!r} as {other!r}",
            hint=f"write {mine!r} or {other!r}",
        )
    return found[0] if found else name


class Renaming:
    """Gives batches other names; the schema is worked out once, for as long as it stays the same.

    Args:
        schema_of: gives a schema with as many fields of the same types.
    """

    def __init__(self, schema_of: Callable[[pa.Schema], pa.Schema]) -> None:
        self._schema_of = schema_of
        self._last: tuple[pa.Schema, pa.Schema] | None = None

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch by its other names; no value is copied."""
        before = batch.schema
        if self._last is None or not self._last[0].equals(before, check_metadata=True):
            self._last = before, self._schema_of(before)
        known, after = self._last
        return batch if after is known else pa.record_batch(_Retyped(batch, after))


class _Retyped:
    """A batch that hands out another schema with its data: Arrow's arrays do not know their names.

    Interface: https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html.
    """

    def __init__(self, batch: pa.RecordBatch, schema: pa.Schema) -> None:
        self._batch = batch
        self._schema = schema

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._schema.__arrow_c_schema__(), self._batch.__arrow_c_array__()[1]


def _restored(fields: list[pa.Field]) -> list[pa.Field]:
    names = list(map(original_name, fields))
    taken = {name for name, one in zip(names, fields, strict=True) if name != one.name}
    return [_original(one, name, taken) for one, name in zip(fields, names, strict=True)]


def _original(one: pa.Field, name: str, taken: set[str]) -> pa.Field:
    if name in taken and name == one.name:
        name = _hashed(name, name, _DIGITS)
    return _renamed(one, name, name, _restored)


def _renamed(one: pa.Field, name: str, original: str, change: _Change) -> pa.Field:
    """A field by another name, the fields of its documents too; itself where nothing changes."""
    kind, known = one.type, one.metadata or {}
    inside = _with_documents(kind, change) if kind.num_fields else kind
    if inside is kind and name == original == one.name and NAME not in known:
        return one
    metadata = {key: value for key, value in known.items() if key not in (NAME, NAMED)}
    if name != original:
        metadata |= {NAME: original.encode(), NAMED: name.encode()}
    return pa.field(name, inside, one.nullable, metadata or None)


def _same(before: list[pa.Field], after: list[pa.Field]) -> bool:
    return all(one is other for one, other in zip(before, after, strict=True))


def _documents(kind: pa.DataType) -> list[pa.Field] | None:
    """The fields of a document, or of the documents in an array or a map; None for other types."""
    if pa.types.is_struct(kind):
        return list(kind)
    return next((_documents(inner(kind).type) for matches, inner, _ in _AROUND if matches(kind)), None)


def _with_documents(kind: pa.DataType, change: _Change) -> pa.DataType:
    """The type with other fields in its documents; itself where they are the same."""
    if pa.types.is_struct(kind):
        before = list(kind)
        after = change(before)
        return kind if _same(before, after) else pa.struct(after)
    for matches, inner, make in _AROUND:
        if matches(kind):
            item = inner(kind)
            known = item.type
            changed = _with_documents(known, change)
            return kind if changed is known else make(kind, item.with_type(changed))
    return kind


_Change = Callable[[list[pa.Field]], list[pa.Field]]


def _item(kind: pa.DataType) -> pa.Field:
    return kind.value_field


#: Types around documents: whether one is such, its inner field, and how it is made of another one.
_AROUND: tuple[
    tuple[
        Callable[[pa.DataType], bool],
        Callable[[pa.DataType], pa.Field],
        Callable[[pa.DataType, pa.Field], pa.DataType],
    ],
    ...,
] = (
    (pa.types.is_list, _item, lambda _, item: pa.list_(item)),
    (pa.types.is_large_list, _item, lambda _, item: pa.large_list(item)),
    (pa.types.is_fixed_size_list, _item, lambda kind, item: pa.list_(item, kind.list_size)),
    (pa.types.is_list_view, _item, lambda _, item: pa.list_view(item)),
    (pa.types.is_large_list_view, _item, lambda _, item: pa.large_list_view(item)),
    (
        pa.types.is_map,
        lambda kind: kind.item_field,
        lambda kind, item: pa.map_(kind.key_field, item, kind.keys_sorted),
    ),
)
