"""Checkpoints of a write that is not committed yet: which files hold its rows, and up to which position.

They lie in `<table>/_levada/copies/<hash>/<number>.json`; the hash stands for who copies what, the number for
one attempt:

```
{"format": 1, "process": "host:1234", "checkpoints": [
    {"position": {...}, "rejected": 0, "files": [{"path": ..., "size": ..., "rows": ..., ...}]}]}
```

A file is listed once it is closed, and a checkpoint is written once all rows before its position are in
closed files; so a copy that was killed goes on from its last one. The commit carries the number as version of
the transaction `levada/copy/<hash>`: the log itself says whether the files of an attempt belong to the table.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from os import getpid
from typing import Any

import pyarrow as pa

from levada.connectors.lake.beside import SCHEMA_APP, Beside, new_nonce, referred
from levada.connectors.lake.datafile import DataFile
from levada.connectors.spool import alive
from levada.errors import Fatal
from levada.positions import Position

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """All rows up to a position are in files.

    Args:
        position: of the source.
        files: closed since the checkpoint before.
        schema: holds all rows so far.
        rejected: records that could not be read since the checkpoint before.
    """

    position: Position
    files: tuple[DataFile, ...]
    schema: pa.Schema
    rejected: int = 0


class Checkpoints:
    """The checkpoints of one write.

    Args:
        beside: the folder beside the table's data.
        copy: who copies what, as text.
        version_of: application id -> version of its last transaction in the table's log.
    """

    def __init__(self, beside: Beside, copy: str, version_of: Callable[[str], int | None]) -> None:
        self._beside = beside
        self._hash = hashlib.sha256(copy.encode()).hexdigest()[:24]
        self._committed = version_of(self.application)
        self.number = new_nonce()
        self.held: list[Checkpoint] = []
        self.complete = False

    @property
    def application(self) -> str:
        """Id of the transaction that tells which attempt was committed last."""
        return f"levada/copy/{self._hash}"

    def take_up(self) -> None:
        """Hold what a killed copy left, the most of it where several did.

        `complete` is set where nothing is left to do: it was committed before it was killed.

        Raises:
            Fatal: one is under way, or a newer version wrote the checkpoints.
        """
        numbers = list(self._attempts())
        found = {number: self._read(number) for number in numbers if number != self._committed}
        if self._committed is not None and not found:
            self.complete = True
            self._beside.remove(self._file(self._committed))
        if found:
            self.number = max(found, key=lambda number: sum(map(_rows, found[number])))
            self.held = found[self.number]
        if not self.complete:
            self._save()

    def clear(self) -> None:
        """Remove what killed copies of the same left, files included, and begin.

        Raises:
            Fatal: a copy of the same is under way.
        """
        for number in list(self._attempts()):
            if number != self._committed:
                for checkpoint in self._read(number):
                    self._beside.remove_files(file.path for file in checkpoint.files)
            self._beside.remove(self._file(number))
        self._save()

    def add(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; its files are on disk."""
        self.held.append(checkpoint)
        self._save()

    def drop_last(self) -> Checkpoint:
        """Go back to the checkpoint before; returns the one that is no more."""
        dropped = self.held.pop()
        self._save()
        return dropped

    def remove(self) -> None:
        """The write was committed."""
        self._beside.remove(self._file(self.number))

    def release(self) -> None:
        """Leave what is held to a later copy."""
        if not self.complete:
            self._save(process="")

    def _attempts(self) -> Iterator[int]:
        for name in self._beside.list(self._folder):
            if not name.endswith(".json"):  # its process was killed while it wrote the file
                continue
            number = int(name.removesuffix(".json"))
            stored = self._stored(number)
            host, _, process = stored.get("process", "").rpartition(":")
            if host == platform.node() and process.isdigit() and alive(int(process)):
                raise Fatal(
                    f"the same copy is under way in process {process}",
                    where=self._beside.uri,
                    hint="wait until it has ended, or stop it",
                )
            _check_format(stored, self._beside.uri)
            yield number

    def _read(self, number: int) -> list[Checkpoint]:
        """The checkpoints whose files are all there, up to the first that lacks one."""
        kept = []
        for stored in self._stored(number).get("checkpoints", []):
            schema = self._beside.schema(stored["schema"])
            files = [self._file_of(one) for one in stored["files"]]
            if schema is None or None in files or not self._all_there(stored["files"]):
                break
            position = Position.from_json(json.dumps(stored["position"]))
            kept.append(
                Checkpoint(position, tuple(file for file in files if file), schema, stored["rejected"])
            )
        return kept

    def _file_of(self, stored: dict[str, Any]) -> DataFile | None:
        logical = self._beside.schema(stored["logical"])
        return None if logical is None else DataFile(**{**stored, "logical": logical})

    def _all_there(self, files: list[dict[str, Any]]) -> bool:
        sizes = self._beside.sizes([file["path"] for file in files])
        return sizes == [file["size"] for file in files]

    def _save(self, process: str | None = None) -> None:
        stored = {
            "format": FORMAT,
            "process": f"{platform.node()}:{getpid()}" if process is None else process,
            "checkpoints": [self._stored_form(checkpoint) for checkpoint in self.held],
        }
        self._beside.put(self._file(self.number), json.dumps(stored).encode())

    def _stored_form(self, checkpoint: Checkpoint) -> dict[str, Any]:
        return {
            "position": json.loads(checkpoint.position.to_json()),
            "schema": self._beside.put_schema(checkpoint.schema),
            "rejected": checkpoint.rejected,
            "files": [
                {
                    **{key: value for key, value in asdict(file).items() if key != "logical"},
                    "logical": self._beside.put_schema(file.logical),
                }
                for file in checkpoint.files
            ],
        }

    def _stored(self, number: int) -> dict[str, Any]:
        stored = self._beside.get(self._file(number))
        return json.loads(stored) if stored else {}

    @property
    def _folder(self) -> str:
        return f"copies/{self._hash}"

    def _file(self, number: int) -> str:
        return f"{self._folder}/{number}.json"


def listed(path: str, content: bytes, transactions: Mapping[str, int]) -> set[str]:
    """The files, below the table's folder, that a file of checkpoints needs, itself included.

    None where its copy has been committed: then the table's log says which files count.

    Args:
        path: of the file of checkpoints, below the table's folder.
        content: of it.
        transactions: application id -> version of its last transaction in the table's log.

    Raises:
        Fatal: another version of Levada wrote it.
    """
    folder, _, name = path.removeprefix("_levada/").rpartition("/")
    if transactions.get(f"levada/copy/{folder.removeprefix('copies/')}") == int(name.removesuffix(".json")):
        return set()
    stored = json.loads(content)
    _check_format(stored, path)
    needed = {path}
    for checkpoint in stored["checkpoints"]:
        numbers = {checkpoint["schema"], *(file["logical"] for file in checkpoint["files"])}
        needed |= {file["path"] for file in checkpoint["files"]}
        needed |= set().union(*(referred({SCHEMA_APP: number}) for number in numbers))
    return needed


def _check_format(stored: Mapping[str, Any], where: str) -> None:
    if stored.get("format", FORMAT) != FORMAT:
        raise Fatal(
            f"an interrupted copy was written by another version (format {stored['format']})",
            where=where,
            hint="use that version to resume it, or remove its file below _levada/copies",
        )


def _rows(checkpoint: Checkpoint) -> int:
    return sum(file.rows for file in checkpoint.files)
