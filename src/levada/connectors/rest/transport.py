"""One request and its answer: pacing, trying again, and what a status means.

Mounted into a `requests` session as its adapter, so that every request passes here: of pages, of links to
next pages, and of tokens.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import tenacity

from levada.connectors.jsontext import loads
from levada.connectors.rest.deadline import Deadline
from levada.connectors.rest.redaction import Redaction, without_query
from levada.errors import ConfigError, Fatal, LevadaError, Retriable

_SHOWN = 200
_READ = 1 << 16
_LATER = {408, 421, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529, 598, 599}
_FIRST_PAUSE = 0.5
_COUNT = re.compile("[0-9]+")
_PIECE = 1 << 14  # of what comes; a compressed piece may be a thousand times as large
_NO_CONTENT = 204
#: What the library says before it says why.
_NOISE = re.compile(
    r"^HTTPS?Connection(?:Pool)?\([^)]*\): |Failed to establish a new connection: |\[Errno -?\d+\] "
)


@dataclass(frozen=True)
class Clock:
    """Time, and waiting for it; tests bring their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Pace:
    """At most so many requests a second, of all threads together.

    Args:
        per_second: None for no limit.
    """

    def __init__(self, per_second: float | None, clock: Clock) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Until the next request may go out."""
        if not self._gap:
            return
        with self._lock:
            now = self._clock.monotonic()
            begins = max(now, self._next)
            self._next = begins + self._gap
        if begins > now:
            self._clock.sleep(begins - now)


@dataclass(frozen=True)
class Rules:
    """How requests are made.

    Args:
        origin: scheme and host that may be asked.
        allowed_hosts: further hosts.
        timeout: seconds, for connecting and between two pieces of an answer.
        retries: tries after the first.
        max_wait: seconds, the longest pause before a try.
        verify: whether to check certificates, or the file of an authority.
        max_page_bytes: of an answer, decompressed.
        answer_timeout: seconds, for a whole answer.
    """

    origin: str
    allowed_hosts: tuple[str, ...]
    timeout: float
    retries: int
    max_wait: float
    verify: bool | str
    max_page_bytes: int = 1 << 28
    answer_timeout: float = 600.0


class _Again(Exception):
    """An answer that may be another one next time."""

    def __init__(self, error: LevadaError, pause: float | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.pause = pause


class Transport:
    """Sends requests by an adapter, and gives answers of JSON only.

    Args:
        adapter: of `requests`.
        rules: how.
        pace, clock, redaction: shared by the connection.
        renew: puts a fresh token into a request that was refused; None where there is no such thing.
    """

    def __init__(
        self,
        adapter: Any,
        rules: Rules,
        *,
        pace: Pace,
        clock: Clock,
        redaction: Redaction,
        renew: Callable[[Any], None] | None = None,
    ) -> None:
        self._adapter = adapter
        self._rules = rules
        self._pace = pace
        self._clock = clock
        self._redaction = redaction
        self._renew = renew

    def send(self, request: Any, **options: Any) -> Any:
        """The answer to a prepared request; its `json()` keeps every digit.

        Raises:
            Retriable: it did not succeed in the tries there are.
            ConfigError: the credentials, the path or the host are wrong.
            Fatal: the server refuses the request, or answers something else than JSON.
        """
        self._check_host(request.url)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(self._rules.retries + 1),
            wait=self._wait,
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, request, options)
        except _Again as last:
            raise last.error from last.__cause__

    def close(self) -> None:
        self._adapter.close()

    def _once(self, request: Any, options: Mapping[str, Any]) -> Any:
        response = self._answer(request, options)
        if response.status_code == 401 and self._renew is not None:
            self._renew(request)
            response = self._answer(request, options)
        if not response.ok or response.is_redirect:
            raise self._refusal(response)
        self._read(response)
        return response

    def _answer(self, request: Any, options: Mapping[str, Any]) -> Any:
        from requests.exceptions import ConnectionError as NotConnected
        from requests.exceptions import RequestException, SSLError

        self._pace.wait()
        where = without_query(request.url)
        deadline = Deadline(self._rules.answer_timeout)
        try:
            with deadline:
                response = self._adapter.send(request, **self._options(options))
                self._fetch(response)  # now, so that a torn one is tried again
        except RequestException as error:
            if deadline.passed:
                raise _too_slow(deadline, where) from None
            if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ConfigError(
                    f"the certificate of the server is not accepted: {self._told(error)}",
                    where=where,
                    hint="set `verify:` to the file of your authority",
                ) from None
            what = (
                "can't reach the server" if isinstance(error, NotConnected) else "the answer did not arrive"
            )
            hint = "check `base_url` and the network; `levada doctor` tries it"
            raise _Again(Retriable(f"{what}: {self._told(error)}", where=where, hint=hint)) from None
        if deadline.passed:  # a broken connection is the end of an answer that names no length
            raise _too_slow(deadline, where)
        return response

    def _fetch(self, response: Any) -> None:
        """Read the body; a few kilobytes can unpack to more than the memory holds."""
        limit, size, pieces = self._rules.max_page_bytes, 0, []
        for piece in response.iter_content(_PIECE):
            size += len(piece)
            if size > limit:
                response.close()
                raise Fatal(
                    f"an answer has more than {limit} bytes",
                    where=without_query(response.url),
                    hint="ask for fewer rows at once, or raise `max_page_bytes`",
                )
            pieces.append(piece)
        vars(response)["_content"] = b"".join(pieces)  # where `content` looks first

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the settings say of a request; requests would prefer an authority of the environment."""
        rules = self._rules
        verify = given.get("verify", True) if rules.verify is True else rules.verify
        return {**given, "timeout": rules.timeout, "stream": True, "verify": verify}

    def _read(self, response: Any) -> None:
        """Parse the body once, exactly, for everyone who asks."""
        parsed = [] if response.status_code == _NO_CONTENT else self._parsed(response)
        vars(response)["json"] = lambda **_: parsed

    def _parsed(self, response: Any) -> Any:
        where = without_query(response.url)
        try:
            return loads(_text(response))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            told = f"the server answered something that is no JSON: {error}"
            shown = self._shown(response)
            if "json" in _media(response) or response.content.lstrip()[:1] in (b"{", b"[", b""):
                raise _Again(Retriable(told, where=where, hint=f"it begins with {shown}")) from None
            raise Fatal(
                f"{told} ({_media(response) or 'no content type'})",
                where=where,
                hint=f"check the path; it begins with {shown}",
            ) from None
        except ValueError as error:
            raise Fatal(
                f"the page can't be read: {error}", where=where, hint="tell who runs the API"
            ) from None

    def _refusal(self, response: Any) -> Exception:
        status, where = response.status_code, without_query(response.url)
        told = f"the server answered {status}"
        says = f"it says {self._shown(response)}"
        pause = asked_pause(response.headers, self._clock.now())
        if status in (401, 403) and (status == 401 or pause is None):
            return ConfigError(
                f"{told}: the credentials are not accepted or have no right to this",
                where=where,
                hint=f"check `auth` of the connection; {says}",
            )
        if status == 404:
            return ConfigError(
                f"{told}: there is nothing at this path", where=where, hint="check `base_url` and `path`"
            )
        if 300 <= status < 400:
            to = without_query(response.headers.get("Location"))
            return ConfigError(
                f"{told}: it redirects to {self._redaction.of(to)}",
                where=where,
                hint="redirects are not followed, they would take credentials along; name the final place",
            )
        if status in _LATER or status >= 500 or pause is not None:
            return self._later(Retriable(told, where=where, hint=says), pause)
        return Fatal(f"{told}: it refuses the request", where=where, hint=f"it says {self._shown(response)}")

    def _later(self, error: LevadaError, pause: float | None) -> Exception:
        if pause is not None and pause > self._rules.max_wait:
            what = f"{error.what} and asks to wait {pause:.0f} s"
            return Retriable(what, where=error.where, hint="run it again then, or raise `max_wait`")
        return _Again(error, pause)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _Again) and error.pause is not None:
            return error.pause
        longest = min(_FIRST_PAUSE * 2.0 ** (state.attempt_number - 1), self._rules.max_wait)
        return random.uniform(longest / 2, longest)  # noqa: S311

    def _check_host(self, url: str) -> None:
        origin, asked = urlsplit(self._rules.origin), urlsplit(url)
        known = _host(asked) == _host(origin)
        allowed = {_host(asked), asked.hostname} & set(self._rules.allowed_hosts)
        downgraded = origin.scheme == "https" and asked.scheme != "https"
        if downgraded or not (known or allowed):
            raise Fatal(
                f"a link leads to {self._redaction.of(without_query(url))}, which would get the credentials",
                where=without_query(self._rules.origin),
                hint="name its host under `allowed_hosts:` if that is right",
            )

    def _shown(self, response: Any) -> str:
        """The begin of an answer; masked before it is cut, so that no half of a secret is left."""
        body = response.content[:_READ].decode("utf-8", "replace")
        return repr(" ".join(self._redaction.of(body).split())[:_SHOWN])

    def _told(self, error: Exception) -> str:
        """Why, in few words; the library's text holds the whole URL."""
        inner: Any = error.args[0] if error.args else error
        reason = getattr(inner, "reason", None) or inner
        kind = type(reason if isinstance(reason, Exception) else error).__name__
        cause = getattr(reason, "args", ())
        detail = _NOISE.sub("", str(cause[-1])) if cause else ""
        return self._redaction.of(detail if detail and "url:" not in detail else kind)[:_SHOWN]


