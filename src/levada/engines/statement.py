"""Reads a SELECT before it runs: which tables it names, what of them it needs, where its columns come from.

A table is written as `connection.table`. Of a table the statement gets the columns it names (all of them
where a name may mean a column or an alias), and only the run's window where every mention of it is bounded
by `time_column >= $window_start and time_column < $window_end`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, build_scope

from levada.connectors.base import Table
from levada.errors import ConfigError

#: Parameters that a statement may use as `$name`.
PARAMETERS = ("window_start", "window_end", "now", "run")


@dataclass
class Input:
    """A table that a statement reads.

    Args:
        alias: the relation's name while the statement runs.
        columns: the columns it needs; None: all.
        windowed: whether only the run's window is read.
        mentions: how often the statement names it.
        certain: whether all `columns` are surely its own, not another table's beside it.
    """

    table: Table
    alias: str
    columns: frozenset[str] | None = frozenset()
    windowed: bool = True
    mentions: int = 0
    certain: bool = True


@dataclass(frozen=True)
class Statement:
    """A SELECT that is ready to run on DuckDB.

    Args:
        sql: with the tables replaced by their inputs' aliases.
        inputs: by address.
        parameters: names used.
        origins: result column -> the (address, column) it is taken from unchanged.
    """

    sql: str
    inputs: Mapping[str, Input]
    parameters: frozenset[str]
    origins: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def read_statement(text: str, resolve: Callable[[str], Table]) -> Statement:
    """Parse one SELECT.

    Args:
        text: in DuckDB's dialect.
        resolve: address -> table.

    Raises:
        ConfigError: it can't be parsed, isn't one SELECT, or names an unknown table or parameter.
    """
    query = _parse(text)
    scope = build_scope(query)
    if scope is None:
        raise ConfigError("this statement reads nothing", hint="write a SELECT")
    inputs: dict[str, Input] = {}
    for inner in scope.traverse():
        for name, source in inner.sources.items():
            if _is_table(source):
                _add(inputs, resolve, inner, name, source)
    origins = _origins(scope)
    for table in list(query.find_all(exp.Table)):
        if _is_table(table) and _address(table) in inputs:
            _rename(table, inputs[_address(table)].alias)
    return Statement(query.sql(dialect="duckdb"), inputs, _parameters(query), origins)


def addresses(text: str) -> tuple[str, ...]:
    """The addresses of the tables that a SELECT names."""
    query = _parse(text)
    scope = build_scope(query)
    found = {
        _address(source): None
        for inner in (scope.traverse() if scope else ())
        for source in inner.sources.values()
        if _is_table(source)
    }
    return tuple(found)


def _is_table(source: object) -> bool:
    """A table, not a function such as `range(10)`, nor a subquery."""
    return isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)


def _parse(text: str) -> exp.Query:
    try:
        statements = parse(text, dialect="duckdb")
    except SqlglotError as error:
        raise ConfigError(f"can't parse the SQL: {str(error).splitlines()[0]}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ConfigError("this is not one SELECT", hint="the step's `to:` and `mode:` say where rows go")
    return statements[0]


def _add(
    inputs: dict[str, Input], resolve: Callable[[str], Table], scope: Scope, name: str, source: exp.Table
) -> None:
    address = _address(source)
    if "." not in address:
        raise ConfigError(f"unknown table {address!r} in SQL", hint="write it as connection.table")
    known = inputs.get(address) or Input(resolve(address), f"input_{len(inputs)}")
    columns = _columns(scope, name)
    if columns is None or known.columns is None:
        known.columns = None
    else:
        known.columns |= columns
    known.mentions += 1
    known.certain = known.certain and len(scope.sources) == 1 and not scope.subquery_scopes
    known.windowed = known.windowed and _bounded(scope, name, known.table.time)
    inputs[address] = known


def _address(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def _rename(table: exp.Table, alias: str) -> None:
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    table.set("db", None)
    table.set("catalog", None)
    table.set("this", exp.to_identifier(alias, quoted=True))


def _columns(scope: Scope, name: str) -> frozenset[str] | None:
    """The columns a scope may need of one of its sources; None if that can't be told."""
    if any(_stars(scope)):
        return None
    aliases = _aliases(scope)
    found, ambiguous = set(), set()
    for column in (*scope.columns, *scope.find_all(exp.Column)):
        first, *rest = (part.name for part in column.parts)
        if rest and first == name:
            found.add(rest[0])
        elif rest and first in scope.sources:
            continue
        elif not rest and _may_be_alias(column, aliases):
            ambiguous.add(first)
        else:
            found.add(first)  # of this source or another; or a struct, whose field follows
    return None if ambiguous - found else frozenset(found)


def _aliases(scope: Scope) -> dict[str, exp.Expression]:
    """Names that the SELECT gives to something else than a column of that name."""
    selects = scope.expression.selects if isinstance(scope.expression, exp.Select) else []
    return {
        item.alias: item
        for item in selects
        if isinstance(item, exp.Alias)
        and not (isinstance(item.this, exp.Column) and item.this.name == item.alias)
    }


def _may_be_alias(column: exp.Column, aliases: Mapping[str, exp.Expression]) -> bool:
    """Whether a name may mean an alias: DuckDB decides by the columns that exist, so all must be there."""
    alias = aliases.get(column.name)
    return alias is not None and column.find_ancestor(exp.Alias) is not alias


def _stars(scope: Scope) -> Iterator[exp.Expression]:
    for star in scope.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            yield star


def _bounded(scope: Scope, name: str, time: str | None) -> bool:
    where = scope.expression.args.get("where")
    if where is None or time is None:
        return False
    conditions = where.this.flatten() if isinstance(where.this, exp.And) else ()
    bounds = {
        (type(condition), condition.expression.name)
        for condition in conditions
        if isinstance(condition, exp.GTE | exp.LT)
        and _is_column(condition.this, name, time, only=len(scope.sources) == 1)
        and isinstance(condition.expression, exp.Placeholder)
    }
    return {(exp.GTE, "window_start"), (exp.LT, "window_end")} <= bounds


def _is_column(node: exp.Expression, source: str, name: str, *, only: bool) -> bool:
    if not isinstance(node, exp.Column) or node.name != name:
        return False
    return node.table == source or (only and not node.table)


def _parameters(query: exp.Query) -> frozenset[str]:
    used = {placeholder.name for placeholder in query.find_all(exp.Placeholder)}
    if unknown := used.difference(PARAMETERS):
        raise ConfigError(
            f"unknown parameter ${sorted(unknown)[0] or '?'}",
            hint=f"there are: {', '.join('$' + name for name in PARAMETERS)}",
        )
    return frozenset(used)


def _origins(scope: Scope) -> dict[str, tuple[str, str]]:
    found = {}
    for projection in scope.expression.selects if isinstance(scope.expression, exp.Select) else ():
        column = projection.unalias()
        origin = _origin(column, scope)
        if origin:
            found[projection.alias_or_name] = origin
    return found


def _origin(column: exp.Expression, scope: Scope) -> tuple[str, str] | None:
    """Follow a plain column down to the table it is read from."""
    if not isinstance(column, exp.Column) or not isinstance(scope.expression, exp.Select):
        return None
    if not column.table and len(scope.sources) != 1:
        return None
    source = scope.sources.get(column.table) if column.table else next(iter(scope.sources.values()))
    if _is_table(source):
        return _address(source), column.name
    if not isinstance(source, Scope) or not isinstance(source.expression, exp.Select):
        return None
    for projection in source.expression.selects:
        if projection.alias_or_name == column.name:
            return _origin(projection.unalias(), source)
    return None
