"""A lake: a folder of Delta tables, local or in an object store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from levada.connectors.base import Fence, Finding, Query, Table
from levada.connectors.lake import upkeep
from levada.connectors.lake.compaction import TARGET_BYTES
from levada.connectors.lake.retention import delete_before
from levada.connectors.lake.settings import LakeSettings
from levada.connectors.lake.sink import LakeSink
from levada.connectors.lake.source import LakeSource
from levada.connectors.lake.table import LakeTable
from levada.errors import LevadaError
from levada.observe import counted

_LOW_DISK = 1024**3


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
        return delete_before(self._table(table), column, cutoff, fence)

    def maintain(
        self,
        table: Table,
        *,
        keep: timedelta = upkeep.KEEP,
        target: int = TARGET_BYTES,
        now: datetime | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> upkeep.Upkeep:
        """Join small files, remove what nothing needs any more, cut the log (see `upkeep.maintain`)."""
        now = now or datetime.now(UTC)
        return upkeep.maintain(self._table(table), now=now, keep=keep, target=target, check=check)

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
            Finding(True, f"{counted(len(names), 'table')}: {', '.join(names)}" if names else "no tables yet")
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
