"""Batches kept until the commit: in memory while they are few, in Arrow files on disk when they are many.

A sink that commits everything at once needs the final schema before the first row, and must be able to
write again after a conflict; a spool gives both without holding the data in memory.
"""

from __future__ import annotations

import glob
import os
import platform
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from levada.errors import Retriable
from levada.types import cast, widen

#: Brings rows of any schema of a write into one that holds all its rows.
Convert = Callable[[pa.RecordBatch, pa.Schema], pa.RecordBatch]

MEMORY = 32 * 1024 * 1024


class Spool:
    """Batches of one write; can be read several times.

    Args:
        folder: where files may go; created when needed, None means the system's temporary folder.
        memory: bytes kept in memory before a file is written; default `MEMORY`.
    """

    def __init__(self, folder: Path | None = None, memory: int | None = None) -> None:
        self._parent = folder
        self._memory = MEMORY if memory is None else memory
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = 0
        self._folder: Path | None = None
        self._clear: Callable[[], object] | None = None
        self._files: list[Path] = []
        self.schema: pa.Schema | None = None
        self.rows = 0
        self.bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch; the spool's schema widens to hold it."""
        self.schema = batch.schema if self.schema is None else widen(self.schema, batch.schema)
        if not batch.num_rows:
            return
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        self.rows += batch.num_rows
        self.bytes += batch.nbytes
        if self._held_bytes > self._memory:
            self._spill()

    def batches(self, schema: pa.Schema, convert: Convert = cast) -> Iterator[pa.RecordBatch]:
        """All batches in the order they came, each brought into `schema`."""
        for file in self._files:
            with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as reader:
                for batch in reader:
                    yield convert(batch, schema)
        for batch in self._held:
            yield convert(batch, schema)

    def close(self) -> None:
        self._held, self._files = [], []
        if self._clear:
            self._clear()

    def _spill(self) -> None:
        """Write what is held, one file per run of batches of one schema."""
        try:
            start = 0
            for end in range(1, len(self._held) + 1):
                if end == len(self._held) or self._held[end].schema != self._held[start].schema:
                    self._write(self._held[start:end])
                    start = end
        except OSError as error:
            raise Retriable(
                f"can't keep batches on disk until the commit: {error}",
                where=str(self._parent or tempfile.gettempdir()),
                hint="free some space there, or point TMPDIR elsewhere",
            ) from error
        self._held, self._held_bytes = [], 0

    def _write(self, batches: list[pa.RecordBatch]) -> None:
        if self._folder is None:
            if self._parent:
                self._parent.mkdir(parents=True, exist_ok=True)
                _clear_dead(self._parent)
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=self._parent))
            self._clear = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = self._folder / f"{len(self._files)}.arrow"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with (
            pa.OSFile(str(file), "wb") as sink,
            pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
        self._files.append(file)


def _prefix() -> str:
    return f"spool-{platform.node()}-"


def _clear_dead(parent: Path) -> None:
    """Remove what processes of this machine left behind when they were killed."""
    for folder in parent.glob(f"{glob.escape(_prefix())}*"):
        process = folder.name.removeprefix(_prefix()).partition("-")[0]
        if process.isdigit() and not alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def alive(process: int, since: str = "") -> bool:
    """Whether a process of this machine runs.

    Args:
        since: what `began` said of it; another process may have got its number.
    """
    if since and began(process) not in ("", since):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def began(process: int) -> str:
    """When a process of this machine began, in a unit of its own; empty where that can't be known.

    Source: field 22 of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
