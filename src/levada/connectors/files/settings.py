"""Settings of a files connection in the project file."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from levada.connectors.columntypes import column_field
from levada.connectors.files.formats import Compression, Format


class FilesSettings(BaseModel):
    """A connection of `type: files`: a table is one file, or a folder of files.

    Args:
        path: a folder, relative to the project's, or `s3://bucket/prefix`.
        storage_options: credentials and options of the object store, as `deltalake` names them.
        format: of files whose names don't say it, and of new files in folders.
        compression: of new text files in folders.
        row_group_rows: rows of each row group of a Parquet file but its last.
        file_bytes: a folder's file ends with the row group or batch that makes it this long.
        delimiter, encoding: of CSV files; the encoding of JSON Lines too.
        columns: table -> column -> type, for files of text that Levada didn't write.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["files"] = "files"
    path: str
    storage_options: Mapping[str, SecretStr] = Field(default_factory=dict)
    format: Format | None = None
    compression: Compression = Compression.NONE
    row_group_rows: int = Field(default=122_880, ge=1)
    file_bytes: int = Field(default=128 * 1024 * 1024, ge=1)
    delimiter: str = ","
    encoding: str = "utf-8"
    columns: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)

    @field_validator("path")
    @classmethod
    def _not_empty(cls, path: str) -> str:
        if not path.strip():
            raise ValueError("must be a folder or s3://bucket/prefix")
        return path

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii():
            raise ValueError("must be one ASCII character, neither a quote nor a line's end")
        return delimiter

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        try:
            return codecs.lookup(encoding).name
        except LookupError:
            raise ValueError("is no encoding that Python knows; write utf-8, utf-16 or cp1252") from None

    @field_validator("columns")
    @classmethod
    def _known_types(cls, columns: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        for table in columns.values():
            for name, kind in table.items():
                column_field(name, kind)
        return columns

    @property
    def remote(self) -> bool:
        return "://" in self.path and not self.path.startswith("file://")

    def root(self, project: Path) -> str:
        """The connection's own folder or URI."""
        if self.remote:
            return self.path.rstrip("/")
        return str((project / self.path.removeprefix("file://")).resolve())

    def options(self) -> dict[str, str]:
        """Storage options in plain text, for the driver."""
        return {name: value.get_secret_value() for name, value in self.storage_options.items()}
