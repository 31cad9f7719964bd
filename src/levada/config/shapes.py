"""How a project file writes connections, steps and needs -> how the models hold them.

A step is written as one verb among its options (`copy: {…}, needs: […]`), a connection as its type among
its settings (`type: mongodb, uri: …`).
"""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError

from levada.config.places import nearest
from levada.config.registry import CONNECTORS, STEPS, connector_names, step_names

OPTIONS = ("description", "needs", "retries", "timeout")


def problem(what: str, *, key: str | None = None, hint: str | None = None) -> PydanticCustomError:
    """An error about `key` of the value being validated, with a hint of its own."""
    # The text travels in the context: a template would read braces in it as placeholders.
    return PydanticCustomError("levada", "{what}", {"what": what, "key": key, "hint": hint})


def or_empty(value: Any) -> Any:
    """A section whose entries are all commented out is null in YAML."""
    return {} if value is None else value


def no_streams(value: Any) -> Any:
    """The section is reserved: a stream that is written down but never runs would be a silent loss."""
    if value:
        raise problem("streams don't run in this version of Levada", hint="leave `streams:` empty")
    return or_empty(value)


def one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def split_connection(raw: Any) -> Any:
    """`{type: mongodb, uri: …}` -> `{type: mongodb, settings: {uri: …}}`."""
    if not isinstance(raw, dict):
        return raw
    kind = raw.get("type")
    if kind is None:
        raise problem("a connection needs a type", hint=f"valid: {', '.join(connector_names())}")
    if kind not in CONNECTORS and kind not in (known := connector_names()):
        raise problem(f"unknown connection type {kind!r}", key="type", hint=nearest(str(kind), known))
    return {"type": kind, "settings": {key: value for key, value in raw.items() if key != "type"}}


def split_step(raw: Any) -> Any:
    """`{copy: {…}, needs: […]}` -> `{verb: copy, settings: {…}, needs: […]}`."""
    if not isinstance(raw, dict):
        return raw
    verbs = [key for key in raw if key not in OPTIONS]
    for verb in verbs:
        if verb not in STEPS and verb not in (known := step_names()):
            hint = nearest(verb, [*known, *OPTIONS])
            raise problem(f"unknown step verb or option {verb!r}", key=verb, hint=hint)
    if not verbs:
        raise problem("a step needs a verb", hint=f"valid: {', '.join(step_names())}")
    if len(verbs) > 1:
        listed = ", ".join(verbs)
        raise problem(f"a step has one verb, this one has {listed}", key=verbs[1], hint="split it into steps")
    settings = {} if raw[verbs[0]] is None else raw[verbs[0]]
    if not isinstance(settings, dict):
        raise problem(f"{verbs[0]!r} should be a mapping", key=verbs[0])
    options = {key: raw[key] for key in OPTIONS if key in raw}
    return {"verb": verbs[0], "settings": settings, **options}


def default_needs(steps: Any) -> Any:
    """A step that doesn't say what it needs waits for the step before it."""
    if not steps:
        raise problem("a pipeline needs at least one step")
    if not isinstance(steps, dict):
        return steps
    names = list(steps)
    result = {}
    for before, (name, raw) in zip([None, *names], steps.items(), strict=False):
        if isinstance(raw, dict) and "needs" not in raw and before is not None:
            raw = {**raw, "needs": [before]}  # noqa: PLW2901
        result[name] = raw
    return result
