"""Two processes at one table in an object store: conditional puts let one commit at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from deltalake import DeltaTable

from levada.connectors.base import Query
from levada.connectors.lake import LakeConnection
from levada.positions import Position

from ...s3 import S3  # noqa: TID252
from .racer import MODES, TABLE, expected, owner_of

ROOT = Path(__file__).parents[3]


def race(settings: dict[str, object], rounds: int, racers: int = 2) -> int:
    """Let processes commit at once; returns how many attempts lost against another one."""
    command = [sys.executable, "-m", "tests.connectors.lake.racer"]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(racers)
    ]
    try:
        for number, racer in enumerate(running):
            assert racer.stdin
            racer.stdin.write(json.dumps({"lake": settings, "racer": number, "rounds": rounds}) + "\n")
            racer.stdin.flush()
        for racer in running:
            assert racer.stdout
            assert racer.stdout.readline() == "ready\n"
        answers = []
        for racer in running:
            assert racer.stdin
            racer.stdin.write("go\n")
            racer.stdin.flush()
        for racer in running:
            answers.append(racer.communicate(timeout=600)[0])
            assert racer.returncode == 0
    finally:
        for racer in running:
            racer.kill()
            racer.wait()
    return sum(map(int, answers))


def races_without_loss(settings: dict[str, object], tmp_path: Path, rounds: int) -> int:
    lost = race(settings, rounds)
    lake = LakeConnection("far", LakeConnection.settings_model.model_validate(settings), tmp_path)
    batches = lake.source(TABLE, Query(columns=("k", "n"))).read(None, None)
    found = [(row["k"], row["n"]) for batch in batches for row in batch.data.to_pylist()]
    assert sorted(found) == sorted(expected(2, rounds))
    for racer in range(2):
        for mode in MODES:
            position = lake.sink(TABLE).position(owner_of(racer, mode))
            assert position == Position({"": rounds - 1}, rounds)
    return lost


def _settings(s3: S3) -> dict[str, object]:
    return {"path": s3.prefix(), "storage_options": s3.options, "commit_attempts": 100}


def test_two_processes_lose_and_double_nothing(s3: S3, tmp_path: Path) -> None:
    settings = _settings(s3)
    assert races_without_loss(settings, tmp_path, rounds=2) > 0
    table = DeltaTable(f"{settings['path']}/{TABLE.name}", storage_options=s3.options)
    writes = [commit for commit in table.history() if commit["operation"] != "CREATE TABLE"]
    assert len(writes) == 2 * 3 * 2


@pytest.mark.nightly
def test_two_processes_lose_and_double_nothing_for_long(s3: S3, tmp_path: Path) -> None:
    assert races_without_loss(_settings(s3), tmp_path, rounds=40) > 0
