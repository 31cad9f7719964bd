"""`${NAME}` and `${NAME:-default}` in the texts of a project file.

It works on values after YAML has been read, so that a value can't add YAML of its own. `$${` stands for a
literal `${`. As in a shell, the default counts where the variable is unset or empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from levada.config.places import Place

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)(?P<end>\}?)")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<value>.*))?", re.DOTALL)


def interpolate(value: Any, env: Mapping[str, str], place: Place) -> tuple[Any, dict[str, str]]:
    """Replace the references in every text of a tree of mappings, lists and scalars.

    Returns:
        The new tree, and the values that came from the environment: value -> `${NAME}`.

    Raises:
        ConfigError: a variable without a default is missing, or a reference is malformed.
    """
    found: dict[str, str] = {}
    return _walk(value, env, place, found), found


def _walk(value: Any, env: Mapping[str, str], place: Place, found: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _text(value, env, place, found)
    if isinstance(value, dict):
        return {key: _walk(item, env, place / key, found) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, env, place / index, found) for index, item in enumerate(value)]
    return value


def _text(text: str, env: Mapping[str, str], place: Place, found: dict[str, str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match["body"] is None:
            return "${"
        body = _BODY.fullmatch(match["body"])
        if not match["end"] or body is None:
            raise place.error(
                f"malformed reference {match[0]!r}",
                "write ${NAME} or ${NAME:-default}; $${ stands for a literal ${",
            )
        name = body["name"]
        if env.get(name):
            found[env[name]] = f"${{{name}}}"
            return env[name]
        if body["default"] is None:
            state = "is empty" if name in env else "is not set"
            raise place.error(
                f"environment variable {name} {state}", f"set {name}, or write ${{{name}:-default}}"
            )
        return body["value"]

    return _REFERENCE.sub(replaced, text)
