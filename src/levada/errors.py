"""What can go wrong, and what a runner should do about it.

```
LevadaError
├── Fatal               stop: trying again changes nothing
│   ├── ConfigError       the project file, a name, a value          exit 2
│   ├── CheckFailed       the data broke a rule                      exit 3
│   ├── PositionLost      the sink and the ledger disagree           exit 4
│   │   └── ScanLost        a scan can't go on where it was            exit 4
│   ├── LeaseHeld         another run of this pipeline is active     exit 1
│   └── Fenced            a newer owner has taken over               exit 1
├── Retriable           try again later: network, step-down, conflict, timeout
└── Skippable           one record is bad; the others are fine
```

Every error says what failed, where, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class LevadaError(Exception):
    """Base of all errors of Levada.

    Args:
        what: what failed, one sentence.
        where: pipeline, step, table, file and line, or key.
        hint: what to do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        parts = (self.what, self.where and f"at {self.where}", self.hint)
        return "; ".join(part for part in parts if part)

    def located(self, where: str) -> LevadaError:
        """Add an outer place (`daily/extract`) in front of the known one; returns the same error."""
        self.where = f"{where}: {self.where}" if self.where else where
        return self


class Fatal(LevadaError):
    """Stop: trying again changes nothing."""


class ConfigError(Fatal):
    """The project file, a name or a value is wrong."""

    exit_code = 2


class CheckFailed(Fatal):
    """The data broke a rule of severity `error`."""

    exit_code = 3


class PositionLost(Fatal):
    """What the sink committed and what the ledger says can't both be true (a restored backup)."""

    exit_code = 4


class ScanLost(PositionLost):
    """A scan can't go on behind this position; behind an earlier one of the same scan it may."""


class LeaseHeld(Fatal):
    """Another run holds the pipeline's lease."""


class Fenced(Fatal):
    """A newer owner took the lease over; this writer's data was refused."""


class Retriable(LevadaError):
    """Trying again later may succeed: network, step-down, conflict, timeout."""


class Skippable(LevadaError):
    """One record is bad; the others are fine."""
