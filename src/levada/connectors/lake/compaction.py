"""Joins the small files of a table; no row changes.

Two compactions at once would double rows: the driver lets a compaction pass another one's commit, which
"changes no data", although both took the same files. What it does not let pass is a change of the table's
properties. So a compaction first puts a number of its own into the property `levada.upkeep`, and works on
versions that hold that number: of two, the one that announced itself first fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError

from levada.connectors.lake.beside import new_nonce
from levada.connectors.lake.faults import translated
from levada.connectors.lake.table import LakeTable
from levada.connectors.lake.vacuum import moved
from levada.errors import Fatal

TARGET_BYTES = 128 * 1024**2
GROUP_BYTES = 1024**3  # of small files in one commit: the work that is lost when others were faster
_SMALL = 0.5  # of the target: what is larger is left as it is
_ATTEMPTS = 3
_PAUSE = 0.2  # seconds; grows with the attempts
_PROPERTY = "levada.upkeep"

#: Values of the first partition column, as the driver's filters take them; empty: everything.
Group = tuple[str, ...]


def compact(place: LakeTable, target: int = TARGET_BYTES, check: Callable[[], None] = lambda: None) -> int:
    """Join the small files of each partition.

    Args:
        target: bytes of a joined file, about.
        check: called between parts of the work; raises to end it.

    Returns:
        How many groups of partitions were left alone, because others kept writing them.

    Raises:
        Fatal: a program that does not announce itself joined the same files.
    """
    snapshot = place.snapshot()
    groups = list(_groups(snapshot.handle, target)) if snapshot else []
    number = str(new_nonce())
    if groups and not _announced(place, number):
        return len(groups)
    skipped = 0
    for group in groups:
        check()
        skipped += not _joined(place, group, target, number)
    return skipped


def _groups(handle: DeltaTable, target: int) -> Iterator[Group]:
    """The partitions that have small files to join, so many together as one commit should change."""
    small = _small(handle, target)
    if None in small:
        yield ()
        return
    if "" in small:  # a filter of several values does not match null
        yield ("",)
        del small[""]
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


def _announced(place: LakeTable, number: str) -> bool:
    """Make every compaction that has begun before fail; False if others kept committing."""
    return _tried(
        place,
        lambda handle: handle.alter.set_table_properties({_PROPERTY: number}, raise_if_not_exists=False),
    )


def _joined(place: LakeTable, group: Group, target: int, number: str) -> bool:
    """Join the files of some partitions; False if others kept writing them, or began to join after us."""
    within = ("=", group[0]) if len(group) == 1 else ("in", list(group))

    def join(handle: DeltaTable) -> bool:
        if handle.metadata().configuration.get(_PROPERTY) != number:
            return False
        before, columns = handle.version(), handle.metadata().partition_columns
        handle.optimize.compact(
            partition_filters=[(columns[0], *within)] if group and columns else None,
            target_size=target,
            writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
        )
        _refuse_doubled(place, range(before + 1, handle.version() + 1))
        return True

    return _tried(place, join)


def _tried(place: LakeTable, work: Callable[[DeltaTable], bool | None]) -> bool:
    """Do a work that others' commits may make fail; whether it was done."""
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE * attempt)
        snapshot = place.snapshot()
        if snapshot is None:
            return True
        with translated(str(place.table)):
            try:
                return work(snapshot.handle) is not False
            except CommitFailedError:
                continue
    return False


def _refuse_doubled(place: LakeTable, versions: range) -> None:
    paths = moved(place, versions)
    if len(paths) > len(set(paths)):
        raise Fatal(
            f"another program joined the same files; rows are there twice since version {versions[-1]}",
            where=place.uri,
            hint=f"restore version {versions[-1] - 1} of the table, and let one program join its files",
        )
