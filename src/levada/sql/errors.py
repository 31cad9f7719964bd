"""What the compiler refuses, with its place in the text."""

from __future__ import annotations

from sqlglot import exp

from levada.sql.faults import ProgrammingError


class SqlError(ProgrammingError):
    """The SQL is wrong, or says something that does not run on MongoDB."""


def refuse(what: str, node: exp.Expression | None = None, *, hint: str | None = None) -> SqlError:
    """An error that tells where in the SQL `node` stands: line and column, both from 1.

    Args:
        what: the construct and what is wrong with it, one sentence.
        node: as sqlglot parsed it; the first part that has a place gives it.
    """
    return SqlError(what, where=place(node) if node is not None else None, hint=hint)


def place(node: exp.Expression) -> str | None:
    """`line 1, column 12`; None: sqlglot kept no place."""
    metas = [part.meta for part in node.walk() if "start" in part.meta]
    if not metas:
        return None
    first = min(metas, key=lambda meta: int(meta["start"]))
    width = int(first["end"]) - int(first["start"])
    return f"line {first['line']}, column {int(first['col']) - width}"
