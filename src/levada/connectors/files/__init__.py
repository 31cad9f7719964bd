"""Files: Parquet, CSV, JSON Lines and Extended JSON in folders or an object store."""

from levada.connectors.files.connection import FilesConnection
from levada.connectors.files.settings import FilesSettings

__all__ = ["FilesConnection", "FilesSettings"]
