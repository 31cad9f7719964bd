"""Settings of REST connections: what is wrong in a project file is said with its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from levada.connectors.rest import RestConnection, RestSettings

pytestmark = pytest.mark.unit

GOOD: dict[str, Any] = {
    "base_url": "https://api.example.com/v1",
    "resources": {"t": {"path": "/t", "paginator": "single"}},
}


def settings(resource: dict[str, Any] | None = None, **others: Any) -> RestSettings:
    resources = {"t": {**GOOD["resources"]["t"], **(resource or {})}}
    return RestSettings.model_validate({**GOOD, "resources": resources, **others})


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"base_url": "api.example.com"}, "https://host"),
        ({"base_url": "https://me:secret@api.example.com"}, "no password"),
        ({"base_url": "https://api.example.com?key=secret"}, "no query"),
        ({"resources": {}}, "at least 1"),
        ({"resources": {"t": {"path": "/t"}}}, "resource 't' names no `paginator`"),
        ({"requests_per_second": 0}, "greater than 0"),
        ({"timeout": "0s"}, "longer than nothing"),
        ({"answer_timeout": "0s"}, "longer than nothing"),
        ({"auth": {"type": "bearer"}}, "Field required"),
        ({"auth": {"type": "digest"}}, "does not match any of the expected tags"),
        ({"resource": {}}, "Extra inputs"),
    ],
)
def test_a_wrong_connection_is_refused(others: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RestSettings.model_validate({**GOOD, **others})
    assert told in str(caught.value.errors(include_input=False))
    assert "secret" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ({"path": "https://elsewhere/x"}, "not a URL"),
        ({"json": {"a": 1}}, "add `method: POST`"),
        ({"since": {"body": "a"}}, "add `method: POST`"),
        ({"since": {"param": "a", "body": "b"}, "method": "POST"}, "either `param`"),
        ({"until": {}}, "either `param`"),
        ({"since": {"param": "a", "format": "rfc"}}, "epoch_ms"),
        ({"columns": {"a": "money"}}, "unknown type 'money'"),
        ({"columns": {"a": "binary"}}, "JSON has no such values"),
        ({"columns": {"a": "decimal"}}, "decimal(scale)"),
        ({"paginator": "pages"}, "does not match any of the expected tags"),
        ({"paginator": {"type": "offset"}}, "Field required"),
        ({"paginator": {"type": "offset", "limit": 5, "overlap": 5}}, "less than `limit`"),
        ({"paginator": {"type": "offset", "limit": 5, "overlap": 1}}, "needs a `key`"),
        ({"paginator": {"type": "cursor"}}, "needs either `next`"),
        ({"paginator": {"type": "cursor", "next": "n", "param": "a", "body": "b"}}, "exclude each other"),
        ({"paginator": {"type": "cursor", "header": "N", "body": "b"}}, "goes into `param`"),
    ],
)
def test_a_wrong_resource_is_refused(resource: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(resource)
    assert told in str(caught.value)


def test_a_connections_paginator_is_for_resources_that_name_none() -> None:
    found = RestSettings.model_validate(
        {**GOOD, "paginator": "header_link", "resources": {"t": {"path": "/t"}, "u": GOOD["resources"]["t"]}}
    )
    assert found.paginator is not None
    assert [resource.paginator for resource in found.resources.values()] == [
        None,
        found.resources["u"].paginator,
    ]


def test_short_headers_are_no_secrets() -> None:
    found = settings(headers={"X-Version": "2", "X-Key": "hidden!"}, auth={"type": "bearer", "token": "t"})
    assert set(found.secrets()) == {"hidden!", "t"}


def test_opening_does_nothing_and_closing_forgets(tmp_path: Path) -> None:
    connection = RestConnection("api", settings(auth={"type": "bearer", "token": "hidden"}), tmp_path)
    assert connection.describe() == "https://api.example.com/v1"
    connection.close()
    connection.close()


PROGRAM = """
import sys
sys.modules["dlt"] = None
from pathlib import Path
from levada.connectors.base import Query, Table
from levada.connectors.rest import RestConnection, RestSettings
from levada.errors import ConfigError
settings = RestSettings.model_validate({
    "base_url": "http://127.0.0.1:1", "resources": {"t": {"path": "/t", "paginator": "single"}}})
connection = RestConnection("api", settings, Path())
print(connection.diagnose()[0].hint)
try:
    list(connection.source(Table("api", "t"), Query()).read(None, None))
except ConfigError as error:
    print(error.hint)
"""


def test_without_dlt_the_error_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "pip install 'levada[rest]'\n" * 2
