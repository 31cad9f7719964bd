"""All functions and operators: the families' tables joined."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from levada.sql.expressions.arithmetic import TABLE as ARITHMETIC
from levada.sql.expressions.comparison import TABLE as COMPARISON
from levada.sql.expressions.dates import TABLE as DATES
from levada.sql.expressions.inspection import TABLE as INSPECTION
from levada.sql.expressions.logic import TABLE as LOGIC
from levada.sql.expressions.matching import TABLE as MATCHING
from levada.sql.expressions.nested import TABLE as NESTED
from levada.sql.expressions.numbers import TABLE as NUMBERS
from levada.sql.expressions.strings import TABLE as STRINGS
from levada.sql.expressions.table import Function

#: Family -> its functions, in the order of the docs.
FAMILIES: Mapping[str, tuple[Function, ...]] = {
    "Logic": LOGIC,
    "Comparison": COMPARISON,
    "Numbers": (*ARITHMETIC, *NUMBERS),
    "Texts": STRINGS,
    "Patterns": MATCHING,
    "Times": DATES,
    "Structs and lists": NESTED,
    "BSON": INSPECTION,
}

#: Name -> function.
FUNCTIONS: Mapping[str, Function] = {f.name: f for table in FAMILIES.values() for f in table}

#: sqlglot's class, or the name of a function that sqlglot does not know -> function.
NODES: Mapping[type[exp.Expression] | str, Function] = {
    node: f for f in FUNCTIONS.values() for node in (f.name, *f.nodes)
}
