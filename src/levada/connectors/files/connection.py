"""Files: exports and imports in a folder or an object store."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pyarrow as pa

from levada.connectors.base import Finding, Query, Table
from levada.connectors.files.formats import Format
from levada.connectors.files.settings import FilesSettings
from levada.connectors.files.sink import FilesSink
from levada.connectors.files.source import FilesSource
from levada.connectors.files.stores import store_of
from levada.connectors.files.table import FilesTable
from levada.errors import LevadaError

_LOW_DISK = 1024**3


class FilesConnection:
    """A connection of `type: files`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; relative paths start here, spilled batches go to its `.levada/tmp`.
    """

    kind = "files"
    settings_model = FilesSettings

    def __init__(self, name: str, settings: FilesSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._root = settings.root(root)
        self._spool = root / ".levada" / "tmp" if (root / ".levada").is_dir() else None

    def source(self, table: Table, query: Query) -> FilesSource:
        return FilesSource(self._table(table), query)

    def sink(self, table: Table) -> FilesSink:
        return FilesSink(self._table(table), self._spool)

    def describe(self) -> str:
        """The folder or URI."""
        return str(self._root)

    def keeps_documents(self, table: Table) -> bool:
        """Whether the table holds whole BSON documents, byte for byte: its files are Extended JSON."""
        place = self._table(table)
        if not place.pattern:
            entries = place.entries()
            return all(p.form.format is Format.EJSON for p in place.parts()) if entries else _ejson(place)
        return all(part.form.format is Format.EJSON for part in place.parts())

    def diagnose(self) -> list[Finding]:
        """Version, place, rights and space; never raises."""
        findings = [Finding(True, f"{self.name}: pyarrow {pa.__version__}")]
        if self.settings.remote:
            return [*findings, self._reached()]
        folder = Path(self._root)
        nearest = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        findings.append(_writable(folder, nearest))
        if nearest.exists():
            free = shutil.disk_usage(nearest).free
            hint = None if free > _LOW_DISK else "free some space"
            findings.append(Finding(hint is None, f"{free / 1024**3:.1f} GB free", hint))
        rights = "rights needed: read and write in that folder; a source needs read only"
        return [*findings, Finding(True, rights)]

    def close(self) -> None:
        """Nothing stays open between uses."""

    def _table(self, table: Table) -> FilesTable:
        return FilesTable(table, self.settings, self._root)

    def _reached(self) -> Finding:
        try:
            store_of(self._root, self.settings.options(), True).files("levada-doctor")
        except LevadaError as error:
            return Finding(False, f"{self._root}: {error.what}", error.hint)
        rights = "rights needed: list, get, put and delete objects under it; a source needs list and get"
        return Finding(True, f"{self._root} is reachable; {rights}")


def _ejson(place: FilesTable) -> bool:
    return place.form.format is Format.EJSON


def _writable(folder: Path, nearest: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Finding(True, f"{folder} can be written")
    except OSError as error:
        return Finding(False, f"{folder} can't be written: {error.strerror}", "mend its rights, or `path`")
