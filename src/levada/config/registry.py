"""Names in a project file -> the classes that stand behind them, imported when used.

Other distributions add theirs by the entry points `levada.connectors` and `levada.steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from levada.config.places import nearest
from levada.errors import ConfigError

CONNECTORS: Mapping[str, str] = {
    "mongodb": "levada.connectors.mongodb:MongoConnection",
    "lake": "levada.connectors.lake:LakeConnection",
    "duckdb": "levada.connectors.duckdb:DuckdbConnection",
    "files": "levada.connectors.files:FilesConnection",
    "mysql": "levada.connectors.mysql:MysqlConnection",
    "postgres": "levada.connectors.postgres:PostgresConnection",
    "rest": "levada.connectors.rest:RestConnection",
}
STEPS: Mapping[str, str] = {
    "check": "levada.steps.check:CheckStep",
    "copy": "levada.steps.copy:CopyStep",
    "sql": "levada.steps.sql:SqlStep",
    "prune": "levada.steps.prune:PruneStep",
    "maintain": "levada.steps.maintain:MaintainStep",
    "python": "levada.steps.python:PythonStep",
}
#: A driver's top-level module -> what pip installs it.
DRIVERS: Mapping[str, str] = {
    "deltalake": "levada",
    "duckdb": "levada",
    "pymongo": "levada",
    "fiftyone": "'levada[embedded]'",
    "adbc_driver_postgresql": "'levada[postgres]'",
    "adbc_driver_manager": "'levada[postgres]'",
    "connectorx": "'levada[mysql]'",
    "dlt": "'levada[rest]'",
}


def connector_names() -> dict[str, str]:
    """Connection type -> `module:Class`, plugins included; a plugin can't replace a type of Levada's own."""
    return {**_plugins("levada.connectors"), **CONNECTORS}


def step_names() -> dict[str, str]:
    """Step verb -> `module:Class`, plugins included; a plugin can't replace a verb of Levada's own."""
    return {**_plugins("levada.steps"), **STEPS}


def connector_class(type_name: str) -> type[Any]:
    """The class of a connection type.

    Raises:
        ConfigError: the type is unknown, or its driver isn't installed.
    """
    return _class(type_name, CONNECTORS, "levada.connectors", "connection type")


def step_class(verb: str) -> type[Any]:
    """The class of a step's verb.

    Raises:
        ConfigError: the verb is unknown, or what it needs isn't installed.
    """
    return _class(verb, STEPS, "levada.steps", "step verb")


def resolve(target: str) -> type[Any]:
    """Import the class of `module:Class`.

    Raises:
        ConfigError: it can't be imported; for a missing driver the hint is the pip command.
    """
    module_name, _, class_name = target.partition(":")
    try:
        found = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise _missing(target, error) from error
    except AttributeError as error:
        raise ConfigError(
            f"{module_name} has no {class_name!r}", hint="check the plugin's entry point"
        ) from error
    if not isinstance(found, type):
        raise ConfigError(f"{target} is not a class", hint="check the plugin's entry point")
    return found


def _class(name: str, own: Mapping[str, str], group: str, kind: str) -> type[Any]:
    if name in own:
        return resolve(own[name])
    plugins = _plugins(group)
    if name not in plugins:
        raise ConfigError(f"unknown {kind} {name!r}", hint=nearest(name, [*own, *plugins]))
    return resolve(plugins[name])


def _plugins(group: str) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=group)}


def _missing(target: str, error: ImportError) -> ConfigError:
    driver = (error.name or "").split(".")[0]
    if driver in DRIVERS:
        return ConfigError(f"{target} needs {driver}", hint=f"pip install {DRIVERS[driver]}")
    missing = isinstance(error, ModuleNotFoundError) and driver not in ("", "levada")
    hint = f"pip install what holds the module {driver}" if missing else "reinstall what it belongs to"
    return ConfigError(f"can't import {target}: {error}", hint=hint)
