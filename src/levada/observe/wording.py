"""Counts as people read them."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `0 rows`, `1,200 rows`.

    Args:
        noun: what is counted, in the singular.
        plural: where an `s` behind it is not enough.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
