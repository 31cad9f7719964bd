"""Settings of a MySQL or MariaDB connection in the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from levada.errors import ConfigError
from levada.windows import timezone as zone_of

Tls = Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"]


class MysqlSettings(BaseModel):
    """A connection of `type: mysql`.

    Args:
        host, port: of the server.
        database: whose tables are read.
        user, password: rights to read are enough; `levada doctor` prints the grant.
        tls: `preferred` encrypts where the server can; `verify_ca` checks the certificate, and
            `verify_identity` the host's name in it too.
        tls_ca_file: the authority's certificate (PEM); without one, the system's.
        timezone: what `datetime` columns mean; `timestamp` columns are instants anyway.
        zero_dates: what becomes of `0000-00-00`, `2026-00-13` and local times that never were: their
            `text` goes to a column beside, they become `null`, or the row is rejected (`reject`).
        tinyint1: `bool` reads tinyint(1) as true and false; other numbers go to a column beside.
        connect_timeout: seconds until the server must have answered.
        read_timeout: seconds between two batches at most; None waits as long as the server works.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: Literal["mysql"] = "mysql"
    host: str = Field(default="localhost", min_length=1)
    port: int = Field(default=3306, ge=1, le=65535)
    database: str = Field(min_length=1)
    user: str = Field(default="root", min_length=1)
    password: SecretStr = SecretStr("")
    tls: Tls = "preferred"
    tls_ca_file: Path | None = None
    timezone: str = "UTC"
    zero_dates: Literal["text", "null", "reject"] = "text"
    tinyint1: Literal["integer", "bool"] = "integer"
    connect_timeout: float = Field(default=10.0, gt=0, le=3600)
    read_timeout: float | None = Field(default=None, gt=0)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zone_of(name)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return name

    def url(self, root: Path, *, encrypted: bool) -> str:
        """The driver's URL, with the password in it: never to be shown.

        Args:
            root: the project's folder, where relative paths start.
            encrypted: whether the server can encrypt; the driver itself has no mode that prefers it.
        """
        preferred = "required" if encrypted else "disabled"
        options = {
            "ssl-mode": (preferred if self.tls == "preferred" else self.tls).upper(),
            "prefer_socket": "false",
            "tcp_connect_timeout_ms": str(int(self.connect_timeout * 1000)),
            "tcp_keepalive_time_ms": "30000",
        }
        if self.tls_ca_file is not None:
            options["ssl-ca"] = str((root / self.tls_ca_file).resolve())
        secret = self.password.get_secret_value()
        login = quote(self.user, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mysql://{login}@{host}:{self.port}/{quote(self.database, safe='')}?{urlencode(options)}"

    @property
    def place(self) -> str:
        """Where it leads, without secrets."""
        return f"mysql://{self.host}:{self.port}/{self.database}"
