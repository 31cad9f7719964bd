"""The JSON Schema of a project file, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from levada.config.model import ProjectFile
from levada.config.shapes import OPTIONS

_REFERENCES = "#/$defs/{model}"


def json_schema(
    connector_models: Mapping[str, type[BaseModel]], step_models: Mapping[str, type[BaseModel]]
) -> dict[str, Any]:
    """Compose the schema of a whole file (JSON Schema 2020-12).

    Args:
        connector_models: connection type -> settings model.
        step_models: step verb -> settings model.
    """
    models: dict[type[BaseModel], None] = dict.fromkeys(
        [ProjectFile, *connector_models.values(), *step_models.values()]
    )
    names, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCES
    )
    defs: dict[str, Any] = definitions["$defs"]
    root = dict(_resolved(names[(ProjectFile, "validation")], defs))
    defs["ConnectionSpec"] = {
        "oneOf": [
            _connection(kind, _resolved(names[(model, "validation")], defs))
            for kind, model in connector_models.items()
        ]
    }
    steps = {verb: names[(model, "validation")] for verb, model in step_models.items()}
    defs["StepSpec"] = _step(steps, defs["StepSpec"]["properties"])
    root.pop("$defs", None)
    used = _referenced({**root, "$defs": {}}, defs)
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "$defs": {name: defs[name] for name in sorted(used)},
    }
    return {key: _or_reference(value) for key, value in document.items()}


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return defs[reference.rsplit("/", 1)[1]] if reference else schema


def _connection(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "type": "object",
        "properties": {**settings.get("properties", {}), "type": {"const": kind}},
        "required": sorted({"type", *settings.get("required", [])}),
    }


def _step(verbs: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**verbs, **{name: options[name] for name in OPTIONS}},
        "oneOf": [{"required": [verb]} for verb in verbs],
        "additionalProperties": False,
    }


def _referenced(schema: Any, defs: Mapping[str, Any]) -> set[str]:
    """Names of all definitions that a schema leads to."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/$defs/")
            if name and name not in found:
                found.add(name)
                waiting.append(defs[name])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return found


def _or_reference(schema: Any) -> Any:
    """Wherever a number or a boolean is wanted, a text with a `${NAME}` in it may stand."""
    if isinstance(schema, list):
        return [_or_reference(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("integer", "number", "boolean"):
        return {"anyOf": [schema, {"type": "string", "pattern": r"\$\{"}]}
    return {key: _or_reference(value) for key, value in schema.items()}
