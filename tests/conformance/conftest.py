from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .endpoints import ENDPOINTS, Endpoint
from .victims import Victims


@pytest.fixture(params=sorted(ENDPOINTS))
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Endpoint:
    return ENDPOINTS[request.param](request, tmp_path)


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    nursery = Victims()
    yield nursery
    nursery.close()
