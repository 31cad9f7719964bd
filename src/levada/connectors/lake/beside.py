"""Files beside a table's data: committed positions and logical schemas.

They live in `<table>/_levada/`; readers of Delta ignore folders with an underscore, and vacuum leaves them.
A file is written before the commit that refers to it, and a commit refers to it by a transaction id of the
Delta log, so that data, position and schema are one:

| application id | version | file |
|---|---|---|
| `levada/position/<owner>` | the position's sequence | |
| `levada/nonce/<owner>` | a random number | `positions/<hash of owner>/<sequence>-<nonce>.json` |
| `levada/write/<owner>` | a random number, of a write without position | |
| `levada/epoch/<owner>` | the lease's epoch | |
| `levada/schema` | 52 bits of the schema's SHA-256 | `schemas/<number>.arrow` |

The nonce tells two racing writers of one sequence apart: each announces its own file, the log says whose
data it holds.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from levada.connectors.lake.faults import translated
from levada.positions import Position

SCHEMA_APP = "levada/schema"
_POSITION, _NONCE = "levada/position/", "levada/nonce/"
_BITS = 52
_KEPT = 5


def position_app(owner: str) -> str:
    return f"{_POSITION}{owner}"


def nonce_app(owner: str) -> str:
    return f"{_NONCE}{owner}"


def write_app(owner: str) -> str:
    return f"levada/write/{owner}"


def epoch_app(owner: str) -> str:
    return f"levada/epoch/{owner}"


def referred(transactions: Mapping[str, int]) -> set[str]:
    """The files, below the table's folder, that transactions of the log refer to.

    Args:
        transactions: application id -> version.
    """
    found = {_schema_file(transactions[SCHEMA_APP])} if SCHEMA_APP in transactions else set()
    for name, sequence in transactions.items():
        owner = name.removeprefix(_POSITION)
        if owner != name and nonce_app(owner) in transactions:
            found.add(_position_file(owner, sequence, transactions[nonce_app(owner)]))
    return {f"_levada/{file}" for file in found}


def new_nonce() -> int:
    return secrets.randbits(_BITS)


class Beside:
    """The folder `_levada` of one table.

    Args:
        uri: the table's folder or URI.
        options: storage options; used for URIs only.
    """

    def __init__(self, uri: str, options: dict[str, str]) -> None:
        self.uri = uri
        self._options = options
        self._remote = "://" in uri
        self._schemas: dict[int, pa.Schema] = {}

    def put_position(self, owner: str, position: Position, nonce: int) -> None:
        self.put(_position_file(owner, position.sequence, nonce), position.to_json().encode())

    def position(self, owner: str, sequence: int, nonce: int) -> Position | None:
        """A committed position; None if its file was removed."""
        stored = self.get(_position_file(owner, sequence, nonce))
        return None if stored is None else Position.from_json(stored.decode())

    def forget_positions(self, owner: str, before: int) -> None:
        """Remove files of commits that are long past."""
        folder = f"positions/{_hash(owner)}"
        for name in self.list(folder):
            sequence = name.split("-")[0]
            if sequence.isdigit() and int(sequence) < before - _KEPT:
                self.remove(f"{folder}/{name}")

    def put_schema(self, schema: pa.Schema) -> int:
        """Keep a logical schema; returns the number that stands for it."""
        stored = schema.serialize().to_pybytes()
        number = int.from_bytes(hashlib.sha256(stored).digest()[:8], "big") >> (64 - _BITS)
        if number not in self._schemas:
            self.put(_schema_file(number), stored)
            self._schemas[number] = schema
        return number

    def schema(self, number: int) -> pa.Schema | None:
        """A kept schema; None if its file was removed."""
        if number not in self._schemas:
            stored = self.get(_schema_file(number))
            if stored is None:
                return None
            self._schemas[number] = pa.ipc.read_schema(pa.py_buffer(stored))
        return self._schemas[number]

    def files(self) -> pyarrow.fs.FileSystem:
        """The table's folder, made if it is not there."""
        if self._remote:
            return self._filesystem()
        Path(self.uri).mkdir(parents=True, exist_ok=True)
        return pyarrow.fs.SubTreeFileSystem(self.uri, pyarrow.fs.LocalFileSystem())

    def sizes(self, paths: Sequence[str]) -> Sequence[int | None]:
        """Bytes of files of the table; None for one that is not there."""
        return [info.size if info.is_file else None for info in self.files().get_file_info(list(paths))]

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove files of the table that it does not refer to; fine if one is gone."""
        for path in paths:
            with suppress(OSError):
                self.files().delete_file(path)

    def _filesystem(self) -> pyarrow.fs.FileSystem:
        from deltalake.fs import DeltaStorageHandler

        return pyarrow.fs.PyFileSystem(DeltaStorageHandler(self.uri, self._options))

    def put(self, file: str, content: bytes) -> None:
        """Write a file of this folder, whole or not at all."""
        with translated(self.uri):
            if self._remote:
                # Buffered, because the driver's files take bytes and no Arrow buffers.
                with self._filesystem().open_output_stream(f"_levada/{file}", buffer_size=65536) as stream:
                    stream.write(content)
            else:
                _write_whole(Path(self.uri) / "_levada" / file, content)

    def get(self, file: str) -> bytes | None:
        """A file of this folder; None if there is none."""
        try:
            if not self._remote:
                return (Path(self.uri) / "_levada" / file).read_bytes()
            with self._filesystem().open_input_stream(f"_levada/{file}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def list(self, folder: str) -> Sequence[str]:
        """Names in a folder of this folder."""
        if not self._remote:
            found = Path(self.uri) / "_levada" / folder
            return [entry.name for entry in found.iterdir()] if found.is_dir() else []
        selector = pyarrow.fs.FileSelector(f"_levada/{folder}", allow_not_found=True)
        return [entry.base_name for entry in self._filesystem().get_file_info(selector)]

    def remove(self, file: str) -> None:
        """Remove a file of this folder; fine if there is none."""
        if self._remote:
            with suppress(FileNotFoundError):
                self._filesystem().delete_file(f"_levada/{file}")
        else:
            (Path(self.uri) / "_levada" / file).unlink(missing_ok=True)


def _position_file(owner: str, sequence: int, nonce: int) -> str:
    return f"positions/{_hash(owner)}/{sequence}-{nonce}.json"


def _schema_file(number: int) -> str:
    return f"schemas/{number}.arrow"


def _hash(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:24]


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
