"""What of a validator a document does not satisfy, in a line.

Source: https://www.mongodb.com/docs/manual/core/schema-validation/handle-invalid-documents/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

_RULES = 3  # that are named
_LONG = 120


def unsatisfied(details: Mapping[str, Any] | None) -> str:
    """The first rules that a document breaks, each with its path; empty where the server doesn't say.

    Args:
        details: of the server's write error.
    """
    found = ((details or {}).get("errInfo") or {}).get("details") or {}
    rules = list(islice(dict.fromkeys(_rules(found, "")), _RULES + 1))
    return "; ".join(rules[:_RULES]) + ("; …" if len(rules) > _RULES else "")


def _rules(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, list):
        for one in node:
            yield from _rules(one, path)
    elif isinstance(node, Mapping):
        inner = [name for name in _INNER if name in node]
        named = [(name, said) for member, said in _NAMED.items() for name in node.get(member, ())]
        yield from (f"{path}{name} {said}" for name, said in named)
        if not inner and not named and "operatorName" in node:
            yield _rule(node, path)
        for name in inner:
            yield from _rules(node[name], _deeper(node, path))


#: Members under which the server puts the parts of a rule.
_INNER = (
    "schemaRulesNotSatisfied",
    "schemasNotSatisfied",
    "propertiesNotSatisfied",
    "clausesNotSatisfied",
    "details",
)
#: Members that name fields -> what is wrong with these.
_NAMED = {"missingProperties": "is missing", "additionalProperties": "is not allowed"}


def _deeper(node: Mapping[str, Any], path: str) -> str:
    if "propertyName" in node:
        return f"{path}{node['propertyName']}."
    return f"{path}{node['itemIndex']}." if "itemIndex" in node else path


def _rule(node: Mapping[str, Any], path: str) -> str:
    rule = node.get("specifiedAs")
    said = json.dumps(rule, default=_plain, ensure_ascii=False) if rule else str(node["operatorName"])
    short = said if len(said) <= _LONG else f"{said[:_LONG]}…"
    return f"{path.rstrip('.')}: {short}" if path else short


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
