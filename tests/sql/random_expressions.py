"""Random typed expressions, as SQL text: templates whose holes are filled with expressions of a kind.

The first choices are the simplest, so that hypothesis shrinks towards them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: Kinds of values: of each there are templates, literals and columns.
KINDS = ("integer", "text", "double", "decimal", "boolean", "date", "timestamp")
#: Kinds that can only be selected and taken apart.
NESTED = ("list", "struct")

#: SQL type -> kind.
KIND_OF: Mapping[str, str] = {
    "INTEGER": "integer",
    "BIGINT": "integer",
    "VARCHAR": "text",
    "DOUBLE": "double",
    "DECIMAL": "decimal",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "LIST": "list",
    "STRUCT": "struct",
}

LITERALS: Mapping[str, tuple[str, ...]] = {
    "integer": ("0", "1", "2", "-1", "3", "100", "NULL::integer", "5000000000"),
    "text": ("''", "'a'", "'b'", "'ä'", "'$s'", "'a_b'", "'%'", "'𝒳y'", "NULL::varchar", "'''quoted'''"),
    "double": ("0::double", "1.5::double", "-2.25::double", "3e0", "'nan'::double", "NULL::double"),
    "decimal": ("0.00", "1.5", "-2.25", "10.125", "NULL::decimal(12, 2)"),
    "boolean": ("true", "false", "NULL::boolean"),
    "date": ("date '2024-02-29'", "date '1970-01-01'", "NULL::date"),
    "timestamp": ("timestamp '2024-02-29 00:00:00'", "timestamp '1969-12-31 12:30:00'", "NULL::timestamp"),
    "list": ("[1, 2]", "NULL::integer[]"),
    "struct": ("{'x': 1, 'y': 'a'}", "NULL::struct(x integer, y varchar)"),
}

#: What every kind has.
_ANY = (
    "case when {boolean} then {K} else {K} end",
    "coalesce({K}, {K})",
    "nullif({K}, {K})",
    "case when {boolean} then {K} when {boolean} then {K} end",
    "if({boolean}, {K}, {K})",
)
_ORDERED = ("greatest({K}, {K})", "least({K}, {K})")

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "integer": (
        "{integer} + {integer}",
        "{integer} - {integer}",
        "{integer} * {integer}",
        "-({integer})",
        "abs({integer})",
        "{integer} // {digit}",
        "{integer} % {digit}",
        "length({text})",
        "strpos({text}, {letter})",
        "year({timestamp})",
        "month({date})",
        "extract({part} from coalesce({timestamp}, timestamp '2024-01-01'))",
        "hour({timestamp})",
        "dayofweek({timestamp})",
        "quarter({timestamp})",
        "week({timestamp})",
        "date_diff('{unit}', {timestamp}, {timestamp})",
        "datediff('day', {date}, {date})",
        "sign({integer})",
        "cast({boolean} as integer)",
        "try_cast({double} as bigint)",
        "try_cast({text} as integer)",
        "cast({decimal} as integer)",
        "len({list})",
        "({list})[{digit}]",
        "({row}).x",
        "list_sum({list})",
        "ascii({text})",
        "{date} - {date}",
    ),
    "text": (
        "{text} || {text}",
        "upper({text})",
        "lower({text})",
        "substring({text}, {digit}, {digit})",
        "substring({text}, {digit})",
        "left({text}, {digit})",
        "right({text}, {digit})",
        "trim({text})",
        "ltrim({text})",
        "rtrim({text})",
        "replace({text}, {letter}, {text})",
        "concat({text}, {text}, {integer})",
        "concat_ws('-', {text}, {text})",
        "lpad({text}, 5, '*')",
        "rpad({text}, 5, '*')",
        "reverse({plain})",
        "repeat({text}, 2)",
        "split_part({text}, {letter}, {digit})",
        "md5({text})",
        "cast({integer} as varchar)",
        "cast({boolean} as varchar)",
        "cast({date} as varchar)",
        "cast({timestamp} as varchar)",
        "cast({decimal} as varchar)",
        "({row}).y",
        "regexp_replace({text}, '[ab]+', 'x', 'g')",
        "strftime({timestamp}, '%Y-%m-%d %H:%M:%S')",
        "array_to_string({list}, ',')",
    ),
    "double": (
        "{double} + {double}",
        "{double} - {double}",
        "{double} * {double}",
        "{double} / (0 + {double})",
        "{integer} / {digit}",
        "-({double})",
        "abs({double})",
        "floor({double})",
        "ceil({double})",
        "round({double}, 1)",
        "sqrt(abs({double}))",
        "power({double}, 2)",
        "cast({integer} as double)",
        "cast({decimal} as double)",
        "{decimal} / {digit}",
        "{double} + {decimal}",
        "{double} * {integer}",
        "exp({digit})",
        "ln(abs({integer}) + 1)",
        "try_cast({text} as double)",
    ),
    "decimal": (
        "{decimal} + {decimal}",
        "{decimal} - {decimal}",
        "{decimal} * {decimal}",
        "{decimal} + {digit}",
        "-({decimal})",
        "abs({decimal})",
        "round({decimal}, 1)",
        "floor({decimal})",
        "ceil({decimal})",
        "cast({digit} as decimal(12, 2))",
        "cast({decimal} as decimal(20, 1))",
        "try_cast({text} as decimal(9, 2))",
    ),
    "boolean": (
        "{integer} = {integer}",
        "{integer} < {integer}",
        "{text} = {text}",
        "{double} > {double}",
        "{double} = {double}",
        "{decimal} >= {decimal}",
        "{date} < {date}",
        "{timestamp} <= {timestamp}",
        "{boolean} = {boolean}",
        "{integer} is null",
        "{double} is not null",
        "{text} is null",
        "({boolean} and {boolean})",
        "({boolean} or {boolean})",
        "(not {boolean})",
        "({boolean} and {boolean} and {boolean})",
        "({boolean} or {boolean} or {boolean})",
        "{integer} between {integer} and {integer}",
        "{double} not between {double} and {double}",
        "{integer} in ({integer}, {integer}, 3)",
        "{text} not in ({text}, 'a')",
        "{double} in (1.5, {double})",
        "{text} like {pattern}",
        "{text} not like {pattern}",
        "{text} ilike {pattern}",
        "{text} < {text}",
        "{text} <> {text}",
        "{integer} is distinct from {integer}",
        "{double} is not distinct from {double}",
        "{text} is not distinct from {text}",
        "{boolean} is true",
        "{boolean} is not false",
        "starts_with({text}, {letter})",
        "ends_with({text}, {letter})",
        "contains({text}, {letter})",
        "regexp_matches({text}, '^[a-b]')",
        "list_contains({list}, {digit})",
        "{double} < {integer}",
        "{decimal} = {integer}",
        "{decimal} < {double}",
        "isnan({double})",
        "{date} = {timestamp}",
        "(coalesce({integer}, 0), coalesce({text}, '')) = (coalesce({integer}, 1), coalesce({text}, ''))",
    ),
    "date": (
        "cast({timestamp} as date)",
        "{date} + {digit}",
        "{date} - {digit}",
        "last_day({date})",
        "try_cast({text} as date)",
    ),
    "timestamp": (
        "{timestamp} + interval '1' {unit}",
        "{date} + interval '3' month",
        "{timestamp} - interval '36' hour",
        "cast({date} as timestamp)",
        "date_trunc('{unit}', {timestamp})",
        "date_trunc('{unit}', {date})",
    ),
    "list": ("list_sort({list})", "list_distinct({list})[1:0]", "[{digit}, {integer}]"),
    "struct": ("{'x': {integer}, 'y': {text}}",),
}

_WORDS: Mapping[str, tuple[str, ...]] = {
    "digit": ("1", "2", "3"),
    "letter": ("'a'", "'b'", "'_'", "'ä'", "'.'"),
    "pattern": ("'a%'", "'%b'", "'_'", "'%a_b%'", "'%'", "'A%'", "''", "'%ä%'"),
    "unit": ("day", "month", "year", "hour", "minute", "week", "quarter"),
    "part": ("day", "hour", "dow", "quarter", "week", "doy", "minute", "isodow", "second", "epoch"),
    "plain": ("'abc'", "'ab'", "'12'"),
}

_HOLE = re.compile(r"\{([a-zK]+)\}")


@dataclass(frozen=True)
class Column:
    """A column that an expression can mention.

    Args:
        text: how it is written.
        kind: of its values.
        exact: its values don't depend on the order in which floats were added.
    """

    text: str
    kind: str
    exact: bool = True


@dataclass(frozen=True)
class Scope:
    """The columns there are.

    Args:
        keys: columns that together tell every row from the others; None: not known.
    """

    columns: tuple[Column, ...]
    keys: tuple[str, ...] | None = None

    def of(self, kind: str) -> list[Column]:
        return [column for column in self.columns if column.kind == kind]


#: Makes a boolean with a subquery in it, or a value of a kind.
Subqueries = Callable[[str, Scope, int], str]


class Expressions:
    """Random expressions.

    Args:
        chance: of every choice.
        subquery: gives a scalar subquery of a kind, or a predicate with a subquery.
    """

    def __init__(self, chance: random.Random, subquery: Subqueries | None = None) -> None:
        self._chance = chance
        self._subquery = subquery

    def make(self, kind: str, scope: Scope, depth: int) -> str:
        """An expression of this kind.

        Args:
            depth: how many templates may be put into each other.
        """
        if depth <= 0 or self._chance.random() < 0.35:
            return self._leaf(kind, scope)
        if self._subquery and kind not in NESTED and self._chance.random() < 0.08:
            return self._subquery(kind, scope, depth)
        return self.fill(self._chance.choice(self._templates(kind)), kind, scope, depth - 1)

    def fill(self, template: str, kind: str, scope: Scope, depth: int) -> str:
        """The template with its holes filled."""

        def hole(found: re.Match[str]) -> str:
            wanted = kind if found[1] == "K" else found[1]
            if wanted == "row":
                return self._row(scope)
            if wanted in _WORDS:
                return self._chance.choice(_WORDS[wanted])
            return f"({self.make(wanted, scope, depth)})" if depth > 0 else self._leaf(wanted, scope)

        return _HOLE.sub(hole, template)

    def _row(self, scope: Scope) -> str:
        """A struct whose type DuckDB knows."""
        columns = scope.of("struct")
        return self._chance.choice(columns).text if columns else LITERALS["struct"][0]

    def _templates(self, kind: str) -> Sequence[str]:
        if kind in NESTED:
            return TEMPLATES[kind]
        general = self._chance.random() < 0.25
        return (*_ANY, *_ORDERED) if general else TEMPLATES[kind]

    def _leaf(self, kind: str, scope: Scope) -> str:
        columns = scope.of(kind)
        if columns and self._chance.random() < 0.75:
            return self._chance.choice(columns).text
        return self._chance.choice(LITERALS[kind])
