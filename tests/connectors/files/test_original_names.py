"""Names that a lake had to map are the original ones in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import levada

pytestmark = pytest.mark.unit


def test_a_file_gets_the_names_that_the_lake_had_mapped(tmp_path: Path) -> None:
    rows = {"a b": 1, "Total": 2, "total": 3, "": {"x;y": 4}}
    (tmp_path / "in.jsonl").write_text(json.dumps(rows) + "\n")
    levada.copy(f"file://{tmp_path}/in.jsonl", f"file://{tmp_path}/lake/rows")
    assert levada.read(f"file://{tmp_path}/lake/rows").schema.names != list(rows)
    levada.copy(f"file://{tmp_path}/lake/rows", f"file://{tmp_path}/out.jsonl", mode="replace")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == rows
