"""Settings of a REST connection in the project file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from levada.config import Duration
from levada.config.shapes import one_or_many
from levada.connectors.rest.columns import column

#: Headers shorter than this (`X-Version: 2`) are no secrets, and masking them would garble messages.
_SHORTEST = 6

TimeFormat = Literal["iso", "epoch", "epoch_ms", "date"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class Bearer(_Model):
    """`Authorization: Bearer TOKEN`."""

    type: Literal["bearer"]
    token: SecretStr


class ApiKey(_Model):
    """A key in a header or in the query.

    Args:
        name: of the header or the parameter.
        where: `header` or `query` (`in:`).
    """

    type: Literal["api_key"]
    key: SecretStr
    name: str = "Authorization"
    where: Literal["header", "query"] = Field(default="header", alias="in")


class Basic(_Model):
    """User and password."""

    type: Literal["basic"]
    username: str
    password: SecretStr


class OAuth2(_Model):
    """OAuth 2 client credentials (RFC 6749, section 4.4); the token is renewed when it ends.

    Args:
        token_url: where tokens are given out; may be another host.
        request: further members of the token request, such as `audience`.
    """

    type: Literal["oauth2"]
    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str | None = None
    request: Mapping[str, str] = Field(default_factory=dict)


Auth = Annotated[Bearer | ApiKey | Basic | OAuth2, Field(discriminator="type")]


class Single(_Model):
    """One page holds everything."""

    type: Literal["single"]


class Auto(_Model):
    """What the first page looks like; see the documentation for what that can't see."""

    type: Literal["auto"]


class HeaderLink(_Model):
    """The next page's URL in the `Link` header (RFC 8288)."""

    type: Literal["header_link"]
    rel: str = "next"


class JsonLink(_Model):
    """The next page's URL in the page, at `next`."""

    type: Literal["json_link"]
    next: str = "next"


class _InBody(_Model):
    param: str | None = None
    body: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> _InBody:
        if self.param and self.body:
            raise ValueError("`param` (of the query) and `body` (a path in the JSON) exclude each other")
        return self


class Cursor(_InBody):
    """A cursor in the page, at `next`, or in the header `header`; sent back as `param` or in the `body`."""

    type: Literal["cursor"]
    next: str | None = None
    header: str | None = None
    more: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Cursor:
        if bool(self.next) == bool(self.header):
            raise ValueError("needs either `next` (a path in the page) or `header`")
        if self.header and (self.body or self.more):
            raise ValueError("a cursor in a header goes into `param`, and knows no `more`")
        return self


class PageNumber(_InBody):
    """Pages by number; until an empty one, or by what the page says.

    Args:
        first: number of the first page.
        total: path of the number of pages in a page.
        more: path of a boolean in a page.
    """

    type: Literal["page_number"]
    first: int = 1
    total: str | None = None
    more: str | None = None


class Offset(_InBody):
    """Rows by their place; until an empty page, or by what the page says.

    Args:
        limit: rows a page has.
        limit_param, limit_body: where the limit goes.
        total: path of the number of rows in a page.
        more: path of a boolean in a page.
        short_pages: pages before the last may have fewer rows than `limit`.
        overlap: rows of a page that the next one is asked for again: where none of them is there, rows have
            moved to earlier pages, and the read fails instead of missing them. Needs the resource's `key`.
    """

    type: Literal["offset"]
    limit: int = Field(ge=1)
    limit_param: str | None = None
    limit_body: str | None = None
    total: str | None = None
    more: str | None = None
    short_pages: bool = False
    overlap: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _pages_that_go_on(self) -> Offset:
        if self.overlap >= self.limit:
            raise ValueError("`overlap` must be less than `limit`")
        return self


