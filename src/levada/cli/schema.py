"""`levada schema`."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from levada.cli.main import Session
from levada.cli.output import Meter, show_json
from levada.errors import ConfigError

if TYPE_CHECKING:
    from levada.cli.look import Look

SAMPLE = 10_000

_FORMS = ("json", "arrow", "sql", "json_schema")


@click.command()
@click.argument("table")
@click.option("--sample", type=click.IntRange(min=1), help=f"Documents to look at. Default: {SAMPLE:,}.")
@click.option("--all", "whole", is_flag=True, help="Look at every document.")
@click.option("--where", help="A SQL condition, for example \"status = 'completed'\".")
@click.option("--filter", "filter_", help="A MongoDB filter, as Extended JSON.")
@click.option("--arrow", is_flag=True, help="Print the Arrow schema that a copy would have.")
@click.option("--sql", is_flag=True, help="Print CREATE TABLE in DuckDB's dialect.")
@click.option("--json-schema", is_flag=True, help="Print a JSON Schema that these documents obey.")
@click.option(
    "--dialect",
    type=click.Choice(["mongodb", "2020-12"]),
    default="mongodb",
    show_default=True,
    help="Of --json-schema: MongoDB's validator, or JSON Schema 2020-12.",
)
@click.option("--json", is_flag=True, help="Print the profile as JSON.")
@click.pass_obj
def schema(session: Session, /, table: str, dialect: str, **options: Any) -> int:
    """Show what TABLE holds: every path, its types and how often each occurs, nulls, missing, examples.

    TABLE is `connection.table` of the project or a URL. Of a MongoDB collection a random sample is looked
    at, of other tables the first rows.

    \b
    Examples:
      levada schema shop.transactions
      levada schema mongodb://localhost/shop.transactions --all --json-schema > validator.json
    """
    from levada.cli.addresses import open_addresses
    from levada.cli.look import Look

    form = _form(options)
    asked = _asked(options)
    with closing(open_addresses(session)) as tables:
        found = tables.table(table)
        look = Look(tables.connection(found.connection), found, asked, Meter())
        if form in ("arrow", "sql"):
            _show_schema(look, form)
        else:
            _show_profile(look, form, dialect)
    return 0


def _form(options: dict[str, Any]) -> str | None:
    chosen = [name for name in _FORMS if options[name]]
    if len(chosen) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise click.UsageError(f"{names} exclude each other.")
    return chosen[0] if chosen else None


def _asked(options: dict[str, Any]) -> Any:
    from levada.cli.addresses import parse_filter
    from levada.cli.look import Asked

    if options["whole"] and options["sample"]:
        raise click.UsageError("--all and --sample exclude each other.")
    sample = None if options["whole"] else options["sample"] or SAMPLE
    return Asked(sample, options["where"], parse_filter(options["filter_"]))


def _show_schema(look: Look, form: str) -> None:
    from levada.cli.profile_text import arrow_lines, note
    from levada.types.sql import create_table

    schema = look.schema()
    _clear()
    click.echo(note(look), err=True)
    if form == "sql":
        click.echo(create_table(look.table.name.rpartition(".")[2], schema))
        return
    for line in arrow_lines(schema):
        click.echo(line)


def _clear() -> None:
    """Remove the line that showed the progress."""
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)


def _show_profile(look: Look, form: str | None, dialect: str) -> None:
    from levada.bson import schemas
    from levada.bson.paths import paths_of
    from levada.cli.profile_text import document, note, show

    found = look.profile().result()
    _clear()
    if not found.documents and not found.rejected:
        raise ConfigError(
            "there are no documents to look at",
            where=str(look.table),
            hint="check the name of the table, and --where and --filter",
        )
    look.rejected.update(found.rejected)
    if form == "json_schema":
        click.echo(note(look), err=True)
        show_json((schemas.validator if dialect == "mongodb" else schemas.json_schema)(found.root))
    elif form == "json":
        show_json(document(look, list(paths_of(found.root))))
    else:
        show(look, list(paths_of(found.root)))
