"""Bound expressions as MongoDB's.

Three forms: `value` gives the value, null or missing where SQL says NULL; `condition` gives a boolean that is
true exactly where an expression is certainly true (or certainly false), which is cheaper than three-valued
logic; `match` gives the same as a filter of the match language, which can use an index, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's document holds a column.

    Args:
        value: the MongoDB expression that gives it: `$total`, `$$r.c5`, or a whole computation.
        path: the field's path, where the value is simply a field that the match language can name.
        dense: never missing: NULL is always an explicit null.
        proven: holds only null, missing, and values of the column's type; never an array unless the type is a
            list. Only then may `match` compare it.
    """

    value: Any
    path: str = ""
    dense: bool = False
    proven: bool = False


#: Column id -> its place.
Row = Mapping[str, Place]
