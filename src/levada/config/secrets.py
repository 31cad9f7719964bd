"""Values that came from the environment, remembered so that they are never printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

_PASSWORD = re.compile(
    r"(?P<user>[a-z][a-z0-9+.-]*://[^\s:/@]*:)(?!\d+[/?])(?P<password>[^\s@]+)(?=@)", re.IGNORECASE
)
_SHORT = 4


@dataclass(frozen=True)
class Secrets:
    """Secret values and what to print in their place.

    Args:
        values: secret -> the name of the environment variable that held it.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)})"

    def mask(self, text: str) -> str:
        """The text with `${NAME}` where a secret stood, and `***` for any other password in a URL.

        Secrets under four characters are replaced only where they stand alone.
        """
        for secret, name in sorted(self._forms(), key=lambda form: -len(form[0])):
            pattern = re.escape(secret)
            if len(secret) < _SHORT:
                pattern = rf"(?<!\w){pattern}(?!\w)"
            text = re.sub(pattern, lambda _, name=name: f"${{{name}}}", text)  # type: ignore[misc]
        return _PASSWORD.sub(_hide_password, text)

    def _forms(self) -> Iterator[tuple[str, str]]:
        """Each secret, and the password inside one that is a URL: drivers print it alone."""
        for secret, name in self.values.items():
            if not secret.strip():
                continue
            yield secret, name
            for match in _PASSWORD.finditer(secret):
                yield match["password"], name
                yield unquote(match["password"]), name


def _hide_password(match: re.Match[str]) -> str:
    known = match["password"].startswith("${")
    return match[0] if known else f"{match['user']}***"
