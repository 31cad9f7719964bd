from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from levada.config import ProjectFile, load

#: Everything the format knows, in lines whose numbers the tests name.
COMPLETE = """\
format: 1
name: shop
connections:
  shop: {type: mongodb, uri: "${SHOP_MONGODB_URI:-embedded}", database: shop}
  lake: {type: lake, path: "${SHOP_LAKE:-.levada/lake}"}
tables:
  shop.transactions: {key: [transaction_id], time: transaction_date}
  lake.transactions: {key: _id, partition_by: ["day(transaction_date)"]}
pipelines:
  daily:
    schedule: "0 2 * * *"
    window: day
    timezone: Europe/Lisbon
    owner: data-team
    tags: [mongodb, etl]
    notify: {email: [data@example.com], on: [failure]}
    retries: {attempts: 3, delay: 5m, jitter: 10s}
    timeout: 2h
    parallel: 2
    steps:
      validate:
        check: {table: shop.transactions, rules: [{row_count: {min: 1}}]}
      extract:
        copy: {from: shop.transactions, to: lake.transactions, mode: replace_window}
        retries: {attempts: 1}
        timeout: 30m
      clean:
        prune: {table: lake.transactions, older_than: 7d}
        needs: []
streams: {}
"""


@pytest.fixture
def complete() -> str:
    """The text of a file that uses everything the format knows."""
    return COMPLETE


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., ProjectFile]:
    """Write a text as levada.yml and load it."""

    def loaded(text: str | bytes = COMPLETE, env: Mapping[str, str] | None = None) -> ProjectFile:
        path = tmp_path / "levada.yml"
        path.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        return load(path, env or {})

    return loaded
