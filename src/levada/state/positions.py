"""The ledger's side of every commit: announced before the sink commits, confirmed after.

An owner's commits into one table are numbered. The sink stores the number with its data, the ledger beside
its runs, so a later run can tell what happened:

| ledger committed | ledger announced | sink has | means | then |
|---|---|---|---|---|
| none | none | none | first write | go on |
| n | any | n | all well | go on |
| n | n + 1 | n + 1 | killed between sink and ledger | believe the sink |
| n | any | less, or nothing | the data was removed, or restored from an older backup | stop, exit 4 |
| n or none | any | more than announced | the ledger was, likewise | stop, exit 4 |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from levada.errors import PositionLost
from levada.positions import Position
from levada.state.store import FORMAT, Store, check_format, translated


class OnLost(StrEnum):
    """What to do when sink and ledger can't both be right.

    `fail` stops; `trust_sink` goes on from what the sink has; `restart` forgets the position and reads
    everything again.
    """

    FAIL = "fail"
    TRUST_SINK = "trust_sink"
    RESTART = "restart"


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of one owner and table."""

    committed: Position | None = None
    announced: int = 0


class Positions:
    """The collection `positions`: one document per owner and table."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entry(self, owner: str, table: str) -> Entry:
        with translated(f"position of {owner}"):
            found = self._store.readable("positions").find_one({"_id": _key(owner, table)})
        check_format(found, f"position of {owner} in {table}")
        if found is None:
            return Entry()
        stored = found.get("committed")
        return Entry(Position.from_dict(stored) if stored else None, found.get("announced", 0))

    def announce(self, owner: str, table: str, sequence: int) -> None:
        """Say that commit number `sequence` is about to be made."""
        self._raise(owner, table, sequence, {})

    def confirm(self, owner: str, table: str, position: Position) -> None:
        """Say that it was made; who says so late, when a newer one is known, changes nothing."""
        newer = {"$gt": [position.sequence, {"$ifNull": ["$committed.sequence", 0]}]}
        committed = {"$cond": [newer, {"$literal": position.to_dict()}, "$committed"]}
        self._raise(owner, table, position.sequence, {"committed": committed})

    def _raise(self, owner: str, table: str, sequence: int, fields: dict[str, object]) -> None:
        announced = {"$max": ["$announced", sequence]}
        about = {"format": FORMAT, "updated_at": "$$NOW", "announced": announced}
        with translated(f"position of {owner}"):
            self._store.collection("positions").update_one(
                {"_id": _key(owner, table)}, [{"$set": {**about, **fields}}], upsert=True
            )


def reconcile(entry: Entry, sink: Position | None, *, on_lost: OnLost, where: str) -> Position:
    """The position to go on from (see the table above); its sequence is the last one used.

    Raises:
        PositionLost: ledger and sink can't both be right, and the policy is `fail`.
    """
    ledger = entry.committed.sequence if entry.committed else 0
    stored = sink.sequence if sink else 0
    if stored == ledger or ledger < stored <= entry.announced:
        return sink or entry.committed or Position()
    if on_lost is OnLost.FAIL:
        raise _lost(ledger, stored, where)
    highest = max(ledger, stored, entry.announced)
    kept = (sink or Position()) if on_lost is OnLost.TRUST_SINK else Position()
    return kept.numbered(highest)


def _lost(ledger: int, stored: int, where: str) -> PositionLost:
    older = "table" if stored < ledger else "ledger"
    return PositionLost(
        f"position lost: the ledger has commit {ledger}, the table has commit {stored}; "
        f"the {older} was removed or restored from an older backup",
        where=where,
        hint="restore the other one too, or choose: --on-lost trust_sink goes on from what the table has, "
        "--on-lost restart reads everything again",
    )


def _key(owner: str, table: str) -> str:
    return f"{owner} -> {table}"
