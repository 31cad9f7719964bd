"""What is asked of the two ends of a copy before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from levada.batches import Batch
from levada.bson import from_canonical, values_at
from levada.config import nearest
from levada.connectors.base import Table, Write
from levada.connectors.reading import paths_in
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


def refuse_unread(source: Table, columns: Sequence[str], names: Sequence[str], condition: str | None) -> None:
    """Refuse to leave out what says the fate of rows: it would be null, and say nothing of any row.

    Args:
        columns: that are read; empty means all.
        names: of columns that are needed.
        condition: SQL on more of them.
    """
    needed = [*names, *(".".join(path) for path in paths_in(condition, str(source)))] if condition else names
    read = {name.lower() for name in columns}
    unread = [name for name in needed if not read & {name.lower(), name.lower().split(".")[0]}]
    if columns and unread:
        raise ConfigError(
            f"`columns` leaves out {min(unread)!r}, which says what becomes of rows",
            where=str(source),
            hint="name that column too; a `shape` can read it without storing it",
        )


def refuse_inner_keys(context: StepContext, source: Table, write: Write) -> None:
    """Refuse to compare keys that are inside of MongoDB's documents."""
    kinds = {context.tables.connection(table.connection).kind for table in (source, write.table)}
    inner = [name for name in write.key if "." in name]
    if inner and "mongodb" in kinds:
        raise ConfigError(
            f"the key {inner[0]!r} is inside of documents, where keys can't be compared",
            where=f"{source} -> {write.table}",
            hint="leave out `deletes: compare`; `delete_where` removes rows by a condition",
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


def keyed(batches: Iterator[Batch], names: Sequence[str], source: Table) -> Iterator[Batch]:
    """Batches of whole documents, if the first ones have these fields: a mistyped one would be missed."""
    for number, batch in enumerate(batches):
        if not number and batch.data.num_rows:
            documents = from_canonical(batch.data)
            for name in names:
                if not any(values_at(documents, name.encode().split(b"."))):
                    raise ConfigError(
                        f"none of the first {len(documents)} documents has the field {name!r}",
                        where=str(source),
                        hint="check the name; leave out documents without it by `where:` or `filter:`",
                    )
        yield batch
