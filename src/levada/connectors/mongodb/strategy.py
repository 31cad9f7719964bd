"""How a write would be done, told without doing it (`MongoSink.plan`); only looks at the server.

What is told here is chosen in the same way when the write is opened (`levada.connectors.mongodb.claim`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from levada.connectors.base import Mode, Write, WritePlan
from levada.connectors.mongodb.fence import has_transactions
from levada.connectors.mongodb.keyindex import KeyIndex, creation, key_index
from levada.connectors.mongodb.rows import CHUNK_BYTES, CHUNK_ROWS, WINDOW_TAG
from levada.connectors.mongodb.target import Target
from levada.connectors.mongodb.watchers import streams_on
from levada.observe import counted

_CHUNKS = f"transactions of up to {CHUNK_ROWS:,} rows or {CHUNK_BYTES // 1_000_000} MB"


def swap_hindrance(target: Target) -> str | None:
    """Why a collection can't be replaced by renaming another one over it; None if it can."""
    if not target.description:
        return None
    if _sharded(target):
        return "it is sharded"
    streams = streams_on(target.client, target.database.name, target.name)
    if streams:
        return f"a swap would end {streams} change stream{'s' if streams > 1 else ''} on it"
    return None


def _sharded(target: Target) -> bool:
    try:
        return bool(target.database.command("collStats", target.name).get("sharded"))
    except OperationFailure:
        return False  # this user may not look


@dataclass(frozen=True)
class Facts:
    """What is known of a target before it is written to.

    Args:
        target: the collection.
        transactions: whether writes to it can be part of one.
        rows: about how many it has.
        index: by which rows are found by the write's key; None where it has no key.
        hindrance: why it can't be swapped.
    """

    target: Target
    transactions: bool
    rows: int
    index: KeyIndex | None
    hindrance: str | None

    @classmethod
    def of(cls, client: MongoClient[Any], database: str, collection: str, write: Write) -> Facts:
        target = Target(client, database, collection)
        there = target.database[collection]
        index = None
        if write.mode is Mode.UPSERT:
            indexes = list(there.list_indexes()) if target.description else []
            index = key_index(indexes, write.key, target.collation)
        return cls(
            target,
            has_transactions(client) and target.plain,
            there.estimated_document_count() if target.description else 0,
            index,
            swap_hindrance(target) if write.mode is Mode.REPLACE else None,
        )


def plan(facts: Facts, write: Write) -> WritePlan:
    """What a write would do."""
    how, readers, notes = _PLANS[write.mode](facts, write)
    return WritePlan(how, readers, (*_about(facts), *notes))


_ENDS = "change streams that are opened on the collection until then end when it is renamed"
_Told = tuple[str, str, tuple[str, ...]]


def _about(facts: Facts) -> tuple[str, ...]:
    notes = [f"{facts.target} has about {counted(facts.rows, 'row')}"]
    if not facts.target.description:
        notes = [f"{facts.target} would be created"]
    if facts.target.description.get("type") == "view":
        return (f"{facts.target} is a view: it will be refused",)
    notes += _validation(facts.target.options)
    if not facts.transactions:
        why = "this server has no transactions" if facts.target.plain else "it takes no transactions"
        notes.append(f"{why}: a killed write leaves a part, which the next run completes")
    return tuple(notes)


def _validation(options: Mapping[str, Any]) -> list[str]:
    """What becomes of rows that the collection's validator refuses.

    Source: https://www.mongodb.com/docs/manual/core/schema-validation/handle-invalid-documents/
    """
    if not options.get("validator") or options.get("validationLevel") == "off":
        return []
    if options.get("validationAction") == "warn":
        return ["it has a validator that only warns: rows that break it are stored"]
    return ["it has a validator: rows that it refuses go to quarantine, the others are stored"]


def _append(_facts: Facts, write: Write) -> _Told:
    if write.window is None:
        return f"insert, in {_CHUNKS}", "rows as they come", ()
    notes = (f"rows of this step and window, by {WINDOW_TAG}, are removed first",)
    return f"insert, in {_CHUNKS}", "the window's rows go and come again", notes


def _replace(facts: Facts, _write: Write) -> _Told:
    if not facts.target.plain:
        return "refused: time series and capped collections can't be replaced", "nothing changes", ()
    if facts.hindrance is None:
        how = "stage and swap: a new collection with the same options and indexes, renamed over this one"
        return (
            how,
            "the old rows or the new ones, whole",
            ("change streams on the collection end when it is renamed",),
        )
    return _emptied(f"delete and insert, because {facts.hindrance}", "all rows", facts.rows)


def _replace_window(_facts: Facts, write: Write) -> _Told:
    return _emptied("delete and insert", f"the rows of the window by {write.table.time}", None)


def _emptied(how: str, what: str, rows: int | None) -> _Told:
    small = f"one transaction if not more than {CHUNK_ROWS:,} rows go and come"
    if rows is not None and rows > CHUNK_ROWS:
        return f"{how}, in {_CHUNKS}", f"{what} go, then come again", ()
    return f"{how}: {small}, else {_CHUNKS}", f"{what} change at once, or go and come again", ()


def _upsert(facts: Facts, write: Write) -> _Told:
    changes = write.changes
    notes = [_index_note(facts, write)]
    if changes.operation:
        notes.append(f"{changes.operation} says what happens to each row, and is not stored")
    if changes.version:
        notes.append(f"rows whose {changes.version} is lower than the stored one's change nothing")
    if changes.merge != "replace":
        notes.append(f"merge {changes.merge}: other fields of stored rows stay")
    notes.append("rows that are stored like that already are not written")
    return f"changes by {', '.join(write.key)}, in {_CHUNKS}", "rows change as they come", tuple(notes)


def _index_note(facts: Facts, write: Write) -> str:
    index = facts.index
    key = ", ".join(write.key)
    if index is None or index.found is None:
        command = creation(facts.target.name, write.key, unique=True)
        return f"a unique index on {key} would be created: {command}"
    if index.unique:
        return f"rows are found by index {index.found}"
    return (
        f"rows are found by index {index.found}, which is not unique: "
        "rows whose key is stored several times are rejected"
    )


_PLANS = {
    Mode.APPEND: _append,
    Mode.REPLACE: _replace,
    Mode.REPLACE_WINDOW: _replace_window,
    Mode.UPSERT: _upsert,
}
