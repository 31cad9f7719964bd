"""Where files lie: a local folder or an object store, by the same few verbs.

A file becomes visible whole or not at all. Locally a draft is a temporary file that is renamed; in an object
store it is an upload that is completed, and one that is given up was never an object.
"""

from __future__ import annotations

import os
import platform
import secrets
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.fs

from levada.connectors.files.faults import local_errors, store_errors
from levada.connectors.objectstore import fault
from levada.connectors.spool import alive
from levada.errors import LevadaError


class Entry(NamedTuple):
    """A file: its path below the store's root, and its length in bytes."""

    path: str
    size: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Draft(Protocol):
    """A file that is being written; `publish` gives it its name."""

    path: str
    size: int

    def write(self, data: Any) -> int: ...

    def publish(self) -> None: ...

    def discard(self) -> None: ...


class Store(Protocol):
    """Files below one root. Paths are relative and use `/`."""

    root: str
    #: Whether a finished draft can wait for others before it is published.
    waits: bool

    def entry(self, path: str) -> Entry | None: ...

    def files(self, folder: str, deep: bool = False) -> list[Entry]: ...

    def is_folder(self, path: str) -> bool: ...

    def open(self, path: str) -> pa.NativeFile: ...

    def draft(self, path: str, temporary: str) -> Draft: ...

    def read(self, path: str) -> bytes | None: ...

    def put(self, path: str, content: bytes) -> None: ...

    def remove(self, path: str) -> None: ...

    def fault(self, path: str, error: Exception) -> LevadaError | None:
        """What an error in the middle of reading says of the store; None where it is the file's."""
        ...


def store_of(root: str, options: dict[str, str], remote: bool) -> Store:
    return ObjectStore(root, options) if remote else LocalStore(root)


class LocalStore:
    """A folder of this machine."""

    waits = True

    def __init__(self, root: str) -> None:
        self.root = root
        self._root = Path(root)

    def entry(self, path: str) -> Entry | None:
        with local_errors(self._where(path)):
            place = self._root / path
            return Entry(path, place.stat().st_size) if place.is_file() else None

    def files(self, folder: str, deep: bool = False) -> list[Entry]:
        with local_errors(self._where(folder)):
            place = self._root / folder
            found = (place.rglob("*") if deep else place.iterdir()) if place.is_dir() else iter(())
            prefix = f"{folder}/" if folder else ""
            return sorted(
                Entry(prefix + each.relative_to(place).as_posix(), each.stat().st_size)
                for each in found
                if each.is_file()
            )

    def is_folder(self, path: str) -> bool:
        return (self._root / path).is_dir()

    def open(self, path: str) -> pa.NativeFile:
        with local_errors(self._where(path)):
            return pa.OSFile(str(self._root / path), "rb")

    def draft(self, path: str, temporary: str) -> LocalDraft:
        with local_errors(self._where(path)):
            folder = self._root / temporary
            (self._root / path).parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(parents=True, exist_ok=True)
            _clear_dead(folder)
            return LocalDraft(folder, self._root / path, path)

    def read(self, path: str) -> bytes | None:
        with local_errors(self._where(path)):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

    def put(self, path: str, content: bytes) -> None:
        draft = self.draft(path, path.rpartition("/")[0])
        draft.write(content)
        draft.publish()

    def remove(self, path: str) -> None:
        with local_errors(self._where(path)):
            (self._root / path).unlink(missing_ok=True)

    def fault(self, _path: str, _error: Exception) -> None:
        return None

    def _where(self, path: str) -> str:
        return str(self._root / path)


class LocalDraft:
    """A temporary file beside the table that is renamed when it is complete."""

    def __init__(self, folder: Path, target: Path, path: str) -> None:
        self.path = path
        self.size = 0
        self._target = target
        self._place = folder / f"{_prefix()}{os.getpid()}-{secrets.token_hex(6)}.tmp"
        self._file = self._place.open("xb")

    def write(self, data: Any) -> int:
        if not self._file.closed:
            with local_errors(str(self._target)):
                self._file.write(data)
            self.size += len(data)
        return len(data)

    def publish(self) -> None:
        """Make the file last, give it its name, and make that last too."""
        with local_errors(str(self._target)):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._place.replace(self._target)
            folder = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        self._file.close()
        self._place.unlink(missing_ok=True)


class ObjectStore:
    """A prefix of a bucket, through the object store of `deltalake`: the lake's options work here too.

    Args:
        root: `s3://bucket/prefix`.
        options: credentials and endpoint.
    """

    waits = False

    def __init__(self, root: str, options: dict[str, str]) -> None:
        from deltalake.fs import DeltaStorageHandler

        self.root = root
        self._options = options
        with self._errors(""):
            self._handler = DeltaStorageHandler(root, options)

    def entry(self, path: str) -> Entry | None:
        with self._errors(path):
            (found,) = self._handler.get_file_info([path])
        return Entry(path, found.size) if found.type == pyarrow.fs.FileType.File else None

    def files(self, folder: str, deep: bool = False) -> list[Entry]:
        selector = pyarrow.fs.FileSelector(folder, allow_not_found=True, recursive=deep)
        with self._errors(folder):
            found = self._handler.get_file_info_selector(selector)
        return sorted(Entry(each.path, each.size) for each in found if each.type == pyarrow.fs.FileType.File)

    def is_folder(self, path: str) -> bool:
        selector = pyarrow.fs.FileSelector(path, allow_not_found=True)
        with self._errors(path):
            return bool(self._handler.get_file_info_selector(selector))

    def open(self, path: str) -> pa.NativeFile:
        with self._errors(path):
            return self._handler.open_input_file(path)

    def draft(self, path: str, _temporary: str) -> Upload:
        with self._errors(path):
            # The driver's own stream: pyarrow's wrapper would complete it when it is dropped.
            stream = self._handler._handler.open_output_stream(path, None)  # noqa: SLF001
            return Upload(stream, path, self)

    def read(self, path: str) -> bytes | None:
        try:
            with self._errors(path), self.open(path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes) -> None:
        draft = self.draft(path, "")
        draft.write(content)
        draft.publish()

    def remove(self, path: str) -> None:
        with self._errors(path):
            self._handler.delete_file(path)

    def fault(self, path: str, error: Exception) -> LevadaError | None:
        return fault(str(error), f"{self.root}/{path}")

    def _errors(self, path: str) -> Any:
        return store_errors(f"{self.root}/{path}", self._options)


class Upload:
    """An upload that becomes an object when it is completed, and nothing when it is dropped."""

    def __init__(self, stream: Any, path: str, store: ObjectStore) -> None:
        self.path = path
        self.size = 0
        self._stream = stream
        self._store = store

    def write(self, data: Any) -> int:
        if self._stream is not None:
            with self._store._errors(self.path):  # noqa: SLF001 - its own store's
                self._stream.write(bytes(data))
            self.size += len(data)
        return len(data)

    def publish(self) -> None:
        """Complete the upload."""
        stream, self._stream = self._stream, None
        with self._store._errors(self.path):  # noqa: SLF001
            stream.close()

    def discard(self) -> None:
        self._stream = None


def _prefix() -> str:
    return f"{platform.node()}-"


def _clear_dead(folder: Path) -> None:
    """Remove the temporary files that processes of this machine left when they were killed."""
    for file in folder.glob("*.tmp"):
        process = file.name.removeprefix(_prefix()).partition("-")[0]
        if file.name.startswith(_prefix()) and process.isdigit() and not alive(int(process)):
            file.unlink(missing_ok=True)
