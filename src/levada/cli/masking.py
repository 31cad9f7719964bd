"""What errors of a command must not show: secrets of the project, and passwords of URLs it got."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from levada.config.secrets import HIDDEN, Secrets, sensitive

_known: dict[str, str] = {}


def learn(secrets: Secrets) -> None:
    """Know those of a project, from now on."""
    _known.update(secrets.values)


def masked(text: str) -> str:
    """The text without secrets: a last look, where an error leaves the program."""
    given = dict.fromkeys(_passwords(sys.argv[1:]), HIDDEN)
    return Secrets({**given, **_known}).mask(text)


def _passwords(arguments: Sequence[str]) -> Iterator[str]:
    """Of URLs, well-formed or not, as they stand there and decoded."""
    for argument in arguments:
        _, separator, rest = argument.partition("://")
        if not separator:
            continue
        password = rest.rpartition("@")[0].partition(":")[2]
        options = (pair.partition("=") for pair in rest.partition("?")[2].split("&"))
        for secret in (password, *(value for name, _, value in options if sensitive(name))):
            if secret:
                yield secret
                yield unquote(secret)
