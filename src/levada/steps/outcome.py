"""What a copy has done, added up over its commits, as the step reports it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from levada.steps.base import StepResult
from levada.steps.delivery import Delivered
from levada.steps.family import Family
from levada.steps.removal import Removed

#: Counts of a commit that are told where they are not zero.
_TOLD = ("unchanged", "deleted", "older")


class Outcome:
    """Commits added up.

    Args:
        values: for later steps and the ledger, whatever is committed.
        notes: likewise for people.
    """

    def __init__(self, values: Mapping[str, Any], notes: Iterable[str] = ()) -> None:
        self._values = {"replaced": 0, "quarantined": 0, **values}
        self._counts = Counter[str]()
        self._notes = list(notes)
        self._children = Counter[str]()
        self._gone = 0

    def add(self, delivered: Delivered, family: Family | None) -> None:
        """One commit."""
        written = delivered.written
        for name in ("rows", "bytes", "replaced", *_TOLD):
            self._counts[name] += getattr(written, name)
        self._counts["quarantined"] += delivered.quarantined
        if delivered.note and delivered.note not in self._notes:
            self._notes.append(delivered.note)
        self._children.update(family.rows if family else {})

    def removed(self, removed: Removed) -> None:
        """Rows that are gone from the source."""
        self._gone += removed.rows
        self._counts["deleted"] += removed.rows
        self._counts["compared"] += removed.compared
        self._counts["quarantined"] += removed.quarantined
        self._notes.append(f"{removed.rows:,} of {removed.compared:,} keys gone")

    def result(self, family: Family | None, where: str) -> StepResult:
        counts = self._counts
        values: dict[str, Any] = {**self._values, "replaced": counts["replaced"]}
        values |= {"quarantined": counts["quarantined"]}
        values |= {name: counts[name] for name in (*_TOLD, "compared") if counts[name]}
        notes = [f"{counts['quarantined']:,} {where}"] if counts["quarantined"] else []
        changed = Counter({name: counts[name] for name in _TOLD})
        changed["deleted"] -= self._gone  # which has a note of its own
        notes += [f"{number:,} {name}" for name, number in changed.items() if number]
        notes += self._notes
        if family:
            values |= {"children": dict(self._children), "not_arrays": family.not_arrays}
            notes += family.notes(self._children)
        return StepResult(counts["rows"], counts["bytes"], values, "; ".join(notes) or None)
