"""Settings of a MongoDB connection in the project file, and the PyMongo options they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

EMBEDDED = "embedded"

ReadPreference = Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"]
ReadConcern = Literal["local", "available", "majority", "linearizable", "snapshot"]
Mechanism = Literal[
    "SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "MONGODB-AWS", "MONGODB-OIDC", "GSSAPI", "PLAIN"
]

#: Setting -> name of the PyMongo option; what is None is left to the URI.
_OPTIONS = {
    "username": "username",
    "password": "password",
    "auth_source": "authSource",
    "auth_mechanism": "authMechanism",
    "replica_set": "replicaSet",
    "tls": "tls",
    "tls_ca_file": "tlsCAFile",
    "tls_certificate_key_file": "tlsCertificateKeyFile",
    "read_preference": "readPreference",
    "read_concern": "readConcernLevel",
    "write_concern": "w",
    "max_pool_size": "maxPoolSize",
    "app_name": "appname",
}


class MongoSettings(BaseModel):
    """A connection of `type: mongodb`.

    Args:
        uri: `mongodb://...`, `mongodb+srv://...`, or `embedded` for a server of the project's own.
        database: the database of tables named without one; else the one in the URI.
        username, password, auth_source, auth_mechanism: credentials, where they are not in the URI.
        replica_set, tls, tls_ca_file, tls_certificate_key_file: how to reach the servers.
        read_preference, read_concern, write_concern: as MongoDB names them; writes wait for the majority.
        compressors: of the wire, best first: `zstd`, `snappy`, `zlib`.
        max_pool_size: connections at most.
        server_selection_timeout: seconds to look for a usable server.
        socket_timeout: seconds to wait for one reply; None waits as long as the server works.
        app_name: shows up in the server's log and `$currentOp`.
        max_documents_per_second, max_bytes_per_second: how fast it may be read, by all scans of a
            process together.
        max_time: seconds that the server may work on one scan, its waiting for the reader not counted.
        comment: goes with every scan, for `$currentOp`, the profiler and the server's log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: Literal["mongodb"] = "mongodb"
    uri: SecretStr = SecretStr("mongodb://localhost:27017")
    database: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    auth_source: str | None = None
    auth_mechanism: Mechanism | None = None
    replica_set: str | None = None
    tls: bool | None = None
    tls_ca_file: Path | None = None
    tls_certificate_key_file: Path | None = None
    read_preference: ReadPreference | None = None
    read_concern: ReadConcern | None = None
    write_concern: int | str = "majority"
    compressors: tuple[Literal["zstd", "snappy", "zlib"], ...] = ()
    max_pool_size: int | None = Field(default=None, ge=4)
    server_selection_timeout: float = Field(default=10.0, gt=0)
    socket_timeout: float | None = Field(default=None, gt=0)
    app_name: str = Field(default="levada", max_length=128)
    max_documents_per_second: float | None = Field(default=None, gt=0)
    max_bytes_per_second: float | None = Field(default=None, gt=0)
    max_time: float | None = Field(default=None, ge=0.001, le=2_000_000)
    comment: str | None = None

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, uri: SecretStr) -> SecretStr:
        text = uri.get_secret_value()
        if text != EMBEDDED and not text.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must be embedded, mongodb://... or mongodb+srv://...")
        return uri

    @model_validator(mode="after")
    def _no_credentials_for_embedded(self) -> Self:
        if self.embedded and (self.username or self.password or self.tls):
            raise ValueError("the embedded server takes no username, password or tls")
        return self

    @property
    def embedded(self) -> bool:
        return self.uri.get_secret_value() == EMBEDDED

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `pymongo.MongoClient`."""
        given = {option: getattr(self, name) for name, option in _OPTIONS.items()}
        options = {option: _plain(value) for option, value in given.items() if value is not None}
        options["serverSelectionTimeoutMS"] = round(self.server_selection_timeout * 1000)
        options["connectTimeoutMS"] = round(self.server_selection_timeout * 1000)
        if self.socket_timeout is not None:
            options["socketTimeoutMS"] = round(self.socket_timeout * 1000)
        if self.compressors:
            options["compressors"] = ",".join(self.compressors)
        return options

    def scan_options(self) -> dict[str, Any]:
        """What goes with every find and aggregate of a scan."""
        time = {"maxTimeMS": round(self.max_time * 1000)} if self.max_time else {}
        return time | ({"comment": self.comment} if self.comment else {})


def masked(uri: str) -> str:
    """The URI with its password replaced by `***`."""
    parts = urlsplit(uri)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if not at or ":" not in credentials:
        return uri
    return urlunsplit(parts._replace(netloc=f"{credentials.partition(':')[0]}:***@{hosts}"))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value
