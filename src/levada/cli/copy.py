"""`levada copy`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from levada.bson import SLOWER, codec
from levada.cli.addresses import open_project, parse_filter
from levada.cli.main import Session
from levada.cli.output import Meter, seconds, show_json, show_table
from levada.cli.session import stopping
from levada.connectors.addresses import Addresses
from levada.connectors.base import Mode
from levada.observe import counted
from levada.state import OnLost, Store
from levada.steps import adhoc
from levada.steps.preview import Preview, lines
from levada.windows import Window


@click.command()
@click.argument("source")
@click.argument("target")
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    help="How rows are written. Default: append; with --since upsert.",
)
@click.option("--key", help="Columns that identify a row, separated by commas.")
@click.option("--columns", help="Columns to copy, separated by commas. Default: all.")
@click.option("--where", help="A SQL condition, for example \"status = 'completed'\".")
@click.option("--filter", "filter_", help="A MongoDB filter, as Extended JSON.")
@click.option("--sql", help="A SELECT that the source runs in place of the table.")
@click.option(
    "--shape",
    type=click.Path(exists=True, dir_okay=False),
    help="A YAML file: which columns make which fields of documents.",
)
@click.option("--window", help="Only rows of this window (START/END or a day) by the table's time column.")
@click.option("--time", help="The time column, where the project file names none.")
@click.option("--since", help="Only what is new since the last time, by this column (needs a project).")
@click.option("--job", help="Name of the watermark. Default: copy SOURCE -> TARGET.")
@click.option("--lag", help="With --since: leave what is younger to the next time.  [default: 1m]")
@click.option("--start", help="With --since: where the first time begins.  [default: 2000-01-01]")
@click.option("--step", help="With --since: commit in steps this long, for example 1d.")
@click.option("--overlap", help="With --since: read this much of the last time again.")
@click.option(
    "--nulls",
    type=click.Choice(["every_run", "first_run", "skip", "error"]),
    help="With --since: what becomes of rows where the column is null.",
)
@click.option(
    "--on-lost",
    type=click.Choice([policy.value for policy in OnLost]),
    default=OnLost.FAIL.value,
    help="With --since: when target and ledger can't both be right (a restored backup).",
)
@click.option(
    "--deletes", type=click.Choice(["keep", "compare"]), help="`compare` removes rows whose key is gone."
)
@click.option(
    "--delete-where", help="A SQL condition on rows of the source that are removed from the target."
)
@click.option("--version-column", help="Upsert: a lower version than the stored one changes nothing.")
@click.option(
    "--merge", type=click.Choice(["replace", "fields", "deep"]), help="Upsert: what it replaces of a row."
)
@click.option("--on-null", type=click.Choice(["write", "unset", "keep"]), help="Upsert: what a null does.")
@click.option("--operation", help="Upsert: a column that says insert, upsert, update or delete.")
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
      levada copy shop.orders lake.orders --since updated_at
      levada copy warehouse.scores shop.customers --mode upsert --key customer_id --shape scores.yml
    """
    with closing(_Ends(session)) as ends:
        asked = _asked(options) | ({"store": ends.store} if options["since"] else {})
        if options["dry_run"]:
            with Meter(quiet=as_json):
                made = adhoc.plan(ends.tables, source, target, **asked)
            return _dry_run(made, as_json=as_json)
        stop, meter = threading.Event(), Meter(quiet=as_json)
        with stopping(stop), meter:
            done = adhoc.copy(
                ends.tables,
                source,
                target,
                **asked,
                resume=options["resume"],
                on_lost=options["on_lost"],
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
    said = [part for part in (done.note or "").split("; ") if part and not part.endswith(" set aside")]
    note = f" ({'; '.join(said)})" if said else ""
    click.echo(f"{counted(done.rows, 'row')} in {seconds(done.seconds)}{rejected}{note}")
    for reason, record in zip(done.reasons, done.records, strict=True):
        click.echo(f"rejected: {reason}: {record}", err=True)
    if done.rejected > len(done.reasons) > 0:
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


class _Ends:
    """Where addresses lead, and the state of the project, where there is one."""

    def __init__(self, session: Session) -> None:
        self._project = open_project(session)
        self.tables = self._project.tables if self._project else Addresses(None)

    @property
    def store(self) -> Store | None:
        return self._project.store if self._project else None

    def close(self) -> None:
        self.tables.close()


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a copy is asked for, by the names of its settings."""
    return {
        **{name: options[name] for name in _AS_THEY_ARE},
        "key": _list(options["key"]),
        "columns": _list(options["columns"]),
        "filter": parse_filter(options["filter_"]),
        "window": Window.parse(options["window"]) if options["window"] else None,
        "time_column": options["time"],
        "version": options["version_column"],
        "explode": _list(options["explode"]),
        "as_json": _list(options["text"]),
    }


_AS_THEY_ARE = (
    *("mode", "where", "since", "job", "lag", "start", "step", "overlap", "nulls", "deletes", "delete_where"),
    *("merge", "on_null", "operation", "order", "lanes", "consistent", "shape", "sql"),
)


def _dry_run(made: Preview, *, as_json: bool) -> int:
    if as_json:
        show_json(asdict(made) | {"from": made.source, "to": made.target})
        return 0
    for line in lines(made):
        click.echo(line)
    return 0


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
