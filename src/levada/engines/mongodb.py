"""The engine `mongodb`: a SELECT over tables of one MongoDB database, inside its server.

Only the result leaves the server, as Arrow batches by the types that the compiler tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from levada.connectors.base import Connection, Table
from levada.errors import ConfigError
from levada.sql.catalog import Catalog, TableSchema, spelled

if TYPE_CHECKING:
    import pyarrow as pa

    from levada.sql.driver import Connection as SqlConnection
    from levada.sql.plan import Plan


#: A collection that nobody makes.
_NOTHING = "levada.nothing"


class Addressed:
    """A catalog whose tables can also be called by their addresses; implements `levada.sql.catalog.Catalog`.

    Args:
        catalog: of the database.
        collections: address -> collection.
    """

    def __init__(self, catalog: Catalog, collections: Mapping[str, str]) -> None:
        self._catalog = catalog
        self._collections = collections

    def table(self, name: str) -> TableSchema | None:
        found = spelled(name, self._collections)
        return self._catalog.table(name if found is None else self._collections[found])

    def names(self) -> Iterable[str]:
        return (*self._collections, *self._catalog.names())


def select(
    query: str,
    tables: Mapping[str, Table],
    connection: Callable[[str], Connection],
    parameters: Mapping[str, Any],
) -> Iterator[pa.RecordBatch]:
    """Run a SELECT and stream its result; there is one batch at least.

    Args:
        query: tables are written `connection.table`, all of one connection and one database.
        tables: by address.
        connection: name -> connection.
        parameters: values of `$name`.

    Raises:
        ConfigError: the SQL is wrong, does not run on MongoDB, or names tables of several databases.
        Fatal, Retriable: the server refuses or fails.
    """
    from levada.sql.compiler import compile as compiled

    database, collections = opened(tables, connection)
    with database, database.cursor() as cursor:
        plan = compiled(query, Addressed(database.catalog, collections), parameters)
        twice = [name for name, times in Counter(one.name for one in plan.columns).items() if times > 1]
        if twice:
            raise ConfigError(
                f"two columns of the SELECT are called {twice[0]!r}",
                hint="give one another name: ... as NAME",
            )
        cursor.run(plan)
        yield from cursor.fetch_record_batches()


def make_view(
    query: str, tables: Mapping[str, Table], connection: Callable[[str], Connection], target: Table
) -> None:
    """Make a view of a SELECT, or change the one there is; no document moves.

    Args:
        query, tables, connection: as in `select`.
        target: of the same connection and database.

    Raises:
        ConfigError: the SQL is wrong or can't be a view, or `target` is elsewhere, or a table.
        Fatal, Retriable: the server refuses or fails.
    """
    from levada.connectors.mongodb.faults import translated
    from levada.sql.compiler import compile as compiled

    database, collections = opened({**tables, str(target): target}, connection)
    with database:
        plan = compiled(query, Addressed(database.catalog, collections))
        _must_fit_a_view(plan)
        name = collections[str(target)]
        made: dict[str, Any] = {"viewOn": plan.collection, "pipeline": plan.pipeline}
        if plan.collection is None:  # a view can't begin with rows of its own, but it can unite with them
            made = {"viewOn": _NOTHING, "pipeline": [{"$unionWith": {"pipeline": plan.pipeline}}]}
        with translated(str(target)):
            known = list(database.database.list_collections(filter={"name": name}))
            if known and known[0]["type"] != "view":
                raise ConfigError(f"{target} is a table, not a view", hint="drop it, or name another one")
            command = "collMod" if known else "create"
            database.database.command({command: name, **made})


def _must_fit_a_view(plan: Plan) -> None:
    if plan.stored:
        raise ConfigError("a view can't have a WITH ... AS MATERIALIZED", hint="leave MATERIALIZED out")
    unnamed = [column.name for column in plan.columns if column.name != column.field]
    if unnamed:
        raise ConfigError(
            f"the column {unnamed[0]!r} can't be a field of a view",
            hint="give it a name of its own: ... as NAME",
        )


def opened(
    tables: Mapping[str, Table], connection: Callable[[str], Connection]
) -> tuple[SqlConnection, dict[str, str]]:
    """The database of these tables, and the collection of each.

    Args:
        tables: by address.

    Raises:
        ConfigError: they are not of one MongoDB database.
    """
    from levada.connectors.mongodb import MongoConnection
    from levada.sql.driver import Connection as Database

    names = sorted({one.connection for one in tables.values()})
    if len(names) != 1:
        what = f"tables of several connections: {', '.join(names)}" if names else "a SELECT without a table"
        raise ConfigError(
            f"`engine: mongodb` can't run {what}", hint="leave `engine` out: DuckDB takes tables of any"
        )
    mongo = connection(names[0])
    if not isinstance(mongo, MongoConnection):
        raise ConfigError(
            f"`engine: mongodb` can't run over {names[0]!r}, which is {mongo.kind}",
            hint="leave `engine` out: DuckDB takes tables of any connection",
        )
    places = {address: mongo.namespace(one) for address, one in tables.items()}
    databases = sorted({database for database, _ in places.values()})
    if len(databases) > 1:
        raise ConfigError(
            f"a query can't reach two databases of MongoDB: {', '.join(databases)}",
            hint="leave `engine` out: DuckDB takes tables of any",
        )
    collections = {address: collection for address, (_, collection) in places.items()}
    return Database(mongo, databases[0]), collections
