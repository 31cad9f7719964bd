"""Results of checks (`check_results`) and records that could not be stored (`quarantine`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bson.binary import Binary

from levada.batches import Rejected
from levada.state.store import FORMAT, Store, translated


class CheckResults:
    """The collection `check_results`: one document per rule and run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, results: Iterable[Mapping[str, Any]]) -> None:
        documents = [{"format": FORMAT, "at": datetime.now(UTC), **result} for result in results]
        if documents:
            with translated("check results"):
                self._store.collection("check_results").insert_many(documents)


class Quarantine:
    """The collection `quarantine`: raw records, why they were rejected, and by which run."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, rejected: Iterable[Rejected], *, table: str, run: str, step: str) -> int:
        """Store them; returns how many.

        A record is kept as its raw bytes, cut at 12 MB so that it fits into a document beside its reason.
        """
        documents = [
            {
                "format": FORMAT,
                "at": datetime.now(UTC),
                "table": table,
                "run": run,
                "step": step,
                "reason": record.reason,
                "raw": Binary(record.raw[:12_000_000]),
                "raw_bytes": len(record.raw),
            }
            for record in rejected
        ]
        with translated("quarantine"):
            for document in documents:
                self._store.collection("quarantine").insert_one(document)
        return len(documents)
