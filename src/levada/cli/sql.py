"""`levada sql`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levada.cli.main import Session
from levada.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

    from levada.project import Project
    from levada.sql.catalog import Catalog
    from levada.sql.cursor import Cursor
    from levada.sql.driver import Connection
    from levada.sql.plan import Plan

#: Rows of a table that are shown where nobody says how many.
SHOWN = 1_000

_FORMS = ("json", "csv", "parquet")
_WHICH = "name one: --connection NAME, or --connection mongodb://host/database"


@click.command()
@click.argument("query")
@click.option(
    "-c",
    "--connection",
    "--uri",
    "connection",
    metavar="NAME|URL",
    help="A MongoDB connection of the project, or mongodb://host/database. Default: the project's only one.",
)
@click.option("--database", help="The database, where the connection names none, or another one.")
@click.option("--dialect", default="levada", show_default=True, help="Of the SQL, any that sqlglot knows.")
@click.option("--explain", is_flag=True, help="Show stages, indexes and choices; nothing is run.")
@click.option("--json", is_flag=True, help="Print one JSON array.")
@click.option("--csv", is_flag=True, help="Print CSV.")
@click.option(
    "--parquet", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows to this file."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"Rows at most. Default: all; of a table for people {SHOWN:,}.",
)
@click.pass_obj
def sql(session: Session, /, query: str, connection: str | None, **options: Any) -> int:
    """Run one SELECT inside MongoDB. QUERY is SQL; - reads it from standard input.

    Tables are collections and views of one database, also written connection.table.

    \b
    Examples:
      levada sql "select status, count(*) from transactions group by 1"
      levada sql -c mongodb://localhost/shop "select * from customers" --parquet customers.parquet
      levada sql --explain "select * from transactions where created_at > now() - interval 1 day"
    """
    if sum(bool(options[name]) for name in _FORMS) > 1:
        raise click.UsageError("--json, --csv and --parquet exclude each other.")
    if query == "-":
        query = sys.stdin.read()
    with _opened(session, connection, query, options) as (database, catalog):
        from levada.sql.compiler import compile as compiled

        plan = compiled(query, catalog, dialect=options["dialect"])
        if options["explain"]:
            _explain(database, plan, catalog, json=options["json"])
        else:
            with database.cursor() as cursor:
                _show(cursor, plan, options)
    return 0


@contextmanager
def _opened(
    session: Session, connection: str | None, query: str, options: Mapping[str, Any]
) -> Iterator[tuple[Connection, Catalog]]:
    """The database that the query runs in, and its tables."""
    if connection is not None and "://" in connection:
        from levada.cli.masking import masked
        from levada.observe.logs import configure
        from levada.sql.driver import connect

        configure(session.log_level, mask=masked)
        with connect(connection, database=options["database"], dialect=options["dialect"]) as database:
            yield database, database.catalog
        return
    from levada.cli.addresses import open_project

    project = open_project(session)
    if project is None:
        raise ConfigError(
            "there is no project here", hint="name a database: --connection mongodb://host/database"
        )
    with closing(project):
        database, catalog = _of_project(project, connection, query, options)
        with database:
            yield database, catalog


def _of_project(
    project: Project, name: str | None, query: str, options: Mapping[str, Any]
) -> tuple[Connection, Catalog]:
    from levada.connectors.mongodb import MongoConnection
    from levada.engines.mongodb import Addressed
    from levada.sql.driver import Connection as Database

    named = _addresses(query)
    name = name or _chosen(project, named)
    mongo = project.tables.connection(name)
    if not isinstance(mongo, MongoConnection):
        raise ConfigError(f"connection {name!r} is {mongo.kind}; SQL runs inside MongoDB only", hint=_WHICH)
    database = Database(mongo, options["database"] or mongo.default_database(), dialect=options["dialect"])
    own = {address: address.partition(".")[2] for address in named if address.partition(".")[0] == name}
    return database, Addressed(database.catalog, own)


def _addresses(query: str) -> tuple[str, ...]:
    """The tables that a query names; none where only the compiler can say what is wrong with it."""
    from levada.engines import addresses

    try:
        return addresses(query)
    except ConfigError:
        return ()


def _chosen(project: Project, addresses: tuple[str, ...]) -> str:
    """The connection that the query names, or the only one there is."""
    known = [name for name, spec in project.file.connections.items() if spec.type == "mongodb"]
    named = sorted({address.partition(".")[0] for address in addresses}.intersection(known))
    found = known if len(known) == 1 else named
    if len(found) == 1:
        return found[0]
    there = f"there are {', '.join(known)}" if known else "the project has none"
    raise ConfigError(f"which MongoDB connection is meant? {there}", hint=_WHICH)


def _explain(database: Connection, plan: Plan, catalog: Catalog, *, json: bool) -> None:
    from levada.cli.output import show_json
    from levada.sql.explain import explain

    found = explain(database, plan, catalog)
    if json:
        show_json(found.document())
        return
    for line in found.lines():
        click.echo(line)


def _show(cursor: Cursor, plan: Plan, options: Mapping[str, Any]) -> None:
    from levada.cli.output import Meter, show_table
    from levada.cli.rows import write_csv, write_json, write_parquet
    from levada.sql.decode import arrow_schema

    limit, schema = options["limit"], arrow_schema(plan)
    names = [one.name for one in plan.columns]
    with Meter(quiet=not options["parquet"]) as meter:
        cursor.run(plan)
        if options["parquet"]:
            rows = write_parquet(options["parquet"], schema, _metered(_cut(cursor, limit), meter))
    if options["parquet"]:
        from levada.observe import counted

        click.echo(f"{counted(rows, 'row')} in {options['parquet']}", err=True)
    elif options["csv"]:
        write_csv(schema, _cut(cursor, limit))
    elif options["json"]:
        texts = {at for at, one in enumerate(plan.columns) if one.type.name == "VARIANT"}
        write_json(names, islice(cursor, limit), frozenset(texts))
    else:
        right = [at for at, one in enumerate(plan.columns) if one.type.numeric]
        most = SHOWN if limit is None else limit
        show_table(names, cursor.fetchmany(most), right=right)
        if cursor.fetchone() is not None:
            click.echo(f"(the first {most:,} rows; --limit shows more, --csv all)", err=True)


def _metered(batches: Iterator[pa.RecordBatch], meter: Any) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        meter(batch.num_rows, batch.nbytes)
        yield batch


def _cut(cursor: Cursor, limit: int | None) -> Iterator[pa.RecordBatch]:
    """The batches of the first rows."""
    left = limit
    for batch in cursor.fetch_record_batches():
        part = batch if left is None else batch.slice(0, left)
        yield part
        left = None if left is None else left - part.num_rows
        if left == 0:
            return
