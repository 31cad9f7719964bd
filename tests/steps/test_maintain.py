"""The steps `maintain` and `prune` on a lake, as a pipeline runs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pydantic import ValidationError
from pymongo import MongoClient

from levada.steps.maintain import MaintainSettings

from .conftest import Clock, Make

TABLES = """{
  db.src: {key: [_id], time: at},
  lake.dst: {key: [_id], time: at, partition_by: ["day(at)"]},
}"""
START = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def source(mongo: MongoClient[dict[str, Any]], database: str) -> Any:
    collection = mongo[database].src
    collection.insert_many([{"_id": n, "at": START + timedelta(hours=n)} for n in range(96)])
    return collection


@pytest.mark.parametrize(
    ("settings", "tables"),
    [({"tables": "lake.a"}, ("lake.a",)), ({"tables": ["lake.a", "lake.b"]}, ("lake.a", "lake.b"))],
)
def test_settings_name_one_table_or_several(settings: dict[str, Any], tables: tuple[str, ...]) -> None:
    assert MaintainSettings.model_validate(settings).tables == tables


@pytest.mark.parametrize(
    "settings",
    [{}, {"tables": []}, {"tables": "lake.a", "keep": 7}, {"tables": "lake.a", "target_size": "1 parsec"}],
)
def test_settings_that_say_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MaintainSettings.model_validate(settings)


def test_sizes_and_durations_are_read_as_people_write_them() -> None:
    settings = MaintainSettings.model_validate({"tables": "lake.a", "keep": "36h", "target_size": "256MiB"})
    assert (settings.keep, settings.target_size) == (timedelta(hours=36), 256 * 2**20)


def test_retention_and_upkeep_in_one_pipeline(make: Make, clock: Clock, source: Any, tmp_path: Path) -> None:
    project = make(
        """
        window: day
        steps:
          load: {copy: {from: db.src, to: lake.dst, mode: append}}
          retain: {prune: {table: lake.dst, older_than: 2d}}
          tidy: {maintain: {tables: lake.dst, keep: 1d}}
        """,
        TABLES,
    )
    for day in (20, 21, 22, 23):
        run = project.run("p", window=f"2026-11-{day}")
        assert run.status == "done", run.error
    days = {row["_id"] // 24 for row in project.read("lake.dst").read_all().to_pylist()}
    assert days == {2, 3}
    assert run.steps["retain"].values["removed"] == 24
    table = DeltaTable(tmp_path / "lake" / "dst")
    sizes = pa.table(table.get_add_actions())["size_bytes"].to_pylist()
    values = run.steps["tidy"].values
    assert (values["files_after"], values["bytes_after"]) == (len(sizes), sum(sizes))
    assert values["tables"]["lake.dst"]["files_after"] == len(sizes)
    assert values["skipped"] == 0
    assert len(list((tmp_path / "lake" / "dst").rglob("day=*/*.parquet"))) == 4  # `keep` has not passed


def test_values_are_the_sum_of_all_tables(make: Make, source: Any) -> None:
    project = make(
        """
        steps:
          tidy: {maintain: {tables: [lake.a, lake.b, lake.never_written]}}
          use: {needs: [tidy], check: {table: lake.a, rules: [{row_count: {min: 1}}]}}
        """
    )
    for name in ("lake.a", "lake.b"):
        for _ in range(3):
            project.copy("db.src", name)
    run = project.run("p")
    assert run.status == "done", run.error
    values = run.steps["tidy"].values
    assert (values["files_before"], values["files_after"], values["files_removed"]) == (6, 2, 0)
    assert set(values["tables"]) == {"lake.a", "lake.b", "lake.never_written"}
    assert project.read("lake.b").read_all().num_rows == 3 * 96


@pytest.mark.parametrize("address", ["wh.t", "db.src"])
def test_only_tables_of_a_lake_have_upkeep(make: Make, address: str) -> None:
    run = make(f"steps: {{tidy: {{maintain: {{tables: [{address}]}}}}}}").run("p")
    assert run.status == "failed"
    assert "needs no upkeep" in str(run.error)


def test_files_cannot_be_kept_for_longer_than_the_log_knows_them(
    make: Make, source: Any, tmp_path: Path
) -> None:
    steps = """
        steps:
          load: {copy: {from: db.src, to: lake.dst, mode: append}}
          tidy: {maintain: {tables: [lake.dst], keep: KEEP}}
        """
    run = make(steps.replace("KEEP", "31d"), TABLES).run("p")
    assert run.status == "failed"
    assert "log_retention" in str(run.error)
    assert make(steps.replace("KEEP", "30d"), TABLES).run("p").status == "done"