def _typed(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


Paginator = Annotated[
    Annotated[
        Single | Auto | HeaderLink | JsonLink | Cursor | PageNumber | Offset, Field(discriminator="type")
    ],
    BeforeValidator(_typed, json_schema_input_type=str | dict[str, Any]),
]


class Bound(_Model):
    """How a request says from or until when.

    Args:
        param: of the query.
        body: a path in the JSON of the request.
        format: `iso`, `epoch` (seconds), `epoch_ms` or `date`.
    """

    param: str | None = None
    body: str | None = None
    format: TimeFormat = "iso"

    @model_validator(mode="after")
    def _one_place(self) -> Bound:
        if bool(self.param) == bool(self.body):
            raise ValueError("needs either `param` (of the query) or `body` (a path in the JSON)")
        return self


class Since(Bound):
    """The lower end.

    Args:
        field: of a row, the time that the parameter looks at; default: the table's time column.
    """

    field: str | None = None


class Resource(_Model):
    """A table: what one path gives.

    Args:
        path: below the connection's `base_url`.
        method, params, json_body: of each request (`json:`).
        data: path of the rows in a page (`data.items`); not needed where a page is a list;
            `$` is a whole page.
        paginator: how to go on; default: the connection's.
        key: members that identify a row; the same row twice in one read counts once.
        since, until: how a request names a window's ends; without them everything is read.
        columns: types of members; others are inferred.
    """

    path: str
    method: Literal["GET", "POST"] = "GET"
    params: Mapping[str, str | int | float | bool | list[str]] = Field(default_factory=dict)
    json_body: Mapping[str, Any] | None = Field(default=None, alias="json")
    data: str | None = None
    paginator: Paginator | None = None
    key: Annotated[tuple[str, ...], BeforeValidator(one_or_many, json_schema_input_type=str | list[str])] = ()
    since: Since | None = None
    until: Bound | None = None
    columns: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("path")
    @classmethod
    def _below_the_base(cls, path: str) -> str:
        if "://" in path or path.startswith("//"):
            raise ValueError("is a path below `base_url`, not a URL")
        return path

    @field_validator("columns")
    @classmethod
    def _known_types(cls, columns: Mapping[str, str]) -> Mapping[str, str]:
        for name, kind in columns.items():
            column(name, kind)
        return columns

    @model_validator(mode="after")
    def _body_by_post(self) -> Resource:
        bounds = [bound for bound in (self.since, self.until) if bound and bound.body]
        if self.method == "GET" and (self.json_body is not None or bounds):
            raise ValueError("a GET request has no body; add `method: POST`")
        return self


class RestSettings(_Model):
    """A connection of `type: rest`.

    Args:
        base_url: of the API; rows and links of other hosts are refused.
        allowed_hosts: further hosts (`host` or `host:port`) that links to next pages may lead to; they get
            the credentials too.
        headers: of every request.
        auth: bearer, api_key, basic or oauth2.
        paginator: of resources that name none.
        requests_per_second: at most; default: as fast as pages come.
        timeout: for connecting, and between two pieces of an answer.
        answer_timeout: for one whole answer, from its first piece to its last.
        retries: tries after the first, of what may succeed later.
        max_wait: longest pause before a try; a server that asks for more fails the step, to be run later.
        max_pages: of one read; more of them are taken for a loop.
        max_page_bytes: of one answer, decompressed.
        verify: whether to check certificates, or the file of an authority.
        resources: the tables, by name.
    """

    type: Literal["rest"] = "rest"
    base_url: str
    allowed_hosts: tuple[str, ...] = ()
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    auth: Auth | None = None
    paginator: Paginator | None = None
    requests_per_second: float | None = Field(default=None, gt=0)
    timeout: Duration = timedelta(seconds=30)
    answer_timeout: Duration = timedelta(minutes=10)
    retries: int = Field(default=5, ge=0, le=100)
    max_wait: Duration = timedelta(minutes=5)
    max_pages: int = Field(default=100_000, ge=1)
    max_page_bytes: int = Field(default=1 << 28, ge=1)
    verify: bool | str = True
    resources: Mapping[str, Resource] = Field(min_length=1)

    @field_validator("base_url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be https://host or http://host, and a path where there is one")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("holds no query, no fragment and no password; use `params` and `auth`")
        return url

    @field_validator("timeout", "answer_timeout", "max_wait")
    @classmethod
    def _some_time(cls, duration: timedelta) -> timedelta:
        if not duration:
            raise ValueError("must be longer than nothing")
        return duration

    @model_validator(mode="after")
    def _every_resource_can_go_on(self) -> RestSettings:
        for name, resource in self.resources.items():
            paginator = resource.paginator or self.paginator
            if isinstance(paginator, Offset) and paginator.overlap and not resource.key:
                raise ValueError(f"resource {name!r} needs a `key`: by it the rows of an `overlap` are known")
            if not paginator:
                raise ValueError(f"resource {name!r} names no `paginator`; for one page: `paginator: single`")
        return self

    def secrets(self) -> list[str]:
        """Texts that no message may show."""
        found = [value.get_secret_value() for value in self.headers.values()]
        found = [value for value in found if len(value) >= _SHORTEST]
        auth = self.auth
        values = [getattr(auth, name) for name in type(auth).model_fields] if auth else []
        found += [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
        if isinstance(auth, Basic):  # as it is sent
            found.append(f"{auth.username}:{auth.password.get_secret_value()}")
        return [secret for secret in found if secret]
