"""`levada run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from levada.cli.main import Session
from levada.cli.output import seconds, show_error, show_json, show_table
from levada.cli.session import opened
from levada.errors import ConfigError
from levada.pipelines import plan as plan_windows
from levada.project import Project
from levada.state import OnLost, Run, Runs
from levada.steps.base import Uses


@click.command()
@click.argument("pipeline")
@click.option("--window", help="2026-11-23, 2026-11-23T05 or START/END. Default: the last whole period.")
@click.option("--fresh", is_flag=True, help="Run all steps, even those a failed run has done.")
@click.option(
    "--on-lost",
    type=click.Choice([policy.value for policy in OnLost]),
    default=OnLost.FAIL.value,
    show_default=True,
    help="When a table and the ledger can't both be right (a restored backup).",
)
@click.option("--dry-run", is_flag=True, help="Show what would run, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@click.pass_obj
def run(
    session: Session,
    pipeline: str,
    window: str | None,
    fresh: bool,
    on_lost: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Run PIPELINE over one window.

    A failed run over the same window is resumed at its failed steps. Running a window again gives the same
    end state.

    \b
    Examples:
      levada run daily
      levada run daily --window 2026-11-23
    """
    with opened(session, quiet=as_json) as project:
        if dry_run:
            return _dry_run(project, pipeline, window, as_json=as_json)
        return report(project.run(pipeline, window=window, fresh=fresh, on_lost=on_lost), as_json=as_json)


def report(done: Run, *, as_json: bool) -> int:
    """Print a run; returns the exit code."""
    if as_json:
        show_json(run_document(done))
    else:
        show_steps(done)
    if done.error and not as_json:
        failed = next((step.name for step in done.steps.values() if step.status == "failed"), None)
        where = "/".join(part for part in (done.pipeline, failed) if part)
        inner = done.error.get("where")
        click.echo(err=True)
        show_error(done.error["what"], f"{where}: {inner}" if inner else where, done.error.get("hint"))
    if done.status == "done":
        return 0
    return int((done.error or {}).get("exit_code", 1))


def show_steps(done: Run) -> None:
    click.echo()
    columns = ["step", "status", "rows", "seconds", "tries"]
    rows: list[list[Any]] = [
        [step.name, step.status, step.rows, seconds(step.seconds), step.tries] for step in done.steps.values()
    ]
    if any(told := [_told(step.values) for step in done.steps.values()]):
        columns.append("notes")
        rows = [[*row, text] for row, text in zip(rows, told, strict=True)]
    show_table(columns, rows, right=(2, 3, 4))


def _told(values: Mapping[str, Any]) -> str:
    """What a step counted besides rows, where there is something."""
    counts = [(values.get(name), word) for name, word in _COUNTS.items()]
    return ", ".join(f"{count:,} {word}" for count, word in counts if isinstance(count, int) and count)


#: Values of a step -> how they are told.
_COUNTS = {"quarantined": "to quarantine", "unchanged": "unchanged", "deleted": "deleted", "older": "older"}


def run_document(done: Run) -> dict[str, Any]:
    """A run as JSON: as it is stored, with the seconds it took."""
    document = done.to_dict()
    document["id"] = document.pop("_id")
    return {**document, "seconds": round(done.seconds, 3)}


def _dry_run(project: Project, pipeline: str, window: str | None, *, as_json: bool) -> int:
    chosen = project.pipeline(pipeline)
    now = project.runner.clock()
    wanted = chosen.window_named(window) if window else chosen.window_at(now)
    if wanted is None:
        steps = [(name, "run", chosen.steps[name].uses()) for name in chosen.order]
    else:
        planned = plan_windows(chosen, Runs(project.store), [wanted], now, again=True)
        if not planned:
            raise ConfigError(
                f"window {wanted} is not over yet",
                where=pipeline,
                hint="leave out --window: the last whole one is run",
            )
        steps = [(step.name, step.action, Uses(step.reads, step.writes)) for step in planned[0].steps]
    mask = project.file.secrets.mask  # an address may be a URL
    rows = [
        (name, action, mask(", ".join(uses.reads)), mask(", ".join(uses.writes)))
        for name, action, uses in steps
    ]
    if as_json:
        keys = ("step", "action", "reads", "writes")
        show_json({"window": str(wanted), "steps": [dict(zip(keys, row, strict=True)) for row in rows]})
        return 0
    click.echo(f"{pipeline} over {wanted.short}" if wanted else pipeline)
    show_table(("step", "would", "reads", "writes"), rows)
    return 0
