"""Random queries over the tables of `random_rows`, as SQL text whose answer does not depend on chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .random_expressions import KIND_OF, KINDS, NESTED, Column, Expressions, Scope
from .random_rows import COLUMNS, TABLES
from .random_windows import Windows

#: Aggregates: template -> kind of the result; `{K}`'s are columns or expressions of these kinds.
AGGREGATES: Mapping[str, str] = {
    "count(*)": "integer",
    "sum({integer})": "integer",
    "min({integer})": "integer",
    "max({text})": "text",
    "count({text})": "integer",
    "avg({integer})": "double",
    "sum({decimal})": "decimal",
    "sum({double})": "double",
    "avg({double})": "double",
    "avg({decimal})": "double",
    "min({double})": "double",
    "max({double})": "double",
    "min({decimal})": "decimal",
    "max({date})": "date",
    "min({timestamp})": "timestamp",
    "min({text})": "text",
    "count(distinct {integer})": "integer",
    "count(distinct {double})": "integer",
    "count(distinct {text})": "integer",
    "sum(distinct {integer})": "integer",
    "bool_and({boolean})": "boolean",
    "bool_or({boolean})": "boolean",
    "count_if({boolean})": "integer",
    "string_agg({text}, ',' order by {text})": "skipped",
    "stddev_samp({small})": "double",
    "var_pop({small})": "double",
    "corr({small}, {small})": "double",
    "median({integer})": "double",
    "quantile_cont({integer}, 0.25)": "double",
    "quantile_disc({integer}, 0.5)": "integer",
    "max({boolean})": "boolean",
}

_SETS = ("union all", "union", "intersect", "except", "intersect all", "except all")
_JOINS = ("join", "left join", "right join", "full join", "semi join", "anti join")


@dataclass(frozen=True)
class Query:
    """A query and its columns, named c1, c2, ...

    Args:
        ordered: whether the order of its rows is given, up to rows that are alike.
    """

    sql: str
    columns: tuple[Column, ...]
    ordered: bool = False


@dataclass(frozen=True)
class Source:
    """What stands in FROM."""

    sql: str
    scope: Scope


class Queries:
    """Random queries.

    Args:
        chance: of every choice; the first choices are the simplest.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names = 0
        self._shared: list[tuple[str, tuple[Column, ...]]] = []
        self._expressions = Expressions(chance, self._subquery)
        self._windows = Windows(chance, self._expressions)

    def query(self) -> Query:
        """A whole query."""
        prefix = self._with() if self._roll(0.15) else ""
        body = self._combined(2) if self._roll(0.15) else self._select(2)
        return self._arranged(Query(prefix + body.sql, body.columns))

    def _roll(self, probability: float) -> bool:
        """True with this probability; hypothesis shrinks towards False."""
        return self._chance.random() > 1 - probability

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def _with(self) -> str:
        parts = []
        for _ in range(self._chance.randint(1, 2)):
            name, query = self._name("w"), self._select(1)
            how = self._chance.choice(("", "", "materialized ", "not materialized "))
            parts.append(f"{name} as {how}({query.sql})")
            self._shared.append((name, query.columns))
        return f"with {', '.join(parts)} "

    def _arranged(self, query: Query) -> Query:
        """ORDER BY all columns, so that only rows that are alike may change places; LIMIT only with it."""
        if not all(column.exact and column.kind in KINDS for column in query.columns) or self._roll(0.4):
            return query
        places = list(range(1, len(query.columns) + 1))
        self._chance.shuffle(places)
        keys = ", ".join(f"{place}{self._direction()}" for place in places)
        sql = f"{query.sql} order by {keys}"
        if self._roll(0.4):
            sql += f" limit {self._chance.choice((3, 1, 0, 100))}"
            sql += f" offset {self._chance.choice((1, 2, 5))}" if self._roll(0.3) else ""
        return Query(sql, query.columns, ordered=True)

    def _direction(self) -> str:
        return self._chance.choice(("", " desc", " nulls first", " desc nulls first", " desc nulls last"))

    # FROM

    def _source(self, depth: int) -> Source:
        makers: list[Callable[[int], Source]] = [self._table, self._table]
        if depth > 0:
            makers += [self._join, self._join, self._join, self._using, self._derived, self._unnested]
            makers += [self._values, self._cross, self._lateral]
        if self._shared:
            makers += [self._common, self._common]
        return self._chance.choice(makers)(depth - 1)

    def _listed_source(self, depth: int) -> Source:
        """A source, or two with a comma between, which binds weaker than JOIN."""
        parts = [self._source(depth)]
        if depth > 0 and self._roll(0.12):
            parts.insert(self._chance.choice((1, 0)), self._table(0))
        first, *others = parts
        for other in others:
            first = Source(f"{first.sql}, {other.sql}", _both(first.scope, other.scope))
        return first

    def _table(self, _: int) -> Source:
        table, name = self._chance.choice(tuple(TABLES)), self._name("r")
        columns = tuple(Column(f"{name}.{column}", KIND_OF[kind.name]) for column, kind in COLUMNS.items())
        return Source(f"{table} {name}", Scope(columns, (f"{name}.id",)))

    def _derived(self, depth: int) -> Source:
        query, name = self._select(depth), self._name("q")
        return Source(f"({query.sql}) {name}", Scope(_of(name, query.columns)))

    def _common(self, _: int) -> Source:
        (common, columns), name = self._chance.choice(self._shared), self._name("q")
        return Source(f"{common} {name}", Scope(_of(name, columns)))

    def _values(self, _: int) -> Source:
        name = self._name("v")
        rows = ", ".join(
            f"({number}, {self._expressions.make('text', Scope(()), 0)})"
            for number in range(1, self._chance.randint(1, 3) + 1)
        )
        scope = Scope((Column(f"{name}.n", "integer"), Column(f"{name}.w", "text")), (f"{name}.n",))
        return Source(f"(values {rows}) {name}(n, w)", scope)

    def _unnested(self, depth: int) -> Source:
        left, name = self._table(depth), self._name("u")
        lists = self._chance.choice(left.scope.of("list")).text
        columns = (*left.scope.columns, Column(f"{name}.item", "integer"))
        return Source(f"{left.sql} cross join unnest({lists}) {name}(item)", Scope(columns))

    def _cross(self, depth: int) -> Source:
        left, right = self._source(depth), self._source(0)
        return Source(f"{left.sql} cross join {right.sql}", _both(left.scope, right.scope))

    def _lateral(self, depth: int) -> Source:
        left, inner, name = self._table(depth), self._source(0), self._name("q")
        both = _both(left.scope, inner.scope)
        value = self._expressions.make("integer", both, 1)
        body = f"select {value} c1 from {inner.sql} where {self._expressions.make('boolean', both, 1)}"
        columns = (*left.scope.columns, Column(f"{name}.c1", "integer"))
        how = self._chance.choice((" cross join lateral", " left join lateral"))
        condition = " on true" if "left" in how else ""
        return Source(f"{left.sql}{how} ({body}) {name}{condition}", Scope(columns))

    def _using(self, depth: int) -> Source:
        left, right = self._table(depth), self._table(depth)
        how, shared = self._chance.choice(_JOINS[:4]), self._chance.choice(("id", "i", "s"))
        apart = [c for c in (*left.scope.columns, *right.scope.columns) if not c.text.endswith(f".{shared}")]
        columns = (Column(shared, KIND_OF[COLUMNS[shared].name]), *apart)
        return Source(f"{left.sql} {how} {right.sql} using ({shared})", Scope(columns))

    def _join(self, depth: int) -> Source:
        left, right = self._source(depth), self._source(0)
        how, both = self._chance.choice(_JOINS), _both(left.scope, right.scope)
        condition = self._condition(left.scope, right.scope, both)
        kept = left.scope if how in {"semi join", "anti join"} else both
        return Source(f"{left.sql} {how} {right.sql} on {condition}", kept)

    def _condition(self, left: Scope, right: Scope, both: Scope) -> str:
        parts = []
        for _ in range(self._chance.choice((1, 1, 1, 2, 0))):
            kind = self._chance.choice(KINDS)
            parts.append(f"{self._side(kind, left)} = {self._side(kind, right)}")
        if not parts or self._roll(0.25):
            parts.append(f"({self._expressions.make('boolean', both, 1)})")
        return " and ".join(parts)

    def _side(self, kind: str, scope: Scope) -> str:
        columns = scope.of(kind)
        made = self._expressions.make(kind, scope, 1) if self._roll(0.2) or not columns else ""
        # DuckDB itself errs on some outer joins whose condition is constant
        return f"({made})" if "." in made or not columns else self._chance.choice(columns).text

    # SELECT

    def _select(self, depth: int, kinds: Sequence[str] | None = None) -> Query:
        makers: list[Callable[[Source, int], Query]] = [
            self._plain,
            self._plain,
            self._grouped,
            self._grouped,
        ]
        makers += [self._windowed]
        source = self._listed_source(depth)
        if kinds is not None:
            return self._plain(source, depth, kinds)
        return self._chance.choice(makers)(source, depth)

    def _where(self, scope: Scope, depth: int) -> str:
        return f" where {self._expressions.make('boolean', scope, depth + 1)}" if self._roll(0.5) else ""

    def _plain(self, source: Source, depth: int, kinds: Sequence[str] | None = None) -> Query:
        distinct = "distinct " if kinds is None and self._roll(0.15) else ""
        if kinds is None:
            pool = KINDS if distinct else (*KINDS, *NESTED)
            kinds = [self._chance.choice(pool) for _ in range(self._chance.randint(1, 4))]
        items = [self._expressions.make(kind, source.scope, self._chance.choice((1, 0, 2))) for kind in kinds]
        columns = tuple(_result(number, kind) for number, kind in enumerate(kinds, 1))
        sql = f"select {distinct}{_listed(items)} from {source.sql}{self._where(source.scope, depth)}"
        return Query(sql, columns)

    def _grouped(self, source: Source, depth: int) -> Query:
        scope = source.scope
        kinds = [self._chance.choice(KINDS) for _ in range(self._chance.choice((1, 1, 0, 2)))]
        groups = [self._expressions.make(kind, scope, self._chance.choice((0, 0, 1))) for kind in kinds]
        columns = [_result(number, kind) for number, kind in enumerate(kinds, 1)]
        items = list(groups)
        for _ in range(self._chance.randint(1, 3)):
            sql, kind, exact = self._aggregate(scope)
            items.append(sql)
            columns.append(Column(f"c{len(items)}", kind, exact))
        sql = f"select {_listed(items)} from {source.sql}{self._where(scope, depth)}{self._by(groups)}"
        if groups and self._roll(0.25):
            sql += f" having {self._aggregate(scope, 'integer')[0]} > {self._chance.choice((1, 0, 2))}"
        return Query(sql, tuple(columns))

    def _by(self, groups: Sequence[str]) -> str:
        places = ", ".join(str(number) for number in range(1, len(groups) + 1))
        if groups and self._roll(0.1):
            return f" group by rollup ({', '.join(f'({group})' for group in groups)})"
        return f" group by {places}" if groups else ""

    def _aggregate(self, scope: Scope, wanted: str | None = None) -> tuple[str, str, bool]:
        names = [name for name, kind in AGGREGATES.items() if wanted in (None, kind)]
        template = self._chance.choice(names)
        if "string_agg" in template:
            text = self._expressions.make("text", scope, 1)
            return f"string_agg({text}, ',' order by {text} || '')", "text", True
        small = template.replace("{small}", "(({integer}) % 1000)")
        sql = self._expressions.fill(small, "integer", scope, self._chance.choice((0, 1)))
        if self._roll(0.2):
            sql += f" filter (where {self._expressions.make('boolean', scope, 1)})"
        kind = AGGREGATES[template]
        return sql, kind, kind != "double" or template.startswith(("min", "max"))

    def _windowed(self, source: Source, depth: int) -> Query:
        scope, items, columns = source.scope, [], []
        for number in range(1, self._chance.randint(1, 3) + 1):
            sql, kind, exact = self._windows.call(scope)
            items.append(sql)
            columns.append(Column(f"c{number}", kind, exact))
        for kind in (self._chance.choice(KINDS), "integer"):
            items.append(self._expressions.make(kind, scope, 0))
            columns.append(_result(len(items), kind))
        sql = f"select {_listed(items)} from {source.sql}{self._where(scope, depth)}"
        if scope.keys and self._roll(0.1):
            sql += f" qualify {self._windows.numbered(scope)} <= {self._chance.choice((1, 2))}"
        return Query(sql, tuple(columns))

    def _combined(self, depth: int) -> Query:
        kinds = [self._chance.choice(KINDS) for _ in range(self._chance.randint(1, 3))]
        parts = [self._select(depth - 1, kinds).sql for _ in range(self._chance.choice((2, 2, 3)))]
        sql = parts[0]
        for part in parts[1:]:
            sql = f"({sql}) {self._chance.choice(_SETS)} ({part})"
        return Query(sql, tuple(_result(number, kind) for number, kind in enumerate(kinds, 1)))

    # subqueries

    def _subquery(self, kind: str, scope: Scope, depth: int) -> str:
        inner = self._table(0)
        both = _both(inner.scope, scope) if self._roll(0.6) else inner.scope
        where = f" where {self._expressions.make('boolean', both, 1)}" if self._roll(0.7) else ""
        if kind == "boolean":
            return self._predicate(inner, scope, where, depth)
        value = self._expressions.make(kind, inner.scope, 0)
        aggregate = {"boolean": "bool_or"}.get(kind, self._chance.choice(("max", "min")))
        return f"(select {aggregate}({value}) from {inner.sql}{where})"

    def _predicate(self, inner: Source, scope: Scope, where: str, depth: int) -> str:
        form = self._chance.choice(("exists", "in", "not exists", "not in", "any", "all"))
        if "exists" in form:
            return f"{form} (select * from {inner.sql}{where})"
        kind = self._chance.choice(KINDS)
        value = self._expressions.make(kind, scope, depth - 1)
        body = f"(select {self._expressions.make(kind, inner.scope, 0)} from {inner.sql}{where})"
        if form in {"any", "all"}:
            return f"({value}) {self._chance.choice(('=', '<', '>=', '<>'))} {form} {body}"
        return f"({value}) {form} {body}"


def _of(name: str, columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(Column(f"{name}.{column.text}", column.kind, column.exact) for column in columns)


def _both(left: Scope, right: Scope) -> Scope:
    keys = (*left.keys, *right.keys) if left.keys is not None and right.keys is not None else None
    return Scope((*left.columns, *right.columns), keys)


def _result(number: int, kind: str) -> Column:
    return Column(f"c{number}", kind)


def _listed(items: Sequence[str]) -> str:
    return ", ".join(f"{item} as c{number}" for number, item in enumerate(items, 1))
