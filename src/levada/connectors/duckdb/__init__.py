"""DuckDB: a warehouse in one file."""

from levada.connectors.duckdb.connection import DuckdbConnection
from levada.connectors.duckdb.settings import DuckdbSettings

__all__ = ["DuckdbConnection", "DuckdbSettings"]
