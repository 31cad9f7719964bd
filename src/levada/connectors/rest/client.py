"""dlt's REST client over our transport: sessions, credentials and pages. dlt is imported at first use."""

from __future__ import annotations

import copy
import itertools
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from levada.connectors.rest.deadline import watched_adapter
from levada.connectors.rest.paging import Guarded
from levada.connectors.rest.redaction import Redaction, without_query
from levada.connectors.rest.settings import ApiKey, Basic, Bearer, OAuth2, Resource, RestSettings
from levada.connectors.rest.transport import Clock, Pace, Rules, Transport
from levada.errors import ConfigError, Fatal

_AGENT = "levada"


@dataclass(frozen=True)
class Page:
    """One page.

    Args:
        number: from 1.
        rows: its rows, whatever they are.
        url: that it came from, without its query.
    """

    number: int
    rows: list[Any]
    url: str


class Client:
    """Makes the requests of one connection; threads may share it.

    Args:
        settings: checked.
        clock: time.
    """

    def __init__(self, settings: RestSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._pace = Pace(settings.requests_per_second, clock)
        self._redaction = Redaction(settings.secrets())
        self._redaction.watch()
        self._auth: Any = None
        self._lock = threading.Lock()

    def pages(
        self,
        resource: Resource,
        query: Mapping[str, Any],
        body: Mapping[str, Any],
        where: str,
        retries: int | None = None,
    ) -> Generator[Page]:
        """The pages of a resource, one after the other.

        Args:
            query, body: what this read adds to the resource's parameters; `body` by paths.
            where: the table, for errors.
            retries: instead of the connection's.

        Raises:
            ConfigError, Fatal, Retriable: see `Transport` and `Guarded`; a page lacks its rows.
        """
        need_dlt()
        from dlt.common.configuration.specs.runtime_configuration import RuntimeConfiguration
        from dlt.sources.helpers.rest_client.client import RESTClient

        settings = self._settings
        auth = self._authentication()
        renew = auth.renew if isinstance(auth, Token) else None
        with closing(self._session(settings.base_url, renew, retries)) as session:
            headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
            client = RESTClient(
                settings.base_url, headers, auth, session=session, config=RuntimeConfiguration()
            )
            rows = Rows(resource.data, where)
            style = resource.paginator or settings.paginator
            assert style is not None
            guarded: Any = Guarded(
                style, client.detect_paginator, rows.of, settings.max_pages, where, key=resource.key
            )
            found = client.paginate(
                resource.path,
                method=resource.method,
                params={**_params(resource.params), **query},
                json=_body(resource.json_body, body),
                paginator=guarded,
                data_selector="$",
                allow_redirects=False,
            )
            for number in itertools.count(1):
                if (page := _next(found, where)) is None:
                    return
                yield Page(number, rows.of(page.response), without_query(page.response.url))

    def close(self) -> None:
        """Close what tokens came by, and leave the log alone."""
        with self._lock:
            if isinstance(self._auth, Token):
                self._auth.close()
            self._auth = None
        self._redaction.rest()

    def _session(self, origin: str, renew: Any = None, retries: int | None = None) -> Any:
        """A session whose every request goes by the transport; nothing is taken from a `.netrc`."""
        import requests

        settings = self._settings
        session = requests.Session()
        session.headers["User-Agent"] = _AGENT
        session.headers["Accept"] = "application/json"
        rules = Rules(
            origin,
            settings.allowed_hosts,
            settings.timeout.total_seconds(),
            settings.retries if retries is None else retries,
            settings.max_wait.total_seconds(),
            settings.verify,
            settings.max_page_bytes,
            settings.answer_timeout.total_seconds(),
        )
        transport: Any = Transport(
            watched_adapter(),
            rules,
            pace=self._pace,
            clock=self._clock,
            redaction=self._redaction,
            renew=renew,
        )
        session.mount("http://", transport)
        session.mount("https://", transport)
        return session

    def _authentication(self) -> Any:
        with self._lock:
            if self._auth is None:
                self._auth = self._made()
            return self._auth

    def _made(self) -> Any:
        from dlt.sources.helpers.rest_client import auth as kinds

        auth = self._settings.auth
        if isinstance(auth, Bearer):
            return kinds.BearerTokenAuth(auth.token.get_secret_value())
        if isinstance(auth, ApiKey):
            return kinds.APIKeyAuth(auth.name, auth.key.get_secret_value(), auth.where)
        if isinstance(auth, Basic):
            return kinds.HttpBasicAuth(auth.username, auth.password.get_secret_value())
        if isinstance(auth, OAuth2):
            return Token(auth, self._session(auth.token_url), self._redaction)
        return _nothing


class Token:
    """A token by client credentials, fetched when it is needed and again when it has ended.

    Args:
        settings: of the grant.
        session: for the token's own host.
        redaction: learns every token.
    """

    def __init__(self, settings: OAuth2, session: Any, redaction: Redaction) -> None:
        from dlt.sources.helpers.rest_client.auth import OAuth2ClientCredentials

        scope = {"scope": settings.scope} if settings.scope else {}
        self._session = session
        self._url = settings.token_url
        self._redaction = redaction
        self._lock = threading.Lock()
        self._grant = OAuth2ClientCredentials(
            access_token_url=settings.token_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            access_token_request_data={**scope, **settings.request},
            session=session,
        )

    def __call__(self, request: Any) -> Any:
        with self._lock:
            if self._grant.access_token is None or self._grant.is_token_expired():
                self._obtain()
            request.headers["Authorization"] = f"Bearer {self._grant.access_token}"
        return request

    def renew(self, request: Any) -> None:
        """Put another token into a request that was refused, in case its own one has ended early."""
        with self._lock:
            if request.headers.get("Authorization") == f"Bearer {self._grant.access_token}":
                self._obtain()
            request.headers["Authorization"] = f"Bearer {self._grant.access_token}"

    def close(self) -> None:
        self._session.close()

    def _obtain(self) -> None:
        where = without_query(self._url)
        try:
            self._grant.obtain_token()
        except (ValueError, TypeError, AttributeError) as error:
            what = f"the answer to the token request can't be used ({type(error).__name__})"
            raise ConfigError(what, where=where, hint="check `token_url`") from None
        token = self._grant.access_token
        if token in (None, "", "None"):
            self._grant.access_token = None
            raise ConfigError(
                "the answer to the token request has no token", where=where, hint="check `token_url`"
            )
        self._redaction.add(str(token))


class Rows:
    """Finds the rows in a page.

    Args:
        path: of the rows; None where a page is a list.
        where: the table, for errors.
    """

    def __init__(self, path: str | None, where: str) -> None:
        self._path = path
        self._where = where

    def of(self, response: Any) -> list[Any]:
        """The rows of an answer.

        Raises:
            Fatal: there is nothing at the path.
        """
        page = response.json()
        if response.status_code == _NO_CONTENT:
            return []
        found = self._found(page, response)
        if found is None:
            return []
        return found if isinstance(found, list) else [found]

    def _found(self, page: Any, response: Any) -> Any:
        if self._path is None:
            if not isinstance(page, list):
                raise self._missing("a page is no list of rows", page, response)
            return page
        if self._path == "$":
            return page
        if not _PLAIN.fullmatch(self._path):
            return self._selected(page, response)
        found = page
        for name in self._path.split("."):
            if not isinstance(found, dict) or name not in found:
                raise self._missing(f"a page has nothing at {self._path!r}", page, response)
            found = found[name]
        return found

    def _selected(self, page: Any, response: Any) -> list[Any]:
        """By a JSONPath; one that gives nothing must at least lead to the list it looks into."""
        from dlt.common import jsonpath

        assert self._path is not None
        try:
            found = jsonpath.find_values(jsonpath.compile_path(self._path), page)
            stem = self._path.partition("[")[0].rstrip(".")
            reached = bool(found) or not stem or bool(jsonpath.find_values(jsonpath.compile_path(stem), page))
        except Exception as error:
            raise ConfigError(
                f"{self._path!r} is no JSONPath: {error}",
                where=self._where,
                hint="write data.items or data[*].item",
            ) from error
        if not reached:
            raise self._missing(f"a page has nothing at {self._path!r}", page, response)
        return list(found[0]) if len(found) == 1 and isinstance(found[0], list) else list(found)

    def _missing(self, what: str, page: Any, response: Any) -> Fatal:
        members = ", ".join(map(repr, page)) if isinstance(page, dict) else type(page).__name__
        return Fatal(
            what,
            where=f"{self._where} ({without_query(response.url)})",
            hint=f"set `data:` of the resource to the path of the rows; a page has {members[:200]}",
        )


def need_dlt() -> None:
    """Check that the extra is there.

    Raises:
        ConfigError: it isn't; the hint is the pip command.
    """
    if find_spec("dlt") is None or find_spec("requests") is None:
        raise ConfigError("a connection of type rest needs dlt", hint="pip install 'levada[rest]'")


def _next(pages: Any, where: str) -> Any:
    """The next page; None behind the last one."""
    from requests.exceptions import RequestException

    try:
        return next(pages, None)
    except (RequestException, UnicodeError) as error:  # their texts may hold the URL
        raise Fatal(
            f"the next page can't be asked for: its link or cursor is none ({type(error).__name__})",
            where=where,
            hint="check `paginator` of the resource",
        ) from None


def _nothing(request: Any) -> Any:
    """No credentials; without it requests would look for some in `.netrc`."""
    return request


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a query; booleans as JSON writes them, not as Python does."""
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}


def _body(fixed: Mapping[str, Any] | None, added: Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON of a request; a copy, since paginators write into it."""
    from dlt.common import jsonpath

    if fixed is None and not added:
        return None
    body: dict[str, Any] = copy.deepcopy(dict(fixed or {}))
    for path, value in added.items():
        jsonpath.set_value_at_path(body, path, value)
    return body


_NO_CONTENT = 204
_PLAIN = re.compile(r"[\w-]+(\.[\w-]+)*")
