"""`levada copy`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from levada.bson import SLOWER, codec
from levada.cli.addresses import open_addresses, parse_filter
from levada.cli.main import Session
from levada.cli.output import Meter, seconds, show_json, show_table
from levada.cli.session import stopping
from levada.connectors.addresses import Addresses
from levada.connectors.base import Mode
from levada.steps import adhoc
from levada.steps.family import child_table
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
@click.option("--explode", help="Arrays that become rows of child tables, separated by commas.")
@click.option("--as-json", "text", help="Paths to write as Extended JSON, separated by commas.")
@click.option(
    "--order", type=click.Choice(["any", "id"]), default="any", help="`id` can go on at any server."
)
@click.option("--lanes", type=click.IntRange(1, 64), default=1, help="Ranges of `_id` to read at once.")
@click.option("--consistent", is_flag=True, help="All rows as they were at one moment (MongoDB).")
@click.option("--resume", is_flag=True, help="Go on with a copy that was stopped (MongoDB to a lake).")
@click.option("--profile", is_flag=True, help="Say where the time went.")
@click.option("--dry-run", is_flag=True, help="Say what would be copied, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def copy(session: Session, /, source: str, target: str, as_json: bool, **options: Any) -> int:
    """Copy SOURCE to TARGET, each `connection.table` of the project or a URL.

    \b
    Examples:
      levada copy mongodb://localhost/shop.transactions file:///data/lake/transactions --mode replace
      levada copy shop.customers warehouse.customers --mode upsert --key customer_id
      levada copy shop.transactions lake.transactions --mode replace --explode items --as-json tags
    """
    with closing(open_addresses(session)) as tables:
        if options["dry_run"]:
            return _dry_run(tables, source, target, options, as_json=as_json)
        stop, meter = threading.Event(), Meter(quiet=as_json)
        with stopping(stop):
            done = adhoc.copy(
                tables,
                source,
                target,
                mode=options["mode"],
                key=_list(options["key"]),
                columns=_list(options["columns"]),
                where=options["where"],
                filter=parse_filter(options["filter_"]),
                window=Window.parse(options["window"]) if options["window"] else None,
                time_column=options["time"],
                explode=_list(options["explode"]),
                as_json=_list(options["text"]),
                order=options["order"],
                lanes=options["lanes"],
                consistent=options["consistent"],
                resume=options["resume"],
                profile=options["profile"],
                expected=meter.expect,
                stop=stop,
                progress=meter,
            )
    if as_json:
        show_json(asdict(done))
    else:
        _show(done, profile=options["profile"])
    return 1 if done.rejected else 0


def _show(done: adhoc.Copied, *, profile: bool) -> None:
    rejected = f", {done.rejected:,} rejected" if done.rejected else ""
    note = f" ({done.note})" if done.note and not done.rejected else ""
    click.echo(f"{done.rows:,} rows in {seconds(done.seconds)}{rejected}{note}")
    for reason in done.reasons:
        click.echo(f"rejected: {reason}", err=True)
    if done.rejected > len(done.reasons):
        click.echo(f"and {done.rejected - len(done.reasons):,} more", err=True)
    if "decode" in done.timings and codec() == "reference":
        click.echo(f"read by the reference codec{SLOWER}", err=True)
    if profile:
        shares = sorted(done.timings.items(), key=lambda one: -one[1])
        rows = [(name, seconds(spent), _MEANINGS.get(name, "")) for name, spent in shares]
        show_table(("", "time", ""), rows, right=(1,))


#: What the parts of a profile are; they overlap, since threads work at once.
_MEANINGS = {
    "read": "waiting for server and wire, on a thread of its own",
    "server": "the server's part of it, the reads of all its clients counted",
    "wait": "decoding waited for something read",
    "decode": "BSON to Arrow",
    "stage": "handing rows to the writer, and waiting for it",
    "encode": "Arrow to the stored form, on a thread of its own",
    "write": "Parquet, on the same thread",
    "commit": "the last files, and the table's log",
}


def _dry_run(
    tables: Addresses, source: str, target: str, options: Mapping[str, Any], *, as_json: bool
) -> int:
    start, end, mode = str(tables.table(source)), str(tables.table(target)), options["mode"]
    children = {path: str(child_table(tables, target, path)) for path in _list(options["explode"])}
    if as_json:
        show_json({"from": start, "to": end, "mode": mode} | ({"children": children} if children else {}))
    else:
        click.echo(f"would copy {start} to {end}, mode {mode}")
        for path, table in children.items():
            click.echo(f"rows of {path} to {table}")
    return 0


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
