from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...postgres import Postgres  # noqa: TID252
from .warehouse import Warehouse


@pytest.fixture
def warehouse(postgres: Postgres, schema: str, tmp_path: Path) -> Iterator[Warehouse]:
    opened = Warehouse(postgres, schema, tmp_path)
    yield opened
    opened.connection.close()
