from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from levada.config import ProjectFile, validate_settings
from levada.errors import ConfigError

pytestmark = pytest.mark.unit


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid")
    minimum: int = Field(default=0, alias="min")
    column: str | None = None


class Key(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["key"]
    name: str


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")
    type: Literal["login"]
    user: str
    word: str = ""


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    source: str = Field(alias="from")
    rules: list[dict[str, Rule]] = []
    either: Rule | int | None = None
    password: SecretStr | None = None
    auth: Annotated[Key | Login, Field(discriminator="type")] | None = None


TEXT = """\
name: x
connections:
  db: {type: mongodb}
pipelines:
  p:
    steps:
      s:
        copy:
          from: a
          rules:
            - row_count: {min: 1}
            - null_rate:
                colum: total
"""


def _validate(file: ProjectFile) -> Settings:
    raw = file.pipelines["p"].steps["s"].settings
    return validate_settings(Settings, raw, file.place("pipelines", "p", "steps", "s", "copy"))


def test_valid_settings_become_a_model(project: Callable[..., ProjectFile]) -> None:
    settings = _validate(project(TEXT.replace("colum:", "column:")))
    assert settings.rules[1]["null_rate"].column == "total"


@pytest.mark.parametrize(
    ("old", "new", "place", "what", "hint"),
    [
        ("", "", ":13 {}.rules[1].null_rate.colum", "unknown field 'colum'", "'column'? valid: min, column"),
        ("from: a", "form: a", ":8 {}.from", "missing field 'from'", "fields: from, rules"),
        ("from: a", "from: [a]", ":9 {}.from", "should be a text, not a list", ""),
        ("from: a", "from: a\n          either: {mim: 1}", ":10 {}.either.mim", "'mim'", "'min'?"),
        (
            "from: a",
            "from: a\n          auth: {type: logn}",
            ":10 {}.auth",
            "'logn' is not valid",
            "'login'?",
        ),
        ("from: a", "from: a\n          auth: {user: x}", ":10 {}.auth", "missing field 'type'", ""),
        (
            *("from: a", "from: a\n          auth: {type: login, usr: x, user: y}", ":10 {}.auth.usr"),
            *("unknown field 'usr'", "'user'? valid: type, user, word"),
        ),
    ],
)
def test_an_error_deep_in_raw_settings_has_its_line(
    old: str, new: str, place: str, what: str, hint: str, project: Callable[..., ProjectFile]
) -> None:
    file = project(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        _validate(file)
    assert caught.value.where == f"{file.path}{place.format('pipelines.p.steps.s.copy')}"
    assert what in caught.value.what
    assert hint in (caught.value.hint or "")


def test_the_value_of_a_wrong_field_is_not_repeated(project: Callable[..., ProjectFile]) -> None:
    file = project(TEXT.replace("colum:", "column:").replace("from: a", "from: a\n          password: 31337"))
    with pytest.raises(ConfigError, match="password") as caught:
        _validate(file)
    assert "31337" not in str(caught.value)
