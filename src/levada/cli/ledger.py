"""`levada status` and `levada runs`."""

from __future__ import annotations

import click

from levada.cli.main import Session
from levada.cli.output import moment, seconds, show_error, show_json, show_table
from levada.cli.run import run_document, show_steps
from levada.cli.session import opened
from levada.state import Run


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(session: Session, as_json: bool) -> int:
    """Show every pipeline: its last run, and when the schedule triggers it next over which window.

    \b
    Example:
      levada status
    """
    with opened(session) as project:
        found = project.status()
    if as_json:
        show_json(
            [
                {
                    "pipeline": item.pipeline.name,
                    "last": run_document(item.last) if item.last else None,
                    "next_trigger": item.next_trigger,
                    "next_window": str(item.next_window) if item.next_window else None,
                }
                for item in found
            ]
        )
        return 0
    if not found:
        click.echo("levada.yml has no pipelines")
        return 0
    show_table(
        ("pipeline", "last run", "status", "window", "seconds", "next trigger"),
        [
            (
                item.pipeline.name,
                item.last.id if item.last else "never",
                item.last.status if item.last else None,
                item.last.window.short if item.last and item.last.window else None,
                seconds(item.last.seconds) if item.last else None,
                moment(item.next_trigger),
            )
            for item in found
        ],
        right=(4,),
    )
    return 0


@click.command()
@click.argument("run", required=False)
@click.option("--pipeline", help="Only runs of this pipeline.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def runs(session: Session, run: str | None, pipeline: str | None, limit: int, as_json: bool) -> int:
    """List recent runs, or show one (by the beginning or the end of its id) with its steps.

    \b
    Examples:
      levada runs --pipeline daily
      levada runs 5f3a9c
    """
    with opened(session) as project:
        if run:
            return _one(project.find_run(run), as_json=as_json)
        found = project.runs(pipeline, limit)
    if as_json:
        show_json([run_document(item) for item in found])
        return 0
    if not found:
        click.echo(f"pipeline {pipeline} has not run yet" if pipeline else "nothing has run yet")
        return 0
    show_table(
        ("run", "pipeline", "window", "status", "rows", "seconds", "error"),
        [
            (
                item.id,
                item.pipeline,
                item.window.short if item.window else None,
                item.status,
                item.rows,
                seconds(item.seconds),
                _shortened((item.error or {}).get("what")),
            )
            for item in found
        ],
        right=(4, 5),
    )
    return 0


def _shortened(text: str | None, width: int = 80) -> str | None:
    return text if text is None or len(text) <= width else text[: width - 1] + "…"


def _one(found: Run, *, as_json: bool) -> int:
    if as_json:
        show_json(run_document(found))
        return 0
    click.echo(f"{found.pipeline} over {found.window.short}" if found.window else found.pipeline)
    click.echo(f"{found.status}, {moment(found.started_at)} UTC, {seconds(found.seconds)}")
    show_steps(found)
    for step in found.steps.values():
        if step.error:
            show_error(step.error["what"], step.name, step.error.get("hint"))
    return 0
