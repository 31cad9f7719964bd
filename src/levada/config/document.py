"""YAML text -> plain values, and the line of every one of them.

The YAML 1.2 core schema: only `true` and `false` are booleans, `on` and `no` are texts, `12:30` and dates
are texts, and every key is a text. A key that stands twice is an error. Anchors and `<<` work.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from levada.config.places import KeyPath, Place
from levada.errors import ConfigError

_MOST_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of the YAML 1.2 core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the class of PyYAML declares it so


def _resolver(tag: str, pattern: str, first: str) -> None:
    starts = [*first, ""] if re.match(pattern, "") else list(first)
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), starts)


_resolver("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_resolver("null", r"^(?:~|null|Null|NULL|)$", "~nN")
_resolver("int", r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789")
_resolver("float", r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$", "-+.0123456789")
_resolver("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+.")
_resolver("merge", r"^<<$", "<")


def read(path: Path) -> str:
    """The text of a project file.

    Raises:
        ConfigError: it is missing, not readable or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no project file", where=str(path), hint="run `levada init`, or name one with --project"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"the file is not UTF-8: byte 0x{error.object[error.start]:02x}",
            where=f"{path}:{line}",
            hint="save it as UTF-8",
        ) from error
    except OSError as error:
        raise ConfigError(f"can't read the file: {error.strerror}", where=str(path)) from error


def parse(text: str, path: Path) -> tuple[dict[str, Any], Place]:
    """Read YAML text.

    Returns:
        The values, and the place of the top of the file, whose `lines` know every value's line.

    Raises:
        ConfigError: malformed YAML, a key that stands twice, an empty file, or no mapping at the top.
    """
    builder = _Builder(path)
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            value = builder.value(root, ()) if root is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _malformed(error, path) from error
    except RecursionError as error:
        raise Place(path).error("values are nested too deeply", "is a bracket repeated?") from error
    place = Place(path, builder.lines)
    if value is None:
        raise place.error("the file is empty", "run `levada init` in an empty folder to see a starter")
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        raise place.error(f"the file is {kind}, not a mapping", "start it with `format: 1` and `name: …`")
    return value, place


class _Builder:
    """Turns nodes into values and notes their lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[KeyPath, int] = {}
        self._scalars = yaml.constructor.SafeConstructor()
        self._open: list[yaml.Node] = []
        self._values = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self._values > _MOST_VALUES:
            raise self._error(node, path, f"more than {_MOST_VALUES} values", "are there aliases of aliases?")
        if node in self._open:
            raise self._error(node, path, "an alias that contains itself", "write the value out")
        self._open.append(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._scalar(node, path)
        finally:
            self._open.pop()

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        if node.tag not in _SCALARS:
            raise self._error(node, path, f"unknown tag {node.tag!r}", "project files need no tags")
        return self._scalars.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        seen: dict[str, int] = {}
        merged: list[yaml.Node] = []
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged.append(value_node)
                continue
            key, line = self._key(key_node, path), key_node.start_mark.line + 1
            if key in seen:
                hint = f"it stands in line {seen[key]} already: remove one"
                raise self._error(key_node, (*path, key), f"the key {key!r} stands twice", hint)
            seen[key] = line
            self.lines[(*path, key)] = line
            result[key] = self.value(value_node, (*path, key))
        for value_node in merged:
            result = {**self._merged(value_node, path), **result}
        return result

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, path, "a key that is not a text", "quote it")
        return str(node.value)

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            value = self.value(part, path)
            if not isinstance(value, dict):
                raise self._error(part, path, "`<<` takes a mapping", "point it at an anchor of a mapping")
            result = {**value, **result}
        return result

    def _error(self, node: yaml.Node, path: KeyPath, what: str, hint: str) -> ConfigError:
        return Place(self.path, {path: node.start_mark.line + 1}, path).error(what, hint)


_SCALARS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "bool", "null", "int", "float"))


def _malformed(error: yaml.YAMLError, path: Path) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "it can't be read"
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    hint = "indent with spaces, quote texts that hold `: `, `#`, `{` or `[`"
    if "\\t" in reason:
        reason, hint = "a tab", "YAML is indented with spaces"
    return ConfigError(f"malformed YAML: {reason}", where=where, hint=hint)
