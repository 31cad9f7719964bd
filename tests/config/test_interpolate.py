from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from levada.config import ProjectFile, Secrets
from levada.errors import ConfigError

pytestmark = pytest.mark.unit

Loader = Callable[..., ProjectFile]


def _value(project: Loader, text: str, env: dict[str, str]) -> object:
    return (
        project(f"name: x\nconnections:\n  c: {{type: lake, v: {text}}}\n", env)
        .connections["c"]
        .settings["v"]
    )


@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("'${A}'", {"A": "x"}, "x"),
        ("'a${A}b${B}c'", {"A": "1", "B": "2"}, "a1b2c"),
        ("'${A:-d}'", {}, "d"),
        ("'${A:-d}'", {"A": ""}, "d"),
        ("'${A:-d}'", {"A": "x"}, "x"),
        ("'${A:-}'", {}, ""),
        ("'${A:-mongodb://h:1/?a=b}'", {}, "mongodb://h:1/?a=b"),
        ("'$${A}'", {"A": "x"}, "${A}"),
        ("'$A $$ROOT {A} $'", {"A": "x"}, "$A $$ROOT {A} $"),
        ("'${A}'", {"A": "${B}", "B": "x"}, "${B}"),
        ("'${A}'", {"A": "7"}, "7"),
        ("['${A}', {k: '${A}'}, 7]", {"A": "x"}, ["x", {"k": "x"}, 7]),
        ("{'${A}': 1}", {"A": "x"}, {"${A}": 1}),
    ],
)
def test_references_are_replaced_in_texts_only(
    text: str, env: dict[str, str], expected: object, project: Loader
) -> None:
    assert _value(project, text, env) == expected


def test_a_value_cannot_add_yaml(project: Loader) -> None:
    injected = "x}\npipelines: {evil: {steps: {}}}\n#"
    assert _value(project, "'${A}'", {"A": injected}) == injected


@pytest.mark.parametrize("text", ["'${A'", "'${}'", "'${1A}'", "'${A-b}'", "'${A:-${B}}'", "'${A B}'"])
def test_a_malformed_reference_is_an_error_with_its_line(text: str, project: Loader) -> None:
    with pytest.raises(ConfigError, match="malformed reference") as caught:
        _value(project, text, {"A": "x", "B": "y"})
    assert caught.value.where is not None
    assert caught.value.where.endswith(":3 connections.c.v")


def test_a_missing_variable_is_named(project: Loader) -> None:
    with pytest.raises(ConfigError, match="environment variable A is not set"):
        _value(project, "'${A}'", {})
    with pytest.raises(ConfigError, match="environment variable A is empty"):
        _value(project, "'${A}'", {"A": ""})


def test_what_is_shown_of_a_file_holds_no_value_of_the_environment(project: Loader) -> None:
    uri = "mongodb://root:hunter2@db.example/"
    file = project(env={"SHOP_MONGODB_URI": uri})
    assert file.connections["shop"].settings["uri"] == uri
    shown = json.dumps(file.written) + repr(file) + str(file) + repr(file.secrets)
    assert "hunter2" not in shown
    assert "${SHOP_MONGODB_URI:-embedded}" in shown


def test_an_error_does_not_repeat_a_secret(project: Loader) -> None:
    text = 'name: x\npipelines:\n  p: {window: "${SECRET}", steps: {s: {check: {}}}}\n'
    with pytest.raises(ConfigError) as caught:
        project(text, {"SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "${SECRET}" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("can't reach mongodb://u:p%40ss@h/", "can't reach ${URI}"),
        ("password p%40ss is wrong", "password ${URI} is wrong"),
        ("password p@ss is wrong", "password ${URI} is wrong"),
        ("3 rows of abc in abcd", "3 rows of ${S} in abcd"),
        ("mongodb://me:other@h/", "mongodb://me:***@h/"),
        ("-9mongodb+srv://me:other@h/", "-9mongodb+srv://me:***@h/"),
        ("x" * 3_000_000, "x" * 3_000_000),
        ("mongodb://h:27017/db?x=me@home", "mongodb://h:27017/db?x=me@home"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_and_passwords_in_urls_are_masked(text: str, shown: str) -> None:
    secrets = Secrets({"mongodb://u:p%40ss@h/": "${URI}", "abc": "${S}", " ": "${BLANK}"})
    assert secrets.mask(text) == shown


def test_the_longer_of_two_secrets_is_masked_first() -> None:
    assert Secrets({"hunter": "A", "hunter2": "B"}).mask("hunter2 hunter") == "B A"


def test_a_literal_password_is_hidden_wherever_it_would_appear(project: Loader) -> None:
    file = project(
        """\
        name: x
        connections:
          db: {type: mongodb, password: hunter2, username: root}
          lake: {type: lake, storage_options: {AWS_SECRET_ACCESS_KEY: "${KEY:-fallback}", region: eu}}
          up: {type: mongodb, uri: "mongodb://root:swordfish@h/"}
          odd: {type: lake, token: 12345}
          api:
            type: rest
            auth: {type: api_key, name: X-Key, key: tadpole}
            headers: {X-Other: firefly, X-Version: "2"}
            resources: {t: {path: /t, key: id}}
        tables: {db.t: {key: [id]}}
        """
    )
    shown = file.written
    assert shown["connections"] == {
        "db": {"type": "mongodb", "password": "***", "username": "root"},
        "lake": {"type": "lake", "storage_options": {"AWS_SECRET_ACCESS_KEY": "${KEY}", "region": "eu"}},
        "up": {"type": "mongodb", "uri": "mongodb://root:***@h/"},
        "odd": {"type": "lake", "token": "***"},
        "api": {
            "type": "rest",
            "auth": {"type": "api_key", "name": "X-Key", "key": "***"},
            "headers": {"X-Other": "***", "X-Version": "***"},
            "resources": {"t": {"path": "/t", "key": "id"}},
        },
    }
    assert shown["tables"] == {"db.t": {"key": ["id"]}}
    assert file.secrets.mask("hunter2, fallback and 12345 are refused") == "***, *** and *** are refused"
    assert file.secrets.mask("tadpole, firefly, swordfish and 2 ids") == "***, ***, *** and 2 ids"
