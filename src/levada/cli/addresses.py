"""Tables named on the command line: of the project, where there is one, and URLs always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from levada.cli.main import Session
from levada.cli.masking import learn, masked
from levada.connectors.addresses import Addresses
from levada.errors import ConfigError
from levada.observe.logs import configure
from levada.project import Project, find_file, load

_FILTER = """write it like '{"status": "completed"}'"""


def open_addresses(session: Session) -> Addresses:
    """Those of the project, where there is one; URLs always."""
    project = open_project(session)
    return project.tables if project else Addresses(None)


def open_project(session: Session) -> Project | None:
    """The project, where there is one."""
    configure(session.log_level, mask=masked)
    if session.project is None:
        try:
            find_file(Path.cwd())
        except ConfigError:
            return None
    project = load(session.project)
    learn(project.file.secrets)
    return project


def parse_filter(text: str | None) -> dict[str, Any]:
    """A MongoDB filter given as Extended JSON.

    Raises:
        ConfigError: it is none.
    """
    if not text:
        return {}
    from bson import json_util

    try:
        found = json_util.loads(text)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--filter is not Extended JSON: {error}", hint=_FILTER) from error
    if not isinstance(found, dict):
        raise ConfigError("--filter is not a JSON object", hint=_FILTER)
    return found
