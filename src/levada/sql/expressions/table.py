"""A function or operator is one row of a table: names, types, what it becomes in MongoDB, a note, an example.

Each family has one file with one `TABLE`; `levada.sql.expressions` joins them. docs/reference/sql.md is
generated from these rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from levada.sql.expression import Call
from levada.sql.types import SqlType

#: Emitted MongoDB expression.
Emitted = Any


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function takes its arguments.

    Args:
        args: the types the arguments are cast to.
        result: the type of the result.
    """

    args: tuple[SqlType, ...]
    result: SqlType


#: Types of the arguments -> how they are taken; None: the function does not take these.
Typing = Callable[[Sequence[SqlType]], "Signature | None"]


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function or operator.

    Args:
        name: its key, and its name in the docs.
        typing: resolves the types.
        emit: (the call, its emitted arguments) -> the MongoDB expression. Where `nulls` is `guard`, no
            argument is null or missing when this is evaluated, and each is a path, variable or constant.
        nulls: what a NULL among the arguments does: `native`: the operator gives null by itself; `guard`:
            NULL, by a guard put around it; `kept`: the function sees it, and says when it gives NULL.
        nodes: sqlglot's classes for it, or names of functions that sqlglot does not know.
        parts: names of the node's arguments in the order of `typing`; empty: sqlglot's own order.
        never_null: the result is not NULL even if an argument is.
        may_be_null: the result may be NULL though no argument is.
        condition: a function that answers true or false gives this instead of `emit`: (the call, its emitted
            arguments, wanted) -> a boolean that is true exactly where the call is certainly `wanted`; it
            guards against the NULLs of nullable arguments itself.
        takes: its arguments, for the docs: `text, start, length`.
        note: what differs from DuckDB, or is worth knowing.
        example: an expression and its value, for the docs: `upper('straße') = 'STRASSE'`.
    """

    name: str
    typing: Typing
    emit: Callable[[Call, list[Emitted]], Emitted] | None = None
    nulls: str = "guard"
    nodes: tuple[type[exp.Expression] | str, ...] = ()
    parts: tuple[str, ...] = ()
    never_null: bool = False
    may_be_null: bool = False
    condition: Callable[[Call, list[Emitted], bool], Emitted] | None = None
    takes: str = ""
    note: str = ""
    example: str = ""


def fixed(*args: SqlType, result: SqlType, optional: int = 0) -> Typing:
    """Exactly these types, whatever can be cast to them implicitly; the last `optional` may be left out."""

    def typing(given: Sequence[SqlType]) -> Signature | None:
        if not len(args) - optional <= len(given) <= len(args):
            return None
        return Signature(args[: len(given)], result)

    return typing
