"""REST: tables behind the JSON pages of an HTTP API; a source only."""

from levada.connectors.rest.connection import RestConnection
from levada.connectors.rest.settings import RestSettings

__all__ = ["RestConnection", "RestSettings"]
