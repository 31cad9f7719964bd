"""What changes have done to a table; and folded changes as DuckDB applies them, round by round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from levada.connectors.base import Written
from levada.connectors.folding import INSERT, OPERATION, ROUND, SHAPE, Folded
from levada.connectors.keyed import NEW, OLD, Keyed, merge

if TYPE_CHECKING:
    import duckdb

    from levada.connectors.staging import Staging

#: Gives what a MERGE does for rows of batches that had these columns.
KeyedOf = Callable[[frozenset[str]], Keyed]


@dataclass(frozen=True)
class Applied:
    """What changes have done.

    Args:
        rows: were added or changed.
        deleted: were removed.
        older: changed nothing because a newer version was stored.
        unchanged: of `rows`, were stored like that already.
    """

    rows: int = 0
    deleted: int = 0
    older: int = 0
    unchanged: int = 0

    def __add__(self, other: Applied) -> Applied:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Applied(*(one + another for one, another in pairs))

    def written(self, staging: Staging, replaced: int) -> Written:
        """What a commit of these rows has stored.

        Args:
            staging: held them.
            replaced: how many rows gave way to them.
        """
        return Written(
            self.rows,
            replaced,
            staging.bytes,
            tuple(staging.rejected),
            unchanged=self.unchanged,
            deleted=self.deleted,
            older=self.older,
        )


def apply(
    connection: duckdb.DuckDBPyConnection, table: str, source: str, folded: Folded, keyed: KeyedOf
) -> Applied:
    """Apply all changes in their order.

    Args:
        connection: in a transaction where it matters.
        table, source: names in SQL; the source is read once where the changes are `single` and have no
            version.
        folded: what the source holds.
        keyed: what is done.
    """
    rows = deleted = older = 0
    for part, shape in _parts(source, folded):
        one = keyed(frozenset(folded.columns[shape]))
        older += _older(connection, table, part, one)
        done = connection.sql(f"{merge(table, part, one)} RETURNING merge_action").to_arrow_table()
        counts = {each["values"]: each["counts"] for each in done["merge_action"].value_counts().to_pylist()}
        deleted += counts.get("DELETE", 0)
        rows += counts.get("INSERT", 0) + counts.get("UPDATE", 0)
    return Applied(rows, deleted, older)


def _parts(source: str, folded: Folded) -> list[tuple[str, int]]:
    """Selections of the source to apply one after the other, and the shape of their rows."""
    if folded.single:
        return [(source, int(folded.shapes[0]))] if len(folded.places) else []
    pairs = np.unique(np.column_stack([folded.rounds, folded.shapes]), axis=0).tolist()
    return [
        (f"(SELECT * FROM {source} WHERE {ROUND} = {number} AND {SHAPE} = {shape})", shape)  # noqa: S608
        for number, shape in pairs
    ]


def _older(connection: duckdb.DuckDBPyConnection, table: str, source: str, keyed: Keyed) -> int:
    if keyed.newer is None:
        return 0
    older: Any = connection.execute(
        f"SELECT count(*) FROM {source} AS {NEW} WHERE {NEW}.{OPERATION} <> {INSERT} AND EXISTS "  # noqa: S608
        f"(SELECT 1 FROM {table} AS {OLD} WHERE {keyed.match} AND NOT {keyed.newer})"
    ).fetchall()
    return int(older[0][0])
