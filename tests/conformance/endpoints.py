"""The endpoints that the conformance suite runs against; a new connector adds one line to `ENDPOINTS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from levada.config.registry import connector_class
from levada.connectors.base import Connection, Mode


@dataclass(frozen=True)
class Endpoint:
    """How to open a connection, in this process or in another one.

    Args:
        kind: connection type.
        root: the project's folder.
        settings: as in a project file.
        atomic: whether rows become visible by the commit alone, so that a refused write leaves no trace.
    """

    kind: str
    root: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    atomic: bool = True

    def open(self) -> AbstractContextManager[Connection]:
        chosen = connector_class(self.kind)
        return closing(
            chosen(self.kind, chosen.settings_model.model_validate(dict(self.settings)), self.root)
        )


def _mongodb(request: pytest.FixtureRequest, root: Path) -> Endpoint:
    uri, database = request.getfixturevalue("mongod"), request.getfixturevalue("database")
    return Endpoint("mongodb", root, {"uri": uri, "database": database}, atomic=False)


def _postgres(request: pytest.FixtureRequest, root: Path) -> Endpoint:
    server, schema = request.getfixturevalue("postgres"), request.getfixturevalue("schema")
    return Endpoint("postgres", root, {"uri": server.uri, "schema": schema})


def _on_s3(kind: str, atomic: bool) -> Callable[[pytest.FixtureRequest, Path], Endpoint]:
    def make(request: pytest.FixtureRequest, root: Path) -> Endpoint:
        s3 = request.getfixturevalue("s3")
        return Endpoint(kind, root, {"path": s3.prefix(), "storage_options": s3.options}, atomic)

    return make


#: Name -> what makes a fresh endpoint; it may ask for fixtures of tests/conftest.py.
ENDPOINTS: dict[str, Callable[[pytest.FixtureRequest, Path], Endpoint]] = {
    "duckdb": lambda _, root: Endpoint("duckdb", root, {"path": "warehouse.duckdb"}),
    "files": lambda _, root: Endpoint("files", root, {"path": "files"}, atomic=False),
    "files-s3": _on_s3("files", atomic=False),
    "lake-s3": _on_s3("lake", atomic=True),
    "lake": lambda _, root: Endpoint("lake", root, {"path": "lake"}),
    "mongodb": _mongodb,
    "postgres": _postgres,
}

#: Name -> the modes that it refuses; it has no cells for them.
REFUSED: dict[str, tuple[Mode, ...]] = dict.fromkeys(
    ("files", "files-s3"), (Mode.REPLACE_WINDOW, Mode.UPSERT)
)
