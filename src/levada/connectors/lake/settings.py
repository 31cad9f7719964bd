"""Settings of a lake connection in the project file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from levada.config import Duration


class OnTypeChange(StrEnum):
    """What to do when a column of a stored table needs a wider type."""

    REFUSE = "refuse"
    REWRITE = "rewrite"
    VARIANT = "variant"


class LakeSettings(BaseModel):
    """A connection of `type: lake`: Delta tables, one folder each.

    Args:
        path: a folder, relative to the project's, or `s3://bucket/prefix`.
        storage_options: credentials and options of the object store, as `deltalake` names them.
        on_type_change: `refuse` stops; `rewrite` writes the whole table again, in the same commit; `variant`
            keeps the column and puts values that it can't hold into a side column `<column>__variant`.
        log_retention: how long the table's history can be read back.
        commit_attempts: tries when other writers commit at the same time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["lake"] = "lake"
    path: str
    storage_options: Mapping[str, SecretStr] = Field(default_factory=dict)
    on_type_change: OnTypeChange = OnTypeChange.REFUSE
    log_retention: Duration = timedelta(days=30)
    commit_attempts: int = Field(default=10, ge=1)

    @field_validator("path")
    @classmethod
    def _not_empty(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("must be a folder or s3://bucket/prefix")
        return path

    @property
    def remote(self) -> bool:
        return "://" in self.path and not self.path.startswith("file://")

    def root(self, project: Path) -> str:
        """The lake's own folder or URI."""
        if self.remote:
            return self.path.rstrip("/")
        return str((project / self.path.removeprefix("file://")).resolve())

    def options(self) -> dict[str, str]:
        """Storage options in plain text, for the driver."""
        return {name: value.get_secret_value() for name, value in self.storage_options.items()}
