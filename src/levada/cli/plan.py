"""`levada plan` and `levada backfill`."""

from __future__ import annotations

import click

from levada.cli.main import Session
from levada.cli.output import seconds, show_error, show_json, show_table
from levada.cli.run import run_document
from levada.cli.session import opened
from levada.observe import counted
from levada.pipelines import PlannedWindow
from levada.state import Run

_from = click.option("--from", "start", required=True, help="First window: 2026-11-01, 2026-W45, 2026-11.")
_to = click.option("--to", "end", help="Last window, included. Default: the last whole one.")
_again = click.option("--again", is_flag=True, help="Windows that are done, too.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("pipeline")
@_from
@_to
@_again
@_json
@click.pass_obj
def plan(session: Session, pipeline: str, start: str, end: str | None, again: bool, as_json: bool) -> int:
    """Show which windows of PIPELINE are missing, failed or done, and what a backfill would do.

    \b
    Example:
      levada plan daily --from 2026-11-01 --to 2026-11-23
    """
    with opened(session) as project:
        planned = project.plan(pipeline, project.span(pipeline, start, end), again=again)
    if as_json:
        show_json([_document(item) for item in planned])
        return 0
    show_table(
        ("window", "status", "would", "steps to run", "last run"),
        [
            (
                item.window.short,
                item.status,
                item.action,
                _steps(item),
                item.last.id if item.last else None,
            )
            for item in planned
        ],
    )
    due = sum(item.due for item in planned)
    command = f": levada backfill {pipeline} --from {start}" if due else ""
    click.echo(f"\n{due} of {counted(len(planned), 'window')} to run{command}")
    return 0


@click.command()
@click.argument("pipeline")
@_from
@_to
@_again
@click.option(
    "--parallel", type=click.IntRange(min=1), default=1, show_default=True, help="Windows under way at once."
)
@click.option("--keep-going", is_flag=True, help="Go on with further windows after one failed.")
@click.option("--dry-run", is_flag=True, help="The same as `levada plan`.")
@_json
@click.pass_context
def backfill(
    ctx: click.Context,
    pipeline: str,
    start: str,
    end: str | None,
    again: bool,
    parallel: int,
    keep_going: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run the windows of PIPELINE that are missing or failed. Stopped, it goes on where it was.

    \b
    Example:
      levada backfill daily --from 2026-11-01 --parallel 2
    """
    if dry_run:
        code: int = ctx.invoke(plan, pipeline=pipeline, start=start, end=end, again=again, as_json=as_json)
        return code
    with opened(ctx.obj, quiet=as_json) as project:
        span = project.span(pipeline, start, end)
        done = project.backfill(pipeline, span, parallel=parallel, again=again, keep_going=keep_going)
    if as_json:
        left = [str(window) for window in done.left]
        show_json({"runs": [run_document(run) for run in done.runs], "left": left})
    else:
        click.echo()
        rows = [(_window(run), run.status, run.rows, seconds(run.seconds), run.id) for run in done.runs]
        show_table(("window", "status", "rows", "seconds", "run"), rows, right=(2, 3))
    failed = [run for run in done.runs if run.status != "done"]
    for run in failed if not as_json else ():
        error = run.error or {"what": run.status}
        show_error(error["what"], f"{pipeline} over {run.window}", error.get("hint"))
    if failed:
        return int((failed[0].error or {}).get("exit_code", 1))
    return 1 if done.left else 0


def _steps(item: PlannedWindow) -> str:
    if not item.due:
        return ""
    todo = [step.name for step in item.steps if step.action == "run"]
    return f"all {len(todo)}" if len(todo) == len(item.steps) else ", ".join(todo)


def _window(run: Run) -> str | None:
    return run.window.short if run.window else None


def _document(item: PlannedWindow) -> dict[str, object]:
    return {
        "window": str(item.window),
        "status": item.status,
        "action": item.action,
        "run": item.last.id if item.last else None,
        "steps": {step.name: step.action for step in item.steps},
    }
