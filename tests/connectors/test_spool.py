from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from levada.connectors.spool import Spool
from levada.errors import Retriable

pytestmark = pytest.mark.unit

NARROW = pa.RecordBatch.from_pydict({"a": pa.array([1, 2], pa.int32())})
WIDE = pa.RecordBatch.from_pydict({"a": [2**40], "b": ["x"]})
ROWS = [{"a": 1, "b": None}, {"a": 2, "b": None}, {"a": 2**40, "b": "x"}]


@pytest.mark.parametrize("memory", [0, 10**6])
def test_gives_back_every_row_in_order_by_the_widest_schema_as_often_as_asked(
    tmp_path: Path, memory: int
) -> None:
    spool = Spool(tmp_path, memory)
    for batch in (NARROW, WIDE, NARROW.slice(1), WIDE.slice(1)):
        spool.add(batch)
    assert spool.schema is not None
    assert spool.rows == 4
    for _ in range(2):
        batches = list(spool.batches(spool.schema))
        assert pa.Table.from_batches(batches).to_pylist() == [*ROWS, {"a": 2, "b": None}]
    assert bool(list(tmp_path.iterdir())) == (memory == 0)
    spool.close()
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_removes_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    left = f"""
import os, pyarrow as pa
from pathlib import Path
from levada.connectors.spool import Spool
spool = Spool(Path({str(tmp_path)!r}), 0)
spool.add(pa.RecordBatch.from_pydict({{"a": [1]}}))
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", left], check=False, timeout=60)
    assert done.returncode == 9
    (dead,) = tmp_path.iterdir()
    mine = Spool(tmp_path, 0)
    mine.add(NARROW)
    other = Spool(tmp_path, 0)
    other.add(NARROW)
    assert dead not in tmp_path.iterdir()
    assert len(list(tmp_path.iterdir())) == 2
    assert all(f"-{os.getpid()}-" in folder.name for folder in tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Retriable, match="file"):
        Spool(tmp_path / "file" / "tmp", 0).add(NARROW)


def test_a_spool_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    spool.add(NARROW)
    assert list(tmp_path.iterdir())
    del spool
    assert not list(tmp_path.iterdir())
