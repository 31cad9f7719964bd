"""What lies beside the files of a table, in `_levada/` of their folder; other readers pass it over.

| File | Is |
|---|---|
| `positions/<hash of owner and table>.json` | format 1: `owner`, `table`, `position`, `epoch`, ... |
| `schemas/<file>.<its length in bytes>.arrow` | the logical Arrow schema of a text file, and its rows |
| `drafts/` | what is being written |

A schema is known by its file's length too: it is written before the file gets its name, and while both
lengths are there, each file finds its own.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from levada.connectors.files.stores import Entry, Store
from levada.errors import Fatal
from levada.positions import Position

FOLDER = "_levada"
FORMAT = 1
ROWS = b"levada.rows"


@dataclass(frozen=True)
class Record:
    """What an owner committed last.

    Args:
        epoch: of its lease; None without one.
        position: None where it stores none.
        window: that a table of one file was appended for; None otherwise.
        bytes: length of that file.
    """

    epoch: int | None = None
    position: Position | None = None
    window: str | None = None
    bytes: int | None = None


class Beside:
    """The folder `_levada` beside the files of one table.

    Args:
        store: where they lie.
        folder: theirs.
        table: its name, for positions.
    """

    def __init__(self, store: Store, folder: str, table: str) -> None:
        self._store = store
        self._table = table
        self._folder = f"{folder}/{FOLDER}" if folder else FOLDER

    @property
    def temporary(self) -> str:
        return f"{self._folder}/drafts"

    def record(self, owner: str) -> Record | None:
        """What the owner committed last.

        Raises:
            Fatal: it was written by a newer Levada.
        """
        stored = self._store.read(self._record_file(owner))
        if stored is None:
            return None
        found: dict[str, Any] = json.loads(stored)
        if found["format"] > FORMAT:
            raise Fatal(
                f"{self._record_file(owner)} has format {found['format']}, this Levada reads up to {FORMAT}",
                where=self._store.root,
                hint="upgrade Levada on this machine",
            )
        position = found["position"]
        return Record(
            found["epoch"], position and Position.from_dict(position), found["window"], found["bytes"]
        )

    def put_record(self, owner: str, record: Record) -> None:
        content = {
            "format": FORMAT,
            "owner": owner,
            "table": self._table,
            "epoch": record.epoch,
            "window": record.window,
            "bytes": record.bytes,
            "position": record.position.to_dict() if record.position else None,
        }
        self._store.put(self._record_file(owner), json.dumps(content, sort_keys=True).encode())

    def any_record(self) -> bool:
        """Whether anyone committed here, be it nothing."""
        return bool(self._store.files(f"{self._folder}/positions"))

    def put_schema(self, entry: Entry, schema: pa.Schema, rows: int) -> None:
        noted = schema.with_metadata({**(schema.metadata or {}), ROWS: str(rows).encode()})
        self._store.put(self._schema_file(entry), noted.serialize().to_pybytes())

    def schema(self, entry: Entry) -> tuple[pa.Schema, int] | None:
        """The schema of a file and its rows; of a file that was changed since, the one it had then."""
        stored = self._store.read(self._schema_file(entry))
        if stored is None:
            kept = self._schemas(entry.name)
            stored = self._store.read(kept[0].path) if len(kept) == 1 else None
        if stored is None:
            return None
        noted = pa.ipc.read_schema(pa.py_buffer(stored))
        metadata = {key: value for key, value in (noted.metadata or {}).items() if key != ROWS}
        return noted.with_metadata(metadata or None), int((noted.metadata or {}).get(ROWS, b"0"))

    def forget(self, name: str, kept: int | None = None) -> None:
        """Remove the schemas of a file but the one for its length now."""
        for entry in self._schemas(name):
            if entry.name != f"{name}.{kept}.arrow":
                self._store.remove(entry.path)

    def _schemas(self, name: str) -> list[Entry]:
        entries = self._store.files(f"{self._folder}/schemas")
        return [entry for entry in entries if entry.name.removesuffix(".arrow").rpartition(".")[0] == name]

    def _schema_file(self, entry: Entry) -> str:
        return f"{self._folder}/schemas/{entry.name}.{entry.size}.arrow"

    def _record_file(self, owner: str) -> str:
        digest = hashlib.sha256(f"{owner}\0{self._table}".encode()).hexdigest()[:24]
        return f"{self._folder}/positions/{digest}.json"
