"""Several changes of one key within a write, made as few as do the same, in rounds.

A change does something to the row that is stored under its key (`levada.connectors.base.Changes`). What a
write does is what its changes do one after the other, in the order they came:

| Merge | Version | Of the changes of a key remain |
|---|---|---|
| replace | no | one, or an update and an insert behind it, of which the stored row decides |
| replace | yes | of upserts, updates or deletes in a row the newest; of inserts in a row the first |
| fields | no | all from the last delete on |
| fields | yes | all |

Round r holds the r-th that remains of each key; rounds that are applied one after the other, each to what
the one before has left, do the same as all changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.base import OPERATIONS, Changes, Mode, Write
from levada.connectors.scratch import scratch
from levada.connectors.sqltext import quoted
from levada.errors import ConfigError
from levada.types import kind_of

INSERT, UPSERT, UPDATE, DELETE = range(len(OPERATIONS))
PLACE, OPERATION, VERSION, ROUND, SHAPE = (
    f"_levada_{name}" for name in ("place", "operation", "version", "round", "shape")
)
#: Kinds whose values have no order that all stores agree on.
_ORDERLESS = ("variant", "document", "array", "binary", "map")

Numbers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Folded:
    """The changes that remain, in the order they came.

    Args:
        places: of their rows among all rows of the write.
        operations: of each, as its index in `OPERATIONS`.
        rounds: the round of each, from 1.
        shapes: of each, which columns its batch had, as an index into `columns`.
        columns: the columns of batches, each combination once.
    """

    places: Numbers
    operations: Codes
    rounds: Numbers
    shapes: Numbers
    columns: tuple[tuple[str, ...], ...] = ((),)

    @property
    def single(self) -> bool:
        """Whether one statement can apply them: every key comes once, every row has the same columns."""
        alike = not len(self.shapes) or bool((self.shapes == self.shapes[0]).all())
        return alike and (not len(self.rounds) or int(self.rounds.max()) == 1)

    def taken(self, low: int, high: int) -> dict[str, pa.Array]:
        """Operation, round and shape of some of them, as columns."""
        return {
            OPERATION: pa.array(self.operations[low:high], pa.int8()),
            ROUND: pa.array(self.rounds[low:high], pa.int64()),
            SHAPE: pa.array(self.shapes[low:high], pa.int64()),
        }


#: The columns of `Folded.taken`.
TAKEN = pa.schema([(OPERATION, pa.int8()), (ROUND, pa.int64()), (SHAPE, pa.int64())])


def check_changes(write: Write) -> None:
    """Refuse changes that a sink with columns can't do.

    Raises:
        ConfigError: they need another sink, or say something that has no effect.
    """
    changes, where = write.changes, str(write.table)
    if changes == Changes():
        return
    if write.mode is not Mode.UPSERT:
        raise ConfigError(
            f"operation, version, merge and on_null have no meaning in mode {write.mode}",
            where=where,
            hint="use mode upsert, or leave them out",
        )
    if changes.merge == "deep":
        raise ConfigError(
            "this sink can't merge nested documents: merge deep is for MongoDB",
            where=where,
            hint="use merge fields, which sets whole columns",
        )
    if changes.on_null == "unset":
        raise ConfigError(
            "this sink has columns: on_null unset is for MongoDB, whose documents may lack a field",
            where=where,
            hint="use on_null write, or keep",
        )
    if changes.on_null == "keep" and changes.merge == "replace":
        raise ConfigError(
            "on_null keep has no meaning where rows are replaced whole", where=where, hint="use merge fields"
        )


def check_version(field: pa.Field, where: str) -> None:
    """Refuse a version whose values can't be compared.

    Raises:
        ConfigError: it holds documents, lists, bytes, or values of several types.
    """
    if kind_of(field) in _ORDERLESS:
        raise ConfigError(
            f"version {field.name!r} holds {kind_of(field)}, which has no order",
            where=where,
            hint="use a column of numbers, times or text",
        )


def codes(column: pa.Array) -> Codes:
    """The operation of each row as its index in `OPERATIONS`; null is an upsert, anything else -1."""
    if pa.types.is_null(column.type):
        return np.full(len(column), UPSERT, np.int8)
    found = pc.index_in(column.cast(pa.string()), pa.array(OPERATIONS)).fill_null(-1)
    return np.asarray(pc.if_else(column.is_null(), UPSERT, found)).astype(np.int8)


def fold(
    rows: pa.RecordBatchReader, changes: Changes, memory_limit: str, folder: Path | None = None
) -> tuple[Numbers, Codes, Numbers]:
    """Places, operations and rounds of the changes that remain.

    Args:
        rows: key columns, then `PLACE`, and where there are any `OPERATION` (codes) and `VERSION`.
        changes: of the write.
        memory_limit: as DuckDB writes it.
        folder: for what does not fit into it.
    """
    keys = ", ".join(quoted(name) for name in rows.schema.names if not name.startswith("_levada_"))
    operations = OPERATION in rows.schema.names
    with scratch(folder, memory_limit) as connection:
        connection.register("incoming", rows)
        given = OPERATION if operations else f"{UPSERT}::TINYINT AS {OPERATION}"
        version = VERSION if changes.version else f"NULL::TINYINT AS {VERSION}"
        connection.execute(
            f"CREATE TABLE changes AS SELECT {keys}, {PLACE}, {given}, {version} FROM incoming"  # noqa: S608
        ).fetchall()
        remaining = _REMAINING[changes.merge != "replace", bool(changes.version)].format(keys=keys, **_WORDS)
        found = connection.sql(
            f"SELECT {PLACE}, {OPERATION}, row_number() OVER (PARTITION BY {keys} ORDER BY {PLACE}) "  # noqa: S608
            f"AS {ROUND} FROM ({remaining}) ORDER BY {PLACE}"
        ).to_arrow_table()
    return (
        found[PLACE].to_numpy(),
        found[OPERATION].to_numpy().astype(np.int8),
        found[ROUND].to_numpy(),
    )


def shape_of(names: Sequence[str], known: dict[tuple[str, ...], int]) -> int:
    """The number of a combination of columns; a new one gets the next."""
    return known.setdefault(tuple(sorted(names)), len(known))


# From the last upsert or delete on: it decides what there is. After an upsert the last update wins whole;
# after a delete nothing is there until an insert; without either the stored row decides.
_WHOLE = """
SELECT {keys}, unnest(remain, recursive := true) FROM (SELECT {keys}, CASE
    WHEN kind = {upsert} THEN [struct_pack({place} := greatest(hard, updated), {operation} := {upsert})]
    WHEN kind = {delete} AND inserted IS NULL THEN [struct_pack({place} := hard, {operation} := {delete})]
    WHEN kind = {delete} OR updated > inserted
        THEN [struct_pack({place} := greatest(inserted, updated), {operation} := {upsert})]
    ELSE list_filter([
        struct_pack({place} := updated, {operation} := {update}),
        struct_pack({place} := inserted, {operation} := {insert})
    ], lambda one: one.{place} IS NOT NULL) END AS remain
FROM (
    SELECT {keys}, max(hard) AS hard, max({operation}) FILTER ({place} = hard) AS kind,
        min({place}) FILTER ({operation} = {insert}) AS inserted,
        max({place}) FILTER ({operation} = {update}) AS updated
    FROM (
        SELECT *, max({place}) FILTER ({operation} IN ({upsert}, {delete})) OVER (PARTITION BY {keys}) AS hard
        FROM changes)
    WHERE hard IS NULL OR {place} >= hard
    GROUP BY {keys}))"""

# Of changes of one kind in a row, whatever is stored, only the newest can last; of inserts the first.
_NEWEST = """
SELECT * FROM (
    SELECT *, sum(turn) OVER (PARTITION BY {keys} ORDER BY {place}) AS span FROM (
        SELECT *, CAST({operation} IS DISTINCT FROM
            lag({operation}) OVER (PARTITION BY {keys} ORDER BY {place}) AS INTEGER) AS turn
        FROM changes))
QUALIFY row_number() OVER (PARTITION BY {keys}, span ORDER BY
    CASE WHEN {operation} <> {insert} THEN {version} END DESC NULLS LAST,
    CASE WHEN {operation} = {insert} THEN {place} ELSE -{place} END) = 1"""

_SINCE_DELETED = """
SELECT * FROM changes QUALIFY {place} >= coalesce(
    max({place}) FILTER ({operation} = {delete}) OVER (PARTITION BY {keys}), 0)"""

#: (merges fields, has a version) -> the changes that remain.
_REMAINING = {
    (False, False): _WHOLE,
    (False, True): _NEWEST,
    (True, False): _SINCE_DELETED,
    (True, True): "SELECT * FROM changes",
}
_WORDS = {
    "place": PLACE,
    "operation": OPERATION,
    "version": VERSION,
    "insert": INSERT,
    "upsert": UPSERT,
    "update": UPDATE,
    "delete": DELETE,
}
