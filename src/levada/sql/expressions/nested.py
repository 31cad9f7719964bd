"""Structs and lists."""

from __future__ import annotations

from collections.abc import Sequence

from levada.sql.expression import Call
from levada.sql.expressions.pieces import known
from levada.sql.expressions.table import Emitted, Function, Signature
from levada.sql.types import VARCHAR, SqlType


def _field_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 2 or types[0].name != "STRUCT" or types[1] != VARCHAR:
        return None
    return Signature(tuple(types), types[0])  # the binder knows the field's type


def _field(call: Call, args: list[Emitted]) -> Emitted:
    return field(args[0], str(known(call.args[1])))


def field(value: Emitted, name: str) -> Emitted:
    """A field of a document; by its path where the name can stand in one."""
    if path_name(name) and isinstance(value, str) and value.startswith("$"):
        return f"{value}.{name}"
    return {"$getField": {"field": {"$literal": name}, "input": value}}


def path_name(name: str) -> bool:
    """Whether a field's name can stand in a path."""
    return bool(name) and not name.startswith("$") and "." not in name and "\0" not in name


TABLE = (
    Function(
        "struct_extract", _field_typing, _field, nulls="native", takes="struct, name",
        note="also struct.name and struct['name']", example="struct_extract({'a': 1, 'b': 'x'}, 'b') = 'x'",
    ),
)  # fmt: skip
