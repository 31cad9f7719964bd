"""What a SQL MERGE does for changes of rows under a key: its conditions and assignments.

`OLD` is the table and `NEW` the changes: the table's columns and those of `levada.connectors.folding.TAKEN`.
The text is read alike by DuckDB, DataFusion (Delta) and Postgres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from levada.connectors.base import Changes
from levada.connectors.folding import DELETE, INSERT, OPERATION, UPDATE, UPSERT
from levada.connectors.sqltext import quoted

#: Names that no column has: what is in a document `s` would pass for a column of a table `s`.
OLD, NEW = "_levada_old", "_levada_new"


@dataclass(frozen=True)
class Keyed:
    """One MERGE of changes, each key once.

    Args:
        key: columns that identify a row.
        columns: all columns of the changes, in their order.
        changes: of the write, by the table's names.
        stored: the columns that the table has before; default: all.
        given: with merge fields and on_null write: the columns that the rows have; default: all.
        with_column: column -> the column that it goes with: a generated day goes with its time.
    """

    key: Sequence[str]
    columns: Sequence[str]
    changes: Changes
    stored: frozenset[str] | None = None
    given: frozenset[str] | None = None
    with_column: Mapping[str, str] = field(default_factory=dict)

    @property
    def match(self) -> str:
        return " AND ".join(f"{OLD}.{quoted(name)} = {NEW}.{quoted(name)}" for name in self.key)

    @property
    def newer(self) -> str | None:
        """The condition that a change is not older than the stored row; None where all are not."""
        name = self.changes.version
        if name is None or not self._is_stored(name):
            return None
        old, new = f"{OLD}.{quoted(name)}", f"{NEW}.{quoted(name)}"
        return f"({old} IS NULL OR ({new} IS NOT NULL AND {new} >= {old}))"

    @property
    def deletes(self) -> str | None:
        """When a stored row is removed; None: never."""
        return _both(f"{NEW}.{OPERATION} = {DELETE}", self.newer) if self.changes.operation else None

    @property
    def updates(self) -> str | None:
        """When a stored row is changed; None: always."""
        return _both(self._one_of(UPSERT, UPDATE), self.newer)

    @property
    def inserts(self) -> str | None:
        """When a row that is not stored is added; None: always."""
        return self._one_of(INSERT, UPSERT)

    @property
    def values(self) -> dict[str, str]:
        """Column -> what it is in a row that is added."""
        return {name: f"{NEW}.{quoted(name)}" for name in self.columns}

    @property
    def assignments(self) -> dict[str, str]:
        """Column -> what it becomes in a row that is changed; the key stays."""
        found = {}
        for name in self.columns:
            if name in self.key:
                continue
            leader = self.with_column.get(name, name)
            if self.changes.merge == "replace":
                found[name] = f"{NEW}.{quoted(name)}"
            elif self.changes.on_null == "keep":
                found[name] = self._kept(name, leader)
            elif self.given is None or leader in self.given:
                found[name] = f"{NEW}.{quoted(name)}"
        return found

    def _kept(self, name: str, leader: str) -> str:
        """The new value unless it, and those that it goes with, are null."""
        if not self._is_stored(name):
            return f"{NEW}.{quoted(name)}"
        together = [leader, *(other for other, one in self.with_column.items() if one == leader)]
        nothing = " AND ".join(f"{NEW}.{quoted(one)} IS NULL" for one in together if one in self.columns)
        return f"CASE WHEN {nothing} THEN {OLD}.{quoted(name)} ELSE {NEW}.{quoted(name)} END"

    def _one_of(self, *operations: int) -> str | None:
        if not self.changes.operation:
            return None
        return f"{NEW}.{OPERATION} IN ({', '.join(map(str, operations))})"

    def _is_stored(self, name: str) -> bool:
        return self.stored is None or name in self.stored


def merge(table: str, source: str, keyed: Keyed) -> str:
    """The statement that applies changes, as DuckDB and Postgres read it.

    Args:
        table: its name in SQL.
        source: what can stand behind USING, without a name.
        keyed: what it does.
    """
    clauses = [f"MERGE INTO {table} AS {OLD} USING {source} AS {NEW} ON {keyed.match}"]
    if keyed.deletes:
        clauses.append(f"WHEN MATCHED AND {keyed.deletes} THEN DELETE")
    assigned = ", ".join(f"{quoted(name)} = {value}" for name, value in keyed.assignments.items())
    if assigned:
        clauses.append(f"WHEN MATCHED{_when(keyed.updates)} THEN UPDATE SET {assigned}")
    names, values = ", ".join(map(quoted, keyed.values)), ", ".join(keyed.values.values())
    clauses.append(f"WHEN NOT MATCHED{_when(keyed.inserts)} THEN INSERT ({names}) VALUES ({values})")  # noqa: S608
    return " ".join(clauses)


def _when(condition: str | None) -> str:
    return f" AND {condition}" if condition else ""


def _both(*conditions: str | None) -> str | None:
    return " AND ".join(filter(None, conditions)) or None


def spoken(changes: Changes) -> list[str]:
    """What changes do, as notes of a plan."""
    notes = []
    if changes.operation:
        notes.append(f"column {changes.operation} says what each row does, and is not stored")
    if changes.version:
        notes.append(f"rows with a lower {changes.version} than the stored one change nothing")
    if changes.merge == "fields":
        nulls = "keep what is stored" if changes.on_null == "keep" else "are written"
        notes.append(f"columns that the rows lack keep what is stored; nulls {nulls}")
    return notes
