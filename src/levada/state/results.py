"""Results of checks (`check_results`) and records that could not be stored (`quarantine`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from bson.binary import Binary

from levada.batches import Rejected
from levada.state.store import FORMAT, Store, translated

_MOST_RAW = 12_000_000  # bytes of a record that are kept
_CHUNK_ROWS = 1_000


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
        what, stored = {"format": FORMAT, "table": table, "run": run, "step": step}, 0
        with translated("quarantine"):
            for records in _chunks(rejected):
                now = datetime.now(UTC)
                documents = [{**what, "at": now, **_kept(record)} for record in records]
                self._store.collection("quarantine").insert_many(documents)
                stored += len(records)
        return stored


def _kept(record: Rejected) -> dict[str, Any]:
    raw = Binary(record.raw[:_MOST_RAW])
    return {"reason": record.reason, "raw": raw, "raw_bytes": len(record.raw)}


def _chunks(records: Iterable[Rejected]) -> Iterator[list[Rejected]]:
    """Few enough to be written at once, whatever their size."""
    held: list[Rejected] = []
    size = 0
    for record in records:
        held.append(record)
        size += min(len(record.raw), _MOST_RAW)
        if len(held) == _CHUNK_ROWS or size >= _MOST_RAW:
            yield held
            held, size = [], 0
    if held:
        yield held
