"""Upkeep of a table: small files joined, files that nothing needs any more removed, the log cut short."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError

from levada.connectors.lake.faults import translated
from levada.connectors.lake.table import LakeTable
from levada.connectors.lake.vacuum import vacuum

TARGET_BYTES = 128 * 1024**2
KEEP = timedelta(days=7)
GROUP_BYTES = 1024**3  # of small files in one commit: the work that is lost when others were faster
_SMALL = 0.5  # of the target: what is larger is left as it is
_ATTEMPTS = 3
_PAUSE = 0.2  # seconds; grows with the attempts

#: Values of the first partition column, as the driver's filters take them; empty: everything.
Group = tuple[str, ...]


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
    files, size = _held(place)
    skipped = compact(place, target, check)
    check()
    removed = vacuum(place, keep, now)
    files_after, size_after = _held(place)
    gone = sum(info.size for info in removed)
    return Upkeep(files, files_after, size, size_after, len(removed), gone, skipped)


def compact(place: LakeTable, target: int = TARGET_BYTES, check: Callable[[], None] = lambda: None) -> int:
    """Join the small files of each partition, no row changed.

    Returns:
        How many groups of partitions were left alone, because others kept writing them.
    """
    snapshot = place.snapshot()
    skipped = 0
    for group in _groups(snapshot.handle, target) if snapshot else ():
        check()
        skipped += not _joined(place, group, target)
    return skipped


def _held(place: LakeTable) -> tuple[int, int]:
    """Files of the current version, and their bytes."""
    snapshot = place.snapshot()
    sizes = pa.table(snapshot.handle.get_add_actions())["size_bytes"].to_pylist() if snapshot else []
    return len(sizes), sum(sizes)


def _groups(handle: DeltaTable, target: int) -> Iterator[Group]:
    """The partitions that have small files to join, so many together as one commit should change."""
    small = _small(handle, target)
    if None in small:
        yield ()
        return
    group: list[str] = []
    size = 0
    for text in sorted(map(str, small)):
        if group and size + small[text] > GROUP_BYTES:
            yield tuple(group)
            group, size = [], 0
        group.append(text)
        size += small[text]
    if group:
        yield tuple(group)


def _small(handle: DeltaTable, target: int) -> dict[str | None, int]:
    """Value of the first partition column -> bytes of small files, where a partition has several.

    The key None stands for a table without partitions, or with values that a filter can't name.
    """
    columns = handle.metadata().partition_columns
    files = pa.table(handle.get_add_actions()).to_pylist()
    found: dict[tuple[str | None, ...], list[int]] = {}
    for file in files:
        if file["size_bytes"] < target * _SMALL:
            values = tuple(_text(file["partition"][column]) for column in columns)
            found.setdefault(values, []).append(file["size_bytes"])
    small: dict[str | None, int] = {}
    for values, sizes in found.items():
        if len(sizes) > 1:
            first = values[0] if values else None
            small[first] = small.get(first, 0) + sum(sizes)
    return small


def _text(value: Any) -> str | None:
    """A partition's value in a filter; None where there is no such text."""
    if value is None:
        return ""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _joined(place: LakeTable, group: Group, target: int) -> bool:
    """Join the files of some partitions; False if others were faster each time."""
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE * attempt)
        snapshot = place.snapshot()
        if snapshot is None:
            return True
        columns = snapshot.partitions
        with translated(str(place.table)):
            try:
                snapshot.handle.optimize.compact(
                    partition_filters=[(columns[0], "in", list(group))] if group and columns else None,
                    target_size=target,
                    writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
                )
            except CommitFailedError:
                continue
        return True
    return False
