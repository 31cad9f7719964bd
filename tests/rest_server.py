"""A JSON API over real HTTP for the tests: it keeps rows, pages them in every style, and misbehaves."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of its answer.

    Args:
        status, headers, body: the answer.
        reset: the connection is reset, after this many bytes of the true answer's body.
        cut: the body ends after this many bytes, and the header says that it does.
        delay: seconds before anything is sent.
        text: the true answer, changed.
        raw: the body, byte for byte.
        drip: seconds before each byte of the body; with `drip_head` of the headers, too.
        unsized: the body's end is the end of the connection.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    reset: int | None = None
    cut: int | None = None
    delay: float = 0.0
    text: Callable[[str], str] | None = None
    raw: bytes | None = None
    drip: float = 0.0
    drip_head: bool = False
    unsized: bool = False


class Api:
    """The state of the server, shared by its threads: rows with an `id` and, maybe, an `updated_at`."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.url = ""
        self.asked: list[Asked] = []
        self.faults: list[Fault | None] = []
        self.page_rows = 10
        #: Called before each page with its number; may change the rows.
        self.before_page: Callable[[int], None] = lambda _: None
        self.authorized: Callable[[Asked], bool] = lambda _: True
        self.tokens: list[str] = []
        self.token_seconds = 3600
        self.token_answer: Mapping[str, Any] | None = None
        self.after_inclusive = True
        self.before_inclusive = False
        self.newest_first = False
        self.lock = threading.RLock()

    def add(self, *rows: Row) -> None:
        with self.lock:
            self.rows += [dict(row) for row in rows]

    def wanted(self, query: Mapping[str, str]) -> list[Row]:
        """The rows that the parameters of time ask for, in order."""
        found = [row for row in self.rows if self._within(row, query)]
        return found[::-1] if self.newest_first else found

    def _within(self, row: Row, query: Mapping[str, str]) -> bool:
        when = str(row.get("updated_at", ""))
        after, before = query.get("updated_after"), query.get("updated_before")
        if after and not (when >= after if self.after_inclusive else when > after):
            return False
        return not (before and not (when <= before if self.before_inclusive else when < before))


