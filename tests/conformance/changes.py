"""Changes of rows under a key, and a plain dictionary they are applied to one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from levada.batches import Batch
from levada.connectors.base import OPERATIONS, Changes, Connection, Mode, Query, Table, Write, Written
from levada.positions import Position

Row = dict[str, Any]

OWNER = "daily/changes"
TYPES: dict[str, pa.DataType] = {
    "k": pa.int64(),
    "v": pa.int64(),
    "a": pa.string(),
    "s": pa.struct([pa.field("x", pa.int32()), pa.field("l", pa.list_(pa.int64()))]),
    "op": pa.string(),
}
STORED = ("k", "v", "a", "s")


@dataclass(frozen=True)
class Part:
    """One batch: the columns it has, and its rows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def batch(self) -> Batch:
        schema = pa.schema([(name, TYPES[name]) for name in self.columns])
        return Batch(pa.RecordBatch.from_pylist([dict(row) for row in self.rows], schema))


@dataclass(frozen=True)
class Story:
    """Writes into one table, one after the other.

    Args:
        changes: what they do to stored rows.
        writes: the batches of each.
    """

    changes: Changes
    writes: tuple[tuple[Part, ...], ...]


@dataclass
class Model:
    """What is stored: key -> row."""

    changes: Changes
    rows: dict[int, Row] = field(default_factory=dict)
    rejected: int = 0

    def take(self, parts: Iterable[Part]) -> None:
        for part in parts:
            for row in part.rows:
                self._apply({name: row[name] for name in part.columns})

    def _apply(self, row: Row) -> None:
        changes = self.changes
        operation = row.pop(changes.operation) if changes.operation else None
        operation = "upsert" if operation is None else operation
        if operation not in OPERATIONS:
            self.rejected += 1
            return
        stored = self.rows.get(row["k"])
        if stored is None:
            if operation in ("insert", "upsert"):
                self.rows[row["k"]] = dict.fromkeys(STORED) | row
        elif operation != "insert" and not self._older(row, stored):
            if operation == "delete":
                del self.rows[row["k"]]
            elif changes.merge == "replace":
                self.rows[row["k"]] = dict.fromkeys(STORED) | row
            else:
                keeps = changes.on_null == "keep"
                stored.update({n: value for n, value in row.items() if value is not None or not keeps})

    def _older(self, row: Row, stored: Row) -> bool:
        version = self.changes.version
        if version is None or stored[version] is None:
            return False
        return row[version] is None or bool(row[version] < stored[version])


def stories(most: int = 12) -> st.SearchStrategy[Story]:
    """Few keys, so that they meet often; columns and batches at random."""

    def of(changes: Changes) -> st.SearchStrategy[Story]:
        write = st.lists(_parts(changes, most), max_size=3).map(tuple)
        return st.builds(Story, st.just(changes), st.lists(write, min_size=1, max_size=3).map(tuple))

    return _all_changes().flatmap(of)


def _all_changes() -> st.SearchStrategy[Changes]:
    merges = st.sampled_from([("replace", "write"), ("fields", "write"), ("fields", "keep")])
    made = st.builds(
        lambda operation, version, merge: Changes(operation, version, *merge),
        st.sampled_from([None, "op"]),
        st.sampled_from([None, "v"]),
        merges,
    )
    return made.filter(lambda changes: changes != Changes())


def _parts(changes: Changes, most: int) -> st.SearchStrategy[Part]:
    needed = {"k", *filter(None, (changes.version, changes.operation))}
    optional = [name for name in ("v", "a", "s") if name not in needed]
    chosen = st.sets(st.sampled_from(optional)) if optional else st.just(set[str]())
    return chosen.flatmap(
        lambda names: st.builds(
            Part,
            st.just(tuple(name for name in TYPES if name in needed | names)),
            st.lists(_rows(), max_size=most).map(tuple),
        )
    )


def _rows() -> st.SearchStrategy[Row]:
    nested = st.fixed_dictionaries(
        {
            "x": st.none() | st.integers(0, 3),
            "l": st.none() | st.lists(st.none() | st.integers(0, 2), max_size=2),
        }
    )
    return st.fixed_dictionaries(
        {
            "k": st.integers(1, 4),
            "v": st.none() | st.integers(0, 4),
            "a": st.none()
            | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=2),
            "s": st.none() | nested,
            "op": st.sampled_from([None, *OPERATIONS, *OPERATIONS, *OPERATIONS, "UPSERT"]),
        }
    )


def send(
    connection: Connection, table: Table, changes: Changes, parts: Sequence[Part], sequence: int
) -> Written:
    """One write of changes."""
    write = Write(table, Mode.UPSERT, OWNER, ("k",), changes=changes)
    writer = connection.sink(table).open(write)
    for part in parts:
        writer.write(part.batch())
    return writer.commit(Position({"": sequence}, sequence))


def stored(connection: Connection, table: Table) -> list[Row]:
    """The table's rows by their keys; columns that it does not have yet are null."""
    found = [
        dict.fromkeys(STORED) | row
        for batch in connection.source(table, Query()).read(None, None)
        for row in batch.data.to_pylist()
    ]
    return sorted(({name: row[name] for name in STORED} for row in found), key=lambda row: row["k"])


def told(model: Model) -> list[Row]:
    return [model.rows[key] for key in sorted(model.rows)]


def swapped(table: Table, name: str) -> Table:
    return replace(table, name=name)
