"""Runs a pipeline once."""

from __future__ import annotations

from levada.errors import ConfigError
from levada.pipelines.execution import Execution
from levada.pipelines.pipeline import Pipeline, check_past
from levada.pipelines.runner import Runner
from levada.state import OnLost, Run, new_run_id
from levada.windows import Window


def run(
    runner: Runner,
    pipeline: Pipeline,
    window: Window | None,
    *,
    fresh: bool = False,
    on_lost: OnLost = OnLost.FAIL,
) -> Run:
    """Run once; a failed run over the same window is resumed at its failed steps unless `fresh`.

    Returns:
        The run as recorded: `status` is done, failed or stopped.

    Raises:
        ConfigError: the window is not over, or missing, or the pipeline has none.
        LeaseHeld: another run of this pipeline is active.
    """
    if (window is None) != (pipeline.spec.window is None):
        raise ConfigError(f"pipeline {pipeline.name} {'needs a' if window is None else 'has no'} window")
    check_past([window], runner.clock())
    run_id = new_run_id(runner.clock())
    lease = runner.lease(pipeline, run_id)
    try:
        return Execution(runner, pipeline, window, lease, on_lost=on_lost).execute(run_id, fresh=fresh)
    finally:
        lease.release()
