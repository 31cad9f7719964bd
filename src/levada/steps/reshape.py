"""The setting `shape:` of steps that write rows: where it is read from, and what it does to batches."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from levada.batches import Batch
from levada.config import nearest
from levada.config.document import parse as parse_yaml
from levada.connectors.base import Mode
from levada.errors import ConfigError
from levada.steps import grouping
from levada.steps.base import StepContext, StepSettings
from levada.steps.delivery import Delivered, Target
from levada.steps.shape import Column, Constant, Document, Misshapen, at, grouped, parse, rests, walk
from levada.steps.shaping import Shaper, constant, flat
from levada.types.fit import Unfit

#: Kinds of connections whose rows may lack columns that later ones have, and files that are like that.
_OPEN = {"mongodb", "rest"}
_OPEN_FILES = re.compile(r"\.(jsonl|ndjson|ejson)(\.\w+)?$", re.IGNORECASE)


def read_shape(raw: Any) -> Document:
    """A shape as it stands in YAML, its constants tried.

    Raises:
        Misshapen: it can't be one.
    """
    shape = parse(raw)
    for node in walk(shape):
        if isinstance(node, Constant):
            try:
                constant(node)
            except (Unfit, ValueError, OverflowError) as error:
                raise Misshapen(
                    f"the constant {node.value!r}: {error}", tuple(node.path.split("."))
                ) from error
    return shape


def _checked(raw: Any) -> Any:
    if isinstance(raw, Mapping):
        try:
            read_shape(raw)
        except Misshapen as error:
            said = {"what": error.what, "path": error.path, "hint": error.hint}
            raise PydanticCustomError("levada", "{what}", said) from error
    return raw


class ShapeSettings(StepSettings):
    """What a step that writes rows can do to them.

    Args:
        shape: nested documents from flat columns (`levada.steps.shape`); a mapping, or the path of a YAML
            file from the project's folder.
    """

    shape: Annotated[
        Mapping[str, Any] | str | None,
        BeforeValidator(_checked, json_schema_input_type=dict[str, Any] | str | None),
    ] = Field(default=None)


def load(shape: Mapping[str, Any] | str, root: Path) -> Document:
    """The shape that a step names.

    Args:
        shape: itself, or a file.
        root: where relative paths begin.

    Raises:
        ConfigError: it can't be read, or is none; file and line are given.
    """
    if not isinstance(shape, str):
        return read_shape(shape)
    file = root / Path(shape).expanduser()
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"can't read the shape: {reason}",
            where=str(file),
            hint="`shape` is a mapping, or the path of a YAML file",
        ) from error
    try:
        raw, place = parse_yaml(text, file)
    except ConfigError as error:
        if "malformed" not in error.what:
            error.hint = "write `field: column` for each field of the documents"
        raise
    try:
        return read_shape(raw)
    except Misshapen as error:
        raise place.below(error.path).error(error.what, error.hint) from error


class Reshaping:
    """Makes documents of the rows of one read.

    Args:
        shape: as the step names it.
        context: of the step.
        target: where they go to; its key is made of fields of the shape.
        source: address or table they come from, for errors; `kind` is that of its connection.
        carried: columns that the write needs and that are not stored.

    Raises:
        ConfigError: the shape can't be read, or lacks the key.
    """

    def __init__(
        self,
        shape: Mapping[str, Any] | str,
        context: StepContext,
        target: Target,
        *,
        source: str,
        kind: str = "",
        carried: Collection[str] = (),
    ) -> None:
        self.shape = load(shape, context.root)
        self._key = target.key
        self._folder = context.root / ".levada" / "tmp" if (context.root / ".levada").is_dir() else None
        self._check_key(target)
        for name in carried:
            self.shape.fields.setdefault(name, Column(name, name))
        open_ended = kind in _OPEN or (kind == "files" and bool(_OPEN_FILES.search(source)))
        self.shaper = Shaper(self.shape, source, open_ended=open_ended, carried=carried)

    @property
    def fields(self) -> tuple[str, ...]:
        """Dotted paths of the fields that documents get."""
        leaves = (node for node in walk(self.shape) if not isinstance(node, Document))
        rest = ("*",) if rests(self.shape) else ()
        return (*dict.fromkeys(node.path for node in leaves), *rest)

    def of(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The documents of a whole read."""
        if grouped(self.shape):
            return grouping.by_key(self.shaper, batches, self._key, self._folder)
        return flat(self.shaper, batches)

    def noted(self, delivered: Delivered) -> Delivered:
        """What was delivered, with what is worth saying of the shape."""
        notes = [*([delivered.note] if delivered.note else []), *self.shaper.notes]
        return replace(delivered, note="; ".join(notes) or None)

    def refuse_groups(self, since: str) -> None:
        """Refuse to make arrays of an increment: the older rows of a key would be gone from its array.

        Raises:
            ConfigError: the shape has `each`.
        """
        if grouped(self.shape):
            raise ConfigError(
                f"`since: {since}` reads the newer rows of a key only, so `each` would drop the others",
                hint="copy all rows, or group them in a query that reads the whole keys that have changed",
            )

    def refuse_renamed_keys(self) -> None:
        """Refuse keys that have other values or another name in the source.

        Raises:
            ConfigError: so they are.
        """
        for path in self._key:
            node = at(self.shape, path)
            if node is not None and not (isinstance(node, Column) and node.name == path and not node.kind):
                raise ConfigError(
                    f"the key {path!r} is no plain column of that name, so keys can't be compared",
                    hint="leave out `deletes: compare`, or name the column like the field in a `sql` query",
                )

    def _check_key(self, target: Target) -> None:
        if target.mode is not Mode.UPSERT:
            return
        for path in target.key:
            if at(self.shape, path) is None and not self.shape.rest:
                raise ConfigError(
                    f"the key {path!r} is no field of the shape",
                    where=str(target.table),
                    hint=nearest(path, self.shape.fields),
                )
