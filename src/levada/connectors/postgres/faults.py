"""What PostgreSQL and its driver say, as Levada's errors."""

from __future__ import annotations

import re

import pyarrow as pa

from levada.errors import ConfigError, Fatal, LevadaError, Retriable

#: SQLSTATE or its beginning -> Levada's error and the advice; the longest that fits counts.
#: Source: https://www.postgresql.org/docs/current/errcodes-appendix.html.
_MEANINGS: dict[str, tuple[type[LevadaError], str]] = {
    "08": (Retriable, "the step is tried again"),
    "08P01": (Fatal, "a column has another type than expected: was the table changed meanwhile?"),
    "22": (Fatal, "the column can't take that value"),
    "23": (Fatal, "the rows break a constraint of the table"),
    "25006": (
        ConfigError,
        "this server takes no writes: name the primary, or target_session_attrs=read-write",
    ),
    "28": (ConfigError, "check user and password of the connection, and pg_hba.conf"),
    "2BP01": (Fatal, "drop what depends on it first, or write into another table"),
    "3D000": (ConfigError, "check the connection's database"),
    "3F000": (ConfigError, "check the connection's schema"),
    "40": (Retriable, "the step is tried again"),
    "42": (ConfigError, "check names and types in the condition or query"),
    "42501": (ConfigError, "`levada doctor` prints the rights that are needed"),
    "42P01": (ConfigError, "`levada doctor` lists the tables"),
    "428C9": (Fatal, "the server computes that column itself: leave it out of the rows"),
    "53": (Retriable, "the server lacks room or connections"),
    "53200": (Fatal, "ask for a smaller window"),
    "55P03": (Retriable, "others hold the table"),
    "57": (Retriable, "the server stopped, or the statement was cancelled"),
    "57014": (
        Retriable,
        "Ctrl-C, pg_cancel_backend or statement_timeout ended it; nothing of it is stored, run it again",
    ),
    "58": (Retriable, "the server's own trouble"),
}

#: What a failed connection says, which comes without SQLSTATE.
_REFUSALS = re.compile(
    r"authentication failed|no pg_hba\.conf entry|does not exist|no password supplied|"
    r"invalid (?:connection option|port|sslmode|integer)|certificate|permission denied|SSL was required|"
    r"does not support SSL",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"connect|terminat|closed|timeout|timed out|starting up|shutting down|too many|no connection|EOF",
    re.IGNORECASE,
)
#: What of a statement's errors, told without SQLSTATE, another try may mend.
_PASSING = re.compile(r"cancel|terminat|closed|timeout|deadlock|serializ|connection", re.IGNORECASE)
_NOISE = re.compile(r"\s*(Query was:.*|SQLSTATE: \w+)\s*$", re.DOTALL)


def driver_error() -> type[Exception]:
    """What the driver raises; it is imported by the first use of a server."""
    from adbc_driver_manager import dbapi

    kind: type[Exception] = dbapi.Error
    return kind


def translate(error: Exception, where: str, secrets: tuple[str, ...] = ()) -> LevadaError:
    """The Levada error that says the same, without secrets."""
    state = state_of(error)
    text = f"PostgreSQL: {masked(_said(error), secrets)}"
    found = next((_MEANINGS[state[:n]] for n in (5, 2) if state[:n] in _MEANINGS), None)
    if found:
        kind, hint = found
        return kind(text, where=where, hint=hint)
    if state:
        return Fatal(f"{text} (SQLSTATE {state})", where=where)
    if _REFUSALS.search(text):
        return ConfigError(text, where=where, hint="check the connection's settings")
    if _LOST.search(text):
        return Retriable(text, where=where, hint="is the server running, and can it be reached?")
    return Fatal(text, where=where)


def state_of(error: Exception) -> str:
    """The SQLSTATE of a driver's error; empty where it has none."""
    return getattr(error, "sqlstate", None) or ""


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """A text without the secrets in it."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _said(error: Exception) -> str:
    told = {_text(name): _text(value) for name, value in getattr(error, "details", None) or ()}
    parts = [told.get(name) for name in ("PG_DIAG_MESSAGE_PRIMARY", "PG_DIAG_MESSAGE_DETAIL")]
    if parts[0]:
        return ": ".join(part for part in parts if part)
    text = _NOISE.sub("", str(error))
    return " ".join(text.rpartition("ERROR:")[2].replace("[libpq]", "").split())


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def lost(error: Exception, where: str, secrets: tuple[str, ...]) -> LevadaError:
    """An error of a running result: Arrow's stream keeps its text only."""
    text = f"PostgreSQL: {masked(' '.join(str(error).split()), secrets)}"
    state = re.search(r"SQLSTATE:? (\w{5})", text)
    found = (
        next((_MEANINGS[state[1][:n]] for n in (5, 2) if state[1][:n] in _MEANINGS), None) if state else None
    )
    if found:
        return found[0](text, where=where, hint=found[1])
    if ("ERROR:" in text or isinstance(error, pa.ArrowInvalid)) and not _PASSING.search(text):
        return Fatal(text, where=where)
    return Retriable(text, where=where, hint="is the server running, and can it be reached?")
