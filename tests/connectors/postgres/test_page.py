"""The commands of the reference page, against a server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from deltalake import DeltaTable

from .warehouse import Warehouse

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "connectors" / "postgres.md"


def test_the_commands_of_the_page_run(warehouse: Warehouse, tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    server = f"postgres://postgres@127.0.0.1:{warehouse.server.port}/postgres"
    program = commands.replace("postgres://levada@db.example.com/shop", server)
    program = program.replace(".marts.", f".{warehouse.schema}.")
    (tmp_path / "scores.csv").write_text("customer_id,score\na,5\nb,50\nb,51\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PWD": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert warehouse.plain("SELECT customer_id, score FROM {s}.scores ORDER BY 1") == [("a", 5), ("b", 51)]
    stored = DeltaTable(tmp_path / "lake" / "scores").to_pyarrow_table().to_pylist()
    assert stored == [{"customer_id": "b", "score": 51}]
