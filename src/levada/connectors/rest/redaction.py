"""Secrets out of texts: of errors, and of what the HTTP library logs."""

from __future__ import annotations

import base64
import html
import json
import logging
from urllib.parse import quote, quote_plus, urlsplit

_SHOWN = "***"
_LOGGER = "urllib3.connectionpool"


class Redaction(logging.Filter):
    """Replaces known secrets, in every form they are sent in.

    Args:
        secrets: the texts that must not be seen.
    """

    def __init__(self, secrets: list[str]) -> None:
        super().__init__()
        self._forms: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Know one more: a token that was given out."""
        coded = base64.b64encode(secret.encode()).decode()
        self._forms |= {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), coded}
        told = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
        self._forms |= told | {text.replace("/", "\\/") for text in told}  # servers repeat what they got
        self._forms |= {html.escape(secret), html.escape(secret, quote=False)}

    def of(self, text: str) -> str:
        for form in sorted(self._forms, key=len, reverse=True):
            text = text.replace(form, _SHOWN)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Masks a record of the HTTP library, which logs whole URLs."""
        record.msg, record.args = self.of(record.getMessage()), ()
        return True

    def watch(self) -> None:
        """Begin to mask the records."""
        logging.getLogger(_LOGGER).addFilter(self)

    def rest(self) -> None:
        """Mask no more."""
        logging.getLogger(_LOGGER).removeFilter(self)


def without_query(url: str | None) -> str:
    """A URL for people: parameters may hold keys and cursors."""
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
