"""Reads a SELECT before it runs: which tables it names, what of them it needs, where its columns come from.

A table is written as `connection.table`. Of a table the statement gets the columns it needs (see
`levada.engines.columns`), and only the run's window where every mention of it is bounded by
`time_column >= $window_start and time_column < $window_end`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp, parse
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, build_scope

from levada.connectors.base import Table
from levada.engines.columns import address, is_table, needed, reshaped
from levada.errors import ConfigError
from levada.sql.dialect import Levada

#: Parameters that a statement may use as `$name`.
PARAMETERS = ("window_start", "window_end", "now", "run")


@dataclass
class Input:
    """A table that a statement reads.

    Args:
        alias: the relation's name while the statement runs.
        columns: the columns it needs; None: all.
        windowed: whether only the run's window is read.
        mentions: how often the statement may scan it; one mention in a recursion counts as two.
    """

    table: Table
    alias: str
    columns: frozenset[str] | None = frozenset()
    windowed: bool = True
    mentions: int = 0


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
    scope = _scope(query)
    columns = needed(scope)
    inputs: dict[str, Input] = {}
    for inner, name, source in _tables(scope):
        _add(inputs, resolve, columns[id(source)], _Mention(inner, name, source))
    origins = _origins(scope)
    _unqualify(query, inputs)
    for table in list(query.find_all(exp.Table)):
        if is_table(table) and address(table) in inputs:
            _rename(table, inputs[address(table)].alias)
    return Statement(query.sql(dialect=Levada), inputs, _parameters(query), origins)


def addresses(text: str) -> tuple[str, ...]:
    """The addresses of the tables that a SELECT names."""
    return tuple(dict.fromkeys(address(source) for _, _, source in _tables(_scope(_parse(text)))))


def _parse(text: str) -> exp.Query:
    try:
        statements = [
            one for one in parse(text, dialect=Levada) if one and not isinstance(one, exp.Semicolon)
        ]
    except SqlglotError as error:
        raise ConfigError(f"can't parse the SQL: {str(error).splitlines()[0]}") from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise ConfigError("this is not one SELECT", hint="the step's `to:` and `mode:` say where rows go")
    return statements[0]


def _scope(query: exp.Query) -> Scope:
    try:
        scope = build_scope(query)
    except SqlglotError as error:
        raise ConfigError(f"can't tell what the SQL reads: {str(error).splitlines()[0]}") from error
    if scope is None:
        raise ConfigError("this statement reads nothing", hint="write a SELECT")
    known = {id(source) for _, _, source in _tables(scope)}
    for table in query.find_all(exp.Table):
        if is_table(table) and table.args.get("db") and id(table) not in known:
            raise ConfigError(
                f"can't tell what is read of {address(table)} here",
                hint=f"put a subquery there that selects from {address(table)}",
            )
    return scope


def _tables(root: Scope) -> Iterator[tuple[Scope, str, exp.Table]]:
    """Every mention of a table: the scope, its name there, and its node."""
    for scope in root.traverse():
        if not scope.is_udtf:  # it only sees the tables beside it
            for name, source in scope.sources.items():
                if is_table(source):
                    yield scope, name, source


@dataclass(frozen=True)
class _Mention:
    scope: Scope
    name: str
    source: exp.Table


def _add(
    inputs: dict[str, Input],
    resolve: Callable[[str], Table],
    columns: frozenset[str] | None,
    mention: _Mention,
) -> None:
    place = address(mention.source)
    if "." not in place:
        raise ConfigError(f"unknown table {place!r} in SQL", hint="write it as connection.table")
    known = inputs.get(place) or Input(resolve(place), f"input_{len(inputs)}")
    known.columns = None if columns is None or known.columns is None else known.columns | columns
    with_ = mention.source.find_ancestor(exp.With)
    known.mentions += 2 if with_ and with_.args.get("recursive") else 1
    known.windowed = known.windowed and _bounded(mention.scope, mention.name, known.table.time)
    inputs[place] = known


def _unqualify(query: exp.Query, inputs: Mapping[str, Input]) -> None:
    """`shop.orders.total` -> `orders.total`: while it runs, a table has an alias and no connection."""
    for column in query.find_all(exp.Column):
        parts = column.parts
        for width in (2, 3):
            if len(parts) > width and ".".join(part.name for part in parts[:width]) in inputs:
                kept = parts[width - 1 :]
                for name, part in zip(
                    ("this", "table", "db", "catalog"), [*reversed(kept), None, None], strict=False
                ):
                    column.set(name, part)
                break


def _rename(table: exp.Table, alias: str) -> None:
    if not table.alias:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True)))
    table.set("db", None)
    table.set("catalog", None)
    table.set("this", exp.to_identifier(alias, quoted=True))


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
    if reshaped(source):
        return None
    if is_table(source):
        return address(source), column.name
    if not isinstance(source, Scope) or not isinstance(source.expression, exp.Select):
        return None
    for projection in source.expression.selects:
        if projection.alias_or_name == column.name:
            return _origin(projection.unalias(), source)
    return None
