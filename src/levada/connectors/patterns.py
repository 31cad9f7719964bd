"""LIKE as DuckDB reads it: a backslash in a pattern is a backslash. To other servers it is an escape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


def plain_backslashes(tree: exp.Expression) -> exp.Expression:
    """The condition with patterns that mean to other servers what they mean to DuckDB.

    Args:
        tree: in DuckDB's dialect; it is changed.
    """
    from sqlglot import exp

    for like in list(tree.find_all(exp.Like, exp.ILike)):
        if isinstance(like.parent, exp.Escape):
            continue
        for text in like.expression.find_all(exp.Literal):
            text.replace(exp.Literal.string(text.this.replace("\\", "\\\\")))
        if like.expression.find(exp.Column):
            pattern = like.expression.copy()
            doubled = exp.func("REPLACE", pattern, exp.Literal.string("\\"), exp.Literal.string("\\\\"))
            like.set("expression", doubled)
    return tree
