"""A DuckDB of a moment: for one sort, one join or one fold, with an end to the memory it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from levada.connectors.reading import OFFLINE

if TYPE_CHECKING:
    import duckdb

#: What it may take before it goes on in files.
MEMORY = "512MB"


@contextmanager
def scratch(folder: Path | None = None, memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that goes on in files where the memory does not suffice, gone afterwards.

    Args:
        folder: where its files go, made where it is missing; None: where the system keeps temporary ones.
        memory: as DuckDB writes it.
    """
    import duckdb

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="levada-", dir=folder) as files:
        options = {**OFFLINE, "temp_directory": files, "memory_limit": memory}
        with duckdb.connect(config=options) as connection:
            connection.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
            yield connection
