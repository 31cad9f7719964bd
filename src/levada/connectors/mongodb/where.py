"""SQL conditions as MongoDB filters.

`status = 'completed' AND total >= 10` becomes `{"$and": [{"status": {"$in": ["completed"]}}, ...]}`. Only
comparisons of a column with literals, and what joins them, are known; everything else is refused by name.
The result is true exactly where SQL says true: NULL and missing make a comparison unknown, so NOT never
brings them in. Literals become values, never operators.

A literal matches every type it can mean: `'2026-11-23'` the text and the date, 24 hexadecimal digits the text
and the ObjectId, `9.99` the double and the Decimal128. A column that holds an array is compared by element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Any

import sqlglot
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from sqlglot import exp
from sqlglot.errors import SqlglotError

from levada.errors import ConfigError

Filter = dict[str, Any]

NEVER: Filter = {"$nor": [{}]}
ALWAYS: Filter = {}

_SELECT = "SELECT 1 WHERE "
_HINT = "compare columns with literals (=, <>, <, IN, BETWEEN, LIKE, IS NULL, AND, OR, NOT), or use `filter:`"
_MIRRORED = {exp.LT: exp.GT, exp.GT: exp.LT, exp.LTE: exp.GTE, exp.GTE: exp.LTE}
_OPPOSITE = {exp.LT: exp.GTE, exp.GTE: exp.LT, exp.GT: exp.LTE, exp.LTE: exp.GT}
_OPERATORS = {exp.LT: "$lt", exp.LTE: "$lte", exp.GT: "$gt", exp.GTE: "$gte"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)?)?")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Meaning:
    """One thing a literal can mean: the nearest values of its BSON type from below and from above."""

    low: Any
    high: Any
    exact: bool = True

    def bound(self, operator: type[exp.Expression]) -> Any:
        """What to compare with, so that rounding never changes the answer."""
        upper = operator in (exp.LT, exp.GTE)
        if self.exact:
            return self.low if upper else self.high
        return self.high if upper else self.low


def compile_where(sql: str) -> Filter:
    """Compile a SQL condition (DuckDB's dialect) to a MongoDB filter.

    Raises:
        ConfigError: it is not a condition, or has something a filter can't say; names what and where.
    """
    try:
        statements = sqlglot.parse(f"{_SELECT}{sql}\n", dialect="duckdb")
        return _compile(_condition(statements, sql), True)
    except SqlglotError as error:
        first = error.errors[0] if getattr(error, "errors", None) else {}
        place = f" near {first.get('highlight')!r}" if first.get("highlight") else ""
        raise ConfigError(f"can't read the condition{place}: {sql[:200]}", hint=_HINT) from error
    except RecursionError as error:
        raise ConfigError("the condition is nested too deeply", hint=_HINT) from error


def _condition(statements: list[exp.Expression | None], sql: str) -> exp.Expression:
    select = statements[0]
    parts = (
        {name for name, value in select.args.items() if value} if isinstance(select, exp.Select) else set()
    )
    if len(statements) != 1 or parts != {"expressions", "where"} or not isinstance(select, exp.Select):
        raise ConfigError(f"this is more than a condition: {sql[:200]}", hint=_HINT)
    condition: exp.Expression = select.args["where"].this
    return condition


def _compile(node: exp.Expression, wanted: bool) -> Filter:
    """The filter of the rows for which `node` is certainly true (or, `wanted` False, certainly false)."""
    given = {name for name, value in node.args.items() if value}
    for kind, rule in _RULES.items():
        if isinstance(node, kind) and (given <= _KNOWN_ARGUMENTS or _is_column(node)):
            return rule(node, wanted is not bool(node.args.get("negate")))
    raise _refused(node)


def _paren(node: exp.Expression, wanted: bool) -> Filter:
    return _compile(node.this, wanted)


def _not(node: exp.Expression, wanted: bool) -> Filter:
    return _compile(node.this, not wanted)


def _connect(node: exp.Expression, wanted: bool) -> Filter:
    parts = [_compile(part, wanted) for part in node.flatten()]
    return {"$and" if isinstance(node, exp.And) is wanted else "$or": parts}


def _truth(node: exp.Expression, wanted: bool) -> Filter:
    return ALWAYS if bool(node.this) is wanted else NEVER


def _unknown(_node: exp.Expression, _wanted: bool) -> Filter:
    return NEVER


def _flag(node: exp.Expression, wanted: bool) -> Filter:
    return {_path(node): wanted}


def _equal(node: exp.Expression, wanted: bool) -> Filter:
    column, literal, _ = _sides(node)
    return _among(_path(column), [literal], wanted is isinstance(node, exp.EQ))


def _in(node: exp.Expression, wanted: bool) -> Filter:
    literals = node.expressions
    nulls = [literal for literal in literals if isinstance(literal, exp.Null)]
    if nulls and not wanted:
        return NEVER
    return _among(_path(node.this), [literal for literal in literals if literal not in nulls], wanted)


def _among(path: str, literals: list[exp.Expression], wanted: bool) -> Filter:
    if any(isinstance(literal, exp.Null) for literal in literals):
        return NEVER
    values: list[Any] = []
    for literal in literals:
        for meaning in _meanings(literal):
            values += [meaning.low] * meaning.exact
            values += [meaning.high] * (meaning.exact and meaning.high != meaning.low)
    return {path: {"$in": values}} if wanted else {path: {"$nin": [*values, None]}}


def _compare(node: exp.Expression, wanted: bool) -> Filter:
    column, literal, mirrored = _sides(node)
    kind = _MIRRORED[type(node)] if mirrored else type(node)
    return _range(_path(column), kind if wanted else _OPPOSITE[kind], literal)


def _range(path: str, kind: type[exp.Expression], literal: exp.Expression) -> Filter:
    if isinstance(literal, exp.Null):
        return NEVER
    sides = [{path: {_OPERATORS[kind]: meaning.bound(kind)}} for meaning in _meanings(literal)]
    return sides[0] if len(sides) == 1 else {"$or": sides}


def _between(node: exp.Expression, wanted: bool) -> Filter:
    path = _path(node.this)
    low, high = node.args["low"], node.args["high"]
    if wanted:
        return {"$and": [_range(path, exp.GTE, low), _range(path, exp.LTE, high)]}
    return {"$or": [_range(path, exp.LT, low), _range(path, exp.GT, high)]}


def _is(node: exp.Expression, wanted: bool) -> Filter:
    path, right = _path(node.this), node.expression
    if isinstance(right, exp.Not):
        right, wanted = right.this, not wanted
    if not isinstance(right, (exp.Null, exp.Boolean)):
        raise _refused(node)
    value = None if isinstance(right, exp.Null) else bool(right.this)
    return {path: {"$eq": value} if wanted else {"$ne": value}}


def _distinct(node: exp.Expression, wanted: bool) -> Filter:
    """IS [NOT] DISTINCT FROM: NULL is a value like the others."""
    same = wanted is isinstance(node, exp.NullSafeEQ)
    column, literal, _ = _sides(node)
    null = isinstance(literal, exp.Null)
    values = [None] if null else [meaning.low for meaning in _meanings(literal) if meaning.exact]
    return {_path(column): {"$in" if same else "$nin": values}}


def _like(node: exp.Expression, wanted: bool) -> Filter:
    pattern, escape = node.expression, ""
    if isinstance(node, exp.Escape):
        node, escape = node.this, _text(node.expression)
        pattern, wanted = node.expression, wanted is not bool(node.args.get("negate"))
    if isinstance(pattern, exp.Null):
        return NEVER
    match = {
        "$regex": _regex(_text(pattern), escape),
        "$options": "is" if isinstance(node, exp.ILike) else "s",
    }
    return {_path(node.this): match if wanted else {"$not": match, "$type": "string"}}


def _regex(pattern: str, escape: str) -> str:
    if "\0" in pattern:
        raise ConfigError("a LIKE pattern can't contain NUL", hint=_HINT)
    parts, characters = [], iter(pattern)
    for character in characters:
        if escape and character == escape:
            parts.append(re.escape(next(characters, escape)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return f"^{''.join(parts)}\\z"


def _sides(node: exp.Expression) -> tuple[exp.Expression, exp.Expression, bool]:
    """Column, literal, and whether they were the other way round."""
    left, right = _bare(node.this), _bare(node.expression)
    if _is_column(left) and not _is_column(right):
        return left, right, False
    if _is_column(right) and not _is_column(left):
        return right, left, True
    odd = [side for side in (left, right) if not _is_column(side) and not _is_literal(side)]
    raise _refused(odd[0] if odd else node)


def _bare(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _is_column(node: exp.Expression) -> bool:
    return isinstance(node, (exp.Column, exp.Dot))


def _is_literal(node: exp.Expression) -> bool:
    return isinstance(node, (exp.Literal, exp.Boolean, exp.Null))


def _path(node: exp.Expression) -> str:
    node = _bare(node)
    if not _is_column(node):
        raise _refused(node)
    parts = node.parts
    for part in parts:
        name = part.name if isinstance(part, exp.Identifier) else ""
        if not name or name.startswith("$") or "." in name or "\0" in name:
            raise ConfigError(f"{part.sql()} can't be the name of a field in a condition", hint=_HINT)
    return ".".join(part.name for part in parts)


def _meanings(node: exp.Expression) -> list[Meaning]:
    node = _bare(node)
    if isinstance(node, exp.Boolean):
        return [_same(bool(node.this))]
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return [_number(f"-{node.this.this}")]
    if isinstance(node, exp.Literal):
        return _strings(node.this) if node.is_string else [_number(node.this)]
    if isinstance(node, exp.Cast) and node.to.this in _TIMES:
        return [_moment(_text(node.this), node)]
    raise _refused(node)


def _same(value: Any) -> Meaning:
    return Meaning(value, value)


def _number(text: str) -> Meaning:
    """The double and the Decimal128 of a number differ by less than either can tell, but do differ."""
    exact = Decimal(text)
    if exact == exact.to_integral_value() and -(2**63) <= exact < 2**63:
        return _same(int(exact))
    near = float(text)
    try:
        decimal = Decimal128(exact)
    except DecimalException as error:
        raise ConfigError(f"{text} has more digits than MongoDB's numbers", hint=_HINT) from error
    if Decimal(near) == exact:
        return _same(near)
    return Meaning(near, decimal) if Decimal(near) < exact else Meaning(decimal, near)


def _strings(text: str) -> list[Meaning]:
    meanings = [_same(text)]
    if ObjectId.is_valid(text):
        meanings.append(_same(ObjectId(text)))
    if _DATE.fullmatch(text):
        try:
            meanings.append(_instant(text))
        except (ValueError, OverflowError):
            return meanings
    return meanings


def _moment(text: str, node: exp.Expression) -> Meaning:
    try:
        return _instant(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{node.sql('duckdb')} is not a time", hint="write 2026-11-23 05:00:00") from error


def _instant(text: str) -> Meaning:
    moment = datetime.fromisoformat(text)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    low = moment - timedelta(microseconds=moment.microsecond % 1000)
    return _same(low) if low == moment else Meaning(low, low + _MILLISECOND, exact=False)


def _text(node: exp.Expression) -> str:
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    raise _refused(node)


def _refused(node: exp.Expression) -> ConfigError:
    found = next((part.meta["start"] for part in node.walk() if "start" in part.meta), None)
    place = f" at column {found - len(_SELECT) + 1}" if found else ""
    return ConfigError(
        f"a condition on MongoDB can't contain {type(node).__name__}{place}: {node.sql('duckdb')[:200]}",
        hint=_HINT,
    )


_TIMES = frozenset(
    {
        exp.DataType.Type.DATE,
        exp.DataType.Type.TIMESTAMP,
        exp.DataType.Type.TIMESTAMPTZ,
        exp.DataType.Type.TIMESTAMPNTZ,
        exp.DataType.Type.TIMESTAMP_MS,
        exp.DataType.Type.DATETIME,
    }
)

#: What a rule looks at; anything else a node has (a query in IN, SYMMETRIC, ...) is refused.
_KNOWN_ARGUMENTS = frozenset({"this", "expression", "expressions", "low", "high", "negate"})

Rule = Callable[[exp.Expression, bool], Filter]
_RULES: Mapping[type[exp.Expression], Rule] = {
    exp.Paren: _paren,
    exp.Not: _not,
    exp.And: _connect,
    exp.Or: _connect,
    exp.EQ: _equal,
    exp.NEQ: _equal,
    exp.LT: _compare,
    exp.LTE: _compare,
    exp.GT: _compare,
    exp.GTE: _compare,
    exp.In: _in,
    exp.Between: _between,
    exp.Is: _is,
    exp.NullSafeEQ: _distinct,
    exp.NullSafeNEQ: _distinct,
    exp.Escape: _like,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Boolean: _truth,
    exp.Null: _unknown,
    exp.Column: _flag,
    exp.Dot: _flag,
}
