"""Removes the files of a table that nothing needs any more.

The table's own log decides. A file stays while a version that was current at any time within `keep` holds
it, while it is younger than `keep` (someone may be about to commit it), and while a checkpoint of a copy
lists it; so readers of the last `keep` and copies under way find all they need. The folder is listed before
the log is read: what is committed in between is in the log by then.

The driver's own vacuum knows nothing of checkpoints, and forgets after a week which version held a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from levada.connectors.lake.beside import referred
from levada.connectors.lake.checkpoints import listed
from levada.connectors.lake.faults import translated
from levada.connectors.lake.table import LakeTable, Snapshot

#: Files beside the data are as old as this at least before they go, whatever `keep` is: a position is written
#: ahead of its commit.
_AHEAD = timedelta(hours=1)
_LOG = "_delta_log"
_COMMIT = re.compile(rf"{_LOG}/\d{{20}}\.json")
_COPY = re.compile(r"_levada/copies/[^/]+/\d+\.json")
#: What is neither data nor the log itself; `tmp…` and `_commit_…` are left by processes killed while writing.
_BESIDE = re.compile(rf"_levada/(positions|schemas|copies)/.+|{_LOG}/_commit_[0-9a-f-]+\.json\.tmp")


def vacuum(place: LakeTable, keep: timedelta, now: datetime) -> list[pyarrow.fs.FileInfo]:
    """Remove what no version younger than `keep` needs, and cut the log by its own retention.

    Args:
        now: UTC.

    Returns:
        The files that were removed, those of the log left out.

    Raises:
        Retriable, Fatal: the lake can't be read or written.
    """
    with translated(str(place.table)):
        files = place.beside.files()
        found = list(_walk(files, ""))
        copies = {info.path: _content(files, info.path) for info in found if _COPY.fullmatch(info.path)}
        snapshot = place.snapshot()
        if snapshot is None:
            return []
        transactions = _transactions(files, snapshot)
        needed = _of_versions(files, snapshot, now - keep) | referred(transactions)
        for path, content in copies.items():
            needed |= listed(path, content, transactions) if content else set()
        old = [info for info in found if info.mtime < now - _age(info.path, keep)]
        removed = [info for info in old if info.path not in needed and _remove(files, info.path)]
        snapshot.handle.cleanup_metadata()
    return removed


def _walk(files: pyarrow.fs.FileSystem, folder: str) -> Iterator[pyarrow.fs.FileInfo]:
    """All files below a folder that may be removed or say what may not."""
    for info in files.get_file_info(pyarrow.fs.FileSelector(folder, allow_not_found=True)):
        if info.type is pyarrow.fs.FileType.Directory:  # the driver's file system lists one level only
            yield from _walk(files, info.path)
        elif _BESIDE.fullmatch(info.path) or _is_data(info.path):
            yield info


def _is_data(path: str) -> bool:
    """Whether this is a data file; a partition's folder may begin with an underscore, others are hidden."""
    parts = path.split("/")
    hidden = any(part.startswith(("_", ".")) and "=" not in part for part in parts)
    return path.endswith(".parquet") and not hidden


def _age(path: str, keep: timedelta) -> timedelta:
    return keep if _is_data(path) else max(keep, _AHEAD)


def _of_versions(files: pyarrow.fs.FileSystem, snapshot: Snapshot, cutoff: datetime) -> set[str]:
    """Data files of all versions that were current after the cutoff.

    Those are what the current version holds, and what has been taken out of the table since.
    """
    needed: set[str] = set()
    for path in pa.table(snapshot.handle.get_add_actions())["path"].to_pylist():
        needed |= _readings(path)
    for info in files.get_file_info(pyarrow.fs.FileSelector(_LOG)):
        if _COMMIT.fullmatch(info.path) and info.mtime >= cutoff:
            needed |= _taken_out(_content(files, info.path) or b"", cutoff)
    return needed


def _taken_out(commit: bytes, cutoff: datetime) -> set[str]:
    """Files that one commit took out of the table, if that was after the cutoff."""
    actions = _actions(commit)
    told = [action["commitInfo"].get("timestamp") or 0 for action in actions if "commitInfo" in action]
    needed: set[str] = set()
    for action in actions:
        gone = action.get("remove")
        if gone and max(*told, gone.get("deletionTimestamp") or 0, 0) >= cutoff.timestamp() * 1000:
            needed |= _readings(gone["path"])
    return needed


def _actions(commit: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in commit.splitlines() if line.strip()]


def moved(place: LakeTable, versions: range) -> list[str]:
    """Files whose rows these versions moved to other files; one that comes twice is now there twice."""
    with translated(str(place.table)):
        files = place.beside.files()
        commits = [_content(files, f"{_LOG}/{version:020}.json") or b"" for version in versions]
    removes = [action["remove"] for commit in commits for action in _actions(commit) if "remove" in action]
    return [remove["path"] for remove in removes if not remove["dataChange"]]


def _readings(path: str) -> set[str]:
    """A path of the log, which is percent-encoded, in both forms."""
    return {path, unquote(path)}


def _transactions(files: pyarrow.fs.FileSystem, snapshot: Snapshot) -> dict[str, int]:
    """Application id -> version of all transactions, out of a checkpoint of this very version."""
    path = f"{_LOG}/{snapshot.handle.version():020}.checkpoint.parquet"
    if not files.get_file_info(path).is_file:
        snapshot.handle.create_checkpoint()
    with files.open_input_file(path) as source, pq.ParquetFile(source) as parquet:
        found = parquet.read(columns=["txn.appId", "txn.version"])["txn"].to_pylist()
    return {each["appId"]: each["version"] for each in found if each}


def _content(files: pyarrow.fs.FileSystem, path: str) -> bytes | None:
    """A small file; None if it has gone."""
    try:
        with files.open_input_stream(path) as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return None


def _remove(files: pyarrow.fs.FileSystem, path: str) -> bool:
    """Remove a file; False if someone else did."""
    try:
        files.delete_file(path)
    except FileNotFoundError:
        return False
    return True
