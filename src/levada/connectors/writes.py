"""What a write says of its rows: their columns by the table's names, their tags, the rows they replace."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from levada.connectors.base import Mode, Write
from levada.connectors.folding import check_changes
from levada.connectors.sqltext import literal, quoted, within
from levada.errors import ConfigError
from levada.types.names import stored_name

OWNER_TAG, WINDOW_TAG = "_levada_owner", "_levada_window"
_TAGS = pa.schema([(OWNER_TAG, pa.string()), (WINDOW_TAG, pa.string())])


def check_write(write: Write) -> None:
    """Refuse a write that can't be done in its mode.

    Raises:
        ConfigError: an upsert without key, a window's replacement without window or time column, changes
            that columns can't take.
    """
    where = str(write.table)
    if write.mode is Mode.UPSERT and not key_of(write):
        raise ConfigError(
            "mode upsert needs a key", where=where, hint="set `key:` of the step or the table, or --key"
        )
    check_changes(write)
    if write.mode is Mode.REPLACE_WINDOW and write.window is None:
        raise ConfigError(
            "mode replace_window needs a window", where=where, hint="give the pipeline a window, or --window"
        )
    if write.mode is Mode.REPLACE_WINDOW and write.table.time is None:
        raise ConfigError(
            "mode replace_window needs a time column", where=where, hint="set `time:` of the table, or --time"
        )


def key_of(write: Write) -> tuple[str, ...]:
    """The columns that identify a row of this write."""
    return write.key or write.table.key


def named(write: Write, schema: pa.Schema) -> Write:
    """The write with its columns as a schema names them, by the original names or those given.

    Raises:
        ConfigError: a name can mean two columns.
    """
    table = write.table
    try:
        key = tuple(stored_name(schema, name) for name in write.key)
        other = replace(
            table,
            key=tuple(stored_name(schema, name) for name in table.key),
            time=None if table.time is None else stored_name(schema, table.time),
            partition_by=tuple(_partition(schema, part) for part in table.partition_by),
        )
        changes = replace(
            write.changes,
            operation=write.changes.operation and stored_name(schema, write.changes.operation),
            version=write.changes.version and stored_name(schema, write.changes.version),
        )
    except ConfigError as error:
        raise error.located(str(table)) from error
    return replace(write, key=key, table=other, changes=changes)


def _partition(schema: pa.Schema, part: str) -> str:
    function, bracket, column = part.partition("(")
    if not bracket or not column.endswith(")"):
        return stored_name(schema, part)
    return f"{function}({stored_name(schema, column[:-1].strip())})"


def tags(write: Write) -> dict[str, str]:
    """The hidden columns of this write: they say which run appended a row, so that a re-run replaces it."""
    if write.mode is not Mode.APPEND or write.window is None:
        return {}
    return {OWNER_TAG: write.owner, WINDOW_TAG: str(write.window)}


def replaced(write: Write, stored: pa.Schema) -> str | None:
    """The condition of the stored rows that this write replaces, as SQL; None if there are none.

    Args:
        write: in mode append (with a window: what the same owner and window appended) or replace_window.
        stored: all columns of the stored table.
    """
    values = tags(write)
    if values:
        known = all(name in stored.names for name in values)
        return " AND ".join(f"{quoted(n)} = {literal(v)}" for n, v in values.items()) if known else None
    column, window = write.table.time, write.window
    if write.mode is not Mode.REPLACE_WINDOW or not column or not window or column not in stored.names:
        return None
    return within(column, stored.field(column).type, window)


def tag_schema(values: dict[str, str]) -> pa.Schema:
    return pa.schema([field for field in _TAGS if field.name in values])


def untagged(data: pa.RecordBatch) -> pa.RecordBatch:
    """Rows without the tags of the write that put them where they come from: those say nothing here."""
    carried = [name for name in _TAGS.names if name in data.schema.names]
    return data.drop_columns(carried) if carried else data
