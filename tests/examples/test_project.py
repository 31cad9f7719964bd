"""The shop's project file, against the code that will run it."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.config import ProjectFile, load, starter, step_class, validate_settings
from levada.windows import Grain

pytestmark = pytest.mark.unit

SHOP = Path(__file__).parents[2] / "examples" / "shop" / "levada.yml"


def _starter(folder: Path) -> ProjectFile:
    path = folder / "levada.yml"
    path.write_text(starter())
    return load(path, {})


@pytest.mark.parametrize("which", ["shop", "starter"])
def test_every_step_has_valid_settings_and_declared_tables(which: str, tmp_path: Path) -> None:
    project = load(SHOP, {}) if which == "shop" else _starter(tmp_path)
    for pipeline, spec in project.pipelines.items():
        for name, step in spec.steps.items():
            kind = step_class(step.verb)
            place = project.place("pipelines", pipeline, "steps", name, step.verb)
            uses = kind(validate_settings(kind.settings_model, step.settings, place)).uses()
            assert uses.reads or uses.writes
            for address in (*uses.reads, *uses.writes):
                project.table(address, place)


def test_the_daily_pipeline_is_the_nightly_job_it_claims_to_be() -> None:
    daily = load(SHOP, {}).pipelines["daily"]
    assert (daily.schedule, daily.window, daily.timezone) == ("0 2 * * *", Grain.DAY, "UTC")
    assert daily.retries.attempts == 3
    assert daily.retries.delay.total_seconds() == 300
    assert daily.timeout is not None
    assert daily.timeout.total_seconds() == 7_200
    tasks = ["validate_source_data", "extract_to_staging", "transform", "load_aggregated_results"]
    order = [name for name in daily.steps if name in [*tasks, "data_quality_checks", "cleanup_staging"]]
    assert order == [*tasks, "data_quality_checks", "cleanup_staging"]
