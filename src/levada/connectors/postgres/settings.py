"""Settings of a PostgreSQL connection in the project file, and the URI of libpq they become."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

#: A peer that is gone without a word is found out after a minute, not after hours.
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

SCHEMES = ("postgres", "postgresql")
#: Options of libpq that hold one.
_SECRET_OPTIONS = ("password", "sslpassword")


class PostgresSettings(BaseModel):
    """A connection of `type: postgres`.

    Args:
        uri: `postgres://user:password@host:port/database?sslmode=require`; what it lacks comes from the
            settings below.
        host, port, database, user, password: where and who, where there is no `uri`.
        schema: where tables named without one live; created when needed.
        options: of libpq, such as `sslmode`, `sslrootcert`, `target_session_attrs`.
        connect_timeout: seconds.
        statement_timeout: seconds that one statement may take; default: the server's.
        timezone: what zone `timestamp` columns (without one) are in; default: they stay without.
        json: `text` reads json and jsonb as their text, `variant` as documents for MongoDB.
        out_of_range: what becomes of values that Arrow's type can't hold (infinity, NaN in a numeric(p, s)):
            `aside` puts their text into a column `<name>__text`, `text` reads all such columns as text,
            `reject` counts the row out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    type: Literal["postgres"] = "postgres"
    uri: SecretStr | None = None
    host: str = "localhost"
    port: int = Field(default=5432, ge=1, le=65535)
    database: str | None = Field(default=None, min_length=1)
    user: str | None = None
    password: SecretStr | None = None
    schema_name: str = Field(default="public", alias="schema", min_length=1)
    options: dict[str, str] = Field(default_factory=dict)
    connect_timeout: int = Field(default=10, ge=1)
    statement_timeout: float | None = Field(default=None, gt=0)
    timezone: str | None = None
    json_as: Literal["text", "variant"] = Field(default="text", alias="json")
    out_of_range: Literal["aside", "text", "reject"] = "aside"

    @field_validator("uri")
    @classmethod
    def _readable(cls, uri: SecretStr | None) -> SecretStr | None:
        if uri is None:
            return uri
        try:
            parts = urlsplit(uri.get_secret_value())
            port_is_number = parts.netloc.count(",") or parts.port is None or parts.port
        except ValueError:
            port_is_number = False
        if not port_is_number or "@" in parts.path:
            raise ValueError("special characters in a URI are percent-encoded: / is %2F, @ is %40, : is %3A")
        if parts.scheme not in SCHEMES:
            raise ValueError("it begins with postgres:// or postgresql://")
        return uri

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        from levada.errors import ConfigError
        from levada.windows import timezone

        try:
            return name and timezone(name).key
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.uri is None and self.database is None:
            raise ValueError("it needs `uri`, or `database`")
        return self

    def conninfo(self) -> str:
        """The URI for libpq, everything in it percent-encoded. Secret."""
        user, password = self._credentials()
        login = quote(user or "", safe="")
        if password:
            login += ":" + quote(password, safe="")
        known = {"application_name": "levada", "connect_timeout": str(self.connect_timeout), **_KEEPALIVE}
        options = urlencode({**known, **self._uri_options(), **self.options}, quote_via=quote)
        at = "@" if login else ""
        return f"postgresql://{login}{at}{self._host()}/{quote(self.database_name, safe='')}?{options}"

    @property
    def database_name(self) -> str:
        named = unquote(urlsplit(self._text()).path.lstrip("/"))
        return self.database or named or "postgres"

    @property
    def place(self) -> str:
        """`host:port/database`, without user and password."""
        return f"{unquote(self._host())}/{self.database_name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        options = {**self._uri_options(), **self.options}
        found = [self._credentials()[1], *(options.get(name) for name in _SECRET_OPTIONS)]
        return tuple(form for secret in found if secret for form in (secret, quote(secret, safe="")))

    def _text(self) -> str:
        return self.uri.get_secret_value() if self.uri else ""

    def _credentials(self) -> tuple[str | None, str | None]:
        login = urlsplit(self._text()).netloc.rpartition("@")[0]
        user, _, password = login.partition(":")
        given = self.password.get_secret_value() if self.password else None
        options = self._uri_options()
        return self.user or unquote(user) or None, given or unquote(password) or options.get("password")

    def _host(self) -> str:
        """Host and port as they stand in a URI."""
        there = urlsplit(self._text()).netloc.rpartition("@")[2]
        numbers = ":" in self.host and "/" not in self.host
        host = f"[{self.host.strip('[]')}]" if numbers else quote(self.host, safe="")
        return there or f"{host}:{self.port}"

    def _uri_options(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self._text()).query, keep_blank_values=True))
