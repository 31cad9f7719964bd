"""A real server, and connections to it whose waiting takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from levada.connectors.base import Query, Table
from levada.connectors.rest import RestConnection, RestSettings
from levada.connectors.rest.transport import Clock
from levada.positions import Position
from levada.windows import Window

from ...lacking import lacking  # noqa: TID252
from ...rest_server import Api, running  # noqa: TID252


class Waiting:
    """Time that passes only by waiting for it."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.begin = datetime(2026, 11, 24, 12, tzinfo=UTC)

    @property
    def clock(self) -> Clock:
        return Clock(self.now, lambda: sum(self.slept), self.slept.append)

    def now(self) -> datetime:
        return self.begin + timedelta(seconds=sum(self.slept))


Open = Callable[..., RestConnection]


@pytest.fixture
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def opened(api: Api, waiting: Waiting, tmp_path: Path) -> Iterator[Open]:
    """Opens a connection `api` with the resource `t`, given by its settings."""
    from importlib.util import find_spec

    if find_spec("dlt") is None:
        lacking("dlt isn't installed: pip install 'levada[rest]'")
    made: list[RestConnection] = []

    def make(resource: dict[str, Any], **settings: Any) -> RestConnection:
        raw = {"base_url": f"{api.url}/v1", "resources": {"t": resource}, **settings}
        made.append(RestConnection("api", RestSettings.model_validate(raw), tmp_path, waiting.clock))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def read(
    connection: RestConnection,
    window: Window | None = None,
    after: Position | None = None,
    time: str | None = None,
    **query: Any,
) -> list[Any]:
    """All batches of the resource."""
    table = Table("api", "t", time=time)
    return list(connection.source(table, Query(**query)).read(window, after))


def rows(batches: list[Any]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.data.to_pylist()]


def ids(batches: list[Any]) -> list[int]:
    return [row["id"] for row in rows(batches)]
