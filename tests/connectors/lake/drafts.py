"""Short ways to write drafts with checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levada.batches import Batch
from levada.connectors.base import Mode, Table, Write
from levada.positions import Position

from .conftest import Lake, items

BY_DAY = Table("lake", "items", key=("k",), time="t", partition_by=("day(t)",))


def parquet_files(lake: Lake) -> list[Path]:
    return sorted((lake.folder / "lake" / "items").rglob("*.parquet"))


def opened(lake: Lake, *, resume: bool = False, mode: Mode = Mode.APPEND, table: Table | None = None) -> Any:
    write = Write(table or lake.table, mode, "copy/a", checkpoints="everything", resume=resume)
    return lake.connection.sink(table or lake.table).open(write)


def numbered(first: int, last: int, **columns: Any) -> Batch:
    return Batch(items(*range(first, last), **columns), Position({"scan": last}))
