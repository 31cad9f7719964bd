"""Arrow schemas as SQL, in DuckDB's dialect: the table that Levada itself would make."""

from __future__ import annotations

import pyarrow as pa

from levada.types.kinds import KINDS, kind_of
from levada.types.layout import stored_schema
from levada.types.names import TARGETS, Names

#: Type id -> its name in DuckDB (https://duckdb.org/docs/stable/sql/data_types/overview).
_NAMES: dict[int, str] = {
    pa.bool_().id: "BOOLEAN",
    pa.int8().id: "TINYINT",
    pa.int16().id: "SMALLINT",
    pa.int32().id: "INTEGER",
    pa.int64().id: "BIGINT",
    pa.float32().id: "FLOAT",
    pa.float64().id: "DOUBLE",
    pa.string().id: "VARCHAR",
    pa.binary().id: "BLOB",
    pa.date32().id: "DATE",
}


def create_table(name: str, schema: pa.Schema) -> str:
    """`CREATE TABLE` for rows of this schema. Columns that never held a value are left out, in a comment.

    Args:
        name: of the table, unquoted.
        schema: logical, with BSON types in the fields' metadata.
    """
    schema = Names(TARGETS["duckdb"]).mapped(schema)
    kinds = {field.name: kind_of(field) for field in schema}
    stored = list(stored_schema(schema))
    lines = [f"  {quoted(field.name)} {sql_type(field.type)}" for field in stored]
    commas = [","] * (len(lines) - 1) + [""]
    notes = [_note(kinds[field.name]) for field in stored]
    body = "\n".join(map("".join, zip(lines, commas, notes, strict=True)))
    unsettled = [field.name for field in schema if pa.types.is_null(field.type)]
    rest = f"-- only null so far: {', '.join(unsettled)}\n" if unsettled else ""
    return f"{rest}CREATE TABLE {quoted(name)} (\n{body}\n);"


def sql_type(stored: pa.DataType) -> str:
    """The DuckDB type of a stored Arrow type (`levada.types.layout.stored_type`)."""
    if pa.types.is_struct(stored):
        return f"STRUCT({', '.join(f'{quoted(field.name)} {sql_type(field.type)}' for field in stored)})"
    if pa.types.is_list(stored):
        return f"{sql_type(stored.value_type)}[]"
    if pa.types.is_map(stored):
        return f"MAP({sql_type(stored.key_type)}, {sql_type(stored.item_type)})"
    if pa.types.is_decimal(stored):
        return f"DECIMAL({stored.precision}, {stored.scale})"
    if pa.types.is_timestamp(stored):
        return "TIMESTAMP WITH TIME ZONE" if stored.tz else "TIMESTAMP"
    return _NAMES.get(stored.id, "VARCHAR")


def quoted(name: str) -> str:
    """A name as SQL's identifier."""
    return '"' + name.replace('"', '""') + '"'


def _note(kind: str) -> str:
    if kind == "variant":
        return "  -- variant: canonical Extended JSON"
    name = kind.partition(":")[0]
    return f"  -- {kind}" if name in KINDS and name not in _PLAIN and KINDS[name].labelled else ""


_PLAIN = ("date", "decimal")
