"""Plans, runs and backfills pipelines."""

from levada.pipelines.backfill import Backfilled, backfill
from levada.pipelines.pipeline import Pipeline, check_past
from levada.pipelines.plan import PlannedStep, PlannedWindow, plan
from levada.pipelines.run import run
from levada.pipelines.runner import Runner

__all__ = [
    "Backfilled",
    "Pipeline",
    "PlannedStep",
    "PlannedWindow",
    "Runner",
    "backfill",
    "check_past",
    "plan",
    "run",
]
