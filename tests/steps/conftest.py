from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from levada.project import Project, load

Make = Callable[..., Project]


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, mongod: str, database: str, clock: Clock) -> Iterator[Make]:
    """Makes a project with connections `db`, `wh` and `lake`, whose only pipeline is `p`."""
    opened: list[Project] = []

    def make_project(pipeline: str, tables: str = "{}", **options: Any) -> Project:
        (tmp_path / "levada.yml").write_text(
            "format: 1\nname: test\n"
            "connections:\n"
            f"  db: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
            "  wh: {type: duckdb, path: wh.duckdb}\n"
            "  lake: {type: lake, path: lake}\n"
            f"state: {{connection: db, database: {database}}}\n"
            f"tables: {tables}\n"
            "pipelines:\n  p:\n" + textwrap.indent(textwrap.dedent(pipeline), "    ")
        )
        opened.append(load(tmp_path, env={}, clock=clock, **options))
        return opened[-1]

    yield make_project
    for project in opened:
        project.close()
