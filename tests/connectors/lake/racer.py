"""A process that commits to a shared table as fast as it can: `python -m tests.connectors.lake.racer`.

It reads its settings as JSON from the first line of stdin, answers `ready`, begins with the second line, and
prints how many of its attempts lost against others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Changes, Mode, Table, Write
from levada.connectors.lake import LakeConnection
from levada.connectors.lake.commit import Commit
from levada.positions import Position
from levada.windows import Window

TABLE = Table("far", "sales/raced", key=("k",), time="t", partition_by=("day(t)",))
START = datetime(2026, 11, 23, tzinfo=UTC)
SCHEMA = pa.schema(
    [("k", pa.string()), ("t", pa.timestamp("ms", "UTC")), ("n", pa.int64()), ("op", pa.string())]
)
ROWS = 5
MODES = (Mode.APPEND, Mode.UPSERT, Mode.REPLACE_WINDOW)


def window_of(racer: int) -> Window:
    """The day that only this racer replaces."""
    return Window(START + timedelta(days=10 + racer), START + timedelta(days=11 + racer))


def owner_of(racer: int, mode: Mode) -> str:
    return f"racer{racer}/{mode}"


def rows_of(racer: int, mode: Mode, number: int) -> list[dict[str, Any]]:
    """The rows of one write; those of appends are all new, those of upserts and windows the same again.

    Every second upsert deletes the last of its rows.
    """
    day = 10 + racer if mode is Mode.REPLACE_WINDOW else int(mode is Mode.UPSERT)
    unique = f"-{number}" if mode is Mode.APPEND else ""
    return [
        {
            "k": f"{racer}-{mode}{unique}-{i}",
            "t": START + timedelta(days=day, minutes=i),
            "n": number,
            "op": "delete" if i == ROWS - 1 and number % 2 else None,
        }
        for i in range(ROWS)
    ]


def expected(racers: int, rounds: int) -> Iterator[tuple[str, int]]:
    """Key and number of every row that must be there at the end."""
    for racer in range(racers):
        for mode in MODES:
            for number in range(rounds) if mode is Mode.APPEND else (rounds - 1,):
                for row in rows_of(racer, mode, number):
                    if mode is not Mode.UPSERT or row["op"] is None:
                        yield row["k"], row["n"]


def _write(lake: LakeConnection, racer: int, mode: Mode, number: int) -> None:
    changes = Changes(operation="op") if mode is Mode.UPSERT else Changes()
    window = window_of(racer) if mode is Mode.REPLACE_WINDOW else None
    write = Write(TABLE, mode, owner_of(racer, mode), window=window, changes=changes)
    rows = pa.RecordBatch.from_pylist(rows_of(racer, mode, number), SCHEMA)
    writer = lake.sink(TABLE).open(write)
    writer.write(Batch(rows if mode is Mode.UPSERT else rows.drop_columns(["op"])))
    writer.commit(Position({"": number}, number + 1))


def _race() -> None:
    settings = json.loads(sys.stdin.readline())
    lake = LakeConnection("far", LakeConnection.settings_model.model_validate(settings["lake"]), Path.cwd())
    lost, attempt = [], Commit._attempt

    def counted(commit: Commit) -> Any:
        written = attempt(commit)
        if written is None:
            lost.append(1)
        return written

    Commit._attempt = counted  # type: ignore[method-assign]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(settings["rounds"]):
        for mode in MODES:
            _write(lake, settings["racer"], mode, number)
    sys.stdout.write(f"{len(lost)}\n")


if __name__ == "__main__":
    _race()
