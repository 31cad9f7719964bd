"""Values that must not be printed: what came from the environment, and what password fields hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
# From the `://` on, without the scheme: looking for a scheme first takes minutes in a long text.
_PASSWORD = re.compile(r"(?P<user>://[^\s:/@]*:)(?!\d+[/?])(?P<password>[^\s@]+)(?=@)")
_SENSITIVE = re.compile(
    r"passw|pwd|secret|token|credential|(api|access|private|account)[_-]?key", re.IGNORECASE
)
_REFERENCES = re.compile(r"(?<!\$)\$\{\w+")
_SHORT = 4
_LONG = 6  # a shorter header (`X-Version: 2`) is no secret, and masking it would garble texts


@dataclass(frozen=True)
class Secrets:
    """Secret values and what to print in their place.

    Args:
        values: secret -> its stand-in, such as `${SHOP_PASSWORD}`.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)})"

    def mask(self, text: str) -> str:
        """The text with stand-ins where secrets stood, and `***` for any other password in a URL.

        Secrets under four characters are replaced only where they stand alone.
        """
        for secret, stand_in in sorted(self._forms(), key=lambda form: -len(form[0])):
            pattern = re.escape(secret)
            if len(secret) < _SHORT:
                pattern = rf"(?<!\w){pattern}(?!\w)"
            text = re.sub(pattern, stand_in.replace("\\", r"\\"), text)
        return _PASSWORD.sub(_hide_password, text)

    def redact(self, value: Any, inside: str = "") -> Any:
        """A tree of mappings and lists with its texts masked and its password fields hidden, for printing.

        Args:
            inside: name of the field that holds the tree.
        """
        if isinstance(value, Mapping):
            return {
                key: _hidden(item) if sensitive(key, inside) else self.redact(item, key)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.redact(item) for item in value]
        return self.mask(value) if isinstance(value, str) else value

    def _forms(self) -> Iterator[tuple[str, str]]:
        """Each secret, and the password inside one that is a URL: drivers print it alone."""
        for secret, stand_in in self.values.items():
            if not secret.strip():
                continue
            yield secret, stand_in
            for match in _PASSWORD.finditer(secret):
                yield match["password"], stand_in
                yield unquote(match["password"]), stand_in


def sensitive(name: str, inside: str = "") -> bool:
    """Whether a field of this name holds a secret.

    Args:
        inside: name of the field that holds it: all headers count, and the `key` of `auth`.
    """
    return inside == "headers" or (inside, name) == ("auth", "key") or bool(_SENSITIVE.search(name))


def literals(value: Any, *, secret: bool = False, inside: str = "") -> dict[str, str]:
    """The texts that stand in password fields of a tree, and the passwords of its URLs: text -> `***`.

    Args:
        secret: whether the tree stands in such a field.
        inside: name of the field that holds it.
    """
    if isinstance(value, Mapping):
        trees = [(item, secret or sensitive(key, inside), key) for key, item in value.items()]
    elif isinstance(value, list):
        trees = [(item, secret, "") for item in value]
    else:
        if secret and isinstance(value, str | int | float):
            return {str(value): HIDDEN}
        return _of_urls(value) if isinstance(value, str) else {}
    found: dict[str, str] = {}
    for item, hidden, name in trees:
        found.update(literals(item, secret=hidden, inside=name))
    return {text: shown for text, shown in found.items() if inside != "headers" or len(text) >= _LONG}


def _of_urls(text: str) -> dict[str, str]:
    found = [match["password"] for match in _PASSWORD.finditer(text)]
    return dict.fromkeys([*found, *map(unquote, found)], HIDDEN)


def _hidden(value: Any) -> str:
    """References to the environment without their defaults, or `***`."""
    names = _REFERENCES.findall(value) if isinstance(value, str) else []
    return "".join(f"{name}}}" for name in names) or HIDDEN


def _hide_password(match: re.Match[str]) -> str:
    known = match["password"].startswith("${")
    return match[0] if known else f"{match['user']}{HIDDEN}"
