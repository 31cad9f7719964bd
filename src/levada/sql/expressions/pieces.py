"""Small pieces of MongoDB expressions that the families share: constants, guards, variables, failures."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64

from levada.sql.expression import Call, Constant, Expr
from levada.sql.expressions.table import Emitted

_INT32 = 2**31
_VARIABLE = re.compile(r"\$\$v(\d+)(?:\.|$)")
_FREE = re.compile(r"\$\$(this|value)(\.|$)")


def constant(value: Any) -> Emitted:
    """A value of SQL as it stands inside an operator; a string is always data."""
    match value:
        case str():
            return {"$literal": value}
        case bool():
            return value
        case int():
            return value if -_INT32 <= value < _INT32 else Int64(value)
        case Decimal():
            return Decimal128(value)
        case uuid.UUID():
            return Binary.from_uuid(value)
        case tuple():
            return {"$literal": stored(value)}
        case dict():
            return {"$literal": {name: stored(item) for name, item in value.items()}}
    return value


def stored(value: Any) -> Any:
    """A value of SQL as a document or a filter of the match language holds it."""
    match value:
        case str():
            return value
        case tuple():
            return [stored(item) for item in value]
        case dict():
            return {name: stored(item) for name, item in value.items()}
    return constant(value)


def known(arg: Expr) -> Any:
    """A constant argument's value; None: it is NULL or no constant."""
    return arg.value if isinstance(arg, Constant) else None


def both(parts: Sequence[Emitted]) -> Emitted:
    """AND, flat."""
    return parts[0] if len(parts) == 1 else {"$and": list(parts)} if parts else True


def either(parts: Sequence[Emitted]) -> Emitted:
    """OR, flat."""
    return parts[0] if len(parts) == 1 else {"$or": list(parts)} if parts else False


def given(value: Emitted) -> Emitted:
    """Whether a value is neither null nor missing."""
    return {"$gt": [value, None]}


def guards(call: Call, args: list[Emitted]) -> list[Emitted]:
    """What must hold for no argument to be NULL."""
    return [given(arg) for part, arg in zip(call.args, args, strict=True) if part.nullable]


def simple(value: Emitted) -> bool:
    """Whether it costs nothing to write a value twice: a path, a variable or a constant."""
    if isinstance(value, dict):
        return set(value) == {"$literal"}
    if isinstance(value, list):
        return all(simple(item) for item in value)
    return not (isinstance(value, str) and _FREE.match(value))


def bound(args: Sequence[Emitted], body: Callable[[list[Emitted]], Emitted]) -> Emitted:
    """`body` over arguments that are cheap to write twice: the others become variables."""
    number = 1 + max((_deepest(arg) for arg in args), default=-1)
    variables: dict[str, Emitted] = {}
    names: list[Emitted] = []
    for arg in args:
        if simple(arg):
            names.append(arg)
        else:
            name = f"v{number + len(variables)}"
            variables[name] = arg
            names.append(f"$${name}")
    inner = body(names)
    return {"$let": {"vars": variables, "in": inner}} if variables else inner


def outer(value: Emitted) -> bool:
    """Whether a value depends on a variable that is none of `bound`'s: one of a `$lookup` around it.

    The server takes such a variable for a constant, and tries functions over it before any guard.
    """
    return any(text.startswith("$$") and not _VARIABLE.match(text) for text in _texts(value))


#: Something of each type that every function takes.
_HARMLESS: dict[str, Any] = {
    "VARCHAR": "x",
    "INTEGER": 1,
    "BIGINT": 1,
    "DOUBLE": 1.0,
    "DECIMAL": 1,
    "BOOLEAN": False,
    "DATE": datetime(2000, 1, 1, tzinfo=UTC),
    "TIMESTAMP": datetime(2000, 1, 1, tzinfo=UTC),
    "LIST": {"$literal": []},
}


def harmless(arg: Expr, value: Emitted) -> Emitted:
    """The value, and something that every function takes instead of NULL; for a branch that a guard shuts."""
    neutral = _HARMLESS.get(arg.type.name)
    return value if neutral is None or not arg.nullable else {"$ifNull": [value, neutral]}


def _deepest(value: Emitted) -> int:
    return max((int(found) for text in _texts(value) for found in _VARIABLE.findall(text)), default=-1)


def _texts(value: Emitted) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def fail(text: str, value: Emitted) -> Emitted:
    """An expression that fails when it is evaluated, saying `text`.

    Args:
        value: anything of the row: a constant expression would fail before the first row is read.
    """
    row = value if isinstance(value, str) and value.startswith("$") else {"$rand": {}}
    return {"$toInt": {"$concat": [f"levada: {text}", {"$substrCP": [{"$type": row}, 0, 0]}]}}


def javascript(body: str, *args: Emitted) -> Emitted:
    """A `$function`: `body` is our own text; what users give comes in as arguments."""
    return {"$function": {"body": body, "args": list(args), "lang": "js"}}


def finite(value: float) -> bool:
    """Whether a double is neither NaN nor infinite."""
    return math.isfinite(value)
