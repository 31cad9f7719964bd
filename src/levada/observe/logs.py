"""Logging: one logger tree `levada`, secrets masked, plain or JSON lines on standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime


class _Masked(logging.Formatter):
    def __init__(self, mask: Callable[[str], str], *, as_json: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._mask = mask
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        if not self._as_json:
            return self._mask(super().format(record))
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = self._mask(self.formatException(record.exc_info))
        return json.dumps(line)


def configure(level: str = "WARNING", *, as_json: bool = False, mask: Callable[[str], str] = str) -> None:
    """Send the records of `levada` to standard error; calling it again replaces the handler.

    Args:
        level: name of the lowest level shown.
        as_json: one JSON object per line.
        mask: takes a text, returns it with secrets masked.
    """
    logger = logging.getLogger("levada")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(mask, as_json=as_json))
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logger.propagate = False
