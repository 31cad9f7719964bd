"""MongoDB: connection, source, sink, and the embedded server."""

from levada.connectors.mongodb.client import MongoConnection
from levada.connectors.mongodb.settings import MongoSettings

__all__ = ["MongoConnection", "MongoSettings"]
