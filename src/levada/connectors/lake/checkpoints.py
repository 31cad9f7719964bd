"""Checkpoints of a write that is not committed yet: which files hold its rows, and up to which position.

They lie in `<table>/_levada/copies/<hash>/<number>.json`; the hash stands for who copies what, the number for
one attempt, the process for its host, its number there and when it began:

```
{"format": 1, "process": "host:1234:567", "checkpoints": [
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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from os import getpid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levada.connectors.lake.beside import SCHEMA_APP, Beside, new_nonce, referred
from levada.connectors.lake.datafile import DataFile
from levada.connectors.spool import alive, began
from levada.errors import Fatal, Fenced
from levada.positions import Position

FORMAT = 1
_RIVAL_SECONDS = 2.0  # to give up, for a copy that began at the same moment


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

    Attributes:
        number: of this attempt.
        held: from the first on.
        inherited: how many of them an earlier process left.
        complete: nothing is left to do.
        found: whether a stopped copy was there to be taken up.
    """

    def __init__(self, beside: Beside, copy: str, version_of: Callable[[str], int | None]) -> None:
        self._beside = beside
        self._hash = hashlib.sha256(copy.encode()).hexdigest()[:24]
        self._committed = version_of(self.application)
        self.number = new_nonce()
        self.held: list[Checkpoint] = []
        self.inherited = 0
        self.complete = False
        self.found = False

    @property
    def application(self) -> str:
        """Id of the transaction that tells which attempt was committed last."""
        return f"levada/copy/{self._hash}"

    def take_up(self) -> None:
        """Hold what a killed copy left, the most of it where several did.

        `complete` is set where nothing is left to do: it was committed before it was killed.

        Raises:
            Fatal: one is under way, a newer version wrote the checkpoints, or they can't be read.
        """
        attempts = dict(self._attempts())
        if broken := [number for number, stored in attempts.items() if stored is None]:
            raise Fatal(
                f"the checkpoints of this copy are damaged ({self._file(broken[0])})",
                where=self._beside.uri,
                hint="copy without --resume, which begins anew",
            )
        attempts.pop(self._committed or 0, None)
        found = {number: self._read(stored or {}) for number, stored in attempts.items()}
        if self._committed is not None and not found:
            self.complete = True
            self._beside.remove(self._file(self._committed))
        if found:
            self.found = True
            self.number = max(found, key=lambda number: sum(map(_rows, found[number])))
            self.held = found.pop(self.number)
            self.inherited = len(self.held)
            for number, less in found.items():
                self._forget(number, less)
        if not self.complete:
            self._begin()

    def clear(self) -> None:
        """Remove what killed copies of the same left, files included, and begin.

        Raises:
            Fatal: a copy of the same is under way.
        """
        for number, stored in dict(self._attempts()).items():
            self._forget(number, [] if number == self._committed else self._read(stored or {}))
        self._begin()

    def _forget(self, number: int, held: list[Checkpoint]) -> None:
        """Remove an attempt, and the files of these checkpoints of it."""
        for checkpoint in held:
            self._beside.remove_files(file.path for file in checkpoint.files)
        self._beside.remove(self._file(number))

    def _begin(self) -> None:
        """Show that this process is at it; gives up where another began at the same moment."""
        self._save()
        deadline = time.monotonic() + _RIVAL_SECONDS
        while True:
            try:
                dict(self._attempts())
            except Fatal:
                if self.number > min(self._numbers()) or time.monotonic() > deadline:
                    self._save(process="") if self.held else self.remove()
                    raise
                time.sleep(0.01)
            else:
                return

    def add(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; its files are on disk."""
        self.held.append(checkpoint)
        self._save()

    def drop_last(self) -> Checkpoint:
        """Go back to the checkpoint before; returns the one that is no more."""
        dropped = self.held.pop()
        self.inherited = min(self.inherited, len(self.held))
        self._save()
        return dropped

    def refuse_overtaken(self, version_of: Callable[[str], int | None]) -> None:
        """Refuse to commit where another process has committed the same copy since this one began.

        Raises:
            Fenced: it has.
        """
        now = version_of(self.application)
        if now != self._committed:
            raise Fenced(
                "another process has resumed this copy, and committed it"
                if now == self.number
                else "another process has copied the same meanwhile",
                where=self._beside.uri,
                hint="nothing was written by this one; look at the table before you copy again",
            )

    def remove(self) -> None:
        """The write was committed."""
        self._beside.remove(self._file(self.number))

    def release(self) -> None:
        """Leave what is held to a later copy."""
        if not self.complete:
            self._save(process="")

    def _numbers(self) -> list[int]:
        names = [name.partition(".") for name in self._beside.list(self._folder)]
        return [int(number) for number, _, ending in names if ending == "json" and number.isdigit()]

    def _attempts(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Attempts other than this one, and what is stored of each; None where that can't be read."""
        for number in self._numbers():
            if number == self.number:
                continue
            stored = self._stored(number)
            if stored is not None:
                self._refuse_under_way(stored.get("process", ""))
                _check_format(stored, self._beside.uri)
            yield number, stored

    def _refuse_under_way(self, process: str) -> None:
        host, _, which = process.partition(":")
        number, _, since = which.partition(":")
        if host == platform.node() and number.isdigit() and alive(int(number), since):
            raise Fatal(
                f"the same copy is under way in process {number}",
                where=self._beside.uri,
                hint="wait until it has ended, or stop it",
            )

    def _read(self, attempt: Mapping[str, Any]) -> list[Checkpoint]:
        """The checkpoints whose files are all there, up to the first that lacks one."""
        kept = []
        for stored in attempt.get("checkpoints", []):
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
        """Whether they are as they were closed, also after a power cut."""
        sizes = self._beside.sizes([file["path"] for file in files])
        return sizes == [file["size"] for file in files] and all(map(self._is_whole, files))

    def _is_whole(self, file: dict[str, Any]) -> bool:
        with self._beside.files().open_input_file(file["path"]) as source:
            try:
                return bool(pq.read_metadata(source).num_rows == file["rows"])
            except (pa.ArrowInvalid, OSError):
                return False

    def _save(self, process: str | None = None) -> None:
        stored = {
            "format": FORMAT,
            "process": f"{platform.node()}:{getpid()}:{began(getpid())}" if process is None else process,
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

    def _stored(self, number: int) -> dict[str, Any] | None:
        """What is stored of an attempt, empty if it is gone; None where it is damaged."""
        stored = self._beside.get(self._file(number))
        if stored is None:
            return {}
        try:
            found: dict[str, Any] = json.loads(stored)
            for checkpoint in found["checkpoints"] if found.get("format") == FORMAT else ():
                Position.from_json(json.dumps(checkpoint["position"]))
                for file in checkpoint["files"]:
                    DataFile(**file)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return found

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