def _too_slow(deadline: Deadline, where: str) -> Retriable:
    return Retriable(
        f"an answer was not there whole after {deadline.seconds:g} s",
        where=where,
        hint="ask for fewer rows at once, or raise `answer_timeout` of the connection",
    )


def asked_pause(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that a server asks to wait: by `Retry-After`, else by the end of a rate limit that is used up.

    Limits are told as GitHub and many others do: `X-RateLimit-Remaining: 0`, and `X-RateLimit-Reset` in
    seconds since 1970, or from now.
    """
    pause = retry_after(headers.get("Retry-After"), now)
    reset = headers.get("X-RateLimit-Reset", "")
    if pause is not None or headers.get("X-RateLimit-Remaining") != "0" or not _COUNT.fullmatch(reset):
        return pause
    return max(0.0, float(reset) - now.timestamp()) if len(reset) >= 9 else float(reset)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header: seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if _COUNT.fullmatch(value.strip()):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _host(parts: Any) -> str:
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.hostname}:{parts.port}" if parts.port and parts.port != default else str(parts.hostname)


def _media(response: Any) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _text(response: Any) -> str:
    content: bytes = response.content
    named = "charset=" in response.headers.get("Content-Type", "").lower()
    encoding = response.encoding if named and response.encoding else json.detect_encoding(content)
    if encoding.lower().replace("-", "") == "utf8":
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except LookupError:
        return content.decode("utf-8-sig")
