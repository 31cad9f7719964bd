from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write, Written
from levada.connectors.lake import LakeConnection, LakeSettings
from levada.connectors.lake import draft as drafts
from levada.positions import Position
from levada.windows import Window

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


class Lake:
    """A lake in a folder, and short ways to write and read it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.connection = LakeConnection("lake", LakeSettings(path="lake", **settings), folder)
        self.table = Table("lake", "items", key=("k",), time="t")

    def write(
        self,
        *batches: pa.RecordBatch,
        mode: Mode = Mode.APPEND,
        position: Position | None = None,
        owner: str = "p/s",
        window: Window | None = None,
        fence: Fence | None = None,
        table: Table | None = None,
    ) -> Written:
        table = table or self.table
        writer = self.connection.sink(table).open(Write(table, mode, owner, (), window, fence))
        for batch in batches:
            writer.write(Batch(batch))
        return writer.commit(position)

    def read(self, query: Query | None = None, table: Table | None = None, **limits: Any) -> pa.Table:
        source = self.connection.source(table or self.table, query or Query())
        limits = {"window": None, "after": None, **limits}
        return pa.Table.from_batches([batch.data for batch in source.read(**limits)])

    def rows(self, *names: str) -> list[Any]:
        """The rows' values of some columns, sorted as text."""
        table = self.read(Query(columns=names))
        values = zip(*(table[name].to_pylist() for name in names), strict=True)
        return sorted((each if len(names) > 1 else each[0] for each in values), key=str)

    def delta(self, table: Table | None = None) -> DeltaTable:
        return DeltaTable(self.connection.uri(table or self.table))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


@pytest.fixture
def make_lake(tmp_path: Path) -> Callable[..., Lake]:
    return lambda **settings: Lake(tmp_path, **settings)


def items(*keys: int, start: datetime = DAY.start, **columns: Any) -> pa.RecordBatch:
    """Rows with a key, a time (`key` hours after `start`) and constant columns (Arrow scalars or values)."""
    times = [start + timedelta(hours=key) for key in keys]
    arrays = {
        "k": pa.array([f"k{key}" for key in keys]),
        "t": pa.array(times, pa.timestamp("ms", "UTC")),
        **{name: _constant(value, len(keys)) for name, value in columns.items()},
    }
    return pa.RecordBatch.from_pydict(arrays)


def _constant(value: Any, times: int) -> pa.Array:
    if isinstance(value, pa.Array):
        return value
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    return pa.array([scalar.as_py()] * times, scalar.type)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 10 rows, and a checkpoint with every position."""
    monkeypatch.setattr(drafts, "ROW_GROUP", 10)
    monkeypatch.setattr(drafts, "CHECKPOINT_BYTES", 1)
