from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from levada.observe import Event
from levada.project import Project, load

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)

Make = Callable[..., Project]


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a condition; fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def steps(self, kind: str) -> list[str | None]:
        return [event.step for event in self.events if event.kind == kind]


@pytest.fixture
def make(tmp_path: Path, mongod: str, database: str) -> Iterator[Make]:
    """Makes a project whose only pipeline is `p`, with python steps from the module `jobs`."""
    opened: list[Project] = []

    def make_project(pipeline: str, jobs: str = "", **options: Any) -> Project:
        sys.modules.pop("jobs", None)
        (tmp_path / "jobs.py").write_text(textwrap.dedent(jobs))
        (tmp_path / "levada.yml").write_text(
            "format: 1\nname: test\n"
            "connections:\n"
            f"  db: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
            "  wh: {type: duckdb, path: wh.duckdb}\n"
            f"state: {{connection: db, database: {database}}}\n"
            "pipelines:\n  p:\n" + textwrap.indent(textwrap.dedent(pipeline), "    ")
        )
        options.setdefault("clock", lambda: NOW)
        options.setdefault("listener", Recorder())
        opened.append(load(tmp_path, env={}, **options))
        return opened[-1]

    yield make_project
    for project in opened:
        project.close()
    sys.modules.pop("jobs", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
