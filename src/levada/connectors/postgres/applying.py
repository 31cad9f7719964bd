"""Keyed changes as SQL: rows wait in a temporary table, statements bring them into the stored one.

Not by MERGE: it came with PostgreSQL 15, and what it has done can be counted since 17 only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levada.connectors.base import Changes
from levada.connectors.folding import INSERT, OPERATION, ROUND, SHAPE, Folded
from levada.connectors.keyed import NEW, OLD, Keyed
from levada.connectors.postgres.catalog import Column
from levada.connectors.postgres.session import Session
from levada.connectors.postgres.wire import Wire
from levada.connectors.rounds import Applied, KeyedOf
from levada.connectors.sqltext import quoted

ROWS = "_levada_rows"

_TEXT = ("text", "varchar", "bpchar")
_EQUAL = ("bool", "int2", "int4", "int8", "numeric", "bytea", "date", "timestamp", "timestamptz", "jsonb")


def waiting(
    wires: Sequence[Wire], emptied: Sequence[Column], condition: str = "true", marks: str = ""
) -> str:
    """The rows that wait, as the table's types.

    Args:
        wires: their columns.
        emptied: columns that they lack and lose.
        condition: of those meant.
        marks: more columns to select.
    """
    values = [f"{value_of(wire)} AS {quoted(wire.column.name)}" for wire in wires]
    values += [f"NULL::{column.shown} AS {quoted(column.name)}" for column in emptied]
    listed = ", ".join([*values, *([marks] if marks else [])])
    return f"(SELECT {listed} FROM pg_temp.{ROWS} WHERE {condition})"  # noqa: S608


def apply(
    session: Session,
    table: str,
    columns: tuple[Sequence[Wire], Sequence[Column]],
    folded: Folded,
    keyed: KeyedOf,
) -> Applied:
    """Apply changes in their order, each part to what the one before has left.

    Args:
        session: in a transaction; the rows wait in `ROWS`.
        table: its name in SQL.
        columns: those of the rows, and those that a replaced row loses.
        folded: what the rows hold.
        keyed: what is done.
    """
    done = Applied()
    pairs = np.unique(np.column_stack([folded.rounds, folded.shapes]), axis=0).tolist()
    for number, shape in pairs:
        condition = f"{ROUND} = {number} AND {SHAPE} = {shape}" if len(pairs) > 1 else "true"
        source = waiting(*columns, condition, OPERATION)
        count = int(((folded.rounds == number) & (folded.shapes == shape)).sum())
        one = keyed(frozenset(folded.columns[shape]))
        done += _Part(session, table, source, one, _columns(columns)).apply(count)
    return done


def upsert(
    session: Session,
    table: str,
    columns: tuple[Sequence[Wire], Sequence[Column]],
    key: Sequence[str],
    count: int,
) -> Applied:
    """Add the rows that wait, or replace those that are stored under their keys; each key comes once."""
    names = [column.name for column in _columns(columns)]
    one = Keyed(key, names, Changes())
    return _Part(session, table, waiting(*columns), one, _columns(columns)).apply(count)


@dataclass(frozen=True)
class _Part:
    """Changes of which no two have the same key."""

    session: Session
    table: str
    source: str
    keyed: Keyed
    columns: Sequence[Column]

    def apply(self, count: int) -> Applied:
        """Delete, update, insert; a row is meant by one of the three."""
        older = self._older()
        deleted = self._delete() if self.keyed.deletes else 0
        blind = self.keyed.changes.operation is not None
        updated = self._update("" if blind else self._differs())
        inserted = self._insert()
        unchanged = 0 if blind else count - older - updated - inserted
        unchanged -= self._absent() if unchanged else 0
        return Applied(updated + inserted + unchanged, deleted, older, unchanged)

    def _delete(self) -> int:
        return self.session.execute(
            f"DELETE FROM {self.table} AS {OLD} USING {self.source} AS {NEW} "  # noqa: S608
            f"WHERE {self.keyed.match} AND {self.keyed.deletes}"
        )

    def _update(self, differs: str) -> int:
        assigned = ", ".join(f"{quoted(name)} = {value}" for name, value in self.keyed.assignments.items())
        if not assigned:
            return 0
        condition = " AND ".join(part for part in (self.keyed.match, self.keyed.updates, differs) if part)
        return self.session.execute(
            f"UPDATE {self.table} AS {OLD} SET {assigned} FROM {self.source} AS {NEW} WHERE {condition}"  # noqa: S608
        )

    def _insert(self) -> int:
        listed, values = ", ".join(map(quoted, self.keyed.values)), ", ".join(self.keyed.values.values())
        absent = f"NOT EXISTS (SELECT 1 FROM {self.table} AS {OLD} WHERE {self.keyed.match})"  # noqa: S608
        condition = f"{self.keyed.inserts} AND {absent}" if self.keyed.inserts else absent
        return self.session.execute(
            f"INSERT INTO {self.table} ({listed}) OVERRIDING SYSTEM VALUE "  # noqa: S608
            f"SELECT {values} FROM {self.source} AS {NEW} WHERE {condition}"
        )

    def _differs(self) -> str:
        """The condition that a stored row would change: one that would not is left alone."""
        known = {column.name: column for column in self.columns}
        parts = []
        for name, value in self.keyed.assignments.items():
            old, new = (_comparable(known[name], one) for one in (f"{OLD}.{quoted(name)}", value))
            parts.append(f"{old} IS DISTINCT FROM {new}")
        return f"({' OR '.join(parts)})" if parts else ""

    def _absent(self) -> int:
        """Rows that are not stored all the same: a trigger or rule of the table kept them out."""
        stored = f"SELECT 1 FROM {self.table} AS {OLD} WHERE {self.keyed.match}"  # noqa: S608
        sql = f"SELECT count(*) FROM {self.source} AS {NEW} WHERE NOT EXISTS ({stored})"  # noqa: S608
        return int(self.session.rows(sql)[0][0])

    def _older(self) -> int:
        if self.keyed.newer is None:
            return 0
        stored = f"SELECT 1 FROM {self.table} AS {OLD} WHERE {self.keyed.match} AND NOT {self.keyed.newer}"  # noqa: S608
        sql = (
            f"SELECT count(*) FROM {self.source} AS {NEW} "  # noqa: S608
            f"WHERE {NEW}.{OPERATION} <> {INSERT} AND EXISTS ({stored})"
        )
        return int(self.session.rows(sql)[0][0])


def _columns(columns: tuple[Sequence[Wire], Sequence[Column]]) -> list[Column]:
    wires, emptied = columns
    return [*(wire.column for wire in wires), *emptied]


def value_of(wire: Wire) -> str:
    """A waiting value as the column's type."""
    name = quoted(wire.column.name)
    return f"{name}::{wire.column.shown}" if wire.cast else name


def _comparable(column: Column, value: str) -> str:
    """An expression that is equal for equal values only; -0.0, and texts of a lax collation, told apart."""
    if column.element is None and column.type in _TEXT:
        return f'{value} COLLATE "C"'
    return value if column.element is None and column.type in _EQUAL else f"({value})::text"
