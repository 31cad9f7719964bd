"""What a dry run asks of the source."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from levada.errors import ConfigError
from levada.project import Project, load
from levada.steps import adhoc

from ..lacking import lacking  # noqa: TID252
from ..rest_server import Api, running  # noqa: TID252

PROJECT = """
format: 1
name: test
connections:
  api:
    type: rest
    base_url: {url}/v1
    resources:
      t: {{path: /numbered, data: items, paginator: {{type: page_number, more: more}}, key: id}}
  wh: {{type: duckdb, path: wh.duckdb}}
  shop: {{type: mongodb, uri: 'mongodb://127.0.0.1:1', database: test}}
state: {{connection: shop}}
"""
SHAPE = "customer:\n  id: id\n  name: name\n"


@pytest.fixture
def api() -> Iterator[Api]:
    if find_spec("dlt") is None:
        lacking("dlt isn't installed: pip install 'levada[rest]'")
    with running() as server:
        server.add(*({"id": n, "name": f"n{n}"} for n in range(35)))  # four pages
        yield server


@pytest.fixture
def project(api: Api, tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "levada.yml").write_text(PROJECT.format(url=api.url))
    (tmp_path / "shape.yml").write_text(SHAPE)
    with load(tmp_path / "levada.yml") as opened:
        yield opened


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "id > 1000"},
        {"columns": ("name",)},
        {"mode": "upsert", "key": ("id",)},
    ],
)
def test_an_api_is_asked_once(project: Project, api: Api, options: dict[str, object]) -> None:
    made = adhoc.plan(project.tables, "api.t", "wh.t", **options)
    assert made.target == "wh.t"
    assert len(api.asked) == 1


def test_an_api_is_asked_once_for_a_shape(project: Project, api: Api, tmp_path: Path) -> None:
    shape = str(tmp_path / "shape.yml")
    made = adhoc.plan(project.tables, "api.t", "wh.t", shape=shape, where="name <> ''")
    assert "fields of the documents: customer.id, customer.name" in made.notes
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"columns": ("nme",)}, "no column 'nme'"),
        ({"where": "nme = 'x'"}, "no column 'nme'"),
        ({"where": "name + 1 > {}"}, "can't use the condition"),
    ],
)
def test_what_the_rows_of_an_api_do_not_fit_is_told(
    project: Project, api: Api, options: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        adhoc.plan(project.tables, "api.t", "wh.t", **options)
    assert len(api.asked) == 1
