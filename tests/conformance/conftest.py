from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .endpoints import ENDPOINTS, REFUSED, Endpoint
from .victims import Victims


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if not _refused(item)]


def _refused(item: pytest.Item) -> bool:
    chosen = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return chosen.get("mode") in REFUSED.get(str(chosen.get("endpoint")), ())


@pytest.fixture(params=sorted(ENDPOINTS))
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Endpoint:
    return ENDPOINTS[request.param](request, tmp_path)


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    nursery = Victims()
    yield nursery
    nursery.close()
