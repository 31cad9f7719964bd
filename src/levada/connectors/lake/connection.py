"""A lake: a folder of Delta tables, local or in an object store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from deltalake import CommitProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError

from levada.connectors.base import Fence, Finding, Query, Table
from levada.connectors.lake.beside import epoch_app
from levada.connectors.lake.faults import translate, translated
from levada.connectors.lake.settings import LakeSettings
from levada.connectors.lake.sink import LakeSink
from levada.connectors.lake.source import LakeSource
from levada.connectors.lake.table import LakeTable, Snapshot
from levada.connectors.reading import projected
from levada.connectors.sqltext import before
from levada.errors import Fenced, LevadaError, Retriable

_LOW_DISK = 1024**3
_PRUNER = "levada/prune"


class LakeConnection:
    """A connection of `type: lake`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; relative paths start here, spilled batches go to its `.levada/tmp`.
    """

    kind = "lake"
    settings_model = LakeSettings

    def __init__(self, name: str, settings: LakeSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._root = settings.root(root)
        self._spool = root / ".levada" / "tmp" if (root / ".levada").is_dir() else None

    def source(self, table: Table, query: Query) -> LakeSource:
        return LakeSource(self._table(table), query)

    def sink(self, table: Table) -> LakeSink:
        return LakeSink(self._table(table), self._spool)

    def describe(self) -> str:
        """The lake's folder or URI."""
        return str(self._root)

    def uri(self, table: Table) -> str:
        """Folder or URI of a table, for readers of Delta."""
        return self._table(table).uri

    def delete_before(self, table: Table, column: str, cutoff: datetime, fence: Fence | None = None) -> int:
        """Remove rows whose time lies before the cutoff; rows without a time stay. Returns how many.

        Raises:
            ConfigError: no such column, or it holds no times.
            Fenced: a newer epoch has pruned this table.
            Retriable: others kept committing.
        """
        place = self._table(table)
        for _ in range(self.settings.commit_attempts):
            snapshot = place.snapshot()
            if snapshot is None:
                return 0
            projected(snapshot.logical, (column,), str(table))
            if column not in snapshot.stored.names:
                return 0
            condition = before(column, snapshot.stored.field(column).type, cutoff)
            deleted = _delete(snapshot, condition, fence, str(table))
            if deleted is not None:
                return deleted
        raise Retriable("others kept committing", where=str(table), hint="run it again")

    def vacuum(self, table: Table, keep: timedelta = timedelta(days=7)) -> int:
        """Remove files that no version younger than `keep` needs. Returns how many.

        Readers of an older version lose their files: `keep` must be longer than the longest read.
        """
        place = self._table(table)
        snapshot = place.snapshot()
        if snapshot is None:
            return 0
        hours = int(keep.total_seconds() // 3600)
        with translated(str(table)):
            removed = snapshot.handle.vacuum(
                hours, dry_run=False, enforce_retention_duration=False, full=True
            )
        return len(removed)

    def compact(self, table: Table) -> int:
        """Join small files. Returns how many gave way.

        Raises:
            Retriable: others committed at the same time.
        """
        snapshot = self._table(table).snapshot()
        if snapshot is None:
            return 0
        with translated(str(table)):
            return int(snapshot.handle.optimize.compact()["numFilesRemoved"])

    def tables(self) -> list[str]:
        """Names of the tables; of a local lake only."""
        return [] if self.settings.remote else sorted(_tables(Path(self._root), ""))

    def diagnose(self) -> list[Finding]:
        """Version, place, rights, space and tables; never raises."""
        findings = [Finding(True, f"{self.name}: deltalake {version('deltalake')}")]
        if self.settings.remote:
            return [*findings, self._reached()]
        folder = Path(self._root)
        findings.append(_writable(folder))
        free = _free(folder)
        if free is not None:
            enough = free > _LOW_DISK
            findings.append(
                Finding(enough, f"{free / 1024**3:.1f} GB free", None if enough else "free some space")
            )
        names = self.tables()
        findings.append(
            Finding(True, f"{len(names)} tables: {', '.join(names)}" if names else "no tables yet")
        )
        findings.append(
            Finding(True, "rights needed: read and write in that folder; a source needs read only")
        )
        return findings

    def close(self) -> None:
        """Nothing stays open between uses."""

    def _table(self, table: Table) -> LakeTable:
        return LakeTable(table, self.settings, self._root)

    def _reached(self) -> Finding:
        try:
            self._table(Table(self.name, "levada-doctor")).snapshot()
        except LevadaError as error:
            return Finding(False, f"{self._root}: {error.what}", error.hint)
        rights = "rights needed: list, get, put and delete objects under it; a source needs list and get"
        return Finding(True, f"{self._root} is reachable; {rights}")


def _delete(snapshot: Snapshot, condition: str, fence: Fence | None, where: str) -> int | None:
    """Delete and commit; None if others were faster."""
    application = epoch_app(_PRUNER)
    seen = snapshot.version_of(application)
    if fence and seen is not None and seen > fence.epoch:
        raise Fenced(f"epoch {fence.epoch} may not prune, the table has seen {seen}", where=where)
    transactions = [Transaction(application, fence.epoch)] if fence else None
    properties = CommitProperties(app_transactions=transactions, max_commit_retries=0)
    try:
        deleted = snapshot.handle.delete(condition, commit_properties=properties)
    except CommitFailedError:
        return None
    except DeltaError as error:
        raise translate(error, where) from error
    return int(deleted["num_deleted_rows"] or 0)


def _tables(folder: Path, prefix: str) -> Iterator[str]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name.startswith(("_", ".")) or not entry.is_dir():
            continue
        if (entry / "_delta_log").is_dir():
            yield f"{prefix}{entry.name}"
        else:
            yield from _tables(entry, f"{prefix}{entry.name}/")


def _writable(folder: Path) -> Finding:
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Finding(True, f"{folder} can be written")
    except OSError as error:
        return Finding(False, f"{folder} can't be written: {error.strerror}", "mend its rights, or `path`")


def _free(folder: Path) -> int | None:
    nearest = next((place for place in (folder, *folder.parents) if place.exists()), None)
    return shutil.disk_usage(nearest).free if nearest else None
