"""What is known about tables before a query runs: names, types, indexes, sizes. Strict: no guessing later.

A name is found as it is written, else by the only spelling that differs in case alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from levada.sql.types import SqlType


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table.

    Args:
        name: the field's name in the documents, any string; also the column's name.
        nullable: whether a document may lack it or hold null.
        proven: whether the server itself keeps other types out (a validator), or Levada alone writes the
            table. Otherwise the scan checks the type of every value it reads.
    """

    name: str
    type: SqlType
    nullable: bool = True
    proven: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a collection.

    Args:
        keys: dotted paths and directions (1, -1; other kinds of indexes are left out).
        multikey: paths under which some document holds an array; None: not known.
        complete: whether it has every document (neither sparse nor partial).
    """

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    multikey: frozenset[str] | None = None
    complete: bool = True


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table.

    Args:
        name: in SQL.
        collection: in MongoDB; `name` where it is empty.
        fields: in order.
        rows: about how many; None: not known.
        bytes: about how many a document has.
        origin: where the types come from: `catalog`, `validator`, `sample` or `given`.
        sure: how sure that is, one phrase: `all 25 documents`, `1,000 of about 1,000,000 documents`.
    """

    name: str
    fields: tuple[Field, ...]
    collection: str = ""
    indexes: tuple[Index, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    origin: str = "given"
    sure: str = ""

    @property
    def source(self) -> str:
        """The collection's name."""
        return self.collection or self.name


class Catalog(Protocol):
    """Where a compiler finds tables."""

    def table(self, name: str) -> TableSchema | None:
        """The table of this name, spelled exactly or differing in case alone; None: there is none."""

    def names(self) -> Iterable[str]:
        """All tables' names, for telling the nearest."""


@dataclass(frozen=True)
class FixedCatalog:
    """A catalog that is given as it is.

    Args:
        tables: by name.
    """

    tables: Mapping[str, TableSchema] = field(default_factory=dict)

    @classmethod
    def of(cls, *tables: TableSchema) -> FixedCatalog:
        """A catalog of these tables."""
        return cls({table.name: table for table in tables})

    def table(self, name: str) -> TableSchema | None:
        found = spelled(name, self.tables)
        return None if found is None else self.tables[found]

    def names(self) -> Iterable[str]:
        return self.tables.keys()


def spelled(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` means: the same, else the only one that differs in case alone."""
    known = list(known)
    if name in known:
        return name
    alike = [other for other in known if other.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, for a hint."""
    lowered = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[close[0]] if close else None
