"""docs/reference/sql.md, from the tables that the compiler itself uses.

```
python -c "from levada.sql.reference import page; print(page(), end='')" > docs/reference/sql.md
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from levada.sql.expressions.aggregates import AGGREGATES
from levada.sql.expressions.casts import RULES
from levada.sql.expressions.registry import FAMILIES
from levada.sql.expressions.table import Function
from levada.sql.expressions.windows import WINDOWS
from levada.sql.limits import DIFFERENCES, REFUSED

_HEAD = """# SQL

What `levada sql`, `levada.sql` and the `sql` step with `engine: mongodb` understand: DuckDB's dialect, and
`datediff(end, start)` in days. `--dialect` takes any other that sqlglot knows. Everything runs inside
MongoDB, 6.0 or newer. NULL and an absent field are the same; `is_missing` tells them apart. This page is
made from the compiler's own tables, and every example in it is run by a test.
"""

_TYPES = (
    ("BOOLEAN", "bool"),
    ("INTEGER", "int32"),
    ("BIGINT", "int32 or int64"),
    ("DOUBLE", "double, or an integer"),
    ("DECIMAL(p, s)", "Decimal128, or an integer"),
    ("VARCHAR", "string"),
    ("TIMESTAMP", "date: UTC, milliseconds"),
    ("DATE", "date at midnight UTC"),
    ("BLOB", "binary"),
    ("OBJECTID", "ObjectId"),
    ("UUID", "binary, subtype 4"),
    ("STRUCT(...)", "document"),
    ("T[]", "array"),
    ("VARIANT", "anything: a column whose documents disagree; select it, or CAST it"),
)


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, "## Types\n", _table(("SQL", "BSON"), _TYPES)]
    for family, functions in FAMILIES.items():
        parts += [f"## {family}\n", _table(("", "Arguments", "Example", "Note"), map(_function, functions))]
    parts += ["## Casts\n", _CASTS, _table(("From", "To"), _casts())]
    rows = [(_code(one.name), _code(one.takes), _text(one.note)) for one in AGGREGATES if one.takes]
    parts += ["## Aggregates\n", _AGGREGATES, _table(("", "Arguments", "Note"), rows)]
    rows = [(_code(one.name), _code(one.takes), _text(one.note)) for one in WINDOWS]
    parts += ["## Window functions\n", _WINDOWS, _table(("", "Arguments", "Note"), rows)]
    parts += ["## Where DuckDB differs\n", _table(("", "Here", "DuckDB"), DIFFERENCES)]
    parts += ["## Refused\n", _REFUSED, _table(("", "Instead"), REFUSED)]
    return "\n".join(parts)


_CASTS = "`CAST(x AS T)`, `x::T`; `TRY_CAST` gives NULL where CAST fails. A list is cast item by item.\n"
_AGGREGATES = "With DISTINCT, FILTER (WHERE ...) and ORDER BY inside; also over a window.\n"
_WINDOWS = "And every aggregate, with ROWS and RANGE frames.\n"
_REFUSED = (
    "At compile time, by name and place. An unknown function or column is told with the nearest name.\n"
)


def _function(function: Function) -> tuple[str, ...]:
    names = [name for name in function.nodes if isinstance(name, str) and name != function.name]
    note = "; ".join(part for part in (function.note, names and f"also {', '.join(names)}") if part)
    return _code(function.name), _code(function.takes), _code(function.example), _text(note)


def _casts() -> list[tuple[str, str]]:
    targets: dict[str, list[str]] = {}
    for source, wanted in RULES:
        targets.setdefault(source, []).append(wanted)
    return [(source, ", ".join(dict.fromkeys(wanted))) for source, wanted in targets.items()]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _text(text: str) -> str:
    return text.replace("<", "&lt;") if "`" not in text else text


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
