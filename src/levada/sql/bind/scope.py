"""Which names a part of a query can see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from levada.sql.catalog import nearest, spelled
from levada.sql.errors import refuse
from levada.sql.expression import Column, Expr


@dataclass(slots=True)
class Source:
    """One item of a FROM clause.

    Args:
        name: its alias; what qualifies its columns.
        columns: by name, in order; a name may come twice (a subquery that gives it twice).
        hidden: names that a USING has merged into another source's column: `*` leaves them out.
    """

    name: str
    columns: tuple[tuple[str, Column], ...]
    hidden: set[str] = field(default_factory=set)

    def named(self, name: str, node: exp.Expression) -> Column | None:
        """The column of this name; None: there is none."""
        found = spelled(name, dict.fromkeys(one for one, _ in self.columns))
        columns = [column for one, column in self.columns if one == found]
        if len(columns) > 1:
            raise refuse(f"{self.name} has more than one column {name}", node, hint="give them aliases")
        return columns[0] if columns else None


@dataclass(slots=True)
class Scope:
    """The sources of a SELECT; a subquery's scope sees its parent's.

    Args:
        merged: names that USING or NATURAL joined: unqualified, they are this.
        touched: ids of outer columns that were used here.
    """

    parent: Scope | None = None
    sources: list[Source] = field(default_factory=list)
    merged: dict[str, Expr] = field(default_factory=dict)

    def add(self, source: Source, node: exp.Expression) -> None:
        """Take in a source."""
        if source.name and any(other.name.lower() == source.name.lower() for other in self.sources):
            raise refuse(f"two tables are called {source.name}", node, hint="give one of them an alias")
        self.sources.append(source)

    def source(self, name: str) -> Source | None:
        """The source of this name, in this scope alone."""
        found = spelled(name, [source.name for source in self.sources])
        return next((source for source in self.sources if source.name == found), None) if found else None

    def local(self, name: str, node: exp.Expression) -> Expr | None:
        """An unqualified column of this scope alone; None: there is none."""
        if merged := spelled(name, self.merged):
            return self.merged[merged]
        found = [column for source in self.sources if (column := source.named(name, node))]
        if len(found) > 1:
            owners = ", ".join(s.name for s in self.sources if s.named(name, node))
            raise refuse(f"{name} is ambiguous: {owners} have it", node, hint="write table.column")
        return found[0] if found else None

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def resolve(self, parts: list[str], node: exp.Expression) -> tuple[Expr, list[str]] | None:
        """What a dotted name means.

        Args:
            parts: of the name: `table.column.field`, `column.field`, ...

        Returns:
            The column, and the parts that are left: fields of its struct. None: nothing has this name.
        """
        for scope in self.chain():
            owner = scope.source(parts[0]) if len(parts) > 1 else None
            if owner and (column := owner.named(parts[1], node)):
                return column, parts[2:]
            found = scope.local(parts[0], node)
            if found and (len(parts) == 1 or found.type.name == "STRUCT" or scope.parent is None):
                return found, parts[1:]
            if owner:
                raise self.unknown(parts, node)
        return None

    def unknown(self, parts: list[str], node: exp.Expression) -> Exception:
        """The error for a name that nothing has, with the nearest name."""
        owner = next((s for scope in self.chain() if (s := scope.source(parts[0]))), None)
        if owner and len(parts) > 1:
            near = nearest(parts[1], [name for name, _ in owner.columns])
            return refuse(f"{owner.name} has no column {parts[1]}", node, hint=_meant(near))
        names = [name for scope in self.chain() for source in scope.sources for name, _ in source.columns]
        if len(parts) > 1 and not any(name.lower() == parts[0].lower() for name in names):
            tables = [source.name for scope in self.chain() for source in scope.sources]
            near = nearest(parts[0], tables)
            return refuse(f"there is no table {parts[0]} in this FROM", node, hint=_meant(near))
        return refuse(f"there is no column {parts[0]}", node, hint=_meant(nearest(parts[0], names)))

    def star(self) -> Iterator[tuple[Source, str, Expr]]:
        """All columns, as `*` gives them."""
        for source in self.sources:
            for name, column in source.columns:
                if name not in source.hidden:
                    yield source, name, self.merged.get(name, column)


def _meant(near: str | None) -> str | None:
    return f"did you mean {near}?" if near else None


Aliases = Mapping[str, exp.Expression]
