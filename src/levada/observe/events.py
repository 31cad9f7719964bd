"""What a run tells while it runs; the command line draws progress from it, tests record it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Kind = Literal[
    "run_started",
    "run_finished",
    "step_started",
    "step_progress",
    "step_retried",
    "step_finished",
    "step_skipped",
]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Args:
        kind: what.
        pipeline: the pipeline's name.
        at: when, UTC.
        step: the step's name, for step events.
        details: rows, bytes, seconds, status, error, try: whatever the kind has.
    """

    kind: Kind
    pipeline: str
    at: datetime
    step: str | None
    details: dict[str, Any]


Listener = Callable[[Event], None]


def silence(_: Event) -> None:
    """The listener of those who don't listen."""
