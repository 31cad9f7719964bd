"""A pipeline that is ready to run: its steps with their settings, in an order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter

from levada.config import PipelineSpec
from levada.errors import ConfigError
from levada.resilience import RetryPolicy
from levada.steps.base import Step
from levada.windows import Window, last_whole, period, periods


@dataclass(frozen=True)
class Pipeline:
    """A DAG of steps over a window.

    Args:
        spec: what the project file says.
        steps: name -> step, in the file's order.
    """

    name: str
    spec: PipelineSpec
    steps: Mapping[str, Step]

    @property
    def order(self) -> tuple[str, ...]:
        """Step names; each after those it needs, otherwise as in the file."""
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for name in self.steps:
            sorter.add(name, *self.spec.steps[name].needs)
        return tuple(sorter.static_order())

    def upstream(self, step: str) -> frozenset[str]:
        """All steps that must be done before this one."""
        found: set[str] = set()
        waiting = list(self.spec.steps[step].needs)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.spec.steps[name].needs)
        return frozenset(found)

    @property
    def fingerprint(self) -> str:
        """Changes when the steps do; a failed run resumes only where it is the same."""
        steps = {name: spec.model_dump(mode="json") for name, spec in self.spec.steps.items()}
        text = json.dumps([str(self.spec.window), self.spec.timezone, steps], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def retry_policy(self, step: str) -> RetryPolicy:
        spec = self.spec.retries_of(step)
        return RetryPolicy(spec.attempts, spec.delay, spec.jitter)

    def timeout(self, step: str) -> timedelta | None:
        return self.spec.timeout_of(step)

    def window_at(self, trigger: datetime) -> Window | None:
        """What a run triggered then owns: the last whole period before it."""
        if self.spec.window is None:
            return None
        return last_whole(trigger, self.spec.window, self.spec.timezone)

    def window_named(self, text: str) -> Window:
        """Read a window as written on a command line: `2026-11-23` or `START/END`.

        Raises:
            ConfigError: it can't be read, isn't made of whole periods, or the pipeline has no windows.
        """
        grain = self.spec.window
        if grain is None:
            raise ConfigError(
                f"pipeline {self.name} has no windows", hint="leave the window out, or add `window:` to it"
            )
        window = Window.parse(text, grain, self.spec.timezone)
        if period(window.start, grain, self.spec.timezone) != window:
            raise ConfigError(
                f"window {window} is not one {grain} of pipeline {self.name}",
                hint=f"its windows are {grain}s in {self.spec.timezone}; `levada backfill` runs several",
            )
        return window

    def windows(self, span: Window) -> list[Window]:
        """All windows that overlap a span, oldest first."""
        if self.spec.window is None:
            raise ConfigError(f"pipeline {self.name} has no windows", hint="use `levada run`")
        return list(periods(span, self.spec.window, self.spec.timezone))


def check_past(windows: Iterable[Window | None], now: datetime) -> None:
    """Refuse windows that are not over yet.

    Raises:
        ConfigError: one lies in the future, wholly or in part.
    """
    for window in windows:
        if window is not None and window.end > now:
            when = "lies in the future" if window.start >= now else "is not over yet"
            raise ConfigError(
                f"window {window} {when}",
                hint=f"it can run from {window.end:%Y-%m-%d %H:%M} UTC on; now it is {now:%Y-%m-%d %H:%M}",
            )