def _list(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    return api.wanted(asked.query), {}


def _page(api: Api, asked: Asked, offset: int) -> list[Row]:
    api.before_page(len(api.asked))
    return api.wanted(asked.query)[offset : offset + api.page_rows]


def _offset(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    given = {**(asked.body or {}), **asked.query}
    offset, limit = int(given.get("offset", 0)), int(given.get("limit", api.page_rows))
    api.before_page(len(api.asked))
    rows = api.wanted(asked.query)[offset : offset + min(limit, api.page_rows)]
    return {"data": {"items": rows}, "total": len(api.wanted(asked.query))}, {}


def _numbered(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    page = int(asked.query.get("page", 1))
    rows = _page(api, asked, (page - 1) * api.page_rows)
    pages = -(-len(api.wanted(asked.query)) // api.page_rows)
    return {"items": rows, "pages": pages, "more": page < pages}, {}


def _cursor(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    given = {**(asked.body or {}), **asked.query}
    at = int(str(given.get("cursor") or "c0")[1:])
    rows = _page(api, asked, at)
    reached = at + len(rows)
    next_ = f"c{reached}" if reached < len(api.wanted(asked.query)) else None
    return {"items": rows, "next": next_}, {"Next-Cursor": next_} if next_ else {}


def _after_id(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    """Behind the row of an id, as payment providers page."""
    wanted = api.wanted(asked.query)
    ids = [str(row["id"]) for row in wanted]
    last = asked.query.get("starting_after")
    at = ids.index(last) + 1 if last else 0
    rows = _page(api, asked, at)
    return {"data": rows, "has_more": at + len(rows) < len(wanted)}, {}


def _link(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    at = int(asked.query.get("at", 0))
    rows = _page(api, asked, at)
    reached = at + len(rows)
    if reached >= len(api.wanted(asked.query)):
        return {"items": rows, "links": {"next": None}}, {}
    url = f"{api.url}{asked.path}?{urlencode({**asked.query, 'at': reached})}"
    return {"items": rows, "links": {"next": url}}, {"Link": f'<{url}>; rel="next"'}


def _header_link(api: Api, asked: Asked) -> tuple[Any, dict[str, str]]:
    page, headers = _link(api, asked)
    return page["items"], headers


_ROUTES: dict[str, Callable[[Api, Asked], tuple[Any, dict[str, str]]]] = {
    "/v1/list": _list,
    "/v1/offset": _offset,
    "/v1/numbered": _numbered,
    "/v1/cursor": _cursor,
    "/v1/after_id": _after_id,
    "/v1/json_link": _link,
    "/v1/header_link": _header_link,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = "urlencoded" in self.headers.get("Content-Type", "")
        self._answer(
            {k: v[0] for k, v in parse_qs(raw.decode()).items()} if form else json.loads(raw or b"null")
        )

    def log_message(self, *_: Any) -> None:
        """Nothing: the tests look at `Api.asked`."""

    def _answer(self, body: Any) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        asked = Asked(self.command, parts.path, query, dict(self.headers.items()), body)
        api = self.api
        with api.lock:
            api.asked.append(asked)
            fault = api.faults.pop(0) if api.faults else None
            status, headers, text = self._true(asked)
        fault = fault or Fault()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.status != 200 or fault.body is not None:
            status, headers, text = fault.status, dict(fault.headers), fault.body or ""
        self._send(status, {**headers, **fault.headers}, fault.text(text) if fault.text else text, fault)

    def _true(self, asked: Asked) -> tuple[int, dict[str, str], str]:
        api = self.api
        if asked.path == "/token":
            return self._token(asked)
        if not api.authorized(asked):
            return 401, {}, json.dumps({"error": "not authorized", "you_sent": dict(asked.headers)})
        if asked.path not in _ROUTES:
            return 404, {}, json.dumps({"error": "no such path"})
        page, headers = _ROUTES[asked.path](api, asked)
        return 200, headers, json.dumps(page, ensure_ascii=False)

    def _token(self, asked: Asked) -> tuple[int, dict[str, str], str]:
        api = self.api
        if asked.body.get("client_secret") != "s3cret/+":
            return 401, {}, json.dumps({"error": "invalid_client", "client": asked.body})
        api.tokens.append(f"token-{len(api.tokens) + 1}")
        made = {"access_token": api.tokens[-1], "token_type": "Bearer", "expires_in": api.token_seconds}
        return 200, {}, json.dumps(made if api.token_answer is None else api.token_answer)

    def _send(self, status: int, headers: Mapping[str, str], text: str, fault: Fault) -> None:
        data = text.encode("utf-8", "surrogatepass") if fault.raw is None else fault.raw
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        if fault.cut is not None:
            data = data[: fault.cut]
        if not fault.unsized:
            self.send_header("Content-Length", str(len(data)))
        self.close_connection = self.close_connection or fault.unsized
        if fault.drip:
            self._drip(data, fault)
            return
        self.end_headers()
        if fault.reset is None:
            self.wfile.write(data)
            return
        self.wfile.write(data[: fault.reset])
        self.wfile.flush()
        # a linger of zero closes with RST instead of FIN
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _drip(self, data: bytes, fault: Fault) -> None:
        """Byte by byte, until the client has had enough."""
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        if not fault.drip_head:
            self.wfile.write(head)
        for byte in (head if fault.drip_head else b"") + data:
            time.sleep(fault.drip)
            self.wfile.write(bytes([byte]))
            self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no error."""


@contextmanager
def running(tls: tuple[Path, Path] | None = None) -> Iterator[Api]:
    """Start a server on a free port of 127.0.0.1, and stop it at the end.

    Args:
        tls: files of a certificate and its key, for https.
    """
    api = Api()
    handler = type("Handler", (_Handler,), {"api": api})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    api.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
