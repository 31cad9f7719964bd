"""Settings of a DuckDB connection in the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MEMORY = ":memory:"


class DuckdbSettings(BaseModel):
    """A connection of `type: duckdb`.

    Args:
        path: the database file, relative to the project's folder, or `:memory:`.
        schema: where tables without another one live; created when needed.
        memory_limit: as DuckDB writes it (`2GB`); more than that goes to disk. Default: DuckDB's.
        threads: default: one per core.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    type: Literal["duckdb"] = "duckdb"
    path: str = MEMORY
    schema_name: str = Field(default="main", alias="schema", min_length=1)
    memory_limit: str | None = Field(default=None, pattern=r"(?i)^\s*\d+(\.\d+)?\s*([kmgt]i?b|%)\s*$")
    threads: int | None = Field(default=None, ge=1)

    def file(self, root: Path) -> str:
        """The database file's path, or `:memory:`."""
        return MEMORY if self.path == MEMORY else str((root / self.path).resolve())
