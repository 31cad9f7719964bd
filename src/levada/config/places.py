"""Where in the project file something stands, and errors that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from levada.config.secrets import Secrets
from levada.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]
_REPORTED = 5


@dataclass(frozen=True)
class Place:
    """A field of a project file.

    Args:
        file: the file, as the user named it.
        lines: key path -> line (from 1).
        path: keys and list indexes from the top of the file.
        secrets: what an error must not show.
    """

    file: Path
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    path: KeyPath = ()
    secrets: Secrets = field(default_factory=Secrets, repr=False)

    def __truediv__(self, key: str | int) -> Place:
        return replace(self, path=(*self.path, key))

    def below(self, path: Iterable[str | int]) -> Place:
        return replace(self, path=(*self.path, *path))

    @property
    def line(self) -> int:
        """The line of the field, or of the nearest field around it that is in the file."""
        for length in range(len(self.path), -1, -1):
            if line := self.lines.get(self.path[:length]):
                return line
        return 1

    @property
    def dotted(self) -> str:
        """`pipelines.daily.steps.extract.needs[0]`."""
        text = ""
        for key in self.path:
            text += f"[{key}]" if isinstance(key, int) else f".{key}"
        return text.removeprefix(".")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.dotted}".rstrip()

    def error(self, what: str, hint: str | None = None) -> ConfigError:
        """A ConfigError at this place, with secrets masked."""
        return fault([Problem(self, what, hint)])


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file."""

    place: Place
    what: str
    hint: str | None = None


def fault(problems: Sequence[Problem]) -> ConfigError:
    """One error out of the problems of a file: the first decides, the hint lists the next ones."""
    first, *others = sorted(problems, key=lambda problem: problem.place.line)
    mask = first.place.secrets.mask
    hints = [first.hint] if first.hint else []
    if others:
        listed = ", ".join(
            f"{problem.what} (line {problem.place.line} {problem.place.dotted})"
            for problem in others[:_REPORTED]
        )
        more = f", and {len(others) - _REPORTED} more" if len(others) > _REPORTED else ""
        hints.append(f"also wrong: {listed}{more}")
    return ConfigError(mask(first.what), where=mask(str(first.place)), hint=mask("; ".join(hints)) or None)


def nearest(name: str, valid: Iterable[str]) -> str:
    """A hint: the valid name closest to `name`, if one is close, and all of them."""
    names = list(dict.fromkeys(valid))
    if not names:
        return "there are none yet"
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}valid: {', '.join(names)}"
