"""Upkeep of a table: small files joined, files that nothing needs any more removed, the log cut short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from levada.connectors.lake.compaction import TARGET_BYTES, compact
from levada.connectors.lake.table import LakeTable
from levada.connectors.lake.vacuum import vacuum

KEEP = timedelta(days=7)


@dataclass(frozen=True)
class Upkeep:
    """What was done to one table.

    Args:
        files_before, files_after: data files of the current version.
        bytes_before, bytes_after: their size.
        files_removed, bytes_removed: files that nothing needed any more, of whatever kind.
        skipped: groups of partitions left alone, because others kept writing them.
    """

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    files_removed: int = 0
    bytes_removed: int = 0
    skipped: int = 0


def maintain(
    place: LakeTable,
    *,
    now: datetime,
    keep: timedelta = KEEP,
    target: int = TARGET_BYTES,
    check: Callable[[], None] = lambda: None,
) -> Upkeep:
    """Join small files, remove what nothing needs any more, cut the log. Fine if there is no such table.

    Args:
        now: UTC.
        keep: how long files outlive the last version that held them.
        target: bytes of a joined file, about.
        check: called between parts of the work; raises to end it.

    Raises:
        Retriable, Fatal: the lake can't be read or written.
    """
    if place.snapshot() is None:
        return Upkeep()
    files, size = _held(place)
    skipped = compact(place, target, check)
    check()
    removed = vacuum(place, keep, now)
    files_after, size_after = _held(place)
    gone = sum(info.size for info in removed)
    return Upkeep(files, files_after, size, size_after, len(removed), gone, skipped)


def _held(place: LakeTable) -> tuple[int, int]:
    """Files of the current version, and their bytes."""
    snapshot = place.snapshot()
    sizes = pa.table(snapshot.handle.get_add_actions())["size_bytes"].to_pylist() if snapshot else []
    return len(sizes), sum(sizes)
