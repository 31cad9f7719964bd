"""One table of files: its place, its files, and what their names say."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from levada.connectors.base import Table
from levada.connectors.files.beside import Beside
from levada.connectors.files.encoders import Form
from levada.connectors.files.formats import Format, by_name, extension
from levada.connectors.files.settings import FilesSettings
from levada.connectors.files.stores import Entry, Store, store_of
from levada.errors import ConfigError

_PATTERN = set("*?[")


@dataclass(frozen=True)
class Part:
    """One file of a table."""

    entry: Entry
    form: Form


class FilesTable:
    """Where a table lies: one file, a folder of files, or (to read only) all files of a pattern.

    Args:
        table: of the project.
        settings: of the connection.
        root: the connection's folder or URI.
    """

    def __init__(self, table: Table, settings: FilesSettings, root: str) -> None:
        self.table = table
        self.settings = settings
        self.path = _checked(table)
        self.pattern = bool(_PATTERN & set(self.path))
        self.uri = f"{root}/{self.path}"
        self._root = root

    @cached_property
    def store(self) -> Store:
        return store_of(
            self._root, self.settings.options() if self.settings.remote else {}, self.settings.remote
        )

    @cached_property
    def single(self) -> bool:
        """Whether the table is one file."""
        if by_name(self.path)[0] is not None:
            return not self.store.is_folder(self.path)
        return self.store.entry(self.path) is not None

    @cached_property
    def folder(self) -> str:
        """The folder of the table's files; of a pattern the part before it."""
        if self.pattern:
            parts = self.path.split("/")
            first = next(at for at, part in enumerate(parts) if _PATTERN & set(part))
            return "/".join(parts[:first])
        return self.path.rpartition("/")[0] if self.single else self.path

    @property
    def beside(self) -> Beside:
        return self.beside_of(self.folder)

    def beside_of(self, folder: str) -> Beside:
        return Beside(self.store, folder, self.table.name)

    @property
    def form(self) -> Form:
        """How new files are written."""
        settings = self.settings
        named, compression = by_name(self.path) if self.single else (None, settings.compression)
        return Form(named or settings.format or Format.PARQUET, compression, settings)

    @property
    def extension(self) -> str:
        return extension(self.form.format, self.form.compression)

    def entries(self) -> list[Entry]:
        """The table's files, in the order of their names."""
        if self.pattern:
            return [entry for entry in self._below() if _matches(entry.path, self.path)]
        if self.single:
            found = self.store.entry(self.path)
            return [found] if found else []
        return [entry for entry in self.store.files(self.folder) if not _passed_over(entry.name)]

    def parts(self) -> list[Part]:
        """The table's files and how to read them.

        Raises:
            ConfigError: there is no such table, or a file whose format nothing says.
        """
        parts = [Part(entry, self._form_of(entry)) for entry in self.entries()]
        if not parts and (self.pattern or not self.beside.any_record()):
            raise ConfigError(
                f"there is no file {self.table.name!r}",
                where=self.uri,
                hint="check the name; a folder's own files are read, not those of its folders",
            )
        return parts

    def _form_of(self, entry: Entry) -> Form:
        named, compression = by_name(entry.name)
        kind = named or self.settings.format
        if kind is None:
            raise ConfigError(
                f"the name of {entry.path} does not say its format",
                where=self.uri,
                hint="set `format:` of the connection, or name the files, as in orders/*.csv",
            )
        return Form(kind, compression, self.settings)

    def _below(self) -> Iterator[Entry]:
        for entry in self.store.files(self.folder, deep=True):
            if not any(_passed_over(part) for part in entry.path.split("/")):
                yield entry


def _passed_over(name: str) -> bool:
    return name.startswith(("_", "."))


def _matches(path: str, pattern: str) -> bool:
    """Whether a path matches part by part; `**` stands for any folders."""
    return _match(path.split("/"), pattern.split("/"))


def _match(path: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_match(path[at:], pattern[1:]) for at in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _match(path[1:], pattern[1:])


def _checked(table: Table) -> str:
    parts = table.name.split("/")
    if any(part in {"", ".", ".."} or part.startswith("_") or "\\" in part for part in parts):
        raise ConfigError(
            f"{table.name!r} can't be a table of files",
            where=str(table),
            hint="use a name such as orders.csv or raw/orders, not starting with an underscore",
        )
    return table.name
