"""Checkpoints of a write that outlive their process."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Mode
from levada.connectors.lake.sink import LakeWriter
from levada.errors import Fatal, Fenced
from levada.positions import Position

from .conftest import Lake, items
from .drafts import numbered, opened, parquet_files


def test_a_resumed_write_goes_on_behind_its_last_checkpoint(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 25))
    first.write(numbered(25, 50))
    first.write(Batch(items(50, 51)))  # behind the last position
    first.abort()
    second = opened(lake, resume=True)
    assert second.reached == Position({"scan": 50})
    assert second.taken_up == (50, 0)
    second.write(numbered(50, 60))
    assert second.commit(None).rows == 60
    assert lake.rows("k") == sorted(f"k{key}" for key in range(60))


def test_a_checkpoint_whose_place_is_gone_gives_way_to_the_one_before(lake: Lake, small: None) -> None:
    first = opened(lake)
    for at in range(0, 30, 10):
        first.write(numbered(at, at + 10))
    first.abort()
    second = opened(lake, resume=True)
    assert second.rewind()
    assert second.reached == Position({"scan": 20})
    second.write(Batch(items(99)))
    assert second.rewind()  # what came behind the checkpoint goes first
    assert second.reached == Position({"scan": 20})
    assert second.rewind()
    assert second.rewind()
    assert second.reached is None
    assert not second.rewind()
    second.write(numbered(0, 3))
    second.commit(None)
    assert lake.rows("k") == ["k0", "k1", "k2"]


def test_another_copy_begins_anew_and_clears_away(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 25))
    first.abort()
    left = parquet_files(lake)
    assert left
    second = opened(lake)
    assert second.reached is None
    assert parquet_files(lake) == []
    second.write(numbered(30, 31))
    second.commit(None)
    assert lake.rows("k") == ["k30"]


def test_a_lost_file_ends_what_can_be_taken_up(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    first.write(numbered(10, 20))
    first.abort()
    max(parquet_files(lake), key=lambda file: file.stat().st_mtime_ns).unlink()
    second = opened(lake, resume=True)
    assert second.reached == Position({"scan": 10})
    second.abort()


def test_a_finished_copy_is_not_resumed(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    first.commit(None)
    second = opened(lake, resume=True)
    assert second.complete
    second.abort()
    assert len(lake.rows("k")) == 10


def test_rows_set_aside_before_a_checkpoint_count_after_it(lake: Lake, small: None) -> None:
    far = pa.record_batch({"k": ["far"], "t": pa.array([2**62], pa.timestamp("ms", "UTC"))})
    first = opened(lake)
    first.write(Batch(far))
    first.write(numbered(0, 10))
    first.write(Batch(far, Position({"scan": 11})))
    first.write(numbered(11, 20))
    first.abort()
    second = opened(lake, resume=True)
    assert second.taken_up == (19, 2)
    assert second.rewind()
    assert second.taken_up == (10, 1)
    second.commit(None)


def test_what_is_taken_up_is_looked_into(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    first.write(numbered(10, 20))
    first.abort()
    last = max(parquet_files(lake), key=lambda file: file.stat().st_mtime_ns)
    last.write_bytes(bytes(last.stat().st_size))  # as a power cut leaves it
    second = opened(lake, resume=True)
    assert second.reached == Position({"scan": 10})
    second.abort()


def checkpoint_files(lake: Lake) -> list[Path]:
    return list((lake.folder / "lake" / "items" / "_levada" / "copies").rglob("*.json"))


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"format": 1}', b'{"format": 1, "checkpoints": [{}]}']
)
def test_damaged_checkpoints_are_named_and_another_copy_clears_them(
    lake: Lake, small: None, content: bytes
) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    first.abort()
    checkpoint_files(lake)[0].write_bytes(content)
    with pytest.raises(Fatal, match="damaged"):
        opened(lake, resume=True)
    second = opened(lake)
    second.write(numbered(10, 11))
    second.commit(None)
    assert lake.rows("k") == ["k10"]
    assert checkpoint_files(lake) == []


def claim(lake: Lake, process: str) -> None:
    """Say that another process has begun the copy that is under way."""
    [file] = checkpoint_files(lake)
    file.write_text(json.dumps({**json.loads(file.read_text()), "process": process}))


def test_a_process_that_only_has_the_number_of_the_killed_one_is_not_taken_for_it(
    lake: Lake, small: None
) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    claim(lake, f"{platform.node()}:{os.getpid()}:1")  # in a container a process gets the same number again
    second = opened(lake, resume=True)
    assert second.reached == Position({"scan": 10})
    second.commit(None)
    first.abort()


@pytest.mark.parametrize("resume", [True, False])
def test_a_copy_that_another_machine_took_for_dead_writes_nothing(
    lake: Lake, small: None, resume: bool
) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    claim(lake, "another-machine:1:1")
    second = opened(lake, resume=resume)
    second.write(numbered(10, 15))
    second.commit(None)
    first.write(numbered(10, 20))
    with pytest.raises(Fenced, match="another process has"):
        first.commit(None)
    assert lake.rows("k") == sorted(f"k{key}" for key in range(0 if resume else 10, 15))


def test_a_table_never_refers_to_a_file_that_was_cleared_away(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    claim(lake, "another-machine:1:1")
    second = opened(lake)
    first.write(numbered(10, 20))
    with pytest.raises(Fatal, match="removed or changed"):
        first.commit(None)
    second.write(numbered(20, 21))
    second.commit(None)
    assert lake.rows("k") == ["k20"]


def test_files_that_could_not_be_put_into_the_table_as_they_are_do_not_stay(lake: Lake, small: None) -> None:
    lake.write(items(0, gone=pa.scalar(1)))
    writer = opened(lake, mode=Mode.REPLACE)
    writer.write(numbered(0, 10))
    writer.commit(None)
    assert lake.rows("k") == sorted(f"k{key}" for key in range(10))
    assert len(parquet_files(lake)) == 1 + len(lake.delta().file_uris())
    assert checkpoint_files(lake) == []


KILLED = """
    import os, signal
    from pathlib import Path
    from levada.batches import Batch
    from levada.connectors.base import Mode, Write
    from levada.connectors.lake import LakeConnection, LakeSettings, checkpoints, draft
    from levada.connectors.base import Table
    from levada.positions import Position
    import pyarrow as pa
    draft.CHECKPOINT_BYTES = 1
    connection = LakeConnection("lake", LakeSettings(path="lake"), Path({folder!r}))
    table = Table("lake", "items", key=("k",), time="t")
    writer = connection.sink(table).open(Write(table, Mode.APPEND, "copy/a", checkpoints="everything"))
    rows = pa.record_batch({{"k": [f"k{{n}}" for n in range(20)]}})
    writer.write(Batch(rows, Position({{"scan": 20}})))
    die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if {after!r} == "commit":
        checkpoints.Checkpoints.remove = die
        writer.commit(None)
    die()
"""


def kill(lake: Lake, after: str) -> None:
    script = textwrap.dedent(KILLED).format(folder=str(lake.folder), after=after)
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


def test_a_write_killed_behind_a_checkpoint_is_taken_up(lake: Lake) -> None:
    kill(lake, after="checkpoint")
    writer = opened(lake, resume=True)
    assert writer.reached == Position({"scan": 20})
    writer.commit(None)
    assert len(lake.rows("k")) == 20


@pytest.mark.parametrize("resume", [True, False])
def test_a_write_killed_between_commit_and_clearing_keeps_its_rows(lake: Lake, resume: bool) -> None:
    kill(lake, after="commit")
    writer: LakeWriter = opened(lake, resume=resume)
    assert writer.complete is resume
    writer.abort()
    assert len(lake.rows("k")) == 20
    assert len(parquet_files(lake)) == 1


def test_a_copy_under_way_is_neither_taken_up_nor_cleared(lake: Lake, small: None) -> None:
    first = opened(lake)
    first.write(numbered(0, 10))
    for resume in (True, False):
        with pytest.raises(Fatal, match="under way"):
            opened(lake, resume=resume)
    first.commit(None)
    assert len(lake.rows("k")) == 10
