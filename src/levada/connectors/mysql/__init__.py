"""MySQL and MariaDB, as a source."""

from levada.connectors.mysql.connection import MysqlConnection
from levada.connectors.mysql.settings import MysqlSettings

__all__ = ["MysqlConnection", "MysqlSettings"]
