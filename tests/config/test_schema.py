from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from levada.config import json_schema
from levada.config.model import PipelineSpec, ProjectFile, TableSpec

pytestmark = pytest.mark.unit


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int


class MongoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    uri: str
    inner: Inner | None = None


class LakeSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str


class CopySettings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    source: str = Field(alias="from")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema({"mongodb": MongoSettings, "lake": LakeSettings}, {"copy": CopySettings})


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_it_is_json_and_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    json.dumps(schema)
    names = {reference.removeprefix("#/$defs/") for reference in _references(schema)}
    assert names <= set(schema["$defs"])


def test_it_names_every_field_of_the_file(schema: dict[str, Any]) -> None:
    assert set(schema["properties"]) == set(ProjectFile.model_fields)
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["PipelineSpec"]["properties"]) == set(PipelineSpec.model_fields)
    assert set(schema["$defs"]["TableSpec"]["properties"]) == set(TableSpec.model_fields)


def test_a_connection_has_the_fields_of_its_type(schema: dict[str, Any]) -> None:
    by_type = {
        option["properties"]["type"]["const"]: option for option in schema["$defs"]["ConnectionSpec"]["oneOf"]
    }
    assert set(by_type["mongodb"]["properties"]) == {"type", "uri", "inner"}
    assert by_type["lake"]["required"] == ["path", "type"]
    assert by_type["lake"]["additionalProperties"] is False


def test_a_step_has_its_verb_among_its_options(schema: dict[str, Any]) -> None:
    step = schema["$defs"]["StepSpec"]
    assert set(step["properties"]) == {"copy", "description", "needs", "retries", "timeout"}
    assert step["oneOf"] == [{"required": ["copy"]}]
    copy = schema["$defs"][step["properties"]["copy"]["$ref"].removeprefix("#/$defs/")]
    assert set(copy["properties"]) == {"from"}


def test_a_number_may_come_from_the_environment(schema: dict[str, Any]) -> None:
    size = schema["$defs"]["Inner"]["properties"]["size"]
    assert size["anyOf"][1] == {"type": "string", "pattern": r"\$\{"}
