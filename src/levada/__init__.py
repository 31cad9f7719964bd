"""Levada: the data platform for teams whose system of record is MongoDB.

```python
import levada

project = levada.load("levada.yml")
run = project.run("daily", window="2026-11-23")
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from levada.errors import (
    CheckFailed,
    ConfigError,
    Fatal,
    Fenced,
    LeaseHeld,
    LevadaError,
    PositionLost,
    Retriable,
    Skippable,
)

if TYPE_CHECKING:
    from levada import sql
    from levada.project import Project, copy, load, read
    from levada.resilience import CircuitBreaker, CircuitOpen, RetryPolicy, log_execution
    from levada.steps.base import StepContext, StepResult
    from levada.windows import Window

__all__ = [
    "CheckFailed",
    "CircuitBreaker",
    "CircuitOpen",
    "ConfigError",
    "Fatal",
    "Fenced",
    "LeaseHeld",
    "LevadaError",
    "PositionLost",
    "Project",
    "Retriable",
    "RetryPolicy",
    "Skippable",
    "StepContext",
    "StepResult",
    "Window",
    "copy",
    "load",
    "log_execution",
    "read",
    "sql",
]

#: Names that bring drivers with them, imported when they are first used.
_LAZY = {
    "CircuitBreaker": "levada.resilience",
    "CircuitOpen": "levada.resilience",
    "Project": "levada.project",
    "RetryPolicy": "levada.resilience",
    "StepContext": "levada.steps.base",
    "StepResult": "levada.steps.base",
    "Window": "levada.windows",
    "copy": "levada.project",
    "load": "levada.project",
    "log_execution": "levada.resilience",
    "read": "levada.project",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "sql":
        return import_module("levada.sql")
    if name not in _LAZY:
        raise AttributeError(f"module 'levada' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
