"""How pages follow each other: dlt's paginators, guarded against loops, gaps and ends that are none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from levada.connectors.rest.settings import (
    Auto,
    Cursor,
    HeaderLink,
    JsonLink,
    Offset,
    PageNumber,
    Paginator,
    Single,
)
from levada.errors import Fatal, Retriable
from levada.observe import counted


def paginator(settings: Paginator) -> Any:
    """dlt's paginator; None where it is to be found out."""
    return _BUILDERS[type(settings)](settings)


class Guarded:
    """A paginator that ends, and says so where it can't have seen everything.

    Has what dlt's client uses of a paginator.

    Args:
        settings: which.
        detect: finds a paginator by the first page.
        rows: of an answer.
        max_pages: more of them are taken for a loop.
        where: the table, for errors.
        key: members that identify a row.
    """

    def __init__(
        self,
        settings: Paginator,
        detect: Callable[[Any, Any], Any],
        rows: Callable[[Any], list[Any]],
        max_pages: int,
        where: str,
        *,
        key: Sequence[str] = (),
    ) -> None:
        self._inner = paginator(settings)
        self._detect = detect
        self._rows = rows
        self._limit = settings.limit if isinstance(settings, Offset) and not settings.short_pages else None
        self._more = settings.more if isinstance(settings, Cursor) else None
        self._max_pages = max_pages
        self._where = where
        self._overlapping = isinstance(settings, Offset) and settings.overlap > 0
        self._step = settings.limit - settings.overlap if isinstance(settings, Offset) else 0
        self._key = tuple(key)
        self._edge: set[str] = set()
        self._asked: set[bytes] = set()
        self._last: bytes | None = None
        self._short: int | None = None
        self._pages = 0
        self._ended = False

    @property
    def has_next_page(self) -> bool:
        return not self._ended and bool(self._inner.has_next_page)

    def init_request(self, request: Any) -> None:
        if self._inner is not None:
            self._inner.init_request(request)
        self._asked.add(_request_hash(request))

    def update_state(self, response: Any, _data: Any = None) -> None:
        """Take in a page.

        Raises:
            Fatal: it is the last one again, the one before it was short, or it lacks its rows or what says
                how to go on.
        """
        data = self._rows(response)
        if self._inner is None:
            self._inner = self._detect(response, data)
        self._pages += 1
        self._check_new(response, data)
        self._check_whole(data)
        self._check_edge(data)
        try:
            self._inner.update_state(response, data)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            # dlt's own text repeats the page
            told = str(error).partition(" in the response")[0].partition(" not found")[0][:80]
            raise self._broken(f"the page does not say how to go on ({told})") from None
        if not self._inner.has_next_page and self._promised(response.json()):
            raise self._broken(f"page {self._pages} says that there is more, but has no cursor")

    def update_request(self, request: Any) -> None:
        """Make a request the next one.

        Raises:
            Fatal: it was made before, or there were too many.
        """
        try:
            self._inner.update_request(request)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._broken(f"the link to the next page is no URL ({type(error).__name__})") from None
        self._ended = not request.url
        if not self.has_next_page:
            return
        if not isinstance(request.url, str):
            raise self._broken("the link to the next page is no URL")
        asked = _request_hash(request)
        if asked in self._asked:
            raise self._broken(f"the pages go in a circle: page {self._pages} leads to an earlier one")
        self._asked.add(asked)
        if self._pages >= self._max_pages:
            raise self._broken(
                f"there are more than {self._max_pages} pages", "raise `max_pages` if that is right"
            )

    def _promised(self, page: Any) -> bool:
        """Whether a page of cursors says that it is not the last one."""
        if self._more is None:
            return False
        from dlt.common import jsonpath

        return jsonpath.find_values(self._more, page)[:1] in ([True], ["true"])

    def _check_new(self, response: Any, data: Any) -> None:
        digest = hashlib.blake2b(response.content, digest_size=16).digest() if data else None
        if digest is not None and digest == self._last:
            raise self._broken(
                f"page {self._pages} is the one before it again",
                "the server does not know the parameter that asks for the next page; check `paginator`",
            )
        self._last = digest

    def _check_whole(self, data: Any) -> None:
        """Fewer rows than asked for, while offsets go on by what was asked, leave gaps."""
        if self._limit is None:
            return
        if data and self._short is not None:
            raise self._broken(
                f"a page had {self._short} rows where `limit` is {self._limit}, and more followed",
                "the server gives less at once: lower `limit`; `short_pages: true` if it leaves rows out",
            )
        self._short = len(data) if len(data) < self._step else None
        if len(data) > self._limit:
            raise self._broken(
                f"a page has {counted(len(data), 'row')} where `limit` is {self._limit}",
                "the server does not know the parameter of the limit; check `limit_param`",
            )

    def _check_edge(self, data: Any) -> None:
        """A page begins with the last rows of the one before it; else rows moved, and some may be unseen."""
        if not self._overlapping:
            return
        keys = [json.dumps([row.get(name) for name in self._key], default=str) for row in data]
        if self._edge and self._edge.isdisjoint(keys):
            raise Retriable(
                f"rows moved to earlier pages while page {self._pages} was asked for",
                where=self._where,
                hint="try again; where it happens often, raise `overlap` or ask for an order that stays",
            )
        self._edge = set(keys[self._step :])

    def _broken(self, what: str, hint: str = "check `paginator` of the resource") -> Fatal:
        return Fatal(what, where=self._where, hint=hint)


def _request_hash(request: Any) -> bytes:
    facts = [request.url, request.params, request.json]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=16).digest()


def _header_link(settings: HeaderLink) -> Any:
    from dlt.sources.helpers.rest_client.paginators import HeaderLinkPaginator

    return HeaderLinkPaginator(settings.rel)


def _json_link(settings: JsonLink) -> Any:
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    return JSONLinkPaginator(settings.next)


def _cursor(settings: Cursor) -> Any:
    from dlt.sources.helpers.rest_client.paginators import HeaderCursorPaginator, JSONResponseCursorPaginator

    if settings.header:
        return HeaderCursorPaginator(settings.header, settings.param or "cursor")
    return JSONResponseCursorPaginator(
        settings.next or "next",
        cursor_param=settings.param,
        cursor_body_path=settings.body,
        has_more_path=settings.more,
    )


def _page_number(settings: PageNumber) -> Any:
    from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

    return PageNumberPaginator(
        base_page=settings.first,
        page_param=settings.param,
        page_body_path=settings.body,
        total_path=settings.total,
        has_more_path=settings.more,
        stop_after_empty_page=not (settings.total or settings.more),
    )


def _offset(settings: Offset) -> Any:
    from dlt.sources.helpers.rest_client.paginators import OffsetPaginator

    pages = OffsetPaginator(
        settings.limit,
        offset_param=settings.param,
        offset_body_path=settings.body,
        limit_param=settings.limit_param,
        limit_body_path=settings.limit_body,
        total_path=settings.total,
        has_more_path=settings.more,
        stop_after_empty_page=not (settings.total or settings.more),
    )
    pages.value_step = settings.limit - settings.overlap
    return pages


def _single(_: Single) -> Any:
    from dlt.sources.helpers.rest_client.paginators import SinglePagePaginator

    return SinglePagePaginator()


def _auto(_: Auto) -> Any:
    return None


_BUILDERS: dict[type, Callable[[Any], Any]] = {
    Single: _single,
    Auto: _auto,
    HeaderLink: _header_link,
    JsonLink: _json_link,
    Cursor: _cursor,
    PageNumber: _page_number,
    Offset: _offset,
}
