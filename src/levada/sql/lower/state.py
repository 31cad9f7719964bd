"""A pipeline under construction: stages, and where its documents hold the columns.

Columns are bound late: a row maps each to a place, which may be a field of the collection's own documents or
a whole computation. Only where a stage needs fields are the columns put into documents of their own.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from levada.sql.algebra import BoundQuery
from levada.sql.errors import SqlError
from levada.sql.expression import Call, Cast, Column, Constant, Expr, children, conjuncts, walk
from levada.sql.expressions.emit import Place, Row, condition, match, value
from levada.sql.expressions.filters import foreign, misfits
from levada.sql.expressions.pieces import both, simple
from levada.sql.expressions.table import Emitted
from levada.sql.plan import Note, Scanned, Stage
from levada.sql.types import SqlType

#: How often the relation above says each column; a computation that is said more than once is made a field.
Needed = Mapping[str, int]

#: Pipelines inside pipelines, and stages of one; beyond, the server refuses the query.
DEEPEST = 20
LONGEST = 1000


@dataclass(frozen=True)
class Lowered:
    """The rows of a relation.

    Args:
        collection: what they come from; None: the stages begin with `$documents`.
        stages: the pipeline.
        row: where its documents hold the relation's columns.
        depth: of pipelines inside the pipeline.
        indexes: paths by which an index finds documents, while the stages are filters alone.
    """

    collection: str | None
    stages: tuple[Stage, ...]
    row: Row
    depth: int = 0
    indexes: frozenset[str] | None = None

    def then(self, *stages: Stage, row: Row | None = None) -> Lowered:
        """With more stages behind, and another row where they change it."""
        return replace(
            self,
            stages=(*self.stages, *stages),
            row=self.row if row is None else row,
        )


@dataclass
class Context:
    """What the lowering of one query shares.

    Args:
        query: as bound.
        outer: places of columns of outer queries' rows, inside a correlated subquery.
        stored: temporary tables: name in the query -> name in the plan.
    """

    query: BoundQuery
    outer: Row = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    scans: list[Scanned] = field(default_factory=list)

    def inside(self, outer: Row) -> Context:
        """For a subquery whose outer rows have these places."""
        return replace(self, outer={**self.outer, **outer})

    def row(self, lowered: Lowered, more: Row | None = None) -> Row:
        """Places of everything an expression over these rows may mention."""
        return ChainMap(dict(more or {}), dict(lowered.row), dict(self.outer))

    def note(self, kind: str, text: str, table: str = "", *, works: bool = True) -> None:
        note = Note(kind, text, table, works)
        if note not in self.notes:
            self.notes.append(note)


def placed(emitted: Emitted) -> Place:
    """The place of something computed: as a field where it is one."""
    if isinstance(emitted, str) and emitted.startswith("$") and not emitted.startswith("$$"):
        return Place(emitted, path=emitted[1:], proven=True)
    return Place(emitted, proven=True)


def said(exprs: Iterable[Expr], *more: Iterable[str]) -> dict[str, int]:
    """How often expressions mention each column, and others once each."""
    found: dict[str, int] = {}
    for expr in exprs:
        for part in walk(expr):
            if isinstance(part, Column):
                found[part.id] = found.get(part.id, 0) + 1
    for ids in more:
        for name in ids:
            found[name] = found.get(name, 0) + 1
    return found


def trivial(expr: Expr) -> bool:
    """Whether an expression costs nothing to write again."""
    if isinstance(expr, Cast) and expr.implicit:
        return (
            expr.type.name == "DOUBLE" and expr.arg.type.name in {"INTEGER", "BIGINT"} and trivial(expr.arg)
        )
    return isinstance(expr, Column | Constant)


def projected(place: Place) -> Emitted:
    """A place's value as `$project` takes it: a bare number or boolean would keep a field instead."""
    emitted = place.value
    if isinstance(emitted, dict | list) or (isinstance(emitted, str) and emitted.startswith("$")):
        return emitted
    return {"$literal": emitted}


def cells(lowered: Lowered, ids: Iterable[str]) -> dict[str, Emitted]:
    """The values of these columns, as the fields of a document."""
    return {name: projected(lowered.row[name]) for name in ids if name in lowered.row}


def under(lowered: Lowered, ids: Iterable[str], prefix: str = "") -> dict[str, Place]:
    """The places of columns that have become fields of the same names, below a prefix."""
    return {name: moved(lowered.row[name], f"{prefix}{name}") for name in ids if name in lowered.row}


def moved(place: Place, path: str) -> Place:
    """The place of a value that was put at another path."""
    return Place(f"${path}", path=path, dense=place.dense, proven=place.proven or not place.path)


