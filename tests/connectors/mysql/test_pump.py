"""The process between the server and a slow reader: all rows, in order, in bounded memory."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.connectors.base import Query
from levada.connectors.mysql import pump

from .conftest import Legacy

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


def numbered(first: int, rows: int, width: int) -> pa.RecordBatch:
    numbers = pa.array(range(first, first + rows))
    return pa.record_batch([numbers, pa.array(["x" * width] * rows)], schema=SCHEMA)


def open_files(process: int, folder: Path) -> int:
    """How many files of a folder a process has open, those without a name too."""
    links = [str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()]
    return sum(link.startswith(f"{folder}/") for link in links)


@pytest.mark.unit
def test_what_nobody_fetches_waits_in_files_and_comes_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "MEMORY", 200_000)
    monkeypatch.setattr(pump, "_FILE", 100_000)
    receiving, sending = os.pipe()
    outlet = pump.Outlet(sending, SCHEMA, str(tmp_path))
    for place in range(100):
        outlet.put(numbered(place * 100, 100, 100))
    assert open_files(os.getpid(), tmp_path) > 3
    found: list[int] = []

    def fetch() -> None:
        with os.fdopen(receiving, "rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                found.extend(batch["n"].to_pylist())

    reader = threading.Thread(target=fetch)
    reader.start()
    outlet.wait_for_room()
    assert open_files(os.getpid(), tmp_path) == 0
    outlet.put(numbered(10_000, 5, 1))
    outlet.finish()
    os.close(sending)
    reader.join()
    assert found == list(range(10_005))


def pumps() -> list[Path]:
    """Where the system tells about this process's children that read tables; it may have others."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    found = [Path("/proc", child) for child in children]
    return [one for one in found if b"pump.py" in (one / "cmdline").read_bytes()]


def peak(process: Path) -> int:
    """Bytes of memory that it has had at most."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def test_a_slow_reader_costs_no_memory(shop: Legacy) -> None:
    """300,000 rows of 2,000 bytes are 600 MB; the driver alone would hold them all."""
    rows = Query(sql="SELECT seq AS n, REPEAT('x', 2000) AS text FROM seq_1_to_300000", batch_rows=2000)
    batches = shop.source("q", rows).read(None, None)
    first = next(batches)
    deadline = time.monotonic() + 60
    while _reading(shop):  # the server has given everything, while nothing was taken
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (process,) = pumps()
    assert peak(process) < 450 * 1024 * 1024
    total = first.data.num_rows + sum(batch.data.num_rows for batch in batches)
    assert total == 300_000


def _reading(shop: Legacy) -> bool:
    sql = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'reader' AND COMMAND <> 'Sleep'"
    return bool(shop.printed(f"{sql} AND DB = '{shop.server.database}'"))


def test_the_password_is_in_no_command_line_and_no_file(shop: Legacy) -> None:
    slow = Query(sql="SELECT seq, SLEEP(0.001) AS s FROM seq_1_to_100000", batch_rows=10)
    batches: Any = shop.source("q", slow).read(None, None)
    next(batches)
    (process,) = pumps()
    said = b"".join((process / file).read_bytes() for file in ("cmdline", "environ"))
    batches.close()
    password = shop.server.settings()["password"]
    assert password.encode() not in said
    assert json.dumps(password).encode() not in said
