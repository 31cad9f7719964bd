"""`levada copy --since`, `--deletes`, and the plan of a dry run."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from .conftest import Levada

Document = dict[str, Any]
START = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def orders(mongo: MongoClient[Document], database: str) -> Any:
    collection = mongo[database].orders
    collection.insert_many([{"_id": n, "at": START + timedelta(days=n), "n": n} for n in range(4)])
    collection.insert_one({"_id": 9, "n": 9})
    return collection


@pytest.fixture
def project(tmp_path: Path, mongod: str, database: str, orders: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "levada.yml").write_text(
        "format: 1\nname: test\nconnections:\n"
        f"  shop: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
        "  wh: {type: duckdb, path: wh.duckdb}\n  lake: {type: lake, path: lake}\n"
        f"state: {{connection: shop, database: {database}_state}}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_state_left(mongo: MongoClient[Document], database: str) -> Any:
    yield
    mongo.drop_database(f"{database}_state")


def state(mongo: MongoClient[Document], database: str) -> dict[str, list[Document]]:
    names = mongo[f"{database}_state"].list_collection_names()
    return {name: list(mongo[f"{database}_state"][name].find()) for name in sorted(names)}


def test_only_what_is_new_is_copied_the_second_time(levada: Levada, project: Path, orders: Any) -> None:
    first = levada("copy", "shop.orders", "lake.orders", "--since", "at", "--step", "1d")
    assert first.out.startswith("5 rows in ")
    assert "4 steps; 1 row without at read too" in first.out
    orders.delete_one({"_id": 0})
    second = levada("copy", "shop.orders", "lake.orders", "--since", "at", "--deletes", "compare", "--json")
    assert second.json["rows"] <= 1  # the row without a time, unless no second has passed
    assert second.json["values"]["deleted"] == 1
    assert second.json["values"]["compared"] == 5


def test_a_cursor_that_no_document_has_is_told(levada: Levada, project: Path, orders: Any) -> None:
    doubt = "none of the first documents has a field 'att'"
    assert doubt in levada("copy", "shop.orders", "lake.orders", "--since", "att").out
    assert doubt in levada("copy", "shop.orders", "lake.orders", "--since", "att", "--dry-run").out
    assert "none of" not in levada("copy", "shop.orders", "lake.orders", "--since", "at").out


def test_where_nothing_has_run_that_is_said(levada: Levada, project: Path) -> None:
    assert levada("status").out == "levada.yml has no pipelines\n"
    assert levada("runs").out == "nothing has run yet\n"
    assert levada("runs", "--json").json == []
    assert levada("status", "--json").json == []


def test_without_a_project_it_is_refused(
    levada: Levada, orders: Any, mongod: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    host = mongod.removeprefix("mongodb://").split("/")[0]
    source = f"mongodb://{host}/{database}.orders?directConnection=true"
    for more in ((), ("--dry-run",)):
        found = levada("copy", source, f"file://{tmp_path}/lake/orders", "--since", "at", *more)
        assert found.code == 2
        assert "the state of a project; there is none here" in found.err
        assert "levada init" in found.err
    assert list(tmp_path.iterdir()) == []


def test_a_url_goes_on_by_the_state_of_the_project(
    levada: Levada, project: Path, orders: Any, mongod: str, database: str
) -> None:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    source = f"mongodb://{host}/{database}.orders?directConnection=true"
    arguments = ("copy", source, "lake.orders", "--since", "at", "--nulls", "skip")
    assert levada(*arguments).out.startswith("4 rows")
    assert levada(*arguments).out.startswith("0 rows")


@pytest.mark.parametrize("target", ["wh.orders", "lake.orders", "shop.copied", "file://{}/o.parquet"])
def test_a_dry_run_plans_and_writes_nothing(
    levada: Levada, project: Path, mongo: MongoClient[Document], database: str, target: str
) -> None:
    target = target.format(project)
    before = sorted(project.rglob("*")), state(mongo, database), mongo[database].list_collection_names()
    since = ("--since", "at") if "file" not in target else ()
    found = levada("copy", "shop.orders", target, *since, "--dry-run", "--json").json
    assert found["mode"] == ("upsert" if since else "append")
    assert found["watermark"] is None
    after = sorted(project.rglob("*")), state(mongo, database), mongo[database].list_collection_names()
    assert after == before


def test_a_dry_run_says_from_where_to_where(levada: Levada, project: Path, orders: Any) -> None:
    arguments = ("copy", "shop.orders", "lake.orders", "--since", "n", "--job", "orders")
    planned = levada(*arguments, "--dry-run", "--json").json
    assert (planned["job"], planned["watermark"], planned["reaches"]) == ("orders", None, 9)
    levada(*arguments)
    orders.insert_one({"_id": 10, "n": 30})
    planned = levada(*arguments, "--step", "10", "--dry-run", "--json").json
    assert (planned["watermark"], planned["reaches"], planned["steps"]) == (9, 30, 1)
    text = levada(*arguments, "--dry-run").out
    assert "watermark 'orders': 9\n" in text
    assert "would reach 30 in 1 step\n" in text


def test_a_dry_run_estimates_a_whole_copy(levada: Levada, project: Path) -> None:
    assert "about 5 rows of " in levada("copy", "shop.orders", "lake.orders", "--dry-run").out


@pytest.mark.parametrize(
    "wrong",
    [
        ("--columns", "nix"),
        ("--where", "nix = 1"),
        ("--key", "nix", "--mode", "upsert"),
        ("--since", "nix", "--key", "_id"),
        ("--version-column", "nix", "--mode", "upsert", "--key", "_id"),
    ],
)
@pytest.mark.parametrize("kind", ["lake", "wh", "file://{}/orders.parquet"])
def test_a_name_that_the_source_has_not_is_an_error(
    levada: Levada, project: Path, wrong: tuple[str, ...], kind: str
) -> None:
    source = kind.format(project) if "://" in kind else f"{kind}.orders"
    assert levada("copy", "shop.orders", source, "--mode", "replace").code == 0
    planned = levada("copy", source, "shop.copied", *wrong, "--dry-run")
    assert planned.code == 2
    assert "nix" in planned.err
    done = levada("copy", source, "shop.copied", *wrong)
    assert done.code == 2
    assert "nix" in done.err


def test_a_name_that_no_sampled_document_has_is_a_warning(levada: Levada, project: Path) -> None:
    found = levada("copy", "shop.orders", "lake.orders", "--columns", "_id,nix", "--dry-run")
    assert found.code == 0
    assert "warning: none of the first documents has a field 'nix'" in found.out


def test_changes_of_an_upsert_are_set_on_the_command_line(
    levada: Levada, project: Path, orders: Any, mongo: MongoClient[Document], database: str
) -> None:
    mongo[database].copied.insert_many([{"_id": 1, "n": 7, "mine": True}, {"_id": 2, "n": 0, "mine": True}])
    upsert = ("copy", "shop.orders", "shop.copied", "--mode", "upsert", "--key", "_id")
    assert levada(*upsert, "--version-column", "n", "--merge", "fields").code == 0
    assert mongo[database].copied.find_one({"_id": 1}) == {"_id": 1, "n": 7, "mine": True}
    changed = mongo[database].copied.find_one({"_id": 2}) or {}
    assert (changed["n"], changed["mine"]) == (2, True)
    refused = levada(*upsert, "--on-null", "keep")
    assert refused.code == 2
    assert "nothing is kept of a replaced row" in refused.err


@pytest.mark.parametrize("policy", ["restart", "trust_sink"])
def test_a_target_that_was_removed_stops_with_exit_code_4(levada: Levada, project: Path, policy: str) -> None:
    arguments = ("copy", "shop.orders", "lake.orders", "--since", "at")
    assert levada(*arguments).code == 0
    shutil.rmtree(project / "lake" / "orders")
    lost = levada(*arguments)
    assert lost.code == 4
    assert "--on-lost" in lost.err
    assert levada(*arguments, "--on-lost", policy).out.startswith("5 rows")
    assert levada(*arguments, "--json").json["rows"] <= 1
