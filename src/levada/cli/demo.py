"""`levada demo`: an example, filled, run and shown."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from levada.cli.main import Session
from levada.cli.output import seconds, show_json, show_table
from levada.cli.run import report, run_document
from levada.cli.session import opened
from levada.connectors.base import Query
from levada.errors import ConfigError
from levada.project import Project
from levada.state import Run

EXAMPLE = Path("examples") / "shop"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print what happened as JSON.")
@click.pass_obj
def demo(session: Session, folder: Path | None, as_json: bool) -> int:
    """Fill an example with data, run its pipeline for yesterday, and show what happened.

    FOLDER holds a levada.yml and a demo.py; default: examples/shop.

    \b
    Example:
      levada demo examples/shop
    """
    folder = folder or session.project or EXAMPLE
    if not (folder / "demo.py").is_file():
        raise ConfigError(
            f"no demo.py in {folder}", hint="run it in a checkout of Levada, or start with `levada init`"
        )
    session.project = folder
    example = _module(folder)
    started = time.monotonic()
    with opened(session, quiet=as_json) as project:
        filled = _fill(project, example, quiet=as_json)
        done = project.run(example.PIPELINE)
        code = report(done, as_json=False) if not as_json else 0 if done.status == "done" else 1
        rows = _first_rows(project, example.SHOW) if done.status == "done" else []
        places = _places(project, done)
        mask = project.file.secrets.mask
    took = time.monotonic() - started
    if as_json:
        show_json({"filled": filled, "run": run_document(done), "rows": rows, "seconds": took})
        return code
    if code == 0:
        _show_end(example.SHOW, rows, [(name, mask(text)) for name, text in places])
        _show_next(folder, done, took)
    return code


def _module(folder: Path) -> ModuleType:
    sys.path.insert(0, str(folder.resolve()))
    spec = importlib.util.spec_from_file_location("levada_demo", folder / "demo.py")
    if spec is None or spec.loader is None:
        raise ConfigError(f"can't load {folder / 'demo.py'}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _fill(project: Project, example: Any, *, quiet: bool) -> dict[str, int]:
    started = time.monotonic()
    filled: dict[str, int] = example.fill(project, project.runner.clock())
    if filled and not quiet:
        made = ", ".join(f"{count:,} {name}" for name, count in filled.items())
        click.echo(f"made {made} in {seconds(time.monotonic() - started)}", err=True)
    return filled


def _first_rows(project: Project, address: str, count: int = 4) -> list[dict[str, Any]]:
    table = project.tables.table(address)
    source = project.tables.connection(table.connection).source(table, Query(batch_rows=count))
    rows: list[dict[str, Any]] = []
    with closing(source.read(None, None)) as batches:  # type: ignore[type-var]
        for batch in batches:
            rows += batch.data.slice(0, count - len(rows)).to_pylist()
            if len(rows) >= count:
                break
    return rows


def _places(project: Project, done: Run) -> list[tuple[str, str]]:
    places = []
    for name, spec in project.file.connections.items():
        places.append((f"{name} ({spec.type})", project.tables.connection(name).describe()))
    state = project.file.state
    places.append(("ledger", f"database {state.database} on {state.connection}, run {done.id}"))
    return places


def _show_end(address: str, rows: list[dict[str, Any]], places: list[tuple[str, str]]) -> None:
    click.echo(f"\n{address}")
    columns = [name for name in (rows[0] if rows else {}) if not name.startswith("_")]
    show_table(columns, [[row.get(name) for name in columns] for row in rows])
    click.echo()
    show_table(("what", "where"), places)


def _show_next(folder: Path, done: Run, took: float) -> None:
    command = f"{_program()} -p {os.path.relpath(folder)}"
    first = done.window.start - timedelta(days=2) if done.window else done.started_at
    click.echo(f"\nAll of it took {seconds(took)}. Try next:")
    click.echo(f"  {command} runs {done.id[-6:]}")
    click.echo(f"  {command} plan {done.pipeline} --from {first:%F}")
    click.echo(f"  {command} backfill {done.pipeline} --from {first:%F} --parallel 2")


def _program() -> str:
    """How this program is called from here: by name where a shell would find it, else by its path."""
    called = Path(sys.argv[0])
    return "levada" if shutil.which("levada") == str(called.resolve()) else os.path.relpath(called)
