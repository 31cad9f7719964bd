"""What is asked of the two ends of a copy before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from levada.batches import Batch
from levada.config import nearest
from levada.connectors.base import Table
from levada.errors import ConfigError
from levada.steps.base import StepContext
from levada.types.kinds import original_name

_LISTED = 100  # names that a hint may have
_OWN_KEYS = {"mongodb": ("_id",)}

#: Sources whose rows all have the same columns.
_KNOWN_COLUMNS = ("lake", "duckdb", "files", "mysql", "postgres")


def refuse_missing(connection: Any, source: Table) -> None:
    """A collection that is not there reads as empty: a mistyped name must not empty the table.

    Nor end a copy that is resumed, or look like one that was done.
    """
    if not hasattr(connection, "exists") or connection.exists(source):
        return
    if connection.kind == "mongodb":
        what = "there is no such collection"
        hint = "check the name (before its first dot stands the database); an empty collection would do"
    else:
        what, hint = "there is no such table", nearest(source.name, connection.tables()[:_LISTED])
    raise ConfigError(what, where=str(source), hint=hint)


def refuse_sql(context: StepContext, source: Table, sql: str | None) -> None:
    """Refuse a query at a source that runs none."""
    connection = context.tables.connection(source.connection)
    if sql is not None and not getattr(connection, "takes_sql", False):
        raise ConfigError(
            f"a connection of type {connection.kind} runs no SQL itself",
            where=str(source),
            hint="a `sql` step selects from any table: `query: select … from connection.table`",
        )


def known_key(connection: Any, source: Table, target: Table, *, as_stored: bool) -> tuple[str, ...]:
    """By which columns rows are found again, where nobody says it; none where that is unknown.

    Args:
        connection: of the source.
        source, target: their keys in the project come first.
        as_stored: whether rows come as they are stored, so that what the source's server knows holds:
            a primary key, or `_id`.
    """
    if found := target.key or source.key:
        return found
    if not as_stored:
        return ()
    return tuple(connection.key(source)) if hasattr(connection, "key") else _OWN_KEYS.get(connection.kind, ())


def has_columns(connection: Any) -> bool:
    """Whether all rows of a source have the same columns."""
    return connection.kind in _KNOWN_COLUMNS


def begin(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches, with the first one read: what is wrong with it is told before anything is written."""
    first = next(batches, None)
    return iter(()) if first is None else chain((first,), batches)


def holding(batches: Iterator[Batch], names: Sequence[str], source: Table) -> Iterator[Batch]:
    """The batches, if they have these columns: a mistyped key would reject every row."""
    for batch in batches:
        known = {original_name(field) for field in batch.data.schema} | set(batch.data.schema.names)
        if absent := [name for name in names if name not in known and batch.data.num_rows]:
            raise ConfigError(
                f"there is no column {absent[0]!r}",
                where=str(source),
                hint=f"the columns are {', '.join(batch.data.schema.names)}",
            )
        yield batch
