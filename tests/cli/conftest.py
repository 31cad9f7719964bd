from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from levada.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Levada = Callable[..., Outcome]


@pytest.fixture
def levada(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Levada:
    """Runs a command in this process; returns exit code and what it printed."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["levada", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return call
