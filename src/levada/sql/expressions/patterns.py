"""LIKE patterns as regular expressions."""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()]")


def like_regex(pattern: str, escape: str = "") -> str:
    """A LIKE pattern as an anchored regular expression, for the option `s`.

    A fixed start stands right after `^`, so that an index on the text can be used.

    Raises:
        ValueError: the pattern ends with its escape.
    """
    out = ["^"]
    letters = iter(pattern)
    for letter in letters:
        if escape and letter == escape:
            out.append(_quoted(_escaped(next(letters, None))))
        elif letter == "%":
            out.append(".*")
        else:
            out.append("." if letter == "_" else _quoted(letter))
    if out[-1] == ".*":  # anything may follow: no need to look at it
        return "".join(out[:-1])
    return "".join(out) + "(?!\n)$"


def _escaped(letter: str | None) -> str:
    if letter is None:
        raise ValueError("the pattern ends with its escape")
    return letter


def _quoted(letter: str) -> str:
    return f"\\{letter}" if _SPECIAL.match(letter) else letter


def glob_regex(pattern: str) -> str:
    """A GLOB pattern (`*`, `?`, `[a-z]`, `[!a]`) as an anchored regular expression, for the option `s`."""
    out = ["^"]
    place = 0
    while place < len(pattern):
        letter = pattern[place]
        end = pattern.find("]", place + 2) if letter == "[" else -1
        if end > 0:
            inside = pattern[place + 1 : end].replace("\\", "\\\\")
            out.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
            place = end
        else:
            out.append({"*": ".*", "?": "."}.get(letter) or _quoted(letter))
        place += 1
    return "".join(out) + "(?!\n)$"
