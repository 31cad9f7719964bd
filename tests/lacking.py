"""What tests need and this machine may lack: without it they are skipped; with CI=true they fail."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """End this test: something is missing, for this reason and by this command."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_native() -> None:
    """End this test where the native codec isn't installed."""
    if find_spec("bsonarrow") is None:
        lacking("the native codec isn't installed: make native")
