"""`levada copy`."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from levada.cli.main import Session
from levada.cli.output import Meter, seconds, show_json
from levada.cli.session import stopping
from levada.connectors.addresses import Addresses
from levada.connectors.base import Mode
from levada.errors import ConfigError
from levada.project import find_file, load
from levada.steps import adhoc
from levada.windows import Window


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.APPEND.value,
    show_default=True,
    help="How rows are written.",
)
@click.option("--key", help="Columns that identify a row, separated by commas.")
@click.option("--columns", help="Columns to copy, separated by commas. Default: all.")
@click.option("--where", help="A SQL condition, for example \"status = 'completed'\".")
@click.option("--filter", "filter_", help="A MongoDB filter, as Extended JSON.")
@click.option("--window", help="Only rows of this window (START/END or a day) by the table's time column.")
@click.option("--time", help="The time column, where the project file names none.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def copy(session: Session, /, source: str, target: str, as_json: bool, **options: Any) -> int:
    """Copy SOURCE to TARGET, each `connection.table` of the project or a URL.

    \b
    Examples:
      levada copy mongodb://localhost/shop.transactions file:///data/lake/transactions --mode replace
      levada copy shop.customers warehouse.customers --mode upsert --key customer_id
    """
    with closing(_addresses(session)) as tables:
        if options["dry_run"]:
            return _dry_run(tables, source, target, options["mode"], as_json=as_json)
        stop = threading.Event()
        with stopping(stop):
            done = adhoc.copy(
                tables,
                source,
                target,
                mode=options["mode"],
                key=_list(options["key"]),
                columns=_list(options["columns"]),
                where=options["where"],
                filter=_filter(options["filter_"]),
                window=Window.parse(options["window"]) if options["window"] else None,
                time_column=options["time"],
                stop=stop,
                progress=Meter(quiet=as_json),
            )
    if as_json:
        show_json(asdict(done))
    else:
        rejected = f", {done.rejected:,} rejected" if done.rejected else ""
        click.echo(f"{done.rows:,} rows in {seconds(done.seconds)}{rejected}")
    return 1 if done.rejected else 0


def _addresses(session: Session) -> Addresses:
    """Those of the project, where there is one; URLs always."""
    if session.project is None:
        try:
            find_file(Path.cwd())
        except ConfigError:
            return Addresses(None)
    return load(session.project).tables


def _dry_run(tables: Addresses, source: str, target: str, mode: str, *, as_json: bool) -> int:
    found = {"from": str(tables.table(source)), "to": str(tables.table(target)), "mode": mode}
    if as_json:
        show_json(found)
    else:
        click.echo(f"would copy {found['from']} to {found['to']}, mode {mode}")
    return 0


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _filter(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    from bson import json_util

    try:
        found = json_util.loads(text)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"--filter is not Extended JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError("--filter is not a JSON object", hint='write it like {"status": "completed"}')
    return found
