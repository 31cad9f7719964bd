"""A project file on disk -> a `ProjectFile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from levada.config.document import parse, read
from levada.config.interpolate import interpolate
from levada.config.model import ProjectFile
from levada.config.places import fault
from levada.config.references import check_references, resolved_state
from levada.config.secrets import Secrets, literals
from levada.config.validate import problems


def load(path: Path, env: Mapping[str, str]) -> ProjectFile:
    """Read and check a project file. Connections and steps are checked in name and shape, not in settings.

    Args:
        path: the file; relative paths inside it start at its folder.
        env: the environment that `${NAME}` refers to.

    Raises:
        ConfigError: anything is wrong with it; file, line and field are in `where`.
    """
    written, top = parse(read(path), path)
    values, found = interpolate(written, env, top)
    top = replace(top, secrets=Secrets({**literals(values.get("connections")), **found}))
    try:
        project = ProjectFile.model_validate(values, context=(top, written))
    except ValidationError as error:
        raise fault(problems(error, ProjectFile, values, top)) from None
    check_references(project)
    return project.model_copy(update={"state": resolved_state(project)})


def starter() -> str:
    """The text of a commented project file that runs as it is."""
    return files("levada.config").joinpath("starter.yml").read_text(encoding="utf-8")