def materialised(lowered: Lowered, ids: Iterable[str]) -> Lowered:
    """The rows as documents whose fields are these columns, named by their ids."""
    names = [name for name in dict.fromkeys(ids) if name in lowered.row]
    if names and all(lowered.row[name].path == name for name in names):
        return lowered
    stage: Stage = {"$project": {"_id": 0, **cells(lowered, names)}} if names else {"$project": {"_id": 1}}
    return lowered.then(stage, row=under(lowered, names))


def filtered(lowered: Lowered, test: Expr | None, context: Context) -> Lowered:
    """The rows for which a condition is true; what the match language can say goes before the rest."""
    row = context.row(lowered)
    matches: list[Stage] = []
    others: list[Expr] = []
    for part in conjuncts(test):
        found = match(part, row)
        if found is None:
            others.append(part)
        else:
            matches.append(found)
    if others:
        tests = [condition(part, row) for part in others]
        matches.append(unless_foreign({"$expr": both(tests)}, others, row))
    if not matches:
        return lowered
    return lowered.then({"$match": matched(matches)})


def matched(filters: list[Stage]) -> Stage:
    """AND over filters, as one would write it: fields side by side, both ends of a range together."""
    flat = [one for part in filters for one in (part["$and"] if set(part) == {"$and"} else [part])]
    result: Stage = {}
    rest: list[Stage] = []
    for one in _factored(flat):
        key = next(iter(one), "")
        if len(one) != 1 or key in {"$and", "$nor"} or not _joins(result, key, one[key]):
            rest.append(one)
    if rest and result:
        return {"$and": [result, *rest]}
    return result if not rest else rest[0] if len(rest) == 1 else {"$and": rest}


def _joins(result: Stage, key: str, body: Any) -> bool:
    """Puts one more condition on a field beside those there are, if the two can stand together."""
    if key not in result:
        result[key] = body
        return True
    known = result[key]
    if _compares(known) and _compares(body) and not set(known) & set(body):
        result[key] = {**known, **body}
        return True
    return False


def _compares(body: Any) -> bool:
    return isinstance(body, dict) and bool(body) and set(body) <= {"$gt", "$gte", "$lt", "$lte", "$ne"}


def _factored(filters: list[Stage]) -> list[Stage]:
    """The filters, with (a OR wrong) AND (b OR wrong) as (a AND b) OR wrong: an index then sees a range."""
    groups: dict[str, tuple[Stage, list[Stage]]] = {}
    result: list[Stage] = []
    for one in filters:
        parts = one["$or"] if set(one) == {"$or"} else []
        wrong = parts[-1] if parts and "$type" in str(parts[-1]) else None
        if wrong is None:
            result.append(one)
            continue
        rest = parts[0] if len(parts) == 2 else {"$or": parts[:-1]}
        groups.setdefault(repr(wrong), (wrong, []))[1].append(rest)
    for wrong, rests in groups.values():
        found = matched(rests)
        several = found["$or"] if set(found) == {"$or"} else [found]
        result.append({"$or": [*several, wrong]})
    return result


def wrong_types(path: str, kind: SqlType) -> Stage:
    """The filter that finds values a column of this type must not hold."""
    found = list(misfits(path, kind))
    return found[0] if len(found) == 1 else {"$or": found}


#: Functions that take a value of any type, whatever the column's.
_ANY_TYPE = frozenset({"bson_type", "is_missing"})


def read(expr: Expr) -> Iterator[Column]:
    """The columns whose values an expression reads; of others it asks at most the type."""
    if isinstance(expr, Column):
        yield expr
    elif not (isinstance(expr, Call) and expr.name in _ANY_TYPE and isinstance(expr.args[0], Column)):
        for part in children(expr):
            yield from read(part)


def unless_foreign(test: Stage, exprs: Iterable[Expr], row: Row) -> Stage:
    """The filter, and whatever has values of other types, so that the scan's check sees them."""
    seen: dict[str, Stage] = {}
    for expr in exprs:
        for part in read(expr):
            place = row.get(part.id)
            if place is None or place.proven or not foreign(part.type):
                continue
            if place.path:
                seen[place.path] = wrong_types(place.path, part.type)
            else:  # a name that is no path
                found = {"$in": [{"$type": place.value}, foreign(part.type)]}
                seen[repr(place.value)] = {"$expr": found}
    return {"$or": [test, *seen.values()]} if seen else test


def inner_pipeline(lowered: Lowered, name: str = "from") -> Stage:
    """What `$lookup` and `$unionWith` take to read these rows.

    Args:
        name: of the key for the collection.

    Raises:
        SqlError: the pipelines are nested deeper than the server allows.
    """
    if lowered.depth + 1 > DEEPEST:
        raise SqlError(
            f"the query nests more than {DEEPEST} subqueries and joins, which MongoDB does not allow",
            hint="let WITH ... AS MATERIALIZED keep a part of it",
        )
    source: Stage = {} if lowered.collection is None else {name: lowered.collection}
    return {**source, "pipeline": list(lowered.stages)}


__all__ = ["simple", "value"]
