"""PostgreSQL: tables, views and queries read and written by COPY in binary."""

from levada.connectors.postgres.connection import PostgresConnection
from levada.connectors.postgres.settings import PostgresSettings

__all__ = ["PostgresConnection", "PostgresSettings"]
