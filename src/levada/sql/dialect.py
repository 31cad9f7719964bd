"""The dialect `levada`: DuckDB's, with `datediff(end, start)` in days, as dbt's users know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import SqlglotError

from levada.sql.errors import SqlError


def _days_between(args: list[Any]) -> exp.Expression:
    """`datediff(end, start)` in days; with three arguments `datediff(unit, start, end)`."""
    if len(args) == 2:
        return exp.DateDiff(this=args[0], expression=args[1], unit=exp.var("DAY"))
    builder: Callable[[list[Any]], exp.Expression] = DuckDB.Parser.FUNCTIONS["DATEDIFF"]
    return builder(args)


class Levada(DuckDB):  # type: ignore[misc]
    """DuckDB's dialect and two-argument `datediff`; indexes stay as they are written, from 1."""

    INDEX_OFFSET = 0

    class Tokenizer(DuckDB.Tokenizer):  # type: ignore[misc]
        #: `?::date` casts a parameter.
        KEYWORDS: ClassVar[dict[str, Any]] = {
            word: kind for word, kind in DuckDB.Tokenizer.KEYWORDS.items() if word != "?::"
        }

    class Parser(DuckDB.Parser):  # type: ignore[misc]
        FUNCTIONS: ClassVar[dict[str, Any]] = {
            **DuckDB.Parser.FUNCTIONS,
            "DATEDIFF": _days_between,
            "DATE_DIFF": _days_between,
        }


def parse(sql: str, dialect: str = "levada") -> exp.Expression:
    """Parse one statement.

    Args:
        dialect: `levada`, or any that sqlglot knows.

    Raises:
        SqlError: it can't be read, is empty, or more than one; with line and column.
    """
    if any("\ud800" <= character <= "\udfff" for character in sql):
        raise SqlError("the SQL has half of a surrogate pair, which is no character")
    try:
        found = sqlglot.parse(sql, dialect=Levada if dialect == "levada" else dialect)
    except SqlglotError as error:
        raise _unreadable(error) from error
    except ValueError as error:
        raise SqlError(
            f"there is no SQL dialect {dialect}", hint="levada, duckdb, postgres, mysql ..."
        ) from error
    except RecursionError as error:
        raise SqlError("the SQL is nested too deeply", hint="split it into several") from error
    statements = [one for one in found if one is not None and not isinstance(one, exp.Semicolon)]
    if len(statements) != 1:
        raise SqlError(f"one statement at a time, not {len(statements)}" if statements else "there is no SQL")
    return statements[0] if dialect == "levada" else _indexed(statements[0], dialect)


def names(value: str) -> tuple[str, ...]:
    """The columns, or paths into structs, that one expression over a table's columns names.

    Raises:
        SqlError: it is not one expression, or has a FROM or a subquery.
    """
    select = parse(f"select {value}\n")
    parts = {name for name, part in select.args.items() if part}
    single = isinstance(select, exp.Select) and parts == {"expressions"} and len(select.selects) == 1
    if not single or select.find(exp.Subquery) is not None:
        raise SqlError(f"{value} is not one expression over a table's columns", hint="sum(total) / count(*)")
    found = (".".join(part.name for part in one.parts) for one in select.find_all(exp.Column))
    return tuple(dict.fromkeys(found))


def _indexed(statement: exp.Expression, dialect: str) -> exp.Expression:
    """Literal indexes, which sqlglot counts from 0 in every dialect, counted from 1."""
    from_zero = sqlglot.Dialect.get_or_raise(dialect).INDEX_OFFSET == 0
    for bracket in statement.find_all(exp.Bracket):
        bracket.set("expressions", [_from_one(index, from_zero) for index in bracket.expressions])
    return statement


def _from_one(index: exp.Expression, from_zero: bool) -> exp.Expression:
    if isinstance(index, exp.Literal) and not index.is_string:
        return exp.Literal.number(int(index.name) + 1)
    if isinstance(index, exp.Neg) and isinstance(index.this, exp.Literal) and not from_zero:
        return exp.Neg(this=exp.Literal.number(int(index.this.name) - 1))
    plain = isinstance(index, exp.Slice | exp.Literal | exp.Neg)
    return (
        index
        if plain or not from_zero
        else exp.Paren(this=exp.Add(this=index, expression=exp.Literal.number(1)))
    )


def _unreadable(error: SqlglotError) -> SqlError:
    errors = getattr(error, "errors", None)
    if not errors or errors[0].get("line") is None:
        return SqlError(f"can't read the SQL: {str(error).splitlines()[0]}")
    first = errors[0]
    near = first.get("highlight") or ""
    column = int(first["col"]) - max(len(near) - 1, 0)
    what = f"can't read the SQL{f' at {near!r}' if near else ''}: {first['description'].rstrip('.')}"
    return SqlError(what, where=f"line {first['line']}, column {column}")
