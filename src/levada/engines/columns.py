"""Which columns a SELECT needs of each table it names.

A table is read with some of its columns only where every name is certain: qualified by the table, or the
table stands alone and no outer query could lend a column. Everywhere else all columns are read, and DuckDB
decides what a name means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

#: What may mean any column.
_ANY = (exp.Columns, exp.Comprehension)


def needed(root: Scope) -> dict[int, frozenset[str] | None]:
    """The columns of every table; None: all.

    Args:
        root: of the statement.

    Returns:
        By the `id` of the table's node.
    """
    needs = _Needs()
    for scope in root.traverse():
        needs.look_at(scope)
    return needs.found()


def is_table(source: object) -> bool:
    """A table, not a function such as `range(10)`, nor a subquery."""
    return isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)


def address(table: exp.Table) -> str:
    """`connection.table`, as it is written."""
    return ".".join(part.name for part in table.parts)


def reshaped(source: object) -> bool:
    """Whether its columns have other names than those it is read with: `t as q(x, y)`, a pivot."""
    if isinstance(source, Scope):
        parent = source.expression.parent
        pivoted = isinstance(parent, exp.Subquery) and bool(parent.args.get("pivots"))
        return pivoted or bool(source.outer_columns)
    if not isinstance(source, exp.Table):
        return False
    alias = source.args.get("alias")
    return bool(source.args.get("pivots")) or bool(alias and alias.args.get("columns"))


class _Needs:
    def __init__(self) -> None:
        self._certain: dict[int, set[str]] = {}
        self._ambiguous: dict[int, set[str]] = {}
        self._whole: set[int] = set()

    def found(self) -> dict[int, frozenset[str] | None]:
        """By the `id` of a source's node; of subqueries, too."""
        return {source: self._one(source) for source in self._certain}

    def _one(self, table: int) -> frozenset[str] | None:
        names = self._certain[table]
        twins = len({name.lower() for name in names}) < len(names)  # to DuckDB they are one column
        if table in self._whole or twins or self._ambiguous.get(table, set()) - names:
            return None
        return frozenset(names)

    def look_at(self, scope: Scope) -> None:
        for source in scope.sources.values():
            if is_table(source):
                self._certain.setdefault(id(source), set())
                if reshaped(source):
                    self._whole.add(id(source))
        visible = _visible(scope)
        if _mentions_any(scope):
            self._all_of(visible)
        for join in scope.find_all(exp.Join):
            self._joined(scope, join)
        aliases = _aliases(scope)
        for column in scope.find_all(exp.Column):
            if not isinstance(column.this, exp.Star):
                self._named(visible, column, aliases)

    def _joined(self, scope: Scope, join: exp.Join) -> None:
        """Names that both sides must have, though no expression holds them."""
        names = [item.name for item in join.args.get("using") or ()]
        if join.args.get("method") == "NATURAL" or (names and len(scope.sources) > 2):
            self._all_of([scope])
            return
        for source in scope.sources.values() if names else ():
            if is_table(source):
                self._certain[id(source)].update(names)

    def _named(self, visible: list[Scope], column: exp.Column, aliases: Mapping[str, exp.Expression]) -> None:
        parts = [part.name for part in column.parts]
        for name, source in _sources(visible):
            width = _qualifies(name, source, parts)
            if width == len(parts):
                self._whole.add(id(source))  # a row as a whole
                return
            if width:
                self._certain.setdefault(id(source), set()).add(parts[width])
                return
        alone = list(visible[0].sources.values()) if len(visible) == 1 else []
        if len(alone) == 1 and is_table(alone[0]):
            names = self._ambiguous if _may_be_alias(column, aliases) else self._certain
            names.setdefault(id(alone[0]), set()).add(parts[0])
        else:
            self._all_of(visible)

    def _all_of(self, scopes: list[Scope]) -> None:
        self._whole.update(id(source) for _, source in _sources(scopes))


def _visible(scope: Scope) -> list[Scope]:
    """The scope, and those around it whose columns it might use."""
    chain = [scope]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    borrows = any(
        inner.is_subquery or inner.is_udtf or inner.expression.find_ancestor(exp.Lateral) for inner in chain
    )
    return chain if borrows else chain[:1]


def _sources(scopes: list[Scope]) -> Iterator[tuple[str, object]]:
    for scope in scopes:
        yield from scope.sources.items()


def _qualifies(name: str, source: object, parts: list[str]) -> int:
    """How many parts of a column's name are the source's; 0: it is not qualified by this source."""
    if parts[0].lower() == name.lower():
        return 1
    if isinstance(source, exp.Table) and is_table(source) and not source.alias:
        own = [part.name.lower() for part in source.parts]
        if [part.lower() for part in parts[: len(own)]] == own and len(parts) > len(own):
            return len(own)
    return 0


def _mentions_any(scope: Scope) -> bool:
    if any(not isinstance(star.parent, exp.Count) for star in scope.find_all(exp.Star)):
        return True
    return next(iter(scope.find_all(*_ANY)), None) is not None


def _aliases(scope: Scope) -> dict[str, exp.Expression]:
    """Names that the SELECT gives to something else than a column of that name."""
    selects = scope.expression.selects if isinstance(scope.expression, exp.Select) else []
    return {
        item.alias.lower(): item
        for item in selects
        if isinstance(item, exp.Alias)
        and not (isinstance(item.this, exp.Column) and item.this.name == item.alias)
    }


def _may_be_alias(column: exp.Column, aliases: Mapping[str, exp.Expression]) -> bool:
    """Whether a name may mean an alias: DuckDB decides by the columns that exist, so all must be there."""
    alias = aliases.get(column.parts[0].name.lower())
    return alias is not None and column.find_ancestor(exp.Alias) is not alias
